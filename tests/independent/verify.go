// Checks receipts and logs with software that is not ours: notes and proofs by Go's sumdb, Ed25519 and SHA-256 by Go's standard library.
// What sumdb does not know is added here from its specification: cosignatures (c2sp.org/tlog-cosignature), the text of tlog-proof v1, the
// did:key of an Ed25519 key, DSSE, and the facts that a leaf commits to (docs/adr/0008).
//
//	verify receipt TRUST BUNDLE               prints {"entries": n, "witnesses": least of all entries, "quorum": q}
//	verify consistency TRUST OLD NEW PROOF    two checkpoints and a file with one hash in hexadecimal a line; prints {"old": n, "new": n}
//	verify tiles TRUST URL                    reads the whole log below a URL, by tiles of hashes and of entries; prints {"size": n}
//
// Exit code 1 and a sentence if something is wrong.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type trustFile struct {
	Log struct {
		Origin string
		Key    string
	}
	Witnesses []struct {
		Vkey        string
		Participant string
	}
	Quorum       int
	Participants []string
	Exchange     string
}

type envelope struct {
	Payload     string `json:"payload"`
	PayloadType string `json:"payloadType"`
	Salt        string `json:"salt"`
	Signatures  []struct {
		Keyid   string `json:"keyid"`
		Sig     string `json:"sig"`
		LeafSig string `json:"leaf_sig"`
	} `json:"signatures"`
}

type bundle struct {
	Entries []struct {
		Name     string
		Envelope envelope
		Proof    *string
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail("%v", err)
	}
	return value
}

func read(path string) []byte { return must(os.ReadFile(path)) }

func decode64(text string) []byte { return must(base64.StdEncoding.DecodeString(text)) }

// cosigner is a note.Verifier for cosignatures: eight bytes of time, then a signature over the time and the note.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(message, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature[:8])
	signed := append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), message...)
	return ed25519.Verify(c.key, signed, signature[8:])
}

func newCosigner(vkey string) cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("%s is no vkey", vkey)
	}
	key := decode64(parts[2])
	if len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		fail("%s is no cosigner's key", vkey)
	}
	digest := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if hex.EncodeToString(digest[:4]) != parts[1] {
		fail("%s names another key than it holds", vkey)
	}
	return cosigner{parts[0], binary.BigEndian.Uint32(digest[:4]), key[1:]}
}

// open checks the signatures of a checkpoint, and says how many participants witnessed it.
func open(trust trustFile, text string) (tlog.Tree, int) {
	verifiers := []note.Verifier{must(note.NewVerifier(trust.Log.Key))}
	owners := map[string]string{}
	for _, witness := range trust.Witnesses {
		verifier := newCosigner(witness.Vkey)
		verifiers = append(verifiers, verifier)
		owners[verifier.name] = witness.Participant
	}
	opened := must(note.Open([]byte(text), note.VerifierList(verifiers...)))
	independent, byLog := map[string]bool{}, false
	for _, signature := range opened.Sigs {
		owner, isWitness := owners[signature.Name]
		byLog = byLog || signature.Name == verifiers[0].Name()
		if isWitness {
			independent[owner] = true
		}
	}
	if !byLog {
		fail("the log did not sign the checkpoint")
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != trust.Log.Origin {
		fail("not a checkpoint of %s", trust.Log.Origin)
	}
	size := must(strconv.ParseInt(lines[1], 10, 64))
	return tlog.Tree{N: size, Hash: must(tlog.ParseHash(lines[2]))}, len(independent)
}

// publicKey reads the did:key of an Ed25519 key.
func publicKey(did string) ed25519.PublicKey {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	number := new(big.Int)
	for _, digit := range strings.TrimPrefix(did, "did:key:z") {
		number.Mul(number, big.NewInt(58)).Add(number, big.NewInt(int64(strings.IndexRune(digits, digit))))
	}
	tagged := number.Bytes()
	if len(tagged) != 34 || !bytes.Equal(tagged[:2], []byte{0xed, 1}) {
		fail("%s is not the did:key of an Ed25519 key", did)
	}
	return tagged[2:]
}

// statement has the fields of all kinds that facts are made of.
type statement struct {
	Right        string
	Holder       string
	Agreement    string
	Consumer     string
	Exchange     string
	Parties      []struct{ Worker string }
	QuotaQueries uint32 `json:"quota_queries"`
	Split        []struct {
		Participant string
		Share       uint16
	}
	Order     string
	Sequence  string
	Attempt   uint32
	Party     uint8
	Hold      string
	SplitRule string `json:"split_rule"`
}

func digest(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

func unhex(text string) []byte { return must(hex.DecodeString(text)) }

// publicName is the name under which a ledger knows the statement with this hash.
func publicName(hash []byte) []byte { return digest([]byte("entrepot/public-name/v1\n"), hash) }

// facts derives what the ledger was told of a statement; hash is the statement's.
func facts(payloadType string, payload, hash []byte) []byte {
	kinds := []string{
		"", "worker-grant", "rights-registration", "data-product", "agreement", "order", "hold", "usage-receipt", "release", "refund",
	}
	kind := 0
	for code, name := range kinds {
		if payloadType == "application/vnd.entrepot."+name+".v1+json" {
			kind = code
		}
	}
	var said statement
	if kind > 3 || kind == 2 {
		// Other kinds have fields of these names and other shapes.
		if err := json.Unmarshal(payload, &said); err != nil {
			fail("%v", err)
		}
	}
	named := func(hash string) []byte { return publicName(unhex(hash)) }
	number := binary.BigEndian.AppendUint32
	out := []byte{1, byte(kind)}
	add := func(parts ...[]byte) { out = append(out, bytes.Join(parts, nil)...) }
	switch kinds[kind] {
	case "rights-registration":
		add([]byte{map[string]byte{"hold": 1, "process": 2, "operate": 3}[said.Right]}, publicKey(said.Holder))
	case "agreement":
		add(publicName(hash), publicKey(said.Consumer), publicKey(said.Exchange))
		for _, party := range said.Parties {
			add(publicKey(party.Worker))
		}
		rule := append([]byte("entrepot/split-rule/v1\n"), hash...)
		for _, part := range said.Split {
			rule = binary.BigEndian.AppendUint16(append(rule, publicKey(part.Participant)...), part.Share)
		}
		add(number(nil, said.QuotaQueries), digest(rule))
	case "order":
		sequence := must(strconv.ParseUint(said.Sequence, 10, 64))
		add(publicName(hash), named(said.Agreement), binary.BigEndian.AppendUint64(nil, sequence))
	case "hold":
		add(publicName(hash), named(said.Order), publicKey(said.Consumer))
	case "usage-receipt":
		add(named(said.Order), publicKey(said.Consumer), number(nil, said.Attempt), []byte{said.Party})
	case "release":
		add(named(said.Hold), unhex(said.SplitRule))
	case "refund":
		add(named(said.Hold))
	}
	return out
}

// leaf checks the signatures of an envelope and gives its entry in the log.
func leaf(trust trustFile, name string, signed envelope) []byte {
	known := map[string]bool{trust.Exchange: true}
	for _, participant := range trust.Participants {
		known[participant] = true
	}
	payload, salt := decode64(signed.Payload), decode64(signed.Salt)
	encoded := append([]byte(fmt.Sprintf("DSSEv1 %d %s %d ", len(signed.PayloadType), signed.PayloadType, len(payload))), payload...)
	if len(signed.Signatures) == 0 {
		fail("%s is not signed", name)
	}
	for _, signature := range signed.Signatures {
		// Workers sign receipts under keys that grants name; whether those do is our own verifier's question.
		if !known[signature.Keyid] && !strings.HasPrefix(name, "receipt-") {
			fail("%s is signed by the stranger %s", name, signature.Keyid)
		}
		if !ed25519.Verify(publicKey(signature.Keyid), encoded, decode64(signature.Sig)) {
			fail("%s: the signature of %s is wrong", name, signature.Keyid)
		}
	}
	// Only what was signed is read.
	entry := digest([]byte("entrepot/leaf/v2\n"), digest(salt, encoded), facts(signed.PayloadType, payload, digest(encoded)))
	message := append([]byte("entrepot/leaf-signature/v2\n"), entry...)
	for _, signature := range signed.Signatures {
		if !ed25519.Verify(publicKey(signature.Keyid), message, decode64(signature.LeafSig)) {
			fail("%s: the signature of %s over the leaf is wrong", name, signature.Keyid)
		}
	}
	return entry
}

// proven checks that a tlog-proof leads from an entry to a checkpoint of the log.
func proven(trust trustFile, entry []byte, text string) int {
	head, checkpoint, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("not a tlog-proof")
	}
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		path = append(path, must(tlog.ParseHash(line)))
	}
	tree, witnesses := open(trust, checkpoint)
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		fail("%v", err)
	}
	return witnesses
}

func receipt(trust trustFile, path string) {
	var receipts bundle
	if err := json.Unmarshal(read(path), &receipts); err != nil {
		fail("%v", err)
	}
	least := len(trust.Witnesses)
	for _, entry := range receipts.Entries {
		if entry.Proof == nil {
			fail("%s is not logged", entry.Name)
		}
		witnesses := proven(trust, leaf(trust, entry.Name, entry.Envelope), *entry.Proof)
		if witnesses < least {
			least = witnesses
		}
	}
	fmt.Printf("{\"entries\": %d, \"witnesses\": %d, \"quorum\": %d}\n", len(receipts.Entries), least, trust.Quorum)
}

func consistency(trust trustFile, oldPath, newPath, proofPath string) {
	older, _ := open(trust, string(read(oldPath)))
	newer, _ := open(trust, string(read(newPath)))
	var proof tlog.TreeProof
	for _, line := range strings.Fields(string(read(proofPath))) {
		var hash tlog.Hash
		if copy(hash[:], must(hex.DecodeString(line))) != len(hash) {
			fail("%s is not a hash", line)
		}
		proof = append(proof, hash)
	}
	if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		fail("%v", err)
	}
	fmt.Printf("{\"old\": %d, \"new\": %d}\n", older.N, newer.N)
}

// tiles reads a log over HTTP (c2sp.org/tlog-tiles); sumdb checks every tile against the tree.
type tiles struct{ url string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		// sumdb names the height in its paths; C2SP has one height.
		all = append(all, t.get(strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) get(path string) []byte {
	answer := must(http.Get(t.url + "/" + path))
	defer answer.Body.Close()
	body := must(io.ReadAll(answer.Body))
	if answer.StatusCode != http.StatusOK {
		fail("%s: %s: %s", path, answer.Status, body)
	}
	return body
}

func readLog(trust trustFile, url string) {
	log := tiles{url}
	tree, _ := open(trust, string(log.get("checkpoint")))
	reader := tlog.TileHashReader(tree, log)
	if root := must(tlog.TreeHash(tree.N, reader)); root != tree.Hash {
		fail("the tiles lead to another root than the checkpoint's")
	}
	for from := int64(0); from < tree.N; from += 256 {
		width := tree.N - from
		if width > 256 {
			width = 256
		}
		path := tlog.Tile{H: 8, L: 0, N: from / 256, W: int(width)}.Path()
		rest := log.get(strings.Replace(path, "tile/8/0/", "tile/entries/", 1))
		for index := from; index < from+width; index++ {
			length := int(binary.BigEndian.Uint16(rest))
			hash := must(reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)}))[0]
			if tlog.RecordHash(rest[2:2+length]) != hash {
				fail("entry %d is another than the one in the tree", index)
			}
			rest = rest[2+length:]
		}
		if len(rest) != 0 {
			fail("%d bytes are left over", len(rest))
		}
	}
	fmt.Printf("{\"size\": %d}\n", tree.N)
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) < 3 {
		fail("usage: verify receipt TRUST BUNDLE | verify consistency TRUST OLD NEW PROOF | verify tiles TRUST URL")
	}
	var trust trustFile
	if err := json.Unmarshal(read(arguments[1]), &trust); err != nil {
		fail("%v", err)
	}
	switch {
	case arguments[0] == "receipt" && len(arguments) == 3:
		receipt(trust, arguments[2])
	case arguments[0] == "consistency" && len(arguments) == 5:
		consistency(trust, arguments[2], arguments[3], arguments[4])
	case arguments[0] == "tiles" && len(arguments) == 3:
		readLog(trust, arguments[2])
	default:
		fail("unknown arguments")
	}
}

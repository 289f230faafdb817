//! A Sigsum log (sigsum.org), made with our tree and our note keys, cosigned by our witness process over tlog-witness, and believed by
//! Mullvad's `sigsum` under a policy that wants that witness.

use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_log::{Checkpoint, MerkleTree, NoteSigner, SignedCheckpoint};
use entrepot_chain_statement::{Did, SigningKey, key::KeyFile};
use entrepot_tests::{exchange::free_address, member::write_key, process::Process};
use rand_core::OsRng;
use sigsum::{Hash, Policy, PolicyBuilder, PublicKey, SigsumSignature, verify};
use std::fmt::Write;
use tempfile::TempDir;

const SIZE_MAX: usize = 9;

struct Log {
    signer: NoteSigner,
    key: SigningKey,
    submitter: SigningKey,
    tree: MerkleTree,
}

impl Log {
    fn new() -> Self {
        let (key, submitter) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let origin = format!("sigsum.org/v1/tree/{:x}", Hash::new(key.did().public_bytes()));
        Self { signer: NoteSigner::log(&origin, key.clone()).expect("a name"), key, submitter, tree: MerkleTree::new() }
    }

    /// What is submitted at this place, and its signature.
    fn leaf(&self, index: usize) -> (Hash, [u8; 64]) {
        let checksum = Hash::new(Hash::new(format!("file {index}")));
        let signature = self.submitter.sign(&[b"sigsum.org/v1/tree-leaf\0", checksum.as_ref()].concat());
        (checksum, signature)
    }

    fn grow(&mut self, size: usize) {
        for index in self.tree.size() as usize..size {
            let (checksum, signature) = self.leaf(index);
            let submitter = Hash::new(self.submitter.did().public_bytes());
            self.tree.push(&[checksum.as_ref(), &signature, submitter.as_ref()].concat());
        }
    }

    fn checkpoint(&self) -> SignedCheckpoint {
        let unsigned = Checkpoint { origin: self.signer.public().name().to_owned(), size: self.tree.size(), root: self.tree.root() };
        unsigned.sign(&self.signer).expect("it signs")
    }

    /// `POST /add-checkpoint`; the cosignature's moment and bytes.
    async fn ask(&self, url: &str, old: u64) -> Result<(u64, Vec<u8>), (u16, String)> {
        let proof = self.tree.consistency_proof(old, self.tree.size()).unwrap_or_default();
        let proof: String = proof.iter().map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash.0))).collect();
        let body = format!("old {old}\n{proof}\n{}", self.checkpoint());
        let answer = reqwest::Client::new().post(format!("{url}/add-checkpoint")).body(body).send().await.expect("answers");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("text"));
        if status != 200 {
            return Err((status, text));
        }
        let line = BASE64_STANDARD.decode(text.trim_end().rsplit(' ').next().expect("a signature")).expect("base64");
        let (time, signature) = line[4..].split_first_chunk::<8>().expect("a time");
        Ok((u64::from_be_bytes(*time), signature.to_vec()))
    }

    /// A Sigsum proof of the entry at this place.
    fn proof(&self, index: usize, witness: &Did, cosigned: &(u64, Vec<u8>)) -> String {
        let keyhash = |did: &Did| format!("{:x}", Hash::new(did.public_bytes()));
        let (_, signature) = self.leaf(index);
        let checkpoint = self.checkpoint();
        let line = checkpoint.note().signatures()[0].to_string();
        let signed = BASE64_STANDARD.decode(line.rsplit(' ').next().expect("a signature")).expect("base64");
        let mut text = format!("version=2\nlog={}\nleaf={} ", keyhash(&self.key.did()), keyhash(&self.submitter.did()));
        let (time, cosignature) = cosigned;
        let _ = write!(text, "{}\n\nsize={}\nroot_hash={}\n", hex::encode(signature), self.tree.size(), self.tree.root());
        let _ =
            write!(text, "signature={}\ncosignature={} {time} {}\n", hex::encode(&signed[4..]), keyhash(witness), hex::encode(cosignature));
        let _ = write!(text, "\nleaf_index={index}\n");
        for hash in self.tree.inclusion_proof(index as u64, self.tree.size()).expect("in the tree") {
            let _ = writeln!(text, "node_hash={hash}");
        }
        text
    }

    fn policy(&self, witness: &Did) -> Policy {
        let mut builder = PolicyBuilder::new();
        builder.add_log(self.key.did().public_bytes().into(), None).expect("a log");
        builder.add_witness("ours".to_owned(), witness.public_bytes().into(), None).expect("a witness");
        builder.set_quorum("ours".to_owned()).expect("a quorum");
        builder.build()
    }

    fn is_believed(&self, index: usize, proof: &str, policy: &Policy) -> bool {
        let message = Hash::new(format!("file {index}"));
        let submitter: PublicKey = self.submitter.did().public_bytes().into();
        SigsumSignature::from_ascii(proof).is_ok_and(|signature| verify(&message, &signature, &[submitter], policy).is_ok())
    }
}

struct Stand {
    url: String,
    did: Did,
    process: Process,
    _home: TempDir,
}

async fn stand(log: &Log) -> Stand {
    entrepot_tests::install_crypto();
    let (home, key, listen) = (tempfile::tempdir().expect("a folder"), KeyFile::generate(&mut OsRng), free_address());
    let path = |name: &str| home.path().join(name).display().to_string();
    write_key(&home.path().join("key.json"), &key);
    let vkey = log.signer.public().to_string();
    let (key_path, state) = (path("key.json"), path("state"));
    let arguments = ["witness", "--key", &key_path, "--state-dir", &state, "--listen", &listen, "--log-key", &vkey];
    let process = Process::start("witness", &arguments, &home.path().join("witness.log"), None);
    let stand = Stand { url: format!("http://{listen}"), did: key.witness.did(), process, _home: home };
    entrepot_tests::market::wait_for(async || reqwest::get(&stand.url).await.ok().map(drop)).await;
    stand
}

#[tokio::test]
async fn a_sigsum_verifier_believes_what_our_tree_proves_and_our_witness_cosigned() {
    let mut log = Log::new();
    let mut stand = stand(&log).await;
    let (policy, mut old) = (log.policy(&stand.did), 0);
    let stranger = log.policy(&SigningKey::generate(&mut OsRng).did());
    for size in 1..=SIZE_MAX {
        log.grow(size);
        let cosigned = log.ask(&stand.url, old).await.expect("it only grew");
        old = log.tree.size();
        for index in 0..size {
            let proof = log.proof(index, &stand.did, &cosigned);
            assert!(log.is_believed(index, &proof, &policy), "{index} of {size}:\n{proof}");
            assert!(!log.is_believed(index, &proof, &stranger), "another witness is wanted");
            for changed in changes(&proof, &cosigned) {
                assert!(!log.is_believed(index, &changed, &policy), "{index} of {size}:\n{changed}");
            }
        }
    }
    assert_eq!(log.ask(&stand.url, 2).await, Err((409, format!("{SIZE_MAX}\n"))), "a stale size");
    assert_eq!(stand.process.terminate().code(), Some(0));
}

/// The proof with one digit of one thing changed: root, cosignature, its moment, a hash, the index.
fn changes(proof: &str, cosigned: &(u64, Vec<u8>)) -> Vec<String> {
    let flip = |text: &str, at: usize| {
        let other = if &text[at..=at] == "a" { "b" } else { "a" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    let mut changed: Vec<String> = ["root_hash=", "\nsignature=", "node_hash="]
        .iter()
        .flat_map(|field| proof.match_indices(field).map(|(at, found)| flip(proof, at + found.len() + 9)).collect::<Vec<_>>())
        .collect();
    let (time, cosignature) = cosigned;
    changed.push(proof.replace(&format!(" {time} "), &format!(" {} ", time + 1)));
    let cosignature = hex::encode(cosignature);
    changed.push(proof.replace(&cosignature, &flip(&cosignature, 20)));
    if let Some((head, rest)) = proof.split_once("leaf_index=") {
        changed.push(format!("{head}leaf_index=1{rest}"));
    }
    changed
}

#[tokio::test]
async fn a_forked_log_gets_no_cosignature_that_a_verifier_could_believe() {
    let (mut log, mut forked) = (Log::new(), Log::new());
    (forked.signer, forked.key) = (log.signer.clone(), log.key.clone());
    let mut stand = stand(&log).await;
    log.grow(3);
    let cosigned = log.ask(&stand.url, 0).await.expect("the first");
    forked.grow(3);
    let other = forked.proof(1, &stand.did, &cosigned);
    assert!(!forked.is_believed(1, &other, &forked.policy(&stand.did)), "the cosignature of one root is not that of another");
    assert_eq!(forked.ask(&stand.url, 3).await.map_err(|(status, _)| status), Err(422));
    // Two roots of one size are evidence: it ends.
    let ended = entrepot_tests::market::wait_for(async || stand.process.ended()).await;
    assert_eq!(ended.code(), Some(4));
}

//! The state's tree against pinned vectors, against its recursive definition, and against tampering.

use entrepot_chain_log::state_tree::{
    EMPTY_STATE, STATE_PROOF_MAX_BYTES, StateLeaf, StateNode, StateNodes, StateProof, StateProofError, StateTreeError, prove, state_key,
    state_value, update, value,
};
use entrepot_chain_statement::Hash;
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

type Nodes = BTreeMap<Hash, StateNode>;
type Batch = BTreeMap<Hash, Option<Hash>>;
type Entries = BTreeMap<Hash, Hash>;

/// The tree as it is defined: nothing is the fixed hash, one entry its leaf, more a node over those with the next bit 0 and those with 1.
fn defined(entries: &[(Hash, Hash)], depth: usize, nodes: &mut Nodes) -> Hash {
    let node = match entries {
        [] => return EMPTY_STATE,
        [(key, value)] => StateNode::Leaf(StateLeaf { key: *key, value: *value }),
        _ => {
            let (ones, zeros): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| key.0[depth / 8] & 0x80 >> (depth % 8) != 0);
            StateNode::Inner { left: defined(&zeros, depth + 1, nodes), right: defined(&ones, depth + 1, nodes) }
        }
    };
    nodes.insert(node.hash(), node);
    node.hash()
}

fn tree(entries: &Entries) -> (Hash, Nodes) {
    let mut nodes = Nodes::new();
    let entries: Vec<_> = entries.iter().map(|(key, value)| (*key, *value)).collect();
    (defined(&entries, 0, &mut nodes), nodes)
}

fn apply(root: &Hash, changes: &Batch, nodes: &mut Nodes) -> Hash {
    let step = update(root, changes, nodes).unwrap();
    for name in &step.replaced {
        assert!(nodes.remove(name).is_some() && !step.added.contains_key(name));
    }
    for (name, node) in step.added {
        assert_eq!(node.hash(), name);
        assert!(nodes.insert(name, node).is_none(), "a node was added that was there");
    }
    step.root
}

fn change(entries: &mut Entries, changes: &Batch) {
    for (key, value) in changes {
        match value {
            Some(value) => entries.insert(*key, *value),
            None => entries.remove(key),
        };
    }
}

/// Keys that part at the first bits, at the last, or nowhere near.
fn keys() -> impl Strategy<Value = Hash> {
    let bytes = || select(vec![0u8, 1, 2, 0x40, 0x80, 0xc0, 0xff]);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(first, last)| {
            let mut key = [0; 32];
            (key[0], key[31]) = (first, last);
            Hash(key)
        }),
        (0..24u8).prop_map(|n| state_key("test", &[n])),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    prop::collection::btree_map(keys(), option::weighted(0.6, (0..4u8).prop_map(|n| state_value(&[n]))), 0..24)
}

#[test]
fn roots_match_vectors_computed_elsewhere() {
    // By 20 lines of Python: the definition over hashlib.sha256.
    assert_eq!(EMPTY_STATE, Hash::of(&[b"entrepot/state/v1\n", &[2]]));
    let vectors = [
        (0, "31bc9c1398661960e7479736962e75b899c9279934e5388b68eda4a4218e9a35"),
        (1, "73f979d0135c7bf256e4e7b47cdfca12b9ee2f061f2ac79c4c7fa26de8b117a1"),
        (2, "2a5ac666f3d1cedde51cd56cf1cd95a4edcafad2eb4413fea604c0c5f42a477a"),
        (3, "a36a4866d11ed2c990b708f0475cf6289952c54ef5a06a52ac280d7bd2c4a9c2"),
        (100, "1d698eeb796ee1b80eada26652820af7f6d632fc5a693781edc13e593b59437d"),
    ];
    for (count, expected) in vectors {
        let changes = (0..count).map(|n| (state_key("vector", &[n]), Some(state_value(&[n])))).collect();
        assert_eq!(update(&EMPTY_STATE, &changes, &Nodes::new()).unwrap().root.to_string(), expected);
    }
    let last = Hash([[0; 31].as_slice(), &[1]].concat().try_into().unwrap());
    let deepest = Batch::from([(Hash([0; 32]), Some(state_value(&[0]))), (last, Some(state_value(&[1])))]);
    let deepest = update(&EMPTY_STATE, &deepest, &Nodes::new()).unwrap();
    assert_eq!(deepest.root.to_string(), "e4246b0396099449f32f9730d31e7d9564532ee622560cab6ae8665f06789dda");
    let proof = prove(&deepest.root, &last, &deepest.added).unwrap();
    assert_eq!((proof.siblings.len(), proof.encode().len()), (256, 1 + 2 + 32 + 32 + 1 + 64));
}

#[test]
fn a_proof_has_a_pinned_encoding() {
    let changes = (0..100).map(|n| (state_key("vector", &[n]), Some(state_value(&[n])))).collect();
    let step = update(&EMPTY_STATE, &changes, &Nodes::new()).unwrap();
    let proofs = [7, 200].map(|n| prove(&step.root, &state_key("vector", &[n]), &step.added).unwrap().encode());
    assert_eq!(Hash::of(&[&proofs[0]]).to_string(), "153b8c6c2051b49be71db0813b88483d6d3c8c5d89f8794bea1024df906a593a");
    assert_eq!(Hash::of(&[&proofs[1]]).to_string(), "8df0f3bdcc8296dcfe2b7da5c7ef90414083ef78fe6be5383fbb60027800e3c4");
}

#[test]
fn kinds_of_entries_never_meet() {
    assert_ne!(state_key("right", b"x"), state_key("rightx", b""));
    assert_ne!(state_key("a", b"b"), state_value(b"ab"));
}

proptest! {
    #[test]
    fn every_update_is_as_defined_and_keeps_exactly_the_nodes_of_the_tree(batches in vec(batches(), 1..8)) {
        let (mut root, mut nodes, mut entries) = (EMPTY_STATE, Nodes::new(), Entries::new());
        for changes in &batches {
            root = apply(&root, changes, &mut nodes);
            change(&mut entries, changes);
            prop_assert_eq!((root, nodes.clone()), tree(&entries));
        }
    }

    #[test]
    fn any_order_of_insertion_gives_the_same_root(changes in vec((keys(), any::<u8>()), 1..20), seed in any::<u64>()) {
        let entries: Entries = changes.iter().map(|(key, n)| (*key, state_value(&[*n]))).collect();
        let mut order: Vec<_> = entries.iter().collect();
        order.sort_by_key(|(key, _)| Hash::of(&[&seed.to_be_bytes(), &key.0]));
        let (mut root, mut nodes) = (EMPTY_STATE, Nodes::new());
        for (key, value) in order {
            root = apply(&root, &Batch::from([(*key, Some(*value))]), &mut nodes);
        }
        prop_assert_eq!(root, tree(&entries).0);
    }

    #[test]
    fn deletion_returns_to_the_earlier_root(first in batches(), second in batches()) {
        let mut nodes = Nodes::new();
        let before = apply(&EMPTY_STATE, &first, &mut nodes);
        let kept = nodes.clone();
        let mut entries = Entries::new();
        change(&mut entries, &first);
        let after = apply(&before, &second, &mut nodes);
        let back: Batch = second.keys().map(|key| (*key, entries.get(key).copied())).collect();
        prop_assert_eq!(apply(&after, &back, &mut nodes), before);
        prop_assert_eq!(&nodes, &kept);
        let all: Batch = entries.keys().map(|key| (*key, None)).collect();
        prop_assert_eq!(apply(&before, &all, &mut nodes), EMPTY_STATE);
        prop_assert!(nodes.is_empty());
    }

    #[test]
    fn every_key_is_proved_to_have_its_value_and_no_other(changes in batches(), asked in vec(keys(), 8)) {
        let mut entries = Entries::new();
        change(&mut entries, &changes);
        let (root, nodes) = tree(&entries);
        for key in asked.iter().chain(changes.keys()) {
            let there = entries.get(key);
            prop_assert_eq!(value(&root, key, &nodes).unwrap(), there.copied());
            let proof = prove(&root, key, &nodes).unwrap();
            let bytes = proof.encode();
            prop_assert!(bytes.len() <= STATE_PROOF_MAX_BYTES);
            prop_assert_eq!(&StateProof::decode(&bytes).unwrap(), &proof);
            prop_assert_eq!(proof.verify(&root, key, there), Ok(()));
            prop_assert_eq!(proof.verify(&root, key, Some(&state_value(b"another"))), Err(StateProofError::Value));
            match there {
                Some(_) => prop_assert_eq!(proof.verify(&root, key, None), Err(StateProofError::Present)),
                None => prop_assert!(proof.verify(&root, key, Some(&state_value(&[0]))).is_err()),
            }
        }
    }

    #[test]
    fn no_proof_serves_another_key_to_lie_about_it(changes in batches()) {
        let mut entries = Entries::new();
        change(&mut entries, &changes);
        let (root, nodes) = tree(&entries);
        for key in entries.keys() {
            for other in changes.keys() {
                let proof = prove(&root, other, &nodes).unwrap();
                prop_assert!(proof.verify(&root, key, None).is_err(), "{key} is there and was proved absent");
            }
        }
    }

    #[test]
    fn every_flipped_bit_spoils_a_proof(changes in batches(), key in keys()) {
        let mut entries = Entries::new();
        change(&mut entries, &changes);
        let (root, nodes) = tree(&entries);
        let bytes = prove(&root, &key, &nodes).unwrap().encode();
        // The long ones of deep trees have thousands of bits: one of each byte will do.
        for bit in (0..bytes.len()).map(|byte| byte * 8 + byte % 8) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let believed = StateProof::decode(&bytes).is_ok_and(|proof| proof.verify(&root, &key, entries.get(&key)).is_ok());
            prop_assert!(!believed, "bit {bit}");
        }
    }

    #[test]
    fn bytes_of_anybody_decode_to_what_encodes_to_them_or_not_at_all(bytes in vec(select(vec![0u8, 1, 2, 0x80, 0xff]), 0..160)) {
        if let Ok(proof) = StateProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }
}

#[test]
fn a_root_of_yesterday_is_read_while_its_nodes_are_kept() {
    let (key, mut nodes) = (state_key("right", b"r"), Nodes::new());
    let mut roots = Vec::new();
    let mut root = EMPTY_STATE;
    for holder in [b"a", b"b", b"c"] {
        let step = update(&root, &Batch::from([(key, Some(state_value(holder)))]), &nodes).unwrap();
        nodes.extend(step.added);
        root = step.root;
        roots.push((root, state_value(holder)));
    }
    for (root, holder) in roots {
        prove(&root, &key, &nodes).unwrap().verify(&root, &key, Some(&holder)).unwrap();
    }
}

#[test]
fn a_missing_or_damaged_node_is_named() {
    let changes = (0..9).map(|n| (state_key("k", &[n]), Some(state_value(&[n])))).collect();
    let step = update(&EMPTY_STATE, &changes, &Nodes::new()).unwrap();
    let key = state_key("k", &[3]);
    let without = Nodes::new();
    assert!(matches!(prove(&step.root, &key, &without), Err(StateTreeError::Missing(name)) if name == step.root));
    let leaf = StateNode::Leaf(StateLeaf { key, value: state_value(&[3]) });
    let mut nodes = step.added.clone();
    nodes.insert(leaf.hash(), StateNode::Leaf(StateLeaf { key, value: state_value(&[4]) }));
    assert!(matches!(value(&step.root, &key, &nodes), Err(StateTreeError::Damaged(name)) if name == leaf.hash()));
}

/// Answers with one node whatever is asked, and says that it fits.
struct Endless;

impl StateNodes for Endless {
    type Error = Infallible;
    fn state_node(&self, _: &Hash) -> Result<Option<StateNode>, Infallible> {
        Ok(Some(StateNode::Inner { left: Hash([1; 32]), right: Hash([1; 32]) }))
    }
}

#[test]
fn a_tree_without_an_end_is_refused() {
    let root = StateNode::Inner { left: Hash([1; 32]), right: Hash([1; 32]) }.hash();
    assert!(matches!(value(&root, &Hash([0; 32]), &Endless), Err(StateTreeError::Damaged(_))));
    // A chain that is deeper than a key is long, each node rightly named.
    let mut at = StateNode::Leaf(StateLeaf { key: Hash([0; 32]), value: Hash([0; 32]) }).hash();
    let mut nodes = Nodes::new();
    for _ in 0..300 {
        let node = StateNode::Inner { left: at, right: EMPTY_STATE };
        at = node.hash();
        nodes.insert(at, node);
    }
    assert!(matches!(value(&at, &Hash([0; 32]), &nodes), Err(StateTreeError::Misplaced(_))));
    let changes = Batch::from([(Hash([0; 32]), Some(Hash([2; 32])))]);
    assert!(matches!(update(&at, &changes, &nodes), Err(StateTreeError::Misplaced(_))));
}

#[test]
fn a_leaf_that_stands_where_its_key_does_not_lead_is_refused() {
    // Both keys end in 0, and there is no bit left to part them.
    let mut key = [0xff; 32];
    key[31] = 0xfe;
    let leaf = StateNode::Leaf(StateLeaf { key: Hash(key), value: Hash([0; 32]) });
    let (mut at, mut nodes) = (leaf.hash(), Nodes::from([(leaf.hash(), leaf)]));
    for _ in 0..255 {
        let node = StateNode::Inner { left: at, right: EMPTY_STATE };
        at = node.hash();
        nodes.insert(at, node);
    }
    let changes = Batch::from([(Hash([0; 32]), Some(Hash([1; 32])))]);
    assert!(matches!(update(&at, &changes, &nodes), Err(StateTreeError::Misplaced(_))));
}

#[test]
fn a_root_with_a_leaf_where_its_key_does_not_lead_proves_nothing_absent() {
    // Somebody made this root up: to the left, where keys begin with 0, hangs one that begins with 1.
    let stray = StateLeaf { key: Hash([0xff; 32]), value: Hash([0; 32]) };
    let other = StateNode::Leaf(StateLeaf { key: Hash([0xfe; 32]), value: Hash([0; 32]) }).hash();
    let root = StateNode::Inner { left: StateNode::Leaf(stray).hash(), right: other }.hash();
    let proof = StateProof { siblings: vec![other], end: Some(stray) };
    assert_eq!(proof.verify(&root, &Hash([0; 32]), None), Err(StateProofError::Beside));
    let long = StateProof { siblings: vec![other; 257], end: None };
    assert_eq!(long.verify(&root, &Hash([0; 32]), None), Err(StateProofError::Depth));
}

#[test]
fn an_update_reads_no_more_than_it_changes() {
    struct Counting<'a>(&'a Nodes, std::cell::RefCell<BTreeSet<Hash>>);
    impl StateNodes for Counting<'_> {
        type Error = Infallible;
        fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, Infallible> {
            assert!(self.1.borrow_mut().insert(*name), "read twice");
            self.0.state_node(name)
        }
    }
    let entries: Batch = (0..10_000u32).map(|n| (state_key("k", &n.to_be_bytes()), Some(Hash([0; 32])))).collect();
    let step = update(&EMPTY_STATE, &entries, &Nodes::new()).unwrap();
    let store = Counting(&step.added, Default::default());
    let changes: Batch = (0..10u32).map(|n| (state_key("k", &n.to_be_bytes()), None)).collect();
    update(&step.root, &changes, &store).unwrap();
    assert!(store.1.borrow().len() <= 10 * 30, "{}", store.1.borrow().len());
}

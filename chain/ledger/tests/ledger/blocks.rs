//! Which block follows which, with and without transactions.

use crate::support::{Node, Stored, genesis, key, member, transaction};
use entrepot_chain_ledger::{
    ApplyError, Block, Outcome, Signatures, State, Transaction,
    block::{BLOCK_TRANSACTIONS_MAX, transactions_digest},
    consortium::{Genesis, MemberRole},
    state::entries,
    state_tree::state_value,
};
use entrepot_chain_statement::{Hash, Timestamp};

#[test]
fn a_block_that_does_not_follow_is_refused_by_name() {
    let mut node = Node::new();
    let before = node.state.clone();
    let (block, _) = node.submit(5, vec![transaction(1, 1)]);
    let block = block.expect("a block");
    let apply = |state: &State, block: &Block| state.apply(&Stored::default(), block, Signatures::Check).map(drop);
    assert!(apply(&before, &block).is_ok());
    assert!(matches!(apply(&node.state, &block), Err(ApplyError::Height { last: 1, found: 1 })));
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut other = block.clone();
        change(&mut other);
        other
    };
    let other = changed(&|block| block.header.previous = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Previous { height: 1 })));
    let other = changed(&|block| block.header.log_size = 2);
    assert!(matches!(apply(&before, &other), Err(ApplyError::Log { height: 1 })));
    let other = changed(&|block| block.header.log_root = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Log { height: 1 })));
    let other = changed(&|block| block.transactions.push(transaction(2, 2).into()));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Transactions { height: 1 })));
    let other = changed(&|block| block.transactions = vec![block.transactions[0].clone(); BLOCK_TRANSACTIONS_MAX + 1]);
    assert!(matches!(apply(&before, &other), Err(ApplyError::Count { height: 1, found: 4097 })));
    let other = changed(&|block| block.header.next_members = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Members { height: 1 })));
    let other = changed(&|block| block.header.state_root = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::State { height: 1 })));
    let other = changed(&|block| block.header.height = u64::MAX);
    assert!(matches!(apply(&before, &other), Err(ApplyError::Height { last: 0, found: u64::MAX })));
    let other = changed(&|block| {
        block.transactions.push(transaction(2, 7).into());
        block.header.transactions = transactions_digest(&block.transactions);
    });
    assert!(matches!(apply(&before, &other), Err(ApplyError::WithoutEffect { height: 1 })));
    let early = changed(&|block| {
        block.header.height = 2;
        block.header.previous = node.state.last_block();
        block.header.time = Timestamp(4);
    });
    assert!(matches!(apply(&node.state, &early), Err(ApplyError::Time { height: 2 })));
}

#[test]
fn replaying_own_blocks_trusts_only_leaves_that_are_stored_in_their_place() {
    let mut node = Node::new();
    let (block, _) = node.submit(5, vec![transaction(1, 1)]);
    let mut forged = block.expect("a block");
    let Transaction::Leaf(leaf) = &mut forged.transactions[0] else { panic!("a leaf") };
    let signature = leaf.leaf.signatures.values_mut().next().expect("a signature");
    signature[0] ^= 1;
    forged.header.transactions = transactions_digest(&forged.transactions);
    let genesis = State::genesis(&genesis()).expect("a genesis");
    assert!(genesis.apply(&node.stored, &forged, Signatures::Check).is_err());
    assert!(genesis.apply(&Stored::default(), &forged, Signatures::CheckedWhenStored).is_err(), "not stored: checked");
    assert!(genesis.apply(&node.stored, &forged, Signatures::CheckedWhenStored).is_ok(), "the hash chain guards what was stored");
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_chain_back() {
    let mut node = Node::new();
    node.submit(10, vec![transaction(1, 1)]);
    let (block, _) = node.submit(3, vec![transaction(2, 2)]);
    assert_eq!(block.map(|block| block.header.time), Some(Timestamp(10)));
}

#[test]
fn a_block_without_transactions_ends_a_height_and_leaves_the_log_as_it_is() {
    let (mut node, mut follower) = (Node::new(), Node::new());
    node.submit(1, vec![transaction(1, 1)]);
    let (size, root, state_root) = (node.state.log_size(), node.state.log_root(), node.state.state_root());
    let empty = node.pass();
    assert_eq!((empty.header.height, empty.transactions.len()), (2, 0));
    assert_eq!((node.state.log_size(), node.state.log_root(), node.state.state_root()), (size, root, state_root));
    assert_eq!(node.one(transaction(2, 2)), Outcome::Accepted { index: 1 });
    // From the very first block on.
    let first = follower.state.clone();
    let empty = follower.pass();
    assert!(first.apply(&Stored::default(), &empty, Signatures::Check).is_ok());
    assert_eq!(follower.one(transaction(1, 1)), Outcome::Accepted { index: 0 });
}

#[test]
fn a_block_of_another_channel_does_not_follow() {
    let mut other = Node::founded(&Genesis::sole("entrepot/test", member(101, MemberRole::Member)).expect("a genesis"));
    let block = other.pass();
    let refused = Node::new().state.apply(&Stored::default(), &block, Signatures::Check);
    assert!(matches!(refused, Err(ApplyError::Previous { height: 1 })));
}

#[test]
fn the_root_commits_to_members_rule_and_each_submitters_number_from_the_first_block_on() {
    let mut node = Node::new();
    node.submit(1, vec![transaction(1, 1), transaction(2, 2)]);
    let members = genesis().members().expect("members");
    assert_eq!(node.committed(&entries::members_key()), Some(state_value(&members.encode())));
    assert_eq!(node.committed(&entries::voting_rule_key()), Some(state_value(&[1])));
    assert_eq!(node.committed(&entries::sequence_key(&key(9).did())), Some(state_value(&2_u64.to_be_bytes())));
    assert_eq!(node.committed(&entries::sequence_key(&key(8).did())), None);
    assert_eq!(node.committed(&entries::right_key(&Hash([1; 32]))), None);
}

#[test]
fn what_is_drafted_is_what_everybody_arrives_at() {
    let mut node = Node::new();
    let mut blocks: Vec<Block> = Vec::new();
    for at in 1..40 {
        let (block, _) = node.submit(at, vec![transaction(at as u64, at as u64)]);
        blocks.extend(block);
        blocks.extend((at % 5 == 0).then(|| node.pass()));
    }
    for signatures in [Signatures::Check, Signatures::CheckedWhenStored] {
        let mut follower = Node::new();
        // A node that replays its own blocks finds later leaves, nodes and entries stored already.
        let stored = node.stored.clone();
        for block in &blocks {
            let applied = follower.state.apply(&stored, block, signatures).expect("follows");
            follower.keep(applied);
        }
        assert_eq!(follower.state, node.state);
    }
}

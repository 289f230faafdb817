//! Members and blocks of tests.

use entrepot_chain_log::{
    BlockHeader, Member, Members,
    consortium::{MemberKeys, MemberRole},
};
use entrepot_chain_statement::{Hash, SigningKey, Timestamp};

pub fn key(seed: u8, purpose: u8) -> SigningKey {
    SigningKey::from_seed(&[seed, purpose].repeat(16).try_into().expect("32 bytes"))
}

pub fn members(count: usize) -> (Members, Vec<SigningKey>) {
    let member = |at: u8| Member {
        did: key(at, 1).did(),
        name: format!("member {at}"),
        role: MemberRole::Member,
        keys: MemberKeys { consensus: key(at, 2).did(), cosigning: key(at, 3).did(), transport: key(at, 4).did() },
    };
    let members = Members::new((0..count as u8).map(member).collect()).expect("distinct keys");
    let of = |member: &Member| (0..count as u8).map(|at| key(at, 2)).find(|key| key.did() == member.keys.consensus).expect("one of them");
    let keys = members.as_slice().iter().map(of).collect();
    (members, keys)
}

/// A block is its header and some bytes that the header commits to.
pub fn block(height: u64, previous: Hash, content: u64) -> Vec<u8> {
    let body = content.to_be_bytes();
    let zero = Hash([0; 32]);
    let header = BlockHeader {
        height,
        previous,
        time: Timestamp(0),
        transactions: Hash::of(&[&body]),
        log_size: 0,
        log_root: zero,
        state_root: zero,
        next_members: zero,
    };
    [header.encode(), body.to_vec()].concat()
}

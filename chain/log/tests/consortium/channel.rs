//! A channel in memory: members, and blocks that they decide on.

use entrepot_chain_log::{
    BlockHeader, CommitCertificate, Genesis, Member, Members, NoteSigner,
    consortium::{
        DecidedHeader, HistoryStart, MemberHistory, MemberKeys, MemberRole, MemberStep, TrustedChannel, TrustedMembers, VoteKind,
        VotingRule, vote_message,
    },
};
use entrepot_chain_statement::{Hash, SigningKey, Timestamp};
use std::collections::BTreeMap;

pub const ORIGIN: &str = "entrepot/main";

fn key(member: u8, purpose: u8) -> SigningKey {
    let mut seed = [0x77; 32];
    (seed[0], seed[1]) = (member, purpose);
    SigningKey::from_seed(&seed)
}

pub fn consensus(member: u8) -> SigningKey {
    key(member, 1)
}

pub fn cosigner(member: u8) -> NoteSigner {
    let key = key(member, 2);
    NoteSigner::cosigner(key.did().as_str(), key).unwrap()
}

/// These members, by number.
pub fn members(numbers: impl IntoIterator<Item = u8>) -> Members {
    let member = |number| Member {
        did: key(number, 0).did(),
        name: format!("member {number}"),
        role: MemberRole::Member,
        keys: MemberKeys { consensus: consensus(number).did(), cosigning: key(number, 2).did(), transport: key(number, 3).did() },
    };
    Members::new(numbers.into_iter().map(member).collect()).unwrap()
}

/// A certificate for this block, signed by these.
pub fn certify(genesis: &Hash, header: &BlockHeader, round: u32, signers: impl IntoIterator<Item = u8>) -> CommitCertificate {
    let message = vote_message(genesis, VoteKind::Precommit, header.height, round, Some(&header.hash()));
    let signatures: BTreeMap<_, _> = signers.into_iter().map(consensus).map(|key| (key.did(), key.sign(&message))).collect();
    CommitCertificate { height: header.height, round, block: header.hash(), signatures }
}

/// The blocks of a channel, all decided, and who decided on each.
pub struct Channel {
    pub genesis: Genesis,
    pub headers: Vec<BlockHeader>,
    /// Who decides from which height on, by number.
    terms: Vec<(u64, Vec<u8>)>,
}

impl Channel {
    /// With this many blocks. `terms` begin at height 1.
    pub fn new(heights: u64, terms: &[(u64, &[u8])]) -> Self {
        let genesis = Genesis::new(ORIGIN, VotingRule::TwoThirds, &members(terms[0].1.to_vec())).unwrap();
        let terms = terms.iter().map(|(from, numbers)| (*from, numbers.to_vec())).collect();
        let mut channel = Self { genesis, headers: Vec::new(), terms };
        for height in 1..=heights {
            channel.push(height * 3, Hash::of(&[b"log root", &height.to_be_bytes()]));
        }
        channel
    }

    /// One more block, with this head of the log.
    pub fn push(&mut self, log_size: u64, log_root: Hash) {
        let height = self.headers.len() as u64 + 1;
        self.headers.push(BlockHeader {
            height,
            previous: self.headers.last().map_or(self.genesis.digest(), BlockHeader::hash),
            time: Timestamp(1_700_000_000_000 + height as i64),
            transactions: Hash([1; 32]),
            log_size,
            log_root,
            state_root: Hash::of(&[b"state root", &height.to_be_bytes()]),
            next_members: members(self.numbers(height + 1)).digest(),
        });
    }

    /// Who decides on this height.
    pub fn numbers(&self, height: u64) -> Vec<u8> {
        self.terms.iter().rev().find(|(from, _)| *from <= height).unwrap().1.clone()
    }

    pub fn header(&self, height: u64) -> BlockHeader {
        self.headers[height as usize - 1].clone()
    }

    /// The block as decided by all who should, or by these.
    pub fn decided_by(&self, height: u64, signers: impl IntoIterator<Item = u8>) -> DecidedHeader {
        let header = self.header(height);
        let certificate = certify(&self.genesis.digest(), &header, 0, signers);
        DecidedHeader { parent: (height > 1).then(|| self.header(height - 1)), header, certificate }
    }

    pub fn decided(&self, height: u64) -> DecidedHeader {
        self.decided_by(height, self.numbers(height))
    }

    pub fn step(&self, from: u64) -> MemberStep {
        MemberStep { decided: self.decided(from - 1), members: members(self.numbers(from)) }
    }

    /// Every change of the members.
    pub fn history(&self) -> MemberHistory {
        let steps = self.terms[1..].iter().map(|(from, _)| self.step(*from)).collect();
        MemberHistory { start: HistoryStart::Genesis(self.genesis.clone()), steps }
    }

    pub fn trusted(&self) -> TrustedChannel {
        TrustedChannel { genesis: self.genesis.digest(), since: None }
    }

    /// Trust in the members of this height too.
    pub fn trusted_since(&self, height: u64) -> TrustedChannel {
        let since = TrustedMembers { height, members: members(self.numbers(height)).digest() };
        TrustedChannel { since: Some(since), ..self.trusted() }
    }
}

//! One member's part in deciding one height after the other, without any input or output of its own.
//!
//! The protocol is Malachite's core (Tendermint BFT with the fixes of its specification); this is what it asks of its host: signing,
//! checking signatures, and turning its effects into [`Output`]s that the caller carries out *in order*. The one rule that safety rests on:
//! every [`Output::Record`] is durable before any [`Output::Send`] behind it leaves, so that after a crash a member never says anything
//! that contradicts what it said before. The same code runs in the node and, by the thousands, in the simulator.

pub use crate::output::{Fault, Output, timeouts};
use crate::{
    context::{Address, BlockId, Chain, Height, Proposal, Validators},
    signing::{self, PublicKey, Signature},
    wire::{Evidence, Message, Record},
};
use entrepot_chain_log::{BlockHeader, CommitCertificate, Members, codec::Reader};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use malachite::{
    ConsensusMsg, Effect, Error, Input, LocallyProposedValue, MisbehaviorEvidence, Params, ProposedValue, Resumable, Resume,
    SignedConsensusMsg, State, process,
};
use malachite_types::{
    LinearTimeouts, Round, SignedProposal, SignedVote, ThresholdParams, Timeout, Validator as _, ValidatorSet as _, Validity, ValueOrigin,
    ValuePayload, VoteExtensionPolicy, VoteType,
};
use std::collections::{BTreeMap, BTreeSet};

/// Proposals of one round that are looked at: the second shows that its proposer contradicts itself, a third shows nothing more.
const PROPOSALS_PER_ROUND: usize = 2;
/// Proposals further ahead than this are not looked at.
const ROUNDS_AHEAD: u32 = 10;

/// A block that is being judged.
struct Open {
    round: Round,
    valid_round: Round,
    proposer: Address,
    block: Vec<u8>,
}

/// One member's consensus on a channel.
pub struct Host {
    state: Option<State<Chain>>,
    work: Work,
    /// Proposals of each round that were looked at.
    seen: BTreeMap<u32, BTreeSet<Hash>>,
    /// Blocks that the caller was asked about.
    open: BTreeMap<Hash, Open>,
}

/// Everything that handling an effect needs.
struct Work {
    genesis: Hash,
    key: SigningKey,
    address: Address,
    timeouts: LinearTimeouts,
    height: u64,
    /// The keys of those who decide.
    keys: BTreeMap<Address, Did>,
    /// Blocks of this height that may follow.
    blocks: BTreeMap<Hash, Vec<u8>>,
    /// What we signed at this height, by kind and round.
    signed: BTreeMap<(u8, i64), Vec<u8>>,
    /// Our last proposal.
    proposed: Option<SignedProposal<Chain>>,
    replaying: bool,
    fault: Option<String>,
    out: Vec<Output>,
}

impl Host {
    /// A member with this consensus key, on the channel with this genesis.
    pub fn new(genesis: Hash, key: SigningKey, timeouts: LinearTimeouts) -> Self {
        let address = Address(key.did().public_bytes());
        let work = Work {
            genesis,
            key,
            address,
            timeouts,
            height: 0,
            keys: BTreeMap::new(),
            blocks: BTreeMap::new(),
            signed: BTreeMap::new(),
            proposed: None,
            replaying: false,
            fault: None,
            out: Vec::new(),
        };
        Self { state: None, work, seen: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// The height that is being decided; 0 before the first.
    pub fn height(&self) -> u64 {
        self.work.height
    }

    /// The round that is going on.
    pub fn round(&self) -> Option<u32> {
        self.state.as_ref().and_then(|state| state.round().as_u32())
    }

    /// Begins a height, decided by these members. `votes` is false for a member that only follows. `records` are what was written down at
    /// this height before a crash, in order; they are not to be written again.
    pub fn start(&mut self, height: u64, members: &Members, votes: bool, records: Vec<Record>) -> Result<Vec<Output>, Fault> {
        let validators = Validators::of(members);
        if let Some(state) = &mut self.state {
            // A height that was not decided by the core leaves what it saw.
            let (votes, proposals) = (state.driver.take_vote_evidence(), state.driver.take_proposal_evidence());
            self.work.report(&MisbehaviorEvidence { proposals, votes });
        }
        let work = &mut self.work;
        work.proposed = None;
        work.height = height;
        work.keys = members.as_slice().iter().map(|m| (Address(m.keys.consensus.public_bytes()), m.keys.consensus.clone())).collect();
        work.blocks.clear();
        work.signed.clear();
        self.seen.clear();
        self.open.clear();
        let state = self.state.get_or_insert_with(|| {
            let params = Params {
                address: work.address,
                threshold_params: ThresholdParams::default(),
                value_payload: ValuePayload::ProposalAndParts,
                enabled: votes,
            };
            // The caller keeps what is early; the core's own queues stay all but empty.
            State::new(Chain, Height(height), validators.clone(), params, 1, 64)
        });
        state.params.enabled = votes;
        let begin = Input::StartHeight(Height(height), validators, false, None, VoteExtensionPolicy::Disabled);
        if records.is_empty() {
            self.process(begin)?;
            return Ok(self.take());
        }
        self.replay(begin, records)
    }

    /// Feeds what was written down back in: the core arrives where it was, and says again what it said.
    fn replay(&mut self, begin: Input<Chain>, records: Vec<Record>) -> Result<Vec<Output>, Fault> {
        let mut inputs = Vec::new();
        let mut proposed = BTreeSet::new();
        for record in records {
            match &record {
                Record::Vote(vote) if vote.message.member == self.work.address => self.work.remember_vote(vote)?,
                Record::Proposal(proposal) if proposal.message.member == self.work.address => {
                    proposed.insert(proposal.message.round.as_u32().unwrap_or(0));
                    self.work.remember_proposal(proposal)?;
                    self.work.proposed = Some(proposal.clone());
                }
                _ => {}
            }
            if let Some(input) = self.work.input_of(record)? {
                inputs.push(input);
            }
        }
        self.work.replaying = true;
        if let Some(state) = &mut self.state {
            state.index_wal_entries(&inputs);
        }
        self.process(begin)?;
        for input in inputs {
            self.process(input)?;
        }
        if let Some(state) = &mut self.state {
            state.reset_entries_index();
        }
        self.work.replaying = false;
        let now = self.round();
        let mut outputs = self.take();
        // A round that has passed needs no proposal, and one that was proposed in gets no other; what was written down is said again.
        outputs.retain(|output| !matches!(output, Output::Draft { round } if proposed.contains(round) || Some(*round) != now));
        if !outputs.iter().any(|output| matches!(output, Output::Send(Message::Proposal(..)))) {
            outputs.extend(self.proposed().map(Output::Send));
        }
        Ok(outputs)
    }

    /// What we proposed in the round that is going on, for whoever may have missed it.
    pub fn proposed(&self) -> Option<Message> {
        let proposal = self.work.proposed.as_ref().filter(|proposal| proposal.message.round.as_u32() == self.round())?;
        let block = self.work.blocks.get(&proposal.message.block.0)?;
        Some(Message::Proposal(proposal.clone(), block.clone()))
    }

    /// Takes a message about this height. Others are not looked at.
    pub fn receive(&mut self, message: Message) -> Result<Vec<Output>, Fault> {
        if message.height() != Some(self.work.height) {
            return Ok(Vec::new());
        }
        match message {
            Message::Vote(vote) => self.process(Input::Vote(vote))?,
            Message::Polka(polka) => self.process(Input::PolkaCertificate(polka))?,
            Message::Round(certificate) => self.process(Input::RoundCertificate(certificate))?,
            Message::Proposal(proposal, block) => self.proposal(proposal, block)?,
            _ => {}
        }
        Ok(self.take())
    }

    fn proposal(&mut self, proposal: SignedProposal<Chain>, block: Vec<u8>) -> Result<(), Fault> {
        let (Some(now), Some(round)) = (self.round(), proposal.message.round.as_u32()) else { return Ok(()) };
        let id = proposal.message.block.0;
        let seen = self.seen.entry(round).or_default();
        let new = !seen.contains(&id);
        // What more than two thirds prevoted has to be here, however many others its proposer made up.
        let is_prevoted = self.state.as_ref().is_some_and(|state| state.polka_certificate(proposal.message.round, &id).is_some());
        if round > now.saturating_add(ROUNDS_AHEAD)
            || (new && seen.len() >= PROPOSALS_PER_ROUND && !is_prevoted)
            || header_hash(&block) != Some(id)
            || !self.work.is_of_its_proposer(self.state.as_ref(), &proposal)
        {
            return Ok(());
        }
        seen.insert(id);
        let (valid_round, proposer) = (proposal.message.valid_round, proposal.message.member);
        self.process(Input::Proposal(proposal))?;
        // A block that may not follow is not judged again at every repetition.
        if new && !self.work.blocks.contains_key(&id) && !self.open.contains_key(&id) {
            self.open.insert(id, Open { round: Round::new(round), valid_round, proposer, block: block.clone() });
            self.work.out.push(Output::Check { id, block });
        }
        Ok(())
    }

    /// The answer to [`Output::Check`].
    pub fn checked(&mut self, id: &Hash, valid: bool) -> Result<Vec<Output>, Fault> {
        let Some(open) = self.open.remove(id) else { return Ok(Vec::new()) };
        if valid {
            self.work.out.push(Output::Record(Record::Block(open.block.clone())));
            self.work.blocks.insert(*id, open.block);
        }
        let value = ProposedValue {
            height: Height(self.work.height),
            round: open.round,
            valid_round: open.valid_round,
            proposer: open.proposer,
            value: BlockId(*id),
            validity: Validity::from_bool(valid),
        };
        self.process(Input::ProposedValue(value, ValueOrigin::Consensus))?;
        Ok(self.take())
    }

    /// The answer to [`Output::Draft`]. Comes to nothing if the round has passed.
    pub fn propose(&mut self, height: u64, round: u32, block: Vec<u8>) -> Result<Vec<Output>, Fault> {
        if height != self.work.height || Some(round) != self.round() {
            return Ok(Vec::new());
        }
        let Some(id) = header_hash(&block) else { return Err(self.work.fault("our own block has no header")) };
        if self.work.blocks.insert(id, block.clone()).is_none() {
            self.work.out.push(Output::Record(Record::Block(block)));
        }
        self.seen.entry(round).or_default().insert(id);
        self.process(Input::Propose(LocallyProposedValue::new(Height(height), Round::new(round), BlockId(id))))?;
        Ok(self.take())
    }

    /// A time-out that was scheduled and not cancelled has elapsed.
    pub fn elapsed(&mut self, timeout: Timeout) -> Result<Vec<Output>, Fault> {
        self.process(Input::TimeoutElapsed(timeout))?;
        Ok(self.take())
    }

    fn process(&mut self, input: Input<Chain>) -> Result<(), Fault> {
        let Self { state: Some(state), work, .. } = self else { return Ok(()) };
        let result: Result<(), Error<Chain>> = process!(input: input, state: state, metrics: &(), with: effect => work.handle(effect));
        if let Some(why) = &work.fault {
            return Err(work.fault(why));
        }
        result.map_err(|error| work.fault(&error.to_string()))
    }

    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.work.out)
    }
}

impl Work {
    fn fault(&self, why: &str) -> Fault {
        Fault { height: self.height, why: why.to_owned() }
    }

    /// Whether a proposal is by the member whose turn its round is, and signed by it.
    fn is_of_its_proposer(&self, state: Option<&State<Chain>>, proposal: &SignedProposal<Chain>) -> bool {
        let Some(state) = state else { return false };
        let member = proposal.message.member;
        *state.get_proposer(proposal.message.height, proposal.message.round) == member
            && state.validator_set().get_by_address(&member).is_some_and(|validator| {
                validator.public_key().verify(&signing::proposal_bytes(&self.genesis, &proposal.message), &proposal.signature)
            })
    }

    fn input_of(&mut self, record: Record) -> Result<Option<Input<Chain>>, Fault> {
        Ok(Some(match record {
            Record::Vote(vote) => Input::Vote(vote),
            Record::Proposal(proposal) => Input::Proposal(proposal),
            Record::Polka(polka) => Input::PolkaCertificate(polka),
            Record::Timeout(timeout) => Input::TimeoutElapsed(timeout),
            Record::Value { round, valid_round, proposer, block, valid } => {
                let (value, validity) = (BlockId(block), Validity::from_bool(valid));
                Input::ProposedValue(
                    ProposedValue { height: Height(self.height), round, valid_round, proposer, value, validity },
                    ValueOrigin::Consensus,
                )
            }
            Record::Block(block) => {
                let Some(id) = header_hash(&block) else { return Err(self.fault("a recorded block has no header")) };
                self.blocks.insert(id, block);
                return Ok(None);
            }
        }))
    }

    /// Signing two different things in one step of one round is the one thing that must never happen.
    fn remember(&mut self, kind: u8, round: Round, message: Vec<u8>) -> Result<(), Fault> {
        match self.signed.insert((kind, round.as_i64()), message.clone()) {
            Some(before) if before != message => Err(self.fault("it would have signed two different things in one step of one round")),
            _ => Ok(()),
        }
    }

    fn remember_vote(&mut self, vote: &SignedVote<Chain>) -> Result<(), Fault> {
        let kind = match vote.message.kind {
            VoteType::Prevote => 1,
            VoteType::Precommit => 2,
        };
        self.remember(kind, vote.message.round, signing::vote_bytes(&self.genesis, &vote.message))
    }

    fn remember_proposal(&mut self, proposal: &SignedProposal<Chain>) -> Result<(), Fault> {
        self.remember(3, proposal.message.round, signing::proposal_bytes(&self.genesis, &proposal.message))
    }

    /// Answers an effect. An error stops the core where it stands.
    fn handle(&mut self, effect: Effect<Chain>) -> Result<Resume<Chain>, Fault> {
        let outcome = self.answer(effect);
        if let Err(fault) = &outcome {
            self.fault.get_or_insert_with(|| fault.why.clone());
        }
        outcome
    }

    fn answer(&mut self, effect: Effect<Chain>) -> Result<Resume<Chain>, Fault> {
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => self.ask(Output::CancelAll, r),
            Effect::CancelTimeout(timeout, r) => self.ask(Output::Cancel(timeout), r),
            Effect::ScheduleTimeout(timeout, r) => {
                self.out.push(Output::Schedule(timeout, self.timeouts.duration_for(timeout)));
                r.resume_with(())
            }
            // Blocks travel with every proposal, so there is nothing to send again beside it.
            Effect::StartRound(.., r) | Effect::RestreamProposal(.., r) => r.resume_with(()),
            Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), r) | Effect::RepublishVote(vote, r) => {
                self.ask(Output::Send(Message::Vote(vote)), r)
            }
            Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(proposal), r) => {
                self.say_proposal(proposal)?;
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => self.ask(Output::Send(crate::output::said(message)), r),
            Effect::RepublishRoundCertificate(certificate, r) => self.ask(Output::Send(Message::Round(certificate)), r),
            Effect::GetValue(_, round, _, r) => {
                self.out.extend(round.as_u32().map(|round| Output::Draft { round }));
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => {
                let message = signing::vote_bytes(&self.genesis, &vote);
                let vote = SignedVote::new(vote, Signature(self.key.sign(&message)));
                self.remember_vote(&vote)?;
                r.resume_with(vote)
            }
            Effect::SignProposal(proposal, r) => r.resume_with(self.sign_proposal(proposal)?),
            Effect::VerifySignature(signed, key, r) => r.resume_with(self.is_signed(&signed.message, &signed.signature, &key)),
            Effect::VerifyCommitCertificate(certificate, validators, _, r) => {
                r.resume_with(signing::check_commit(&self.genesis, &validators, &certificate))
            }
            Effect::VerifyExtendedCommitCertificate(certificate, validators, _, _, r) => {
                r.resume_with(signing::check_commit(&self.genesis, &validators, &certificate.trim_vote_extensions()))
            }
            Effect::VerifyPolkaCertificate(certificate, validators, _, r) => {
                r.resume_with(signing::check_polka(&self.genesis, &validators, &certificate))
            }
            Effect::VerifyRoundCertificate(certificate, validators, _, r) => {
                r.resume_with(signing::check_round(&self.genesis, &validators, &certificate))
            }
            Effect::WalAppend(_, input, r) => {
                self.record(input)?;
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.decide(&certificate)?;
                r.resume_with(())
            }
            Effect::Finalize(_, _, evidence, r) => {
                self.report(&evidence);
                r.resume_with(())
            }
            // The channel's votes carry no extensions.
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => r.resume_with(Err(malachite::VoteExtensionError::InvalidVoteExtension)),
            // Decided blocks of other members never pass the core.
            Effect::CertVerifiedSyncValue(.., r) | Effect::CertRejectedSyncValue(.., r) => r.resume_with(()),
        })
    }

    fn ask(&mut self, output: Output, r: impl Resumable<Chain, Value = ()>) -> Resume<Chain> {
        self.out.push(output);
        r.resume_with(())
    }

    fn say_proposal(&mut self, proposal: SignedProposal<Chain>) -> Result<(), Fault> {
        let block = self.blocks.get(&proposal.message.block.0).cloned();
        let block = block.ok_or_else(|| self.fault("the block of our own proposal is missing"))?;
        self.proposed = Some(proposal.clone());
        self.out.push(Output::Send(Message::Proposal(proposal, block)));
        Ok(())
    }

    fn sign_proposal(&mut self, proposal: Proposal) -> Result<SignedProposal<Chain>, Fault> {
        let message = signing::proposal_bytes(&self.genesis, &proposal);
        let proposal = SignedProposal::new(proposal, Signature(self.key.sign(&message)));
        self.remember_proposal(&proposal)?;
        Ok(proposal)
    }

    fn record(&mut self, input: Input<Chain>) -> Result<(), Fault> {
        if !self.replaying {
            let record = record_of(input).ok_or_else(|| self.fault("the core records what is never recorded"))?;
            self.out.push(Output::Record(record));
        }
        Ok(())
    }

    fn decide(&mut self, decided: &malachite_types::CommitCertificate<Chain>) -> Result<(), Fault> {
        let certificate = self.certificate(decided)?;
        let block = self.blocks.get(&certificate.block).cloned();
        let block = block.ok_or_else(|| self.fault("the decided block is missing"))?;
        self.out.push(Output::Decided { certificate, block });
        Ok(())
    }

    fn is_signed(&self, message: &ConsensusMsg<Chain>, signature: &Signature, key: &PublicKey) -> bool {
        let message = match message {
            ConsensusMsg::Vote(vote) => signing::vote_bytes(&self.genesis, vote),
            ConsensusMsg::Proposal(proposal) => signing::proposal_bytes(&self.genesis, proposal),
        };
        key.verify(&message, signature)
    }

    fn certificate(&self, decided: &malachite_types::CommitCertificate<Chain>) -> Result<CommitCertificate, Fault> {
        let signature =
            |signed: &malachite_types::CommitSignature<Chain>| Some((self.keys.get(&signed.address)?.clone(), signed.signature.0));
        Ok(CommitCertificate {
            height: decided.height.0,
            round: decided.round.as_u32().ok_or_else(|| self.fault("it decided in no round"))?,
            block: decided.value_id,
            signatures: decided.commit_signatures.iter().filter_map(signature).collect(),
        })
    }

    fn report(&mut self, evidence: &MisbehaviorEvidence<Chain>) {
        let votes = evidence.votes.iter().flat_map(|(_, pairs)| pairs);
        self.out.extend(votes.map(|(first, second)| Output::Evidence(Evidence::Votes(first.clone(), second.clone()))));
        let proposals = evidence.proposals.iter().flat_map(|(_, pairs)| pairs);
        self.out.extend(proposals.map(|(first, second)| Output::Evidence(Evidence::Proposals(first.clone(), second.clone()))));
    }
}

/// The hash of the header that a block begins with.
pub fn header_hash(block: &[u8]) -> Option<Hash> {
    BlockHeader::read(&mut Reader::new(block)).ok().map(|header| header.hash())
}

fn record_of(input: Input<Chain>) -> Option<Record> {
    Some(match input {
        Input::Vote(vote) => Record::Vote(vote),
        Input::Proposal(proposal) => Record::Proposal(proposal),
        Input::PolkaCertificate(polka) => Record::Polka(polka),
        Input::TimeoutElapsed(timeout) => Record::Timeout(timeout),
        Input::ProposedValue(value, _) => Record::Value {
            round: value.round,
            valid_round: value.valid_round,
            proposer: value.proposer,
            block: value.value.0,
            valid: value.validity.is_valid(),
        },
        Input::StartHeight(..) | Input::Propose(_) | Input::RoundCertificate(_) | Input::SyncValueResponse(_) => return None,
    })
}

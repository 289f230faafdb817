//! Whether every statement is in the log, and who has cosigned the checkpoints that say so.

use super::{
    Decided, Status,
    checks::{CheckError, Checks, rule},
    decided,
};
use crate::{
    SignedCheckpoint, TlogProof,
    bundle::{BundleEntry, Decisions},
    trust::{TrustFile, TrustedWitness, independent},
};
use std::collections::{BTreeMap, btree_map::Entry};

/// What the proofs show.
pub(super) struct Logged {
    /// Entries without a proof.
    pending: Vec<String>,
    /// Independent witnesses of the least witnessed entry.
    witnesses: u32,
    /// Validators of the least validated entry.
    pub validators: u32,
    /// Members of the entry that the fewest decided on.
    pub decided: Option<Decided>,
}

impl Logged {
    /// The word for it, given that the checks are done.
    pub(super) fn status(&self, trust: &TrustFile, checks: &Checks) -> Status {
        let (k, n, quorum) = (self.witnesses, independent(&trust.witnesses), trust.quorum);
        match () {
            () if !checks.all_ok() => Status::Invalid,
            () if !self.pending.is_empty() => Status::Pending { entries: self.pending.clone() },
            () if k >= quorum => Status::Witnessed { k, n },
            () => Status::Unwitnessed { k, n, quorum },
        }
    }
}

pub(super) fn check(entries: &[BundleEntry], decisions: Option<&Decisions>, trust: &TrustFile, checks: &mut Checks) -> Logged {
    let (mut pending, mut counts, mut heads, mut checkpoints) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    for entry in entries {
        let Some(text) = &entry.proof else {
            pending.push(entry.name.clone());
            continue;
        };
        let found = checks.value(format!("logged:{}", entry.name), || logged(entry, text, trust));
        let Some(checkpoint) = found else { continue };
        counts.extend(checks.value(format!("cosignatures:{}", entry.name), || cosignatures(&checkpoint, trust)));
        let head = checkpoint.checkpoint();
        match heads.entry(head.size) {
            Entry::Vacant(free) => {
                free.insert(head.root);
            }
            Entry::Occupied(known) if *known.get() != head.root => checks.fail("one-history", CheckError::Fork { size: head.size }),
            Entry::Occupied(_) => {}
        }
        checkpoints.push(checkpoint);
    }
    let decided = decided::check(decisions, &checkpoints, trust, checks);
    // A bundle is as well witnessed as its least witnessed entry.
    Logged {
        witnesses: counts.iter().map(|(witnesses, _)| *witnesses).min().unwrap_or(0),
        validators: counts.iter().map(|(_, validators)| *validators).min().unwrap_or(0),
        decided: decided.filter(|_| pending.is_empty()),
        pending,
    }
}

fn logged(entry: &BundleEntry, text: &str, trust: &TrustFile) -> Result<SignedCheckpoint, CheckError> {
    let proof: TlogProof = text.parse()?;
    rule(proof.extra.is_none(), "the proof carries extra data, which nothing vouches for")?;
    proof.checkpoint.verify_log(&trust.log.origin, &trust.log.key)?;
    proof.verify_entry(&entry.envelope.leaf().0)?;
    Ok(proof.checkpoint)
}

/// How many independent witnesses and how many validators cosigned. A wrong line under a known key spoils the checkpoint.
fn cosignatures(checkpoint: &SignedCheckpoint, trust: &TrustFile) -> Result<(u32, u32), CheckError> {
    let mut witnesses: Vec<&TrustedWitness> = Vec::new();
    for witness in &trust.witnesses {
        if checkpoint.cosigned_at(&witness.vkey).map_err(crate::CheckpointError::from)?.is_some() {
            witnesses.push(witness);
        }
    }
    let mut validators = 0;
    for validator in &trust.validators {
        validators += u32::from(checkpoint.cosigned_at(validator).map_err(crate::CheckpointError::from)?.is_some());
    }
    Ok((independent(witnesses), validators))
}

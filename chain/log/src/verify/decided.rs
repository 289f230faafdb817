//! Whether the members decided on what the checkpoints say.

use super::{
    Decided,
    checks::{CheckError, Checks, rule},
};
use crate::{
    SignedCheckpoint,
    bundle::Decisions,
    consortium::{DecidedHeader, HistoryError, MemberWalk, Members, TrustedChannel},
    note::cosignature_vkey,
    trust::TrustFile,
};

/// A block, and who decided on it.
type Block<'a> = (&'a DecidedHeader, &'a Members);

/// Nothing is claimed, and nothing fails, where the trust file names no channel or the bundle shows no decisions; but what it shows has to hold.
pub(super) fn check(
    decisions: Option<&Decisions>,
    checkpoints: &[SignedCheckpoint],
    trust: &TrustFile,
    checks: &mut Checks,
) -> Option<Decided> {
    let (channel, decisions) = (trust.channel.as_ref()?, decisions?);
    let walk = checks.value("members", || walk(decisions, channel, trust))?;
    let blocks = checks.value("decided", || decided(decisions, &walk))?;
    let mut heads = checkpoints.iter().map(SignedCheckpoint::checkpoint);
    let beside = |size, root| blocks.iter().any(|(block, _)| block.header.log_size == size && block.header.log_root != root);
    if let Some(head) = heads.find(|head| beside(head.size, head.root)) {
        checks.fail("one-history", CheckError::Fork { size: head.size });
    }
    let count = |checkpoint| count(checkpoint, &blocks);
    let counts = checks.value("validators", || checkpoints.iter().map(count).collect::<Result<Option<Vec<Decided>>, CheckError>>())?;
    counts?.into_iter().min_by(|one, other| (one.k * other.n).cmp(&(other.k * one.n)))
}

fn walk(decisions: &Decisions, channel: &TrustedChannel, trust: &TrustFile) -> Result<MemberWalk, CheckError> {
    let walk = decisions.history.walk(channel)?;
    let fits = walk.origin().is_none_or(|origin| origin == trust.log.origin);
    rule(fits, "the trust file names one channel by its genesis and another by its log")?;
    Ok(walk)
}

fn decided<'a>(decisions: &'a Decisions, walk: &'a MemberWalk) -> Result<Vec<Block<'a>>, CheckError> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    for block in &decisions.headers {
        let members = walk.decides(block)?;
        let height = block.header.height;
        if blocks.iter().any(|(other, _)| other.header.height == height && other.header != block.header) {
            return Err(HistoryError::Fork { height }.into());
        }
        blocks.push((block, members));
    }
    Ok(blocks)
}

/// How many members stand behind a checkpoint; none if no block shows it. A wrong line under a member's key spoils the checkpoint.
fn count(checkpoint: &SignedCheckpoint, blocks: &[Block<'_>]) -> Result<Option<Decided>, CheckError> {
    let head = checkpoint.checkpoint();
    let shows = |(block, _): &&Block<'_>| (block.header.log_size, block.header.log_root) == (head.size, head.root);
    let Some((block, members)) = blocks.iter().find(shows) else {
        return Ok(None);
    };
    let (mut k, n) = (0, members.count() as u32);
    for member in members.as_slice() {
        let cosigned = checkpoint.cosigned_at(&cosignature_vkey(&member.keys.cosigning)).map_err(crate::CheckpointError::from)?;
        k += u32::from(cosigned.is_some() || block.certificate.signatures.contains_key(&member.keys.consensus));
    }
    Ok(Some(Decided { k, n }))
}

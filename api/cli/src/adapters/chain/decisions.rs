//! What shows, to somebody who trusts the genesis alone, that the members decided on what checkpoints say.

use entrepot_chain_log::{
    bundle::{BUNDLE_ENTRIES_MAX, Decisions},
    consortium::{DecidedHeader, HISTORY_STEPS_MAX, HistoryStart, MemberHistory, MemberStep},
};
use entrepot_chain_node::{BlockSummary, Node, NodeError};
use std::collections::BTreeSet;

/// For checkpoints of these sizes. None if the node no longer has a certificate, or if the members changed more often than a history tells:
/// then nothing is claimed, and what witnesses say counts as before.
pub fn decisions(node: &Node, sizes: &BTreeSet<u64>) -> Result<Option<Decisions>, NodeError> {
    if sizes.len() > BUNDLE_ENTRIES_MAX {
        return Ok(None);
    }
    let mut headers = Vec::new();
    for size in sizes {
        let Some(header) = decided_at(node, *size)? else { return Ok(None) };
        headers.push(header);
    }
    let Some(last) = headers.last().map(|decided| decided.header.height) else { return Ok(None) };
    let Some(steps) = steps_below(node, last)? else { return Ok(None) };
    Ok(Some(Decisions { history: MemberHistory { start: HistoryStart::Genesis(node.genesis().clone()), steps }, headers }))
}

/// The block after which the log had this size.
fn decided_at(node: &Node, size: u64) -> Result<Option<DecidedHeader>, NodeError> {
    let Some(index) = size.checked_sub(1) else { return Ok(None) };
    let Some(leaf) = node.leaf(index)? else { return Ok(None) };
    Ok(decided(node, leaf.height)?.filter(|decided| decided.header.log_size == size))
}

fn decided(node: &Node, height: u64) -> Result<Option<DecidedHeader>, NodeError> {
    let (Some(BlockSummary { header, .. }), Some(certificate)) = (node.block_summary(height)?, node.certificate(height)?) else {
        return Ok(None);
    };
    let parent = node.block_summary(height.saturating_sub(1))?.map(|summary| summary.header);
    Ok(Some(DecidedHeader { parent, header, certificate }))
}

/// Every change of the members before the block of this height.
fn steps_below(node: &Node, end: u64) -> Result<Option<Vec<MemberStep>>, NodeError> {
    let mut steps = Vec::new();
    let mut after = 0;
    loop {
        let page = node.members_steps(after, HISTORY_STEPS_MAX)?;
        let Some(last) = page.last().map(|step| step.header.height) else { return Ok(Some(steps)) };
        for step in page {
            if step.header.height >= end {
                return Ok(Some(steps));
            }
            if steps.len() >= HISTORY_STEPS_MAX {
                return Ok(None);
            }
            let parent = node.block_summary(step.header.height - 1)?.map(|summary| summary.header);
            let decided = DecidedHeader { parent, header: step.header, certificate: step.certificate };
            steps.push(MemberStep { decided, members: step.members });
        }
        after = last;
    }
}

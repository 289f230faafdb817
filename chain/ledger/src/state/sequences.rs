//! Each submitter's last number.

use entrepot_chain_statement::Did;
use std::{collections::BTreeMap, sync::Arc};

/// How many numbers may differ from the shared ones before they are shared anew: a block copies no more than these.
const RECENT_MAX: usize = 256;

/// The last number of each submitter. Cheap to clone, however many submitters there are: a clone shares all but the recent ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences {
    shared: Arc<BTreeMap<Did, u64>>,
    recent: BTreeMap<Did, u64>,
    /// How many submitters there are.
    count: usize,
}

impl Sequences {
    pub fn of(last: BTreeMap<Did, u64>) -> Self {
        Self { count: last.len(), shared: Arc::new(last), recent: BTreeMap::new() }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, submitter: &Did) -> Option<u64> {
        self.recent.get(submitter).or_else(|| self.shared.get(submitter)).copied()
    }

    pub fn set(&mut self, submitter: &Did, last: u64) {
        if let Some(known) = self.recent.get_mut(submitter) {
            *known = last;
            return;
        }
        self.count += usize::from(!self.shared.contains_key(submitter));
        self.recent.insert(submitter.clone(), last);
        if self.recent.len() > RECENT_MAX {
            Arc::make_mut(&mut self.shared).append(&mut self.recent);
        }
    }

    /// All, by submitter.
    pub fn iter(&self) -> impl Iterator<Item = (&Did, u64)> {
        let older = self.shared.iter().filter(|(submitter, _)| !self.recent.contains_key(*submitter));
        let mut all: Vec<_> = older.chain(&self.recent).map(|(submitter, last)| (submitter, *last)).collect();
        // Two sorted runs, which a stable sort merges.
        all.sort_by_key(|(submitter, _)| *submitter);
        all.into_iter()
    }
}

impl PartialEq for Sequences {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for Sequences {}

//! What a worker must not forget: which orders it ran, what it signed, which datasets it described, what it cosigned.
//!
//! Everything is a small file that is synced before the act it announces: an order is accepted on disk before it starts, a receipt is on
//! disk before it is sent. A damaged file stops the worker; guessing could mean running an order twice.

mod file;
mod records;

pub use records::{AgreementRecord, DatasetRecord, FinishedAttempt, OrderRecord, OrderState, StoredShare};

use entrepot_chain_log::TreeHead;
use entrepot_chain_statement::{
    Hash, Timestamp,
    ids::{DatasetId, JobId},
    statements::Agreement,
};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Sealed shares are kept this long after the computation, then deleted.
pub const SHARES_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
/// Orders remembered for one agreement.
pub const ORDERS_MAX: usize = 10_000;

const AGREEMENTS: &str = "agreements";
const JOBS: &str = "jobs";
const DATASETS: &str = "datasets";
const TREE_HEAD: &str = "tree-head.json";

/// Why the state cannot be used. The worker stops.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another worker uses the folder.
    #[error("{path} is in use by another worker: give each worker a data_dir of its own", path = .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error("{path} is damaged: restore the folder from a backup; do not delete the file, it keeps orders from running twice", path = .path.display())]
    Torn {
        /// The file.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Writing failed.
    #[error("cannot write {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Asked to change an order that was never accepted.
    #[error("the order {order} was never accepted")]
    UnknownOrder {
        /// Its statement hash.
        order: Hash,
    },
}

/// The worker's state. One process at a time; the folder is locked.
pub struct Store {
    folder: PathBuf,
    _lock: File,
    agreements: BTreeMap<Hash, AgreementRecord>,
    datasets: BTreeMap<DatasetId, DatasetRecord>,
    tree_head: Option<TreeHead>,
}

impl Store {
    /// Opens the folder, makes it if absent, and checks every file that guards against a repeat. What was accepted ended with the process
    /// that ran it: it is finished if its receipt is there, and failed if not.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        for part in ["", AGREEMENTS, JOBS, DATASETS] {
            let path = folder.join(part);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| StateError::Write { path, source })?;
        }
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(|source| StateError::Write { path: lock_path, source })?;
        if lock.try_lock().is_err() {
            return Err(StateError::InUse { path: folder.to_owned() });
        }
        let mut store = Self {
            folder: folder.to_owned(),
            _lock: lock,
            agreements: BTreeMap::new(),
            datasets: BTreeMap::new(),
            tree_head: file::read(&folder.join(TREE_HEAD))?,
        };
        for path in records_in(&folder.join(AGREEMENTS))? {
            if let Some(record) = file::read::<AgreementRecord>(&path)? {
                store.agreements.insert(record.agreement, record);
            }
        }
        for path in records_in(&folder.join(DATASETS))? {
            if let Some(record) = file::read::<DatasetRecord>(&path)? {
                store.datasets.insert(record.dataset_id.clone(), record);
            }
        }
        store.settle_interrupted()?;
        Ok(store)
    }

    fn settle_interrupted(&mut self) -> Result<(), StateError> {
        let mut ended = Vec::new();
        for record in self.agreements.values() {
            for order in record.orders.iter().filter(|order| order.state == OrderState::Accepted) {
                let has_receipt = self.finished(&order.job_id, order.attempt)?.is_some();
                let state = if has_receipt { OrderState::Finished } else { OrderState::Failed };
                ended.push((record.agreement, order.order, order.attempt, state));
            }
        }
        ended.into_iter().try_for_each(|(agreement, order, attempt, state)| self.set_order_state(&agreement, &order, attempt, state))
    }

    /// What is known of agreements, by statement hash.
    pub fn agreements(&self) -> &BTreeMap<Hash, AgreementRecord> {
        &self.agreements
    }

    /// Orders whose receipt is signed and that were not released yet.
    pub fn finished_orders(&self) -> impl Iterator<Item = &OrderRecord> {
        self.agreements.values().flat_map(|record| &record.orders).filter(|order| order.state == OrderState::Finished)
    }

    /// Records that an order's attempt begins. Whether it may was decided by the gate, on the record that this changes.
    pub fn accept(&mut self, (hash, agreement): (Hash, &Agreement), accepted: OrderRecord) -> Result<(), StateError> {
        let mut record = self.agreements.get(&hash).cloned().unwrap_or_else(|| AgreementRecord::new(hash, agreement));
        record.highest_sequence = record.highest_sequence.max(accepted.sequence);
        match record.orders.iter_mut().find(|order| order.order == accepted.order) {
            Some(order) => *order = accepted,
            None => record.orders.push(accepted),
        }
        self.put_agreement(record)
    }

    /// Records how an attempt ended. An attempt that another has replaced changes nothing.
    pub fn set_order_state(&mut self, agreement: &Hash, order: &Hash, attempt: u32, state: OrderState) -> Result<(), StateError> {
        let unknown = StateError::UnknownOrder { order: *order };
        let Some(mut record) = self.agreements.get(agreement).cloned() else { return Err(unknown) };
        let Some(found) = record.orders.iter_mut().find(|found| found.order == *order) else { return Err(unknown) };
        if found.attempt != attempt && state != OrderState::Released {
            return Ok(());
        }
        found.state = state;
        self.put_agreement(record)
    }

    fn put_agreement(&mut self, record: AgreementRecord) -> Result<(), StateError> {
        file::write(&agreement_path(&self.folder, &record.agreement), &record)?;
        self.agreements.insert(record.agreement, record);
        Ok(())
    }

    /// Records a signed receipt and the sealed shares. First these, then the mark: after a crash between the two, [`Store::open`] marks it.
    pub fn finish(&mut self, finished: &FinishedAttempt) -> Result<(), StateError> {
        file::write(&self.job_path(&finished.job_id, finished.attempt), finished)?;
        self.set_order_state(&finished.agreement, &finished.order, finished.attempt, OrderState::Finished)
    }

    /// What an attempt left behind.
    pub fn finished(&self, job: &JobId, attempt: u32) -> Result<Option<FinishedAttempt>, StateError> {
        file::read(&self.job_path(job, attempt))
    }

    /// Deletes shares whose time has come; the receipts stay. Returns how many attempts lost theirs.
    pub fn remove_expired_shares(&mut self, now: Timestamp) -> Result<usize, StateError> {
        let mut removed = 0;
        for path in records_in(&self.folder.join(JOBS))? {
            let Some(mut finished) = file::read::<FinishedAttempt>(&path)? else { continue };
            if !finished.shares.is_empty() && finished.finished_at.plus_ms(SHARES_KEPT_MS) <= now {
                finished.shares.clear();
                file::write(&path, &finished)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// A described dataset.
    pub fn dataset(&self, dataset: &DatasetId) -> Option<&DatasetRecord> {
        self.datasets.get(dataset)
    }

    /// All described datasets.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetRecord> {
        self.datasets.values()
    }

    /// Records a described dataset.
    pub fn put_dataset(&mut self, record: DatasetRecord) -> Result<(), StateError> {
        file::write(&self.folder.join(DATASETS).join(format!("{}.json", record.dataset_id)), &record)?;
        self.datasets.insert(record.dataset_id.clone(), record);
        Ok(())
    }

    /// The head of the log that was cosigned last.
    pub fn tree_head(&self) -> Option<TreeHead> {
        self.tree_head
    }

    /// Records the head that is about to be cosigned.
    pub fn put_tree_head(&mut self, head: TreeHead) -> Result<(), StateError> {
        file::write(&self.folder.join(TREE_HEAD), &head)?;
        self.tree_head = Some(head);
        Ok(())
    }

    fn job_path(&self, job: &JobId, attempt: u32) -> PathBuf {
        self.folder.join(JOBS).join(format!("{job}.{attempt}.json"))
    }
}

fn agreement_path(folder: &Path, agreement: &Hash) -> PathBuf {
    folder.join(AGREEMENTS).join(format!("{agreement}.json"))
}

/// The records in a folder. What was being written during a crash is removed: the file it was to replace is the truth.
fn records_in(folder: &Path) -> Result<Vec<PathBuf>, StateError> {
    let failed = |source| StateError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => paths.push(path),
            Some(file::UNFINISHED) => file::remove(&path)?,
            _ => {}
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;

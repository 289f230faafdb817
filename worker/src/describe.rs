//! What a worker tells about a dataset: names, kinds, rounded facts, and a commitment to the rows.
//!
//! The commitment is the RFC 6962 root over one leaf a row: SHA-256(salt of the row ‖ the row). Salts come from a secret seed of the dataset,
//! so a leaf cannot be guessed from a likely row; with the seed, an inspector on site can check every row against the registered root.

use crate::{
    config::{ConfigError, Settings, read_policy},
    frames::{self, Cells, Frame, FrameError, FrameRequest},
    state::DatasetRecord,
};
use entrepot_chain_log::{Frontier, leaf_hash};
use entrepot_chain_statement::{
    Hash,
    ids::DatasetId,
    statements::{ColumnDescription, ColumnKind, ColumnProfile, ColumnUse, DatasetDescription, DatasetPolicy},
};
use entrepot_mpc_plan::decimal;
use hkdf::Hkdf;
use rand_core::{OsRng, RngCore as _};
use sha2::Sha256;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

const SALT_CONTEXT: &[u8] = b"entrepot/row-salt/v1\n";

/// Why a dataset was not described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The exchange's id is not one.
    #[error("the dataset id cannot be read")]
    BadId,
    /// The configuration has no dataset of this name.
    #[error("this worker has no dataset of this name: its owner adds [datasets.<name>] to the worker's configuration")]
    UnknownDataset,
    /// The id was used for another name.
    #[error("this dataset id was used for a dataset of another name")]
    OtherName,
    /// The exchange asks for ever new ones.
    #[error("this worker has described as many datasets as it remembers")]
    TooMany,
    /// Too many at once.
    #[error("this worker is describing other datasets: ask again later")]
    Busy,
    /// Its policy cannot be read.
    #[error("this worker has no usable policy for the dataset: its owner sets `policy` in the worker's configuration")]
    Policy(#[source] ConfigError),
    /// Its file cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl DescribeError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadId => "dataset_id_invalid",
            Self::UnknownDataset => "unknown_dataset",
            Self::OtherName => "dataset_id_reused",
            Self::TooMany => "too_many_datasets",
            Self::Busy => "busy",
            Self::Policy(_) => "policy_missing",
            Self::Frame(error) => error.code(),
        }
    }
}

/// How a dataset is loaded. Kinds are inferred until the caller knows better.
pub(crate) fn request(settings: &Settings, name: &str, rows_max: u32) -> Option<FrameRequest> {
    let dataset = settings.config.datasets.get(name)?;
    let mut limits = settings.frame_limits;
    limits.rows_max = limits.rows_max.min(rows_max);
    Some(FrameRequest { path: dataset.path.clone(), limits, columns: None, numeric: BTreeSet::new(), unique: BTreeSet::new() })
}

/// The columns that a policy allows to be used so.
fn columns_for(policy: &DatasetPolicy, wanted: ColumnUse) -> BTreeSet<String> {
    policy.columns.iter().filter(|(_, rule)| rule.uses.contains(&wanted)).map(|(column, _)| column.clone()).collect()
}

/// Loads a dataset and describes it, under a new seed.
pub(crate) async fn describe(settings: &Settings, dataset_id: DatasetId, name: &str) -> Result<DatasetRecord, DescribeError> {
    let dataset = settings.config.datasets.get(name).ok_or(DescribeError::UnknownDataset)?;
    let policy = read_policy(name, &dataset.policy).map_err(DescribeError::Policy)?;
    let mut request = request(settings, name, policy.rows_max).ok_or(DescribeError::UnknownDataset)?;
    // What is aggregated must be numbers, and what is joined on must be unique: found now, not when a consumer has paid.
    request.numeric = columns_for(&policy, ColumnUse::Aggregate);
    request.unique = columns_for(&policy, ColumnUse::Join);
    let frame = frames::load(&settings.frames_child, &request).await?;
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut seed[..]);
    let name = name.to_owned();
    let described = tokio::task::spawn_blocking(move || {
        let commitment = commitment(&seed, &frame);
        let columns = frame.columns.iter().map(|column| ColumnDescription {
            name: column.name.clone(),
            column: column.cells.kind(),
            profile: profile(&column.cells),
        });
        let description = DatasetDescription { rows: rounded(frame.rows() as u64, 2), columns: columns.collect(), commitment };
        DatasetRecord { dataset_id, name, columns: frame.schema(), seed, description }
    });
    described.await.map_err(|_| FrameError::ChildFailed.into())
}

/// Root over the salted rows. A row is its cells in file order, each as `length [4, big endian] ‖ text`, where a number's text has exactly
/// its column's digits after the point.
pub(crate) fn commitment(seed: &[u8; 32], frame: &Frame) -> Hash {
    let mut row_bytes = Vec::new();
    let mut salt = Zeroizing::new([0; 32]);
    // A uniform seed needs no extraction; `from_prk` refuses only keys shorter than a digest.
    let salts = Hkdf::<Sha256>::from_prk(seed).unwrap_or_else(|_| unreachable!("the seed is as long as a digest"));
    let mut tree = Frontier::default();
    for row in 0..frame.rows() {
        row_bytes.clear();
        for column in &frame.columns {
            let text = column.cells.text(row);
            row_bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            row_bytes.extend_from_slice(text.as_bytes());
        }
        let number = (row as u64).to_be_bytes();
        salts
            .expand_multi_info(&[SALT_CONTEXT, &number], &mut salt[..])
            .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        tree.append(leaf_hash(&Hash::of(&[&salt[..], &row_bytes]).0), |_, _| {});
    }
    tree.root()
}

/// To so many significant digits, half up; saturates.
pub(crate) fn rounded(value: u64, digits: u32) -> u64 {
    rounded_signed(i128::from(value), digits).try_into().unwrap_or(u64::MAX)
}

fn rounded_signed(value: i128, digits: u32) -> i128 {
    let magnitude = value.unsigned_abs();
    let length = magnitude.checked_ilog10().unwrap_or(0) + 1;
    let unit = 10u128.pow(length.saturating_sub(digits));
    let magnitude = ((magnitude + unit / 2) / unit * unit) as i128;
    if value < 0 { -magnitude } else { magnitude }
}

fn profile(cells: &Cells) -> ColumnProfile {
    fn distinct<T: Ord>(values: &mut [T]) -> u64 {
        values.sort_unstable();
        values.chunk_by(|a, b| a == b).count() as u64
    }
    match cells {
        Cells::Text(cells) => {
            let distinct = distinct(&mut cells.iter().collect::<Vec<_>>());
            ColumnProfile { distinct: rounded(distinct, 1), low: None, high: None }
        }
        Cells::Integer(values) | Cells::Decimal { values, .. } => {
            let scale = if let ColumnKind::Decimal { scale } = cells.kind() { scale } else { 0 };
            let mut sorted = values.clone();
            let distinct = distinct(&mut sorted);
            let percentile = |percent: usize| {
                let value = sorted.get((sorted.len().saturating_sub(1)) * percent / 100)?;
                let value = rounded_signed(i128::from(*value), 1).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
                let text = decimal::format(value, scale);
                Some(if scale == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() })
            };
            ColumnProfile { distinct: rounded(distinct, 1), low: percentile(5), high: percentile(95) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Column;

    fn frame() -> Frame {
        Frame {
            columns: vec![
                Column { name: "customer".into(), cells: Cells::Text(["a", "b", "c"].into_iter().collect()) },
                Column { name: "rate".into(), cells: Cells::Decimal { scale: 2, values: vec![1356, 700, -5] } },
            ],
        }
    }

    #[test]
    fn every_cell_their_order_and_the_seed_count_in_a_commitment() {
        let root = commitment(&[1; 32], &frame());
        assert_eq!(root, commitment(&[1; 32], &frame()));
        assert_ne!(root, commitment(&[2; 32], &frame()));
        let mut changed = frame();
        changed.columns[1].cells = Cells::Decimal { scale: 2, values: vec![1356, 700, -6] };
        assert_ne!(root, commitment(&[1; 32], &changed));
        let mut reordered = frame();
        reordered.columns.swap(0, 1);
        assert_ne!(root, commitment(&[1; 32], &reordered));
        // "ab","c" and "a","bc" are different rows.
        let two = |first: &str, second: &str| Frame {
            columns: [first, second]
                .iter()
                .map(|cell| Column { name: "x".into(), cells: Cells::Text([*cell].into_iter().collect()) })
                .collect(),
        };
        assert_ne!(commitment(&[1; 32], &two("ab", "c")), commitment(&[1; 32], &two("a", "bc")));
    }

    #[test]
    fn a_commitment_is_the_rfc_6962_root_of_salted_rows() {
        let one = Frame { columns: vec![Column { name: "x".into(), cells: Cells::Integer(vec![-7]) }] };
        let mut salt = [0; 32];
        Hkdf::<Sha256>::from_prk(&[1; 32])
            .expect("long enough")
            .expand(b"entrepot/row-salt/v1\n\0\0\0\0\0\0\0\0", &mut salt)
            .expect("short enough");
        let leaf = Hash::of(&[&salt, b"\0\0\0\x02-7"]);
        assert_eq!(commitment(&[1; 32], &one), Hash::of(&[&[0], &leaf.0]));
    }

    #[test]
    fn facts_are_rounded_half_up_to_significant_digits() {
        assert_eq!(rounded(0, 2), 0);
        assert_eq!(rounded(7, 2), 7);
        assert_eq!(rounded(9_857, 2), 9_900);
        assert_eq!(rounded(9_950, 2), 10_000);
        assert_eq!(rounded(94, 1), 90);
        assert_eq!(rounded(u64::MAX, 1), u64::MAX);
        assert_eq!(rounded_signed(-1_356, 1), -1_000);
    }

    #[test]
    fn a_profile_shows_no_exact_value_and_nothing_of_text_but_how_many() {
        let values: Vec<i64> = (0..1000).map(|n| 531 + n * 100).collect();
        let found = profile(&Cells::Decimal { scale: 2, values });
        assert_eq!(found, ColumnProfile { distinct: 1000, low: Some("50".into()), high: Some("1000".into()) });
        let found = profile(&Cells::Text(["secret"; 3].into_iter().collect()));
        assert_eq!(found, ColumnProfile { distinct: 1, low: None, high: None });
    }
}

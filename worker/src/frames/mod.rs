//! Data sets as frames: a CSV file, parsed in a child process, typed exactly.
//!
//! Readers of file formats can be made to allocate gigabytes, loop or crash by a small file, and a worker holds keys. So the file is
//! parsed by a child that holds none, under limits of memory and CPU time, and only typed columns come back. Nothing that a cell holds
//! ever leaves in an error: errors name a column, a row number or a count.
//!
//! Numbers are exact: cells are read as text and turned into scaled integers here, never through a float.

mod cells;
mod child;
mod parent;
mod wire;

pub use cells::{Cells, Column, Frame, TextCells, is_name};
pub use child::child_main;
pub use parent::load;

use entrepot_chain_statement::statements::ColumnKind;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// Columns of a dataset at most.
pub const COLUMNS_MAX: usize = 256;
/// Bytes of one cell at most.
pub const FIELD_BYTES_MAX: usize = 4096;
/// Rows of a dataset at most; a policy may allow fewer.
pub const ROWS_MAX: u32 = 10_000_000;
/// Digits after the point at most.
pub const SCALE_MAX: u8 = 6;

/// Limits on one CSV file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FrameLimits {
    /// Bytes of the file.
    pub file_bytes_max: u64,
    /// Address space of the child; also bounds what the parent accepts from it.
    pub memory_bytes_max: u64,
    /// Rows.
    pub rows_max: u32,
    /// Time until the child is killed.
    pub timeout: Duration,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 512 * 1024 * 1024,
            memory_bytes_max: 2 * 1024 * 1024 * 1024,
            rows_max: ROWS_MAX,
            timeout: Duration::from_secs(120),
        }
    }
}

/// What to load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameRequest {
    /// The CSV file.
    pub path: PathBuf,
    /// Limits.
    pub limits: FrameLimits,
    /// Names and kinds the file must have, in order; inferred if absent.
    pub columns: Option<Vec<(String, ColumnKind)>>,
    /// Columns that must hold numbers.
    pub numeric: BTreeSet<String>,
    /// Columns that must not hold a value twice.
    pub unique: BTreeSet<String>,
}

/// The program that parses a file when it is started with these arguments: it must call [`child_main`].
#[derive(Clone, Debug)]
pub struct ChildProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl ChildProgram {
    /// The running program with the argument `frames-child`.
    pub fn this_program() -> Self {
        // Not `current_exe`: this stays right when the file was replaced by an update while the process runs.
        Self { program: PathBuf::from("/proc/self/exe"), arguments: vec!["frames-child".to_owned()] }
    }
}

/// Why a file cannot be used. Rows count from 1, after the header. No variant carries the content of a cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each message says what its variant and its fields mean")]
pub enum FrameError {
    #[error("the dataset's file cannot be opened: check `path` in the worker's configuration and the file's permissions")]
    FileUnreadable,
    #[error("the file is larger than {bytes_max} bytes: split the dataset, or raise limits.csv_file_bytes_max of the worker")]
    FileTooLarge { bytes_max: u64 },
    #[error("the file has no rows")]
    Empty,
    #[error("the header's column {position} has no usable name: names match [a-z_][a-z0-9_]{{0,62}} and the first line names the columns")]
    HeaderInvalid { position: usize },
    #[error("the header names column `{column}` twice")]
    DuplicateColumn { column: String },
    #[error("the file has more than {columns_max} columns")]
    TooManyColumns { columns_max: usize },
    #[error(
        "the file does not have the registered columns (missing: {missing:?}; {unexpected} not registered or out of order): \
         restore them, or register the file as a new dataset"
    )]
    WrongColumns { missing: Vec<String>, unexpected: usize },
    #[error("the file has more than {rows_max} rows, the policy's rows_max")]
    TooManyRows { rows_max: u32 },
    #[error("the file is not UTF-8: convert it")]
    NotUtf8,
    #[error("the file is not well-formed CSV: every row needs as many cells as the header, and quotes must be closed")]
    Malformed,
    #[error("row {row} has no value in column `{column}`: a dataset has no missing cells")]
    MissingCell { column: String, row: u64 },
    #[error("row {row} holds more than {bytes_max} bytes in column `{column}`")]
    FieldTooLong { column: String, row: u64, bytes_max: usize },
    #[error(
        "row {row} holds no number in column `{column}`, which must be numeric: digits, at most one point, at most the registered \
         digits (6) after it, no separators, no exponent"
    )]
    BadNumber { column: String, row: u64 },
    #[error("column `{column}` is a join key but {count} rows repeat a value of another row: remove the duplicates")]
    DuplicateKeys { column: String, count: u64 },
    #[error("reading the file needs more memory than allowed: raise limits.csv_memory_bytes_max of the worker, or split the dataset")]
    MemoryLimit,
    #[error("reading the file takes longer than allowed: raise limits.csv_timeout_seconds of the worker, or split the dataset")]
    TimeLimit,
    #[error("the process that reads the file failed: see the worker's log")]
    ChildFailed,
}

impl FrameError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FileUnreadable => "csv_file_unreadable",
            Self::FileTooLarge { .. } => "csv_file_too_large",
            Self::Empty => "csv_empty",
            Self::HeaderInvalid { .. } => "csv_header_invalid",
            Self::DuplicateColumn { .. } => "csv_duplicate_column",
            Self::TooManyColumns { .. } => "csv_too_many_columns",
            Self::WrongColumns { .. } => "csv_wrong_columns",
            Self::TooManyRows { .. } => "csv_too_many_rows",
            Self::NotUtf8 => "csv_not_utf8",
            Self::Malformed => "csv_malformed",
            Self::MissingCell { .. } => "csv_missing_cell",
            Self::FieldTooLong { .. } => "csv_field_too_long",
            Self::BadNumber { .. } => "csv_bad_number",
            Self::DuplicateKeys { .. } => "csv_duplicate_keys",
            Self::MemoryLimit => "csv_memory_limit",
            Self::TimeLimit => "csv_time_limit",
            Self::ChildFailed => "csv_reader_failed",
        }
    }
}

//! The child process: limits itself, then parses one file with polars.

use super::{COLUMNS_MAX, Column, FIELD_BYTES_MAX, FrameError, FrameLimits, FrameRequest, cells, is_name, wire};
use entrepot_chain_statement::statements::ColumnKind;
use polars::prelude::{CsvReadOptions, DataFrame, DataType, Field, PolarsError, Schema, SerReader};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write},
    process::ExitCode,
    sync::Arc,
};

/// Bytes of the header line at most: every name quoted, with commas.
const HEADER_LINE_BYTES_MAX: u64 = (COLUMNS_MAX * 66 + 8) as u64;
/// The request on standard input.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;
/// Threads that parse; the parent sets polars' variable to this.
pub(super) const THREADS: u32 = 2;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the program does when it is started as the reader of a CSV file: takes a [`FrameRequest`] from standard input and writes the
/// frame to standard output. A failure to say anything is a non-zero exit code.
pub fn child_main() -> ExitCode {
    match serve(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(input: impl io::Read, output: impl Write) -> io::Result<()> {
    let mut request = Vec::new();
    input.take(REQUEST_BYTES_MAX).read_to_end(&mut request)?;
    let request: FrameRequest = serde_json::from_slice(&request)?;
    limit_this_process(&request.limits)?;
    let mut output = BufWriter::with_capacity(1 << 20, output);
    match parse(&request, &mut output) {
        Ok(()) => wire::write_end(&mut output, Ok(())),
        Err(Failure::Frame(error)) => wire::write_end(&mut output, Err(&error)),
        Err(Failure::Output(error)) => Err(error),
    }
}

/// Memory and time as asked; no file may be written, no core dumped (it would hold rows), and the process dies with its parent.
fn limit_this_process(limits: &FrameLimits) -> io::Result<()> {
    let cpu_seconds = limits.timeout.as_secs().saturating_add(1).saturating_mul(u64::from(THREADS));
    set_limit(libc::RLIMIT_AS, limits.memory_bytes_max)?;
    set_limit(libc::RLIMIT_CPU, cpu_seconds)?;
    set_limit(libc::RLIMIT_FSIZE, 0)?;
    set_limit(libc::RLIMIT_CORE, 0)?;
    #[expect(unsafe_code, reason = "the standard library has no prctl")]
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    #[expect(unsafe_code, reason = "the standard library has no setrlimit")]
    // SAFETY: the pointer is to a live `rlimit` that the call only reads.
    let result = unsafe { libc::setrlimit(resource, &limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

enum Failure {
    Frame(FrameError),
    Output(io::Error),
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

fn parse(request: &FrameRequest, output: &mut impl Write) -> Result<(), Failure> {
    let mut file = File::open(&request.path).map_err(|_| FrameError::FileUnreadable)?;
    let metadata = file.metadata().map_err(|_| FrameError::FileUnreadable)?;
    if !metadata.is_file() {
        return Err(FrameError::FileUnreadable.into());
    }
    if metadata.len() > request.limits.file_bytes_max {
        return Err(FrameError::FileTooLarge { bytes_max: request.limits.file_bytes_max }.into());
    }
    let names = read_header(&file)?;
    file.rewind().map_err(|_| FrameError::FileUnreadable)?;
    check_names(&names, request)?;
    let table = read_table(file, &names, request.limits.rows_max)?;
    for (index, name) in names.iter().enumerate() {
        let column = read_column(&table, index, name, request)?;
        wire::write_column(output, &column).map_err(Failure::Output)?;
    }
    Ok(())
}

/// The names in the first line. Read here and not by polars, which would rename what occurs twice.
fn read_header(file: &File) -> Result<Vec<String>, FrameError> {
    let mut line = Vec::new();
    BufReader::new(file.take(HEADER_LINE_BYTES_MAX)).read_until(b'\n', &mut line).map_err(|_| FrameError::FileUnreadable)?;
    if line.is_empty() {
        return Err(FrameError::Empty);
    }
    if line.len() as u64 == HEADER_LINE_BYTES_MAX {
        return Err(FrameError::TooManyColumns { columns_max: COLUMNS_MAX });
    }
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut names: Vec<String> = Vec::new();
    for (position, name) in line.split(|byte| *byte == b',').enumerate() {
        let plain = name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(name);
        let name = std::str::from_utf8(plain).ok().filter(|name| is_name(name));
        let name = name.ok_or(FrameError::HeaderInvalid { position: position + 1 })?;
        if names.len() == COLUMNS_MAX {
            return Err(FrameError::TooManyColumns { columns_max: COLUMNS_MAX });
        }
        if names.iter().any(|other| other == name) {
            return Err(FrameError::DuplicateColumn { column: name.to_owned() });
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The header against what was registered, or against what the policy speaks of. Unexpected names are only counted: without a header, the
/// first line is a row.
fn check_names(names: &[String], request: &FrameRequest) -> Result<(), FrameError> {
    let wrong = |missing: Vec<String>, unexpected| Err(FrameError::WrongColumns { missing, unexpected });
    if let Some(columns) = &request.columns
        && !columns.iter().map(|(name, _)| name).eq(names)
    {
        let missing = columns.iter().filter(|(name, _)| !names.contains(name)).map(|(name, _)| name.clone()).collect();
        let unexpected = names.iter().enumerate().filter(|(index, name)| columns.get(*index).is_none_or(|(wanted, _)| wanted != *name));
        return wrong(missing, unexpected.count());
    }
    let missing: Vec<_> = request.numeric.union(&request.unique).filter(|name| !names.contains(name)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { wrong(missing, 0) }
}

/// Every cell as text. What polars says in an error may hold cells, so only its sort is told.
fn read_table(file: File, names: &[String], rows_max: u32) -> Result<DataFrame, FrameError> {
    let schema: Schema = names.iter().map(|name| Field::new(name.as_str().into(), DataType::String)).collect();
    let options = CsvReadOptions::default()
        .with_has_header(true)
        .with_schema(Some(Arc::new(schema)))
        .with_infer_schema_length(Some(0))
        .with_n_threads(Some(THREADS as usize))
        .with_n_rows(Some(rows_max as usize + 1))
        .with_raise_if_empty(false)
        .with_rechunk(false);
    let table = options.into_reader_with_file_handle(file).finish().map_err(|error| match error {
        PolarsError::IO { .. } => FrameError::FileUnreadable,
        error if error.to_string().to_ascii_lowercase().contains("utf") => FrameError::NotUtf8,
        _ => FrameError::Malformed,
    })?;
    if table.height() > rows_max as usize {
        return Err(FrameError::TooManyRows { rows_max });
    }
    if table.height() == 0 {
        return Err(FrameError::Empty);
    }
    if table.width() != names.len() {
        return Err(FrameError::Malformed);
    }
    Ok(table)
}

fn read_column(table: &DataFrame, index: usize, name: &str, request: &FrameRequest) -> Result<Column, FrameError> {
    let series = table.columns().get(index).ok_or(FrameError::Malformed)?;
    let text = series.str().map_err(|_| FrameError::Malformed)?;
    for (row, cell) in text.iter().enumerate() {
        let row = row as u64 + 1;
        match cell {
            None | Some("") => return Err(FrameError::MissingCell { column: name.to_owned(), row }),
            Some(cell) if cell.len() > FIELD_BYTES_MAX => {
                return Err(FrameError::FieldTooLong { column: name.to_owned(), row, bytes_max: FIELD_BYTES_MAX });
            }
            Some(_) => {}
        }
    }
    let all = || text.iter().flatten();
    let kind = match &request.columns {
        Some(columns) => columns.get(index).ok_or(FrameError::Malformed)?.1,
        None => cells::infer(text.iter().flatten().collect::<Vec<_>>().iter().copied()),
    };
    if kind == ColumnKind::Text && request.numeric.contains(name) {
        // Names the first row that is in the way, or one whose value does not fit beside the others'.
        let row = all().position(|cell| cells::parse_number(cell).is_none()).unwrap_or(0) as u64 + 1;
        return Err(FrameError::BadNumber { column: name.to_owned(), row });
    }
    let cells = cells::read(name, kind, all())?;
    if request.unique.contains(name) {
        let count = cells::repeated(&cells);
        if count > 0 {
            return Err(FrameError::DuplicateKeys { column: name.to_owned(), count });
        }
    }
    Ok(Column { name: name.to_owned(), cells })
}

//! One durable file: written beside itself, synced, renamed over, and the folder synced; with a digest, so that a torn or damaged file is
//! found and never half believed.
//!
//! Form: `entrepot.state.v1 <SHA-256 of the body, hex>\n<body>`; the body is JSON.

use super::StateError;
use entrepot_chain_statement::Hash;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use zeroize::Zeroizing;

const MAGIC: &str = "entrepot.state.v1";
/// Larger than any record: the sealed shares of the largest result, in base64.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Ending of a file that is being written. One that is left over is from a crash and means nothing.
pub(super) const UNFINISHED: &str = "part";

/// Writes a record; when this returns, it survives a power loss.
pub(super) fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), StateError> {
    let failed = |source| StateError::Write { path: path.to_owned(), source };
    // A record may hold a dataset's seed.
    let body = Zeroizing::new(serde_json::to_vec(record).map_err(|error| failed(error.into()))?);
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(failed)?;
    file.write_all(format!("{MAGIC} {}\n", Hash::of(&[&body])).as_bytes()).map_err(failed)?;
    file.write_all(&body).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes a file; when this returns, it stays removed.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    std::fs::remove_file(path).and_then(|()| sync_folder(path)).map_err(|source| StateError::Write { path: path.to_owned(), source })
}

/// Reads a record; nothing if there is no such file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let failed = |source| StateError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(file.metadata().map_err(failed)?.len().min(FILE_BYTES_MAX) as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let torn = || StateError::Torn { path: path.to_owned() };
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(torn)?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    if head != format!("{MAGIC} {}", Hash::of(&[body])).as_bytes() {
        return Err(torn());
    }
    serde_json::from_slice(body).map(Some).map_err(|_| torn())
}

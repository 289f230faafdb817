//! Files that commands read and write: keys are private to their owner, and nothing is overwritten by accident.

use crate::exit::Failure;
use entrepot_chain_statement::key::KeyFile;
use rand_core::{OsRng, RngCore};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use entrepot_chain_statement::Timestamp;

/// Largest document a command reads.
const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The moment, by this machine's clock.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// `N` random bytes of the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    result.map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(Failure::bad_input(format!("{} is larger than {DOCUMENT_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

/// Writes a new file that only its owner may read; makes its folder; refuses to overwrite.
pub fn write_secret(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    write_new(path, contents, 0o600)
}

/// Writes a new file for everybody to read; refuses to overwrite.
pub fn write_public(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    write_new(path, contents, 0o644)
}

/// Makes a folder that only this user may look into, and what is above it. One that is there stays as it is.
pub fn make_private_folder(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::bad_input(format!("cannot make {}: {error}", path.display())))
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), Failure> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_private_folder(parent)?;
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::bad_input(format!("cannot write {}: {error}", path.display())))
}

/// Reads a key file; refuses one that others can read.
pub fn read_key(path: &Path) -> Result<KeyFile, Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::bad_input(format!("cannot read the key {}: {error}", path.display())))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::bad_input(format!("{} can be read by others: run `chmod 600 {}`", path.display(), path.display())));
    }
    let text = zeroize::Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&text).map_err(|_| Failure::bad_input(format!("{} is not a key file", path.display())))?;
    KeyFile::from_json(text).map_err(|error| Failure::bad_input(format!("{} is not a key file: {error}", path.display())))
}

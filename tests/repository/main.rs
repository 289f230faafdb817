//! What holds for the repository as a whole: who may depend on whom, the style, and that documents cite what is there.

mod documents;
mod layout;
mod tidy;

use std::path::PathBuf;

fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

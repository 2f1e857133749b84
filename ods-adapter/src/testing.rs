//! What tests of several modules share.

use std::path::PathBuf;

/// A file of published test vectors, or a note that the test was skipped; on CI it has to be there.
pub(crate) fn vectors(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(_) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is absent: algorithms are checked against it",
                path.display()
            );
            eprintln!("skipped: {} is not here", path.display());
            None
        }
    }
}

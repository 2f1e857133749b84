//! The real snarkjs as a third opinion on proofs, installed by npm under `target/`
//! (docs/spec/interchange.md).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::npm;

/// A folder with snarkjs, if it can be had: see [`npm::installed`].
pub fn installed(target_tmp: &str) -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| npm::installed("interchange", &["verify.mjs"], target_tmp)).as_deref()
}

/// What snarkjs says of each case, an object of `key`, `public` inputs and `proof`: true, false, or
/// the text of what it threw.
pub fn verdicts(snarkjs: &Path, cases: &[Value]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, serde_json::to_vec(cases).unwrap()).unwrap();
    let output = npm::run(Command::new("node").arg("verify.mjs").arg(file).current_dir(snarkjs)).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

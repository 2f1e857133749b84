//! The real snarkjs as a third opinion on proofs, installed by npm under `target/`
//! (docs/spec/interchange.md).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::workspace;

/// A folder with snarkjs as `tests/interchange/package-lock.json` pins it; `None`, said plainly,
/// where node, npm or the registry is absent. Under `CI` nothing is skipped. `target_tmp` is cargo's
/// `CARGO_TARGET_TMPDIR`, which only tests know.
pub fn installed(target_tmp: &str) -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOLDER.get_or_init(|| install(Path::new(target_tmp))) {
        Ok(folder) => Some(folder),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "snarkjs is needed under CI: {why}");
            println!("skipped: no snarkjs: {why}");
            None
        }
    }
}

fn install(target_tmp: &Path) -> Result<PathBuf, String> {
    let (from, to) = (workspace().join("tests/interchange"), target_tmp.join("interchange"));
    let (wanted, installed) = (std::fs::read(from.join("package-lock.json")).unwrap(), to.join("installed.json"));
    std::fs::create_dir_all(&to).unwrap();
    for file in ["package.json", "package-lock.json", "verify.mjs"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    run(Command::new("node").arg("--version"))?;
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(to);
    }
    let _ = std::fs::remove_file(&installed);
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to))?;
    std::fs::write(installed, wanted).unwrap();
    Ok(to)
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What snarkjs says of each case, an object of `key`, `public` inputs and `proof`: true, false, or
/// the text of what it threw.
pub fn verdicts(snarkjs: &Path, cases: &[Value]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, serde_json::to_vec(cases).unwrap()).unwrap();
    let output = run(Command::new("node").arg("verify.mjs").arg(file).current_dir(snarkjs)).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

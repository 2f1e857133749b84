//! Packages of the npm registry that tests need, installed under `target/` as their lock files pin them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::workspace;

/// A folder with the packages of `tests/NAME/package-lock.json` and these further files of it; `None`,
/// said plainly, where node, npm or the registry is absent. Under `CI` nothing is skipped.
/// `target_tmp` is cargo's `CARGO_TARGET_TMPDIR`, which only tests know.
pub fn installed(name: &str, files: &[&str], target_tmp: &str) -> Option<PathBuf> {
    match install(name, files, &Path::new(target_tmp).join(name)) {
        Ok(folder) => Some(folder),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{name}'s packages are needed under CI: {why}");
            println!("skipped: no packages for {name}: {why}");
            None
        }
    }
}

fn install(name: &str, files: &[&str], to: &Path) -> Result<PathBuf, String> {
    let from = workspace().join("tests").join(name);
    let (wanted, installed) = (std::fs::read(from.join("package-lock.json")).unwrap(), to.join("installed.json"));
    std::fs::create_dir_all(to).unwrap();
    for file in ["package.json", "package-lock.json"].iter().chain(files) {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    run(Command::new("node").arg("--version"))?;
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(to.to_owned());
    }
    let _ = std::fs::remove_file(&installed);
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(to))?;
    std::fs::write(installed, wanted).unwrap();
    Ok(to.to_owned())
}

/// Runs a program; what it says on the error stream if it fails.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

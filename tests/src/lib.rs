//! What every whole-system test uses: the real `sealgate` binary in real folders, with separate
//! homes for owner, requester and auditor.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test harness fails loudly")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test, built once in the profile of these tests; `SEALGATE_BIN` names another.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SEALGATE_BIN") {
            return path.into();
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "sealgate", "--bin", "sealgate"]).current_dir(workspace());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the binary builds");
        // target/<profile>/deps/<this test> -> target/<profile>/sealgate
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("sealgate")
    })
}

/// The project's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the shared real data, or `None`, said plainly, where that folder is absent.
pub fn shared_data(file: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

/// A share manifest kept with these tests.
pub fn manifest(name: &str) -> PathBuf {
    workspace().join("tests/manifests").join(name)
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// The JSON object on standard output.
    pub json: Value,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The JSON of a command that must succeed.
    pub fn ok(self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json
    }

    /// The error line of a command that must fail with exit code 1.
    pub fn error(self) -> String {
        assert_eq!(self.code, 1, "{self:?}");
        self.json["error"].as_str().unwrap_or_else(|| panic!("no error line: {self:?}")).to_owned()
    }
}

/// Runs `sealgate --json` with these arguments.
pub fn sealgate<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Run {
    let output: Output = Command::new(binary()).arg("--json").args(args).output().expect("sealgate runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(stdout.trim()).unwrap_or(Value::String(stdout));
    Run { code: output.status.code().unwrap_or(-1), json, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// A folder with an owner, a requester and an auditor, who trust the owner's ledger.
pub struct World {
    /// Holds everything; removed at the end.
    pub dir: TempDir,
    /// The ledger's fingerprint.
    pub fingerprint: String,
    /// The requester's address.
    pub requester: String,
    /// The auditor's address.
    pub auditor: String,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes the three parties; nothing is published or served yet.
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let init = sealgate(&["init", "--data-dir", &path("owner"), "--name", "Test owner"]).ok();
        let fingerprint = text(&init["fingerprint"]);
        let account = |home: &str| {
            let account = sealgate(&["account", "new", "--home", &path(home), "--name", home]).ok();
            sealgate(&["trust", "--home", &path(home), &fingerprint]).ok();
            text(&account["address"])
        };
        let (requester, auditor) = (account("requester"), account("auditor"));
        World { dir, fingerprint, requester, auditor }
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Publishes through a manifest.
    pub fn publish(&self, manifest: &Path) -> Run {
        sealgate(&["publish", "--data-dir", &self.path("owner"), "--manifest", &manifest.display().to_string()])
    }

    /// Grants the requester something of an asset: further arguments of `grant`.
    pub fn grant(&self, asset: &str, to: &str, args: &[&str]) -> Run {
        let owner = self.path("owner");
        let mut all = vec!["grant", "--data-dir", &owner, "--asset", asset, "--to", to];
        all.extend(args);
        sealgate(&all)
    }

    /// Serves the owner's folder on a free port.
    pub fn serve(&self) -> Server {
        Server::start(&self.path("owner"))
    }

    /// Asks as `home`, writing `out` inside the folder.
    pub fn ask(&self, url: &str, home: &str, purpose: &str, out: &str, sql: &str) -> Run {
        let (home, out) = (self.path(home), self.path(out));
        sealgate(&["ask", "--gateway", url, "--home", &home, "--purpose", purpose, "--out", &out, sql])
    }

    /// Verifies a file inside the folder as `home`.
    pub fn verify(&self, home: &str, file: &str) -> Run {
        sealgate(&["verify", "--home", &self.path(home), &self.path(file)])
    }
}

/// A JSON text without its quotes.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// A serving gateway; stopped in order when dropped.
pub struct Server {
    child: Child,
    /// Its address.
    pub url: String,
}

impl Server {
    /// Serves a data folder on a free port and waits until it answers.
    pub fn start(data_dir: &str) -> Server {
        let mut child = Command::new(binary())
            .args(["--json", "serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sealgate serve starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("serve printed '{line}'"));
        Server { child, url: text(&started["url"]) }
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

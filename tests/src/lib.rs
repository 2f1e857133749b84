//! What every whole-system test uses: the real `sealgate` binary in real folders, with separate
//! homes for owner, requester and auditor.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test harness fails loudly")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealgate_ledger::account::AccountPublic;
use serde_json::Value;
use tempfile::TempDir;

pub mod chance;
pub mod npm;
pub mod page;
pub mod postgres;
pub mod s3;
pub mod snarkjs;

/// The binary under test, built once in the profile of these tests; `SEALGATE_BIN` names another.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SEALGATE_BIN") {
            return path.into();
        }
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "-p", "sealgate", "--features", "simplex", "--bin", "sealgate"])
            .current_dir(workspace());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the binary builds");
        // target/<profile>/deps/<this test> -> target/<profile>/sealgate
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("sealgate")
    })
}

/// Where worlds lie that were made by this very binary.
fn founded_worlds() -> PathBuf {
    let binary = std::fs::metadata(binary()).unwrap();
    let built = binary.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let folder = workspace().join("target/tmp/worlds").join(format!("{built:x}-{:x}", binary.len()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The project's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the shared real data (`SEALGATE_DATA` names another folder than `../shared/data`), or
/// `None`, said plainly, where it is absent.
pub fn shared_data(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEALGATE_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let path = folder.join(file);
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

/// A grant of some fields by position, for any purpose, without an end or a quota.
pub fn terms(disclose: Vec<u8>) -> sealgate_ledger::tx::GrantTerms {
    sealgate_ledger::tx::GrantTerms {
        whole: vec![],
        disclose,
        prove: vec![],
        existence: false,
        purpose: String::new(),
        not_before_ms: None,
        until_ms: None,
        quota: None,
        bits: None,
    }
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
        World::founded(false)
    }

    /// The same, on a ledger whose genesis names the auditor.
    pub fn audited() -> World {
        World::founded(true)
    }

    /// The parties are copied from ones made before, as making them takes seconds: each world of a
    /// process from others, so that none of its ledgers or keys are the same.
    fn founded(with_auditor: bool) -> World {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let kind = if with_auditor { "audited" } else { "plain" };
        let pool = founded_worlds();
        let made = pool.join(format!("{kind}-{number}"));
        if !made.is_dir() {
            // Whole or not at all: another process may make the same one.
            let making = tempfile::tempdir_in(&pool).unwrap();
            World::found(making.path(), with_auditor);
            let _ = std::fs::rename(making.path(), &made);
        }
        let dir = tempfile::tempdir().unwrap();
        copy_folder(&made, dir.path());
        let address = |home: &str| {
            let public = std::fs::read(dir.path().join(home).join("account.public")).unwrap();
            serde_json::from_slice::<AccountPublic>(&public).unwrap().address().to_string()
        };
        let (requester, auditor) = (address("requester"), address("auditor"));
        let trusted = std::fs::read_dir(dir.path().join("requester/ledgers")).unwrap().next().unwrap().unwrap();
        World { fingerprint: trusted.file_name().into_string().unwrap(), requester, auditor, dir }
    }

    fn found(folder: &Path, with_auditor: bool) {
        let path = |name: &str| folder.join(name).display().to_string();
        for home in ["requester", "auditor"] {
            sealgate(&["account", "new", "--home", &path(home), "--name", home]).ok();
        }
        let (owner, public) = (path("owner"), path("auditor/account.public"));
        let mut init = vec!["init", "--data-dir", &owner, "--name", "Test owner"];
        if with_auditor {
            init.extend(["--auditor", &public]);
        }
        let fingerprint = text(&sealgate(&init).ok()["fingerprint"]);
        for home in ["requester", "auditor"] {
            sealgate(&["trust", "--home", &path(home), &fingerprint]).ok();
        }
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

    /// Gives the owner's asset with this id to `home`, which agrees to it, through the gateway that serves it.
    pub fn transfer(&self, url: &str, id: &str, home: &str) -> Run {
        let (owner, home, consent) = (self.path("owner"), self.path(home), self.path("consent.json"));
        let accept = ["asset", "accept", "--home", &home, "--gateway", url, "--asset", id, "--out", &consent];
        let to = text(&sealgate(&accept).ok()["to"]);
        sealgate(&["asset", "transfer", "--data-dir", &owner, "--asset", id, "--to", &to, "--consent", &consent])
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
        Server::start_in(data_dir, &[])
    }

    /// The same with variables in its environment.
    pub fn start_in(data_dir: &str, environment: &[(&str, &str)]) -> Server {
        Server::run(&["serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"], environment)
    }

    /// Runs a command that serves and waits until it says where.
    pub fn run(args: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = Command::new(binary());
        command.arg("--json").args(args).envs(environment.iter().copied());
        Server::of(command)
    }

    /// Serves a data folder, and writes what it logs into a file.
    pub fn logging(data_dir: &str, level: &str, log: &Path) -> Server {
        Server::logging_in(data_dir, level, log, &[])
    }

    /// The same with variables in its environment.
    pub fn logging_in(data_dir: &str, level: &str, log: &Path, environment: &[(&str, &str)]) -> Server {
        let mut command = Command::new(binary());
        command.envs(environment.iter().copied());
        command.args(["--json", "serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.env("SEALGATE_LOG", level).stderr(std::fs::File::create(log).unwrap());
        Server::of(command)
    }

    /// Serves a data folder with as many open files as the system gives to anybody.
    pub fn with_many_files(data_dir: &str) -> Server {
        let mut command = Command::new("sh");
        let raised = "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\"";
        command.args(["-c", raised]).arg(binary());
        command.args(["--json", "serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"]);
        Server::of(command)
    }

    fn of(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("sealgate serve starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("serve printed '{line}'"));
        Server { child, url: text(&started["url"]) }
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return; // it has ended, and its number may be another's by now
        }
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// How a command ended and what it printed, as people see it: without `--json`.
#[derive(Debug)]
pub struct Plain {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `sealgate` with these arguments, as people do.
pub fn sealgate_plain<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Plain {
    let output: Output = Command::new(binary()).args(args).output().expect("sealgate runs");
    Plain {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file under a folder, sorted.
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The cells of a CSV text (RFC 4180), read by these tests' own few lines.
pub fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

/// A table that a test makes itself.
#[derive(Debug, Clone)]
pub struct Table {
    /// The asset's name.
    pub name: String,
    /// Key columns.
    pub key: Vec<String>,
    /// Columns and their types.
    pub columns: Vec<(String, String)>,
    /// Cells; an empty one is null.
    pub rows: Vec<Vec<String>>,
    /// Columns whose budget is not the default, and its bits.
    pub budgets: Vec<(String, u16)>,
}

impl Table {
    /// A table of these columns.
    pub fn new(name: &str, key: &[&str], columns: &[(&str, &str)], rows: Vec<Vec<String>>) -> Table {
        Table {
            name: name.into(),
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect(),
            rows,
            budgets: Vec::new(),
        }
    }

    /// The same with so many bits to be told of a column.
    #[must_use]
    pub fn budget(mut self, column: &str, bits: u16) -> Table {
        self.budgets.push((column.to_owned(), bits));
        self
    }

    /// The small table that most tests use: `shop (id, name, fee, opened, area)`; records 1 to
    /// `count`; every seventh has no fee, every fifth no area.
    pub fn shops(count: u32) -> Table {
        let row = |id: u32| {
            vec![
                id.to_string(),
                format!("Shop no. {id}"),
                if id.is_multiple_of(7) { String::new() } else { format!("{}.50", id * 10) },
                format!("20{:02}-0{}-15", id % 25, 1 + id % 9),
                if id.is_multiple_of(5) {
                    String::new()
                } else {
                    ["Downtown", "Kitsilano", "Sunset"][id as usize % 3].into()
                },
            ]
        };
        Table::new(
            "shop",
            &["id"],
            &[("id", "int"), ("name", "text"), ("fee", "decimal(2)"), ("opened", "date"), ("area", "text")],
            (1..=count).map(row).collect(),
        )
    }

    /// The manifest's text.
    pub fn manifest(&self) -> String {
        let keys = self.key.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "[asset]\nname = \"{0}\"\ntitle = \"Test table {0}\"\n\n[source]\nkind = \"csv\"\npath = \"{0}.csv\"\n\n[key]\ncolumns = [{keys}]\n",
            self.name
        );
        for (name, kind) in &self.columns {
            text.push_str(&format!("\n[[column]]\nname = {name:?}\ntype = \"{kind}\"\n"));
            if let Some((_, bits)) = self.budgets.iter().find(|(column, _)| column == name) {
                text.push_str(&format!("budget_bits = {bits}\n"));
            }
        }
        text
    }

    /// The CSV text.
    pub fn csv(&self) -> String {
        let quote = |cell: &str| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.to_owned()
            }
        };
        let header: Vec<String> = self.columns.iter().map(|(name, _)| quote(name)).collect();
        let mut text = header.join(",") + "\n";
        for row in &self.rows {
            text.push_str(&row.iter().map(|cell| quote(cell)).collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        text
    }

    /// Writes both into a folder; the manifest's path.
    pub fn write(&self, folder: &Path) -> PathBuf {
        std::fs::write(folder.join(format!("{}.csv", self.name)), self.csv()).unwrap();
        let manifest = folder.join(format!("{}.toml", self.name));
        std::fs::write(&manifest, self.manifest()).unwrap();
        manifest
    }
}

impl World {
    /// A world in which a table is published.
    pub fn with(table: &Table) -> World {
        let world = World::new();
        world.publish(&table.write(world.dir.path())).ok();
        world
    }

    /// A world with an auditor that the ledger names, in which a table is published.
    pub fn audited_with(table: &Table) -> World {
        let world = World::audited();
        world.publish(&table.write(world.dir.path())).ok();
        world
    }

    /// Asks about the keys of a CSV file inside the folder.
    pub fn ask_keys(&self, url: &str, home: &str, purpose: &str, out: &str, keys: &str, sql: &str) -> Run {
        let (home, out, keys) = (self.path(home), self.path(out), self.path(keys));
        sealgate(&["ask", "--gateway", url, "--home", &home, "--purpose", purpose, "--out", &out, "--keys", &keys, sql])
    }

    /// A session of a home's account at a gateway: a line to put behind the request line of [`http`].
    pub fn signed_in(&self, home: &str, url: &str) -> String {
        let session = sealgate(&["sign-in", "--home", &self.path(home), "--gateway", url]).ok();
        format!("\r\nauthorization: Bearer {}", text(&session["token"]))
    }

    /// What has been told, as the owner reads it from its own folder.
    pub fn budget_owner(&self) -> Run {
        sealgate(&["budget", "--data-dir", &self.path("owner")])
    }

    /// What has been told, as `home` reads it over the network.
    pub fn budget_gateway(&self, url: &str, home: &str) -> Run {
        sealgate(&["budget", "--gateway", url, "--home", &self.path(home)])
    }

    /// How many keys count against an account's quota.
    pub fn used(&self, url: &str, asset: &str, to: &str) -> u64 {
        let catalogue = sealgate(&["catalogue", "--gateway", url]).ok();
        let details = catalogue.as_array().unwrap();
        let detail = details.iter().find(|detail| detail["asset"]["name"] == asset).expect("the asset is there");
        let path = format!("/v1/assets/{}/grants/{to}", text(&detail["asset"]["id"]));
        let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
        assert_eq!(status, 200, "no grant to {to}");
        serde_json::from_slice::<Value>(&body).unwrap()["used"].as_u64().unwrap()
    }

    /// Takes an account off an asset's list.
    pub fn revoke(&self, asset: &str, to: &str) -> Run {
        sealgate(&["revoke", "--data-dir", &self.path("owner"), "--asset", asset, "--to", to])
    }

    /// The owner's audit of its folder.
    pub fn audit_owner(&self) -> Run {
        sealgate(&["audit", "--data-dir", &self.path("owner")])
    }

    /// The height of the owner's ledger, from an audit that must pass.
    pub fn height(&self) -> u64 {
        self.audit_owner().ok()["height"].as_u64().unwrap()
    }

    /// An audit of a gateway.
    pub fn audit_gateway(&self, url: &str, home: &str) -> Run {
        sealgate(&["audit", "--gateway", url, "--home", &self.path(home)])
    }

    /// The trail's lines as a home sees them.
    pub fn trail(&self, url: &str, home: &str) -> Vec<Value> {
        sealgate(&["trail", "--gateway", url, "--home", &self.path(home)]).ok().as_array().unwrap().clone()
    }

    /// Makes another account that trusts the ledger; its address.
    pub fn account(&self, home: &str) -> String {
        let account = sealgate(&["account", "new", "--home", &self.path(home), "--name", home]).ok();
        sealgate(&["trust", "--home", &self.path(home), &self.fingerprint]).ok();
        text(&account["address"])
    }

    /// A second world in the very same state: same keys, same ledger, same memories.
    pub fn twin(&self) -> World {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(self.dir.path(), dir.path());
        World {
            dir,
            fingerprint: self.fingerprint.clone(),
            requester: self.requester.clone(),
            auditor: self.auditor.clone(),
        }
    }
}

/// The answers of `ask` and `verify`: item and answer.
pub fn answers(verified: &Value) -> Vec<(String, String)> {
    let line = |line: &Value| (text(&line["item"]), text(&line["answer"]));
    verified["records"][0]["result"].as_array().unwrap().iter().map(line).collect()
}

/// One plain HTTP call: status and body.
pub fn http(url: &str, request_line: &str, body: &[u8]) -> (u16, Vec<u8>) {
    use std::io::{Read as _, Write as _};
    let host = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!(
        "{request_line}\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let status = String::from_utf8_lossy(&bytes[..end]).split(' ').nth(1).unwrap().parse().unwrap();
    (status, bytes[end + 4..].to_vec())
}

/// One exchange that went through a [`Wire`].
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Method and path.
    pub call: String,
    /// HTTP status.
    pub status: u16,
    /// The response's head, without the date and the request's number.
    pub head: Vec<String>,
    /// The response's body.
    pub body: Vec<u8>,
    /// The request's body.
    pub request: Vec<u8>,
}

/// How many digits of a text are numbers that depend on chance or on time and not on what was
/// asked: nonces, and heights, which empty blocks shift that are made while something waits.
fn passing(text: &str) -> usize {
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    let numbers = ["\"nonce\":", "\"expiry\":", "\"height\":", "\"deadline\":", "\\nblock "];
    numbers.iter().flat_map(|name| text.split(name).skip(1)).map(digits).sum()
}

impl Exchange {
    /// What of an exchange depends on the question alone: call, status, head, and the lengths of
    /// answer and request.
    pub fn measured(&self) -> (String, u16, Vec<String>, usize, usize) {
        let text = String::from_utf8_lossy(&self.body);
        let head =
            self.head.iter().filter(|line| !line.to_lowercase().starts_with("content-length")).cloned().collect();
        let hidden = |word: &str| if word.len() == 64 { "HASH".to_owned() } else { word.to_owned() };
        let call: Vec<String> = self.call.split('/').map(hidden).collect();
        (call.join("/"), self.status, head, text.len() - passing(&text), self.request.len())
    }
}

/// The sizes of the blocks that a gateway shows, without those that only let time pass.
pub fn block_sizes(url: &str) -> Vec<usize> {
    let get = |path: &str| {
        let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
        assert_eq!(status, 200, "{path}");
        String::from_utf8(body).unwrap()
    };
    let head: Value = serde_json::from_str(&get("/health")).unwrap();
    let blocks = (0..=head["height"].as_u64().unwrap()).map(|height| get(&format!("/v1/blocks/{height}")));
    blocks.filter(|block| !block.contains("\"entries\":[]")).map(|block| block.len() - passing(&block)).collect()
}

/// An error's text with the request that it names, and the block, taken out.
pub fn unnamed(error: &str) -> String {
    let (mut words, mut before) = (Vec::new(), "");
    for word in error.split(' ') {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let number = before == "block" && bare.parse::<u64>().is_ok();
        words.push(if bare.len() == 64 || number { word.replace(bare, "…") } else { word.to_owned() });
        before = bare;
    }
    words.join(" ")
}

/// Passes connections on to a gateway and keeps what an onlooker sees.
pub struct Wire {
    /// Its address.
    pub url: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<Exchange>>>,
}

impl Wire {
    /// Listens on a free port for a gateway.
    pub fn to(gateway: &str) -> Wire {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = gateway.trim_start_matches("http://").to_owned();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, kept) = (target.clone(), kept.clone());
                std::thread::spawn(move || pass_on(client, &target, &kept));
            }
        });
        Wire { url, seen }
    }

    /// The exchanges so far, taken.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// One message with its head; `None` at the end of the connection.
fn message(from: &mut impl std::io::BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn pass_on(client: std::net::TcpStream, target: &str, kept: &std::sync::Mutex<Vec<Exchange>>) {
    use std::io::Write as _;
    let Ok(server) = std::net::TcpStream::connect(target) else { return };
    let (mut from_client, mut from_server) = (BufReader::new(&client), BufReader::new(&server));
    let send = |to: &std::net::TcpStream, head: &[String], body: &[u8]| {
        let mut bytes = (head.join("\r\n") + "\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        let mut to = to;
        to.write_all(&bytes).is_ok()
    };
    while let Some((head, request)) = message(&mut from_client) {
        if !send(&server, &head, &request) {
            return;
        }
        let Some((answer, body)) = message(&mut from_server) else { return };
        let call = head.first().map(|line| line.trim_end_matches(" HTTP/1.1").to_owned()).unwrap_or_default();
        let status = answer.first().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let seen = answer
            .iter()
            .filter(|line| !["date:", "x-request-id:"].iter().any(|name| line.to_lowercase().starts_with(name)))
            .cloned()
            .collect();
        kept.lock().unwrap().push(Exchange { call, status, head: seen, body: body.clone(), request });
        if !send(&client, &answer, &body) {
            return;
        }
    }
}

/// A port that stays free until a program listens there: another one for each call of this process, and
/// none of those (32,768 and up) that the system gives to outgoing connections.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 50).unwrap() * 20;
    (0..1_000)
        .map(|_| 9_000 + (own + TAKEN.fetch_add(1, Ordering::Relaxed)) % 1_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("free ports")
}

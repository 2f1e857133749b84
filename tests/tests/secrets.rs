//! What commands print and gateways log, when all goes well and when it does not: no key, password,
//! passphrase, record or record's key. Sources are a PostgreSQL server, sealed objects lie in S3.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sealgate_tests::postgres::{PASSWORD, Postgres};
use sealgate_tests::s3::{S3, SECRET_KEY};
use sealgate_tests::{Server, World, binary, files_under, text};
use serde_json::Value;

const WRONG_PASSWORD: &str = "no:password\\ of 'reader'";
const PASSPHRASE: &str = "correct horse battery staple";
const WRONG_PASSPHRASE: &str = "four other words entirely";
/// Rows whose keys and values are found again wherever they are written.
const ROWS: &str = "CREATE TABLE register (code text PRIMARY KEY, holder text, born text);
    INSERT INTO register SELECT 'Code-' || n || '-zq', 'Holder ' || n || ' of Dalian', '1984-03-0' || n
    FROM generate_series(1, 9) AS n";
/// How long a scheduled sync may take to be logged.
const PATIENCE: Duration = Duration::from_secs(60);

/// An owner with a source and a store that want credentials, and everything that was printed.
struct Stage {
    world: World,
    environment: Vec<(&'static str, String)>,
    said: String,
}

impl Stage {
    fn new(server: &Postgres, s3: &S3) -> Stage {
        let world = World::new();
        let environment = s3.environment().into_iter().chain([("SEALGATE_LOG", "debug".into())]).collect();
        let stage = Stage { world, environment, said: String::new() };
        stage.password(PASSWORD);
        let text = format!(
            "[asset]\nname = \"register\"\ntitle = \"R\"\n[source]\nkind = \"postgres\"\nhost = \"localhost\"\n\
             port = {}\ndatabase = \"register\"\nuser = \"reader\"\npassword_file = \"password\"\nca = \"{}\"\n\
             table = \"register\"\n[key]\ncolumns = [\"code\"]\n[[column]]\nname = \"code\"\ntype = \"text\"\n\
             [[column]]\nname = \"holder\"\ntype = \"text\"\n[[column]]\nname = \"born\"\ntype = \"date\"\n",
            server.port,
            server.ca().display()
        );
        fs::write(stage.world.path("share.toml"), text).unwrap();
        let sync = format!("\n[[sync]]\nmanifest = \"{}\"\nevery = \"1s\"\n", stage.world.path("share.toml"));
        stage.edit("owner/sealgate.toml", |text| text.replace("file:store", "s3://sealed/department") + &sync);
        stage
    }

    fn password(&self, password: &str) {
        let path = self.world.path("password");
        fs::write(&path, password).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.world.path(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(text)).unwrap();
    }

    /// Runs a command, which must end well or, if `refused` says how, with that.
    fn run(&mut self, args: &[&str], more: &[(&str, &str)], refused: Option<&str>) {
        let mut command = Command::new(binary());
        command.args(args).envs(self.environment.iter().map(|(name, value)| (*name, value))).envs(more.iter().copied());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(output.status.success(), refused.is_none(), "{args:?}: {said}");
        assert!(refused.is_none_or(|expected| said.contains(expected)), "{args:?}: {said}");
        self.said.push_str(&said);
    }

    /// Waits until the log has an event whose text contains this.
    fn logged(&self, log: &Path, expected: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(log).unwrap().contains(expected) {
            assert!(begun.elapsed() < PATIENCE, "'{expected}' is not in {}", fs::read_to_string(log).unwrap());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn nothing_secret_is_printed_or_logged() {
    let (Some(server), Some(s3)) = (Postgres::start(), S3::start()) else { return };
    server.sql(ROWS);
    let mut stage = Stage::new(&server, &s3);
    let mut secrets = keys_in(&stage.world);
    let [owner, home, other, share, out, log] =
        ["owner", "requester", "auditor", "share.toml", "holders.csv", "log"].map(|name| stage.world.path(name));
    let log = Path::new(&log);

    stage.run(&["publish", "--data-dir", &owner, "--manifest", &share], &[], None);
    stage.world.grant("register", &stage.world.requester, &["--whole", "holder", "--purpose", ""]).ok();
    let serving = {
        let environment: Vec<_> = stage.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Server::logging_in(&owner, "debug", log, &environment)
    };
    let url = serving.url.clone();
    let served: Value = serde_json::from_slice(&fs::read(stage.world.path("owner/serving.json")).unwrap()).unwrap();
    secrets.push(text(&served["token"]));
    let fetch = ["fetch", "--asset", "register", "--columns", "holder", "--purpose", "p", "--out", &out, "--gateway"];
    stage.run(&[&fetch[..], &[&url, "--home", &home]].concat(), &[], None);
    stage.run(&[&fetch[..], &[&url, "--home", &other]].concat(), &[], Some("denied"));
    stage.run(&[&fetch[..], &["http://127.0.0.1:1", "--home", &home]].concat(), &[], Some("127.0.0.1:1"));
    assert!(fs::read_to_string(&out).unwrap().contains("Holder 7 of Dalian"));

    // Syncs of the gateway: one that goes well, one that meets a row that is no record, one that may not in.
    stage.logged(log, "\"synced\"");
    server.sql("INSERT INTO register VALUES ('Code-0-zq', 'Holder 0 of Dalian', 'Born long ago')");
    stage.logged(log, "where and why is shown by 'sealgate sync'");
    server.sql("DELETE FROM register WHERE code = 'Code-0-zq'");
    stage.password(WRONG_PASSWORD);
    stage.logged(log, "password authentication failed");
    drop(serving);

    // Commands: wrong credentials, nobody there, no such bucket.
    let sync = ["sync", "--data-dir", &owner];
    stage.run(&sync, &[], Some("password authentication failed"));
    stage.password(PASSWORD);
    let closed = format!("port = {}", sealgate_tests::free_port());
    let open = format!("port = {}", server.port);
    stage.edit("share.toml", |text| text.replace(&open, &closed));
    stage.run(&sync, &[], Some("register on localhost"));
    stage.edit("share.toml", |text| text.replace(&closed, &open));
    stage.edit("owner/sealgate.toml", |text| text.replace("s3://sealed", "s3://elsewhere"));
    stage.run(&sync, &[], Some("store"));
    stage.edit("owner/sealgate.toml", |text| text.replace("s3://elsewhere", "s3://sealed"));
    stage.run(&sync, &[], None);

    // Keys.
    let rotate = ["keys", "rotate", "--data-dir", &owner, "--asset", "register"];
    stage.run(&rotate, &[], None);
    let rotate_root = ["keys", "rotate-root", "--data-dir", &owner, "--to", "passphrase"];
    stage.run(&rotate_root, &[("SEALGATE_NEW_PASSPHRASE", "tiny words")], Some("at least 12 characters"));
    stage.run(&rotate_root, &[("SEALGATE_NEW_PASSPHRASE", PASSPHRASE)], None);
    stage.run(&rotate, &[("SEALGATE_PASSPHRASE", WRONG_PASSPHRASE)], Some("is not the one that belongs to"));
    stage.run(&rotate, &[("SEALGATE_PASSPHRASE", PASSPHRASE)], None);
    drop(s3);
    stage.run(&rotate, &[("SEALGATE_PASSPHRASE", PASSPHRASE)], Some("store, object"));
    drop(server);
    stage.run(&sync, &[("SEALGATE_PASSPHRASE", PASSPHRASE)], Some("register on localhost"));

    for secret in [PASSWORD, WRONG_PASSWORD, PASSPHRASE, WRONG_PASSPHRASE, SECRET_KEY, "tiny words"] {
        secrets.extend([secret.to_owned(), secret.replace('\\', "\\\\"), secret.replace('\'', "''")]);
    }
    secrets.extend(["pass:word".into(), "no:password".into(), "Born long ago".into(), "1984-03".into()]);
    secrets.extend((0..=9).flat_map(|n| [format!("Code-{n}-zq"), format!("Holder {n} of")]));
    assert!(secrets.len() > 40, "{} secrets were looked for", secrets.len());
    let log = fs::read_to_string(log).unwrap();
    for secret in secrets {
        assert!(!log.contains(&secret), "the log has '{secret}': {log}");
        assert!(!stage.said.contains(&secret), "'{secret}' was printed: {}", stage.said);
    }
}

/// Whatever may be a key in the files that hold keys: as it stands there, and in the other spellings.
fn keys_in(world: &World) -> Vec<String> {
    let mut keys = Vec::new();
    for path in files_under(world.dir.path()).iter().filter(|path| path.extension().is_some_and(|end| end == "key")) {
        let content = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        for word in content.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 32) {
            keys.push(word.to_owned());
            let pairs =
                word.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
            if let Ok(bytes) = pairs.collect::<Result<Vec<u8>, _>>() {
                keys.extend([word.to_uppercase(), STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]);
            }
        }
    }
    assert!(keys.len() >= 8, "{} spellings of keys", keys.len());
    keys
}

//! A PostgreSQL server of its own: in a temporary folder, on a socket there and, with TLS only, on a
//! port of this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// Where Debian's packages put the programs; the newest version counts.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);
/// The password of the user `reader`.
pub const PASSWORD: &str = "a pass:word\\ of 'reader'";

/// A running server; it ends with this value.
pub struct Postgres {
    child: Child,
    programs: PathBuf,
    folder: TempDir,
    /// The port on which it takes TLS connections for the name `localhost`.
    pub port: u16,
}

impl Postgres {
    /// Starts one with the database `register` and a user `reader`. `None`, said plainly, where
    /// PostgreSQL is not installed; `SEALGATE_POSTGRES` may name the folder of its programs. In
    /// continuous integration it must be there.
    pub fn start() -> Option<Postgres> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
            println!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let data = folder.path().join("data");
        let as_root = is_root();
        if as_root {
            run(Command::new("chown").arg("-R").arg("postgres").arg(folder.path()));
        }
        let program = |name: &str| {
            let mut command = Command::new(if as_root { "runuser".into() } else { programs.join(name) });
            if as_root {
                command.args(["-u", "postgres", "--"]).arg(programs.join(name));
            }
            command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        run(program("initdb").args(["-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"]).arg(&data));
        let port = crate::free_port();
        std::fs::write(
            data.join("pg_hba.conf"),
            "local all owner trust\nhostssl all reader 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "shared_buffers=32MB",
            "ssl=on",
            "ssl_cert_file=../server.crt",
            "ssl_key_file=../server.key",
            // A place with habits of its own, which must not show.
            "timezone=America/Vancouver",
            "datestyle=German",
            "extra_float_digits=-5",
            "statement_timeout=600000",
        ] {
            postgres.args(["-c", setting]);
        }
        let child = postgres.spawn().unwrap();
        let server = Postgres { child, programs, folder, port };
        let begun = Instant::now();
        while !server.psql("postgres", "SELECT 1").0 {
            assert!(begun.elapsed() < START, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(server.psql("postgres", "CREATE DATABASE register").0);
        let password = PASSWORD.replace('\'', "''");
        server.sql(&format!("CREATE USER reader PASSWORD '{password}'; GRANT pg_read_all_data TO reader"));
        Some(server)
    }

    /// Runs SQL on the database as its owner; what it prints.
    pub fn sql(&self, sql: &str) -> String {
        let (done, printed) = self.psql("register", sql);
        assert!(done, "{sql}: {printed}");
        printed
    }

    fn psql(&self, database: &str, sql: &str) -> (bool, String) {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-d", database, "-c", sql]);
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        let output = command.output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// The PEM file of the authority that signed the server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The PEM file of another authority.
    pub fn other_ca(&self) -> PathBuf {
        self.folder.path().join("other-ca.pem")
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The postmaster ends itself and its children at once when it is told to.
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ended = Command::new("kill").args(["-INT", pid]).status();
        }
        let _status = self.child.wait();
    }
}

/// An authority, the server's certificate for `localhost`, and an authority of the same name that
/// signed nothing.
fn certificates(folder: &Path) {
    let authority = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Register's authority");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("ca.pem", ours.pem());
    write("other-ca.pem", other.pem());
    write("server.crt", server.pem());
    write("server.key", key.serialize_pem());
    run(Command::new("chmod").arg("600").arg(folder.join("server.key")));
    // PostgreSQL may run as another user, and clients read the authorities.
    run(Command::new("chmod").arg("755").arg(folder));
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("SEALGATE_POSTGRES") {
        return Some(folder.into());
    }
    let folders = std::fs::read_dir(DEBIAN).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = folders.filter(|path| path.join("bin/initdb").exists()).max_by_key(version)?;
    Some(newest.join("bin"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

//! The same signed rows in PostgreSQL, each its own transaction with synchronous commit: what one
//! would pick who trusts the owner of the database. It checks no signature and decides nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};
use sealgate_benches::{Cost, Fault};
use sealgate_ledger::tx::SignedTx;

/// Where Debian's packages put the programs; the newest version counts.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// A server of its own in a folder of its own, listening on nothing but a socket there.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts one; `None` where PostgreSQL is not installed. Its programs are sought in the folder
    /// that `SEALGATE_POSTGRES` names, then where Debian's packages put them. PostgreSQL does not
    /// run as root: then it runs as the user `postgres`.
    pub(crate) fn start(parent: &Path) -> Result<Option<Server>, Fault> {
        let Some(programs) = programs() else { return Ok(None) };
        let folder = parent.join("postgres");
        std::fs::create_dir(&folder)?;
        let as_root = rustix::process::geteuid().is_root();
        if as_root {
            // The way there must be open to that user.
            run(Command::new("chmod").arg("o+x").arg(parent))?;
            run(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        let program = |name: &str| {
            let mut command = Command::new(if as_root { "runuser".into() } else { programs.join(name) });
            if as_root {
                command.args(["-u", "postgres", "--"]).arg(programs.join(name));
            }
            command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        run(program("initdb").args(["-U", "bench", "-A", "trust", "-D"]).arg(folder.join("data")))?;
        let settings = ["listen_addresses=", "fsync=on", "synchronous_commit=on", "shared_buffers=512MB"];
        let sizes = ["max_connections=600", "max_wal_size=4GB", "wal_level=minimal", "max_wal_senders=0"];
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        for setting in settings.iter().chain(&sizes) {
            postgres.args(["-c", setting]);
        }
        let server = Server { child: postgres.spawn()?, folder };
        let begun = Instant::now();
        loop {
            match server.connect() {
                Ok(mut client) => {
                    client.batch_execute(
                        "CREATE TABLE request (entry bigserial PRIMARY KEY, hash bytea UNIQUE NOT NULL,
                         sender bytea NOT NULL, asset bytea NOT NULL, signed bytea NOT NULL);
                         CREATE INDEX ON request (asset, entry)",
                    )?;
                    return Ok(Some(server));
                }
                Err(error) if begun.elapsed() > START => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn connect(&self) -> Result<Client, postgres::Error> {
        Config::new().host_path(&self.folder).user("bench").dbname("postgres").connect(NoTls)
    }

    /// Inserts all transactions, each by itself, from so many clients, with prepared statements;
    /// the clients' connections are made beforehand.
    pub(crate) fn insert_all(&self, txs: &[SignedTx], clients: usize) -> Result<Cost, Fault> {
        self.connect()?.batch_execute("TRUNCATE request RESTART IDENTITY")?;
        let rows: Vec<[Vec<u8>; 4]> = txs.iter().map(row).collect();
        let connected: Vec<Mutex<Client>> =
            (0..clients.max(1)).map(|_| self.connect().map(Mutex::new)).collect::<Result<_, _>>()?;
        Cost::of(|| {
            std::thread::scope(|scope| {
                let share = rows.len().div_ceil(connected.len());
                let running: Vec<_> = rows
                    .chunks(share)
                    .zip(&connected)
                    .map(|(rows, client)| scope.spawn(move || insert(client, rows)))
                    .collect();
                running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
            })
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The postmaster ends itself and its children at once when its socket's owner says so.
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ended = run(Command::new("kill").args(["-INT", pid]));
        }
        let _status = self.child.wait();
    }
}

fn insert(client: &Mutex<Client>, rows: &[[Vec<u8>; 4]]) -> Result<(), Fault> {
    let mut client = client.lock().map_err(|_| "a client panicked")?;
    let statement = client.prepare("INSERT INTO request (hash, sender, asset, signed) VALUES ($1, $2, $3, $4)")?;
    for [hash, sender, asset, signed] in rows {
        client.execute(&statement, &[hash, sender, asset, signed])?;
    }
    Ok(())
}

/// What a table of requests holds: hash, sender, asset, and the signed bytes.
fn row(tx: &SignedTx) -> [Vec<u8>; 4] {
    let asset = match &tx.tx.body {
        sealgate_ledger::tx::TxBody::Request { asset, .. } => asset.0.to_vec(),
        _ => Vec::new(),
    };
    [tx.hash().0.to_vec(), tx.tx.sender.0.to_vec(), asset, tx.encode()]
}

fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("SEALGATE_POSTGRES") {
        return Some(folder.into());
    }
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(DEBIAN).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    versions.sort();
    versions.pop().filter(|folder| folder.join("initdb").exists())
}

fn run(command: &mut Command) -> Result<(), Fault> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

//! A gateway under attack from another process, while the main job goes on: its memory stays bounded, who is
//! honest is served, and nothing is lost.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealgate_tests::{Server, Table, World, answers, sealgate};

/// Where the attacker finds its target; set for that process alone.
const TARGET: &str = "SEALGATE_ATTACKED";
/// An account whose pages it looks at.
const ACCOUNT: &str = "SEALGATE_ATTACKED_ACCOUNT";
/// Connections that are held open.
const CONNECTIONS: usize = 10_000;
/// Threads that open them.
const HOLDERS: usize = 4;
/// Threads that look through the explorer.
const EXPLORERS: usize = 8;
/// Questions that are asked meanwhile.
const QUESTIONS: u32 = 12;
/// How much memory the gateway may take beyond what it had before.
const GROWTH_BYTES: u64 = 768 << 20;
/// What it may hold of bodies, connections and reads, so that this can be told from no bound at all.
const LIMITS: &str =
    "\n[limits]\nconnections = 12000\nbody_bytes = \"64MB\"\nhead_time = \"2m\"\nstall_time = \"5s\"\n";

/// Most memory that a process ever had.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// The attacker: this very program in a process of its own.
struct Attacker {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Attacker {
    fn start(url: &str, account: &str) -> Attacker {
        let own = std::env::current_exe().unwrap();
        let raised = "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", raised]).arg(own).args(["--exact", "the_attacker", "--ignored", "--nocapture"]);
        let mut child = command
            .env(TARGET, url)
            .env(ACCOUNT, account)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut attacker = Attacker { child, says };
        // Until it holds the connections that it wants.
        let mut line = String::new();
        while !line.contains("holding") {
            line.clear();
            assert!(attacker.says.read_line(&mut line).unwrap() > 0, "the attacker gave up");
        }
        attacker
    }

    /// Ends it, and says what it counted.
    fn stop(mut self) -> BTreeMap<String, u64> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.says.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        let counted = |line: &str| {
            let (name, count) = line.strip_prefix("counted ")?.split_once(": ")?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        said.lines().filter_map(counted).collect()
    }
}

#[test]
fn the_main_job_goes_on_under_attack_and_nothing_is_lost() {
    let world = World::with(&Table::shops(40));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "=HYPERLINK(\"http://evil\")"]).ok();
    let config = world.path("owner/sealgate.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, usual + LIMITS).unwrap();
    let server = Server::with_many_files(&world.path("owner"));
    let ask = |id: u32| {
        let sql = format!("SELECT name FROM shop WHERE id = {id}");
        world.ask(&server.url, "requester", "=HYPERLINK(\"http://evil\")", &format!("{id}.json"), &sql)
    };
    ask(1).ok();
    let before = peak_bytes(server.process());
    let attacker = Attacker::start(&server.url, &world.requester);
    let mut slowest = Duration::ZERO;
    for id in 2..2 + QUESTIONS {
        // Whoever is crowded out comes again, as the answer tells it to.
        let begun = Instant::now();
        let answer = loop {
            let run = ask(id);
            if run.code == 0 {
                break run.ok();
            }
            println!("again: {}", run.json);
            assert!(begun.elapsed() < Duration::from_secs(120), "nobody is served: {run:?}");
        };
        assert_eq!(answers(&answer)[0].1, format!("Shop no. {id}"));
        slowest = slowest.max(begun.elapsed());
    }
    let counted = attacker.stop();
    println!("{counted:?}; the slowest question took {slowest:.1?}");
    for (name, least) in [
        ("open at once", 1_000),
        ("oversized", 5),
        ("nested", 5),
        ("bombs", 5),
        ("paths", 5),
        ("injected", 5),
        ("explored", 20),
    ] {
        assert!(counted[name] >= least, "{name}: {counted:?}");
    }
    let grown = peak_bytes(server.process()).saturating_sub(before);
    println!("the gateway took {} MiB more", grown >> 20);
    assert!(grown < GROWTH_BYTES, "the gateway took {} MiB more", grown >> 20);

    // Nothing is lost, nothing was added: every question stands on the ledger with its answer.
    let (status, health) = sealgate_tests::http(&server.url, "GET /health HTTP/1.1", b"");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&health));
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.len() as u32, 1 + QUESTIONS);
    assert!(trail.iter().all(|line| line.to_string().contains("answered")), "{trail:?}");
    world.audit_gateway(&server.url, "auditor").ok();
    // What somebody wrote as a purpose is no formula to who opens the table in a spreadsheet.
    let csv = world.path("trail.csv");
    let home = world.path("auditor");
    sealgate(&["trail", "--gateway", &server.url, "--home", &home, "--csv", &csv]).ok();
    let table = sealgate_tests::parse_csv(&std::fs::read_to_string(csv).unwrap());
    let formulas = table.iter().flatten().filter(|cell| cell.starts_with(['=', '+', '-', '@'])).count();
    assert_eq!(formulas, 0);
    assert!(table.iter().flatten().any(|cell| cell.starts_with("'=HYPERLINK")));
    drop(server);
    world.audit_owner().ok();
}

/// What all of the attacker's threads share.
struct Attack {
    target: SocketAddr,
    over: AtomicBool,
    counted: Mutex<BTreeMap<&'static str, u64>>,
    open: AtomicUsize,
}

impl Attack {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self, name: &'static str) {
        *self.counted.lock().unwrap().entry(name).or_default() += 1;
    }

    fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.target, Duration::from_secs(5)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        stream.set_write_timeout(Some(Duration::from_secs(20))).ok()?;
        Some(stream)
    }

    /// Sends these bytes, and reads what comes back.
    fn send(&self, parts: &[&[u8]]) -> Option<String> {
        let mut stream = self.connect()?;
        for part in parts {
            // Refused before all of it was sent.
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.take(1 << 20).read_to_end(&mut answer);
        Some(String::from_utf8_lossy(&answer).into_owned()).filter(|answer| !answer.is_empty())
    }

    /// Sends again and again; what answers is one of `statuses`.
    fn repeat(&self, name: &'static str, statuses: &[&str], make: impl Fn(u64) -> Vec<Vec<u8>>) {
        let mut round = 0;
        while !self.is_over() {
            let parts = make(round);
            round += 1;
            let Some(answer) = self.send(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()) else {
                self.count("crowded out");
                continue;
            };
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(statuses.contains(&status) || ["429", "503"].contains(&status), "{name}: {answer}");
            assert!(!answer.to_lowercase().contains("set-cookie: evil"), "{name}: {answer}");
            assert!(!answer.contains("root:") && !answer.contains("/tmp/"), "{name}: {answer}");
            self.count(name);
        }
    }

    /// Opens connections and keeps them, half of them with a head that comes a byte at a time.
    fn hold(&self, many: usize) {
        let mut held: Vec<TcpStream> = Vec::new();
        while !self.is_over() {
            while held.len() < many && !self.is_over() {
                let Some(stream) = self.connect() else { break };
                if held.len().is_multiple_of(2) {
                    let _ = (&stream).write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx: ");
                }
                let _ = stream.set_nonblocking(true);
                held.push(stream);
                self.open.fetch_add(1, Ordering::Relaxed);
                self.count("held");
            }
            let mut drips = [true, false].into_iter().cycle();
            held.retain(|stream| {
                let (mut end, mut byte): (&TcpStream, _) = (stream, [0]);
                let open = matches!(end.read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
                let held_on = open && (!drips.next().unwrap_or(false) || end.write(b"x").is_ok());
                self.open.fetch_sub(usize::from(!held_on), Ordering::Relaxed);
                held_on
            });
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn post(path: &str, length: u64, more: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n")
        .into_bytes()
}

fn get(path: &str) -> Vec<Vec<u8>> {
    vec![format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()]
}

#[test]
#[ignore = "run by the other test, in a process of its own"]
fn the_attacker() {
    let Ok(url) = std::env::var(TARGET) else { return };
    let target = url.strip_prefix("http://").unwrap().parse().unwrap();
    let attack = Attack { target, over: AtomicBool::new(false), counted: Mutex::default(), open: AtomicUsize::new(0) };
    let files = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = files.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = files.split_whitespace().next().unwrap().parse().unwrap_or(1 << 20);
    let connections = CONNECTIONS.min(files.saturating_sub(200));
    let nested = [b"[".repeat(1 << 20), br#"{"a":"#.repeat(1 << 18)];
    let account = std::env::var(ACCOUNT).unwrap();
    std::thread::scope(|scope| {
        let (attack, account) = (&attack, &account);
        for _ in 0..HOLDERS {
            scope.spawn(move || attack.hold(connections / HOLDERS));
        }
        scope.spawn(move || {
            let begun = Instant::now();
            while attack.open.load(Ordering::Relaxed) < connections / HOLDERS * HOLDERS {
                assert!(
                    begun.elapsed() < Duration::from_secs(120),
                    "{} connections are open",
                    attack.open.load(Ordering::Relaxed)
                );
                std::thread::sleep(Duration::from_millis(50));
            }
            println!("holding {}", attack.open.load(Ordering::Relaxed));
        });
        scope.spawn(|| {
            attack.repeat("oversized", &["400", "408", "411", "413", "431"], |round| match round % 4 {
                0 => vec![post("/v1/asks", (12 << 20) + 1, ""), vec![b'x'; 1 << 20]],
                1 => vec![post("/v1/transactions", u64::MAX, ""), vec![0; 1 << 20]],
                2 => vec![
                    b"POST /v1/asks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
                        .to_vec(),
                    b"fffff\r\n".to_vec(),
                    vec![b'x'; 0xfffff],
                ],
                _ => vec![post("/v1/asks", 12 << 20, ""), vec![b' '; 12 << 20]],
            });
        });
        scope.spawn(|| {
            attack.repeat("nested", &["400", "413"], |round| {
                let body = nested[usize::from(round % 2 == 1)].clone();
                let path = ["/v1/asks", "/v1/deliveries", "/v1/sessions"][(round % 3) as usize];
                vec![post(path, body.len() as u64, ""), body]
            });
        });
        scope.spawn(|| {
            // What would be gigabytes of blanks is not unpacked, but refused by its header.
            let bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 0xec, 0xc0, 0x81];
            attack.repeat("bombs", &["415"], |round| {
                let kind = ["gzip", "deflate", "br", "zstd"][(round % 4) as usize];
                vec![post("/v1/asks", bomb.len() as u64, &format!("content-encoding: {kind}\r\n")), bomb.clone()]
            });
        });
        scope.spawn(|| {
            let paths = [
                "/v1/parameters/..%2f..%2f..%2f..%2fetc%2fpasswd",
                "/v1/parameters/../../../etc/passwd",
                "/../../../../etc/passwd",
                "/console/..%2f..%2faccount.key",
                "/console/%2e%2e/%2e%2e/account.key",
                "/v1/texts/%00",
                "//etc/passwd",
                "/v1/assets/%2e%2e",
            ];
            attack.repeat("paths", &["400", "404", "303", "421"], |round| get(paths[round as usize % paths.len()]));
        });
        scope.spawn(|| {
            let calls = [
                "/v1/catalogue?search=%27%20OR%201%3D1%20--",
                "/v1/catalogue?owner=%27%3B%20DROP%20TABLE%20assets%3B--",
                "/v1/catalogue?search=%0d%0aset-cookie:%20evil%3d1",
                "/console?lang=%0d%0aset-cookie:%20evil%3d1",
                "/v1/trail?asset=%27%20OR%20%271%27%3D%271",
                "/v1/catalogue?search=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            ];
            attack.repeat("injected", &["200", "303", "400", "404", "421"], |round| {
                get(calls[round as usize % calls.len()])
            });
        });
        for _ in 0..EXPLORERS {
            scope.spawn(move || {
                // Pages that anybody may look at, and that go through hundreds of blocks.
                let pages = [
                    format!("/console/explorer/accounts/{account}"),
                    format!("/console/explorer/search?q={}", "5a".repeat(32)),
                    "/console/explorer/search?q=a".to_owned(),
                    "/console/explorer/accounts".to_owned(),
                ];
                attack.repeat("explored", &["200", "303"], |round| {
                    let page = &pages[round as usize % pages.len()];
                    vec![format!("GET {page} HTTP/1.1\r\nhost: {target}\r\nconnection: close\r\n\r\n").into_bytes()]
                });
            });
        }
        // Until the other test has seen enough: then its end of the pipe closes.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        attack.over.store(true, Ordering::Relaxed);
    });
    for (name, count) in attack.counted.lock().unwrap().iter() {
        println!("counted {name}: {count}");
    }
    println!("counted open at once: {}", attack.open.load(Ordering::Relaxed));
}

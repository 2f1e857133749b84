//! Witnesses, with real processes: an owner, a witness it does not run, and requesters who pin it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::cosign::{WitnessKey, WitnessSecret};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::merkle::NodeHash;
use sealgate_ledger::witness::AddCheckpoint;
use sealgate_tests::{Server, Table, World, copy_folder, http, sealgate, sealgate_plain, text};
use serde_json::Value;

const SQL: &str = "SELECT name, fee FROM shop WHERE id = 3";

/// A world with a published and granted table, and a witness that follows its ledger.
struct Watched {
    world: World,
    witness: Server,
    key: String,
}

impl Watched {
    fn new() -> Watched {
        let world = World::with(&Table::shops(20));
        world.grant("shop", &world.requester, &["--disclose", "name,fee", "--purpose", "test"]).ok();
        let home = world.path("witness");
        let key = text(&sealgate(&["witness", "new", "--home", &home, "--name", "witness.example/1"]).ok()["key"]);
        sealgate(&["trust", "--home", &home, &world.fingerprint]).ok();
        let genesis = world.path("owner/ledger/genesis.json");
        sealgate(&["witness", "follow", "--home", &home, "--genesis", &genesis]).ok();
        let witness = serve_witness(&home, "127.0.0.1:0");
        Watched { world, witness, key }
    }

    fn serve(&self, folder: &str) -> Server {
        serve_owner(&self.world.path(folder), &format!("{}={}", self.witness.url, self.key))
    }

    fn pin(&self, home: &str, more: &[&str]) -> Value {
        let home = self.world.path(home);
        let mut args = vec!["trust", "--home", &home, &self.world.fingerprint, "--witness", &self.key];
        args.extend(more);
        sealgate(&args).ok()
    }

    fn ask(&self, url: &str, out: &str) -> Value {
        self.world.ask(url, "requester", "test", out, SQL).ok()
    }

    fn status(&self) -> Value {
        sealgate(&["witness", "status", "--home", &self.world.path("witness")]).ok()["ledgers"][0].clone()
    }

    /// What the ledger's key signs as its next checkpoint, made by hand.
    fn genesis(&self) -> Genesis {
        let bytes = std::fs::read(self.world.path("owner/ledger/genesis.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn serve_witness(home: &str, listen: &str) -> Server {
    Server::run(&["witness", "serve", "--home", home, "--listen", listen], &[])
}

fn serve_owner(folder: &str, witness: &str) -> Server {
    Server::run(&["serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--witness", witness], &[])
}

fn lines(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn get(url: &str, path: &str) -> Value {
    let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
    assert_eq!(status, 200, "{path}");
    serde_json::from_slice(&body).unwrap()
}

fn add_checkpoint(url: &str, request: &AddCheckpoint) -> (u16, String) {
    let (status, body) = http(url, "POST /add-checkpoint HTTP/1.1", request.to_text().as_bytes());
    (status, String::from_utf8(body).unwrap())
}

/// Waits for what a background task brings about.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The port of a URL that this test wants back.
fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

#[test]
fn answers_carry_cosignatures_and_say_who_witnessed_them() {
    let watched = Watched::new();
    let world = &watched.world;
    let server = watched.serve("owner");
    // Who pins nobody reads what it read before.
    let unpinned = watched.ask(&server.url, "unpinned.json");
    assert!(lines(&unpinned["notes"]).iter().any(|note| note.starts_with("owner-operated ledger")));
    assert_eq!(unpinned["witnesses"], serde_json::json!([]));

    let pinned = watched.pin("requester", &[]);
    assert_eq!((pinned["witnesses"][0].as_str(), pinned["required"].as_u64()), (Some(watched.key.as_str()), Some(0)));
    let verified = watched.ask(&server.url, "answer.json");
    assert_eq!(verified["witnesses"][0]["name"], "witness.example/1");
    assert_eq!(verified["witnesses"][0]["size"], verified["checkpoint_size"]);
    assert!(lines(&verified["checks"]).iter().any(|line| line.starts_with("witnessed by witness.example/1 at 20")));
    assert!(!lines(&verified["notes"]).iter().any(|note| note.contains("owner-operated")), "{verified}");
    // The cosignature is in the file: whoever pins the witness reads the same offline.
    let file: Value = serde_json::from_slice(&std::fs::read(world.path("answer.json")).unwrap()).unwrap();
    let note = SignedCheckpoint(text(&file["checkpoint"]));
    let key: WitnessKey = watched.key.parse().unwrap();
    assert!(key.cosigned(&note).unwrap().is_some());
    drop(server);
    let again = world.verify("requester", "answer.json").ok();
    assert_eq!(again["witnesses"][0]["name"], "witness.example/1");
    // The first answer's checkpoint speaks through the later one.
    let earlier = world.verify("requester", "unpinned.json").ok();
    assert_eq!(earlier["witnesses"][0]["name"], "witness.example/1");

    let status = watched.status();
    assert!(status["size"].as_u64() >= verified["checkpoint_size"].as_u64(), "{status}");
    assert_eq!(status["evidence"], serde_json::json!([]));
    // The witness shows the same checkpoint to monitors.
    let origin = note.0.lines().next().unwrap();
    let hash: String = {
        use sha2::Digest as _;
        sha2::Sha256::digest(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (code, body) = http(&watched.witness.url, &format!("GET /{hash}/checkpoint HTTP/1.1"), b"");
    assert_eq!(code, 200);
    assert!(key.cosigned(&SignedCheckpoint(String::from_utf8(body).unwrap())).unwrap().is_some());
    assert_eq!(http(&watched.witness.url, &format!("GET /{}/checkpoint HTTP/1.1", "0".repeat(64)), b"").0, 404);
}

#[test]
fn an_audit_says_who_witnessed_the_head_and_a_missing_witness_is_a_note_or_a_refusal() {
    let watched = Watched::new();
    let world = &watched.world;
    watched.pin("requester", &[]);
    watched.pin("auditor", &["--require-witness"]);
    // The witness is not told of anything.
    let server = world.serve();
    let verified = watched.ask(&server.url, "answer.json");
    assert_eq!(verified["witnesses"], serde_json::json!([]));
    let notes = lines(&verified["notes"]);
    assert!(notes.iter().any(|note| note.starts_with("owner-operated ledger: not witnessed by witness.example/1")));
    let error = world.audit_gateway(&server.url, "auditor").error();
    assert!(error.contains("0 of the 1 witnesses") && error.contains("witness.example/1"), "{error}");
    let error = sealgate(&[
        "verify",
        "--home",
        &world.path("auditor"),
        "--requester",
        &world.requester,
        &world.path("answer.json"),
    ])
    .error();
    assert!(error.contains("0 of the 1 witnesses"), "{error}");
    drop(server);

    let server = watched.serve("owner");
    let audit = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!(audit["witnesses"][0]["name"], "witness.example/1");
    let plain = sealgate_plain(&["audit", "--gateway", &server.url, "--home", &world.path("auditor")]);
    assert!(plain.stdout.contains("\nok    witnessed by witness.example/1 at 20"), "{}", plain.stdout);
    // The answer from before is part of what was witnessed since.
    let late = sealgate(&[
        "verify",
        "--gateway",
        &server.url,
        "--home",
        &world.path("auditor"),
        "--requester",
        &world.requester,
        &world.path("answer.json"),
    ]);
    assert_eq!(late.ok()["witnesses"][0]["name"], "witness.example/1");

    // The witness goes away: questions go on, and say so; who requires it is refused.
    let Watched { world, witness, .. } = watched;
    let listen = address(&witness.url);
    witness.kill();
    let verified = world.ask(&server.url, "requester", "test", "alone.json", SQL).ok();
    assert_eq!(verified["witnesses"], serde_json::json!([]));
    assert!(world.audit_gateway(&server.url, "auditor").error().contains("0 of the 1 witnesses"));
    // It comes back with its memory, and the log with it.
    let _witness = serve_witness(&world.path("witness"), &listen);
    eventually("the witness cosigns again", || {
        let audit = world.audit_gateway(&server.url, "auditor");
        (audit.code == 0).then_some(())
    });
}

#[test]
fn a_rolled_back_ledger_is_not_cosigned() {
    let watched = Watched::new();
    let world = &watched.world;
    copy_folder(world.path("owner").as_ref(), world.path("old").as_ref());
    let server = watched.serve("owner");
    watched.pin("requester", &["--require-witness"]);
    watched.ask(&server.url, "answer.json");
    let size = eventually("the head is cosigned", || watched.status()["size"].as_u64().filter(|size| *size > 2));
    drop(server);

    // A copy from before the question, served in its place: smaller first, then grown differently.
    let server = watched.serve("old");
    let other = world.account("other");
    sealgate(&["trust", "--home", &world.path("other"), &world.fingerprint, "--witness", &watched.key]).ok();
    let old = world.path("old");
    let terms = ["--to", &other, "--disclose", "name,fee", "--purpose", "test"];
    sealgate(&[&["grant", "--data-dir", &old, "--asset", "shop"][..], &terms].concat()).ok();
    for out in ["one.json", "two.json", "three.json", "four.json"] {
        let verified = world.ask(&server.url, "other", "test", out, SQL).ok();
        assert_eq!(verified["witnesses"], serde_json::json!([]), "a forked ledger counts as witnessed");
    }
    let head = get(&server.url, "/v1/checkpoint");
    assert!(head["header"]["tree_size"].as_u64().unwrap() > size, "the copy has outgrown what was cosigned");
    assert_eq!(watched.status()["size"].as_u64(), Some(size));
    // Who saw the first history notices by itself, too.
    let error = world.ask(&server.url, "requester", "test", "five.json", SQL).error();
    assert!(error.contains("contradicts"), "{error}");
}

#[test]
fn a_second_history_of_the_same_size_is_refused_and_kept() {
    let watched = Watched::new();
    let world = &watched.world;
    copy_folder(world.path("owner").as_ref(), world.path("fork").as_ref());
    let server = watched.serve("owner");
    world.account("one");
    let size = |url: &str| get(url, "/v1/checkpoint")["header"]["tree_size"].as_u64().unwrap();
    world.grant("shop", &world.auditor, &["--disclose", "name", "--purpose", "a"]).ok();
    let grown = size(&server.url);
    eventually("the head is cosigned", || (watched.status()["size"].as_u64() == Some(grown)).then_some(()));
    drop(server);

    let server = watched.serve("fork");
    sealgate(&[
        "grant",
        "--data-dir",
        &world.path("fork"),
        "--asset",
        "shop",
        "--to",
        &world.auditor,
        "--disclose",
        "fee",
        "--purpose",
        "b",
    ])
    .ok();
    assert_eq!(size(&server.url), grown);
    let evidence = eventually("evidence is kept", || {
        watched.status()["evidence"].as_array().filter(|found| !found.is_empty()).map(|found| text(&found[0]))
    });
    let pair: Value = serde_json::from_slice(&std::fs::read(evidence).unwrap()).unwrap();
    let genesis = watched.genesis();
    let checkpoint =
        |name: &str| SignedCheckpoint(text(&pair[name])).verify(&genesis.chain_id(), &genesis.members()).unwrap();
    let (cosigned, other) = (checkpoint("cosigned"), checkpoint("other"));
    assert_eq!((cosigned.size, other.size), (grown, grown));
    assert_ne!(cosigned.root, other.root);
    let plain = sealgate_plain(&["witness", "status", "--home", &world.path("witness")]);
    assert!(plain.stdout.contains("EVIDENCE    of two histories"), "{}", plain.stdout);
}

/// C2SP's tlog-witness, by hand: each status, and the races the specification warns of.
#[test]
fn the_protocol_is_the_published_one() {
    let watched = Watched::new();
    let url = watched.witness.url.clone();
    let server = watched.world.serve();
    let head = get(&server.url, "/v1/checkpoint");
    let size = head["header"]["tree_size"].as_u64().unwrap();
    let checkpoint = SignedCheckpoint(text(&head["checkpoint"]));
    let request = |old: u64, proof: Vec<NodeHash>| AddCheckpoint { old, proof, checkpoint: checkpoint.clone() };

    // Nothing cosigned yet: an old size other than zero is a conflict.
    assert_eq!(add_checkpoint(&url, &request(1, vec![])), (409, "0\n".into()));
    // What is larger than the checkpoint is malformed.
    assert_eq!(add_checkpoint(&url, &request(size + 1, vec![])).0, 400);
    // A proof where there is nothing to prove.
    assert_eq!(add_checkpoint(&url, &request(0, vec![NodeHash([0; 32])])).0, 422);
    let key: WitnessKey = watched.key.parse().unwrap();
    let cosigned = |body: &str| {
        assert!(body.starts_with("\u{2014} ") && body.ends_with('\n') && body.lines().count() == 1, "{body}");
        key.cosigned(&SignedCheckpoint(format!("{checkpoint}{body}"))).unwrap().expect("cosigned")
    };
    let (code, body) = add_checkpoint(&url, &request(0, vec![]));
    assert_eq!(code, 200);
    let first = cosigned(&body);
    assert_eq!(add_checkpoint(&url, &request(0, vec![])), (409, format!("{size}\n")));
    // The same checkpoint again is cosigned again.
    let (code, body) = add_checkpoint(&url, &request(size, vec![]));
    assert!(code == 200 && cosigned(&body) >= first);
    assert_eq!(add_checkpoint(&url, &request(size, vec![NodeHash([0; 32])])).0, 422);

    let changed = |from: &str, to: &str| {
        let text = request(size, vec![]).to_text();
        assert!(text.contains(from));
        http(&url, "POST /add-checkpoint HTTP/1.1", text.replacen(from, to, 1).as_bytes()).0
    };
    assert_eq!(changed("sealgate/chain1", "sealgate/chain2"), 404);
    let root = checkpoint.0.lines().nth(2).unwrap();
    assert_eq!(changed(root, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), 403);
    assert_eq!(changed(&format!("old {size}"), &format!("old 0{size}")), 400);
    assert_eq!(changed("\n\n", "\n"), 400);
    // A body that is too large is refused by its announced length.
    assert!(raw_post(&url, 1 << 20, "").starts_with("HTTP/1.1 413 "));
    assert_eq!(http(&url, "GET /add-checkpoint HTTP/1.1", b"").0, 405);
    assert_eq!(http(&url, "POST /elsewhere HTTP/1.1", b"").0, 404);
    // The conflict names the content type that logs look for.
    let conflict = request(0, vec![]).to_text();
    let raw = raw_post(&url, conflict.len(), &conflict);
    assert!(raw.to_lowercase().contains("content-type: text/x.tlog.size\r\n"), "{raw}");

    // Many at once from one size: whichever the order, the memory never goes back.
    watched.world.grant("shop", &watched.world.auditor, &["--disclose", "name", "--purpose", "a"]).ok();
    let middle = get(&server.url, "/v1/checkpoint");
    watched.world.grant("shop", &watched.world.auditor, &["--disclose", "fee", "--purpose", "b"]).ok();
    let newest = get(&server.url, "/v1/checkpoint");
    let extend = |head: &Value| {
        let new = head["header"]["tree_size"].as_u64().unwrap();
        let proof = get(&server.url, &format!("/v1/consistency?old={size}&new={new}"));
        AddCheckpoint {
            old: size,
            proof: serde_json::from_value(proof).unwrap(),
            checkpoint: SignedCheckpoint(text(&head["checkpoint"])),
        }
    };
    let requests = [extend(&middle), extend(&newest)];
    let codes: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..16)
            .map(|i| {
                let (url, request) = (&url, &requests[i % 2]);
                scope.spawn(move || add_checkpoint(url, request).0)
            })
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 200).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| [200, 409].contains(code)), "{codes:?}");
}

fn raw_post(url: &str, length: usize, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let host = address(url);
    let mut stream = std::net::TcpStream::connect(&host).unwrap();
    let head =
        format!("POST /add-checkpoint HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}");
    write!(stream, "{head}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_killed_witness_remembers_and_a_second_one_is_refused() {
    let watched = Watched::new();
    let Watched { world, witness, key } = watched;
    let listen = address(&witness.url);
    let server = serve_owner(&world.path("owner"), &format!("{}={key}", witness.url));
    let home = world.path("witness");
    let size = || sealgate(&["witness", "status", "--home", &home]).ok()["ledgers"][0]["size"].as_u64();
    let before = eventually("the head is cosigned", size);
    let error = sealgate(&["witness", "serve", "--home", &home, "--listen", "127.0.0.1:0"]).error();
    assert!(error.contains("another witness runs"), "{error}");
    witness.kill();
    assert_eq!(size(), Some(before));
    world.grant("shop", &world.auditor, &["--disclose", "name", "--purpose", "a"]).ok();
    let witness = serve_witness(&home, &listen);
    assert_eq!(witness.url, format!("http://{listen}"));
    eventually("the log comes back to it", || size().filter(|size| *size > before));
    drop(server);
    drop(witness);

    // Its memory is damaged: it says so and does not serve.
    let chain = Path::new(&home).join("ledgers").join(&world.fingerprint);
    let memory = std::fs::read_to_string(chain.join("cosigned")).unwrap();
    std::fs::write(chain.join("cosigned"), memory.replacen("\n\n", "\n", 1)).unwrap();
    let error = sealgate(&["witness", "serve", "--home", &home, "--listen", "127.0.0.1:0"]).error();
    assert!(error.contains("damaged"), "{error}");
    std::fs::remove_file(chain.join("cosigned")).unwrap();
    let error = sealgate(&["witness", "serve", "--home", &home, "--listen", "127.0.0.1:0"]).error();
    assert!(error.contains("forgets"), "{error}");
}

#[test]
fn what_cannot_be_a_witness_is_said() {
    let world = World::new();
    let (home, requester) = (world.path("witness"), world.path("requester"));
    let error = sealgate(&["witness", "serve", "--home", &home]).error();
    assert!(error.contains("sealgate witness new"), "{error}");
    let error = sealgate(&["witness", "new", "--home", &home, "--name", "two words"]).error();
    assert!(error.contains("neither blanks nor '+'"), "{error}");
    let key = text(&sealgate(&["witness", "new", "--home", &home, "--name", "w"]).ok()["key"]);
    let error = sealgate(&["witness", "new", "--home", &home, "--name", "w"]).error();
    assert!(error.contains("a witness is here already"), "{error}");
    let error = sealgate(&["witness", "serve", "--home", &home]).error();
    assert!(error.contains("follows no ledger"), "{error}");
    let genesis = world.path("owner/ledger/genesis.json");
    let error = sealgate(&["witness", "follow", "--home", &home, "--genesis", &genesis]).error();
    assert!(error.contains("is not trusted"), "{error}");

    let trust = |more: &[&str]| {
        let mut args = vec!["trust", "--home", &requester, &world.fingerprint];
        args.extend(more);
        sealgate_plain(&args)
    };
    // A key with another's id, an account's key, a plain note key.
    let other = WitnessSecret::from_seed("w", [9; 32]).unwrap().public().to_string();
    let (own_id, others_key) = (key.split('+').nth(1).unwrap(), other.splitn(3, '+').nth(2).unwrap());
    let mixed = format!("w+{own_id}+{others_key}");
    for wrong in
        [&mixed, world.requester.as_str(), "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"]
    {
        let plain = trust(&["--witness", wrong]);
        assert!(plain.code != 0 && plain.stderr.contains("witness key"), "{}", plain.stderr);
    }
    assert_ne!(trust(&["--require-witness"]).code, 0);
    assert_ne!(trust(&["--witness", &key, "--require-witness=2"]).code, 0);
    assert_ne!(trust(&["--witness", &key, "--witness", &key]).code, 0);
    assert_eq!(trust(&["--witness", &key, "--require-witness=1"]).code, 0);
    // Plain trust leaves them as they are.
    let kept = trust(&[]);
    assert!(kept.stdout.contains(&format!("witness     {key}\nrequired    1 of 1")), "{}", kept.stdout);

    for wrong in ["http://127.0.0.1:1", &format!("ftp://a={key}"), &format!("127.0.0.1={key}"), "http://a=b"] {
        let plain = sealgate_plain(&["serve", "--data-dir", &world.path("owner"), "--witness", wrong]);
        assert_eq!(plain.code, 2, "{}", plain.stderr);
    }
}

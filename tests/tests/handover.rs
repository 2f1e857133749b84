//! Members that change while light clients look on: homes, witnesses and receipts follow from the
//! genesis alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use sealgate_gateway::home::Home;
use sealgate_gateway::receipt::Receipt;
use sealgate_tests::{Server, http, sealgate, text};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// A port from which on a network of a few nodes is free as far as a look tells.
fn free_base() -> u16 {
    let start = 10_000 + u16::try_from(std::process::id() % 30).unwrap() * 200;
    let free = |base: &u16| (1..=6).chain(101..=106).all(|at| TcpListener::bind(("127.0.0.1", base + at)).is_ok());
    (0..20).map(|step| start + step * 211).find(free).expect("free ports")
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn get(url: &str, path: &str) -> Value {
    let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
    assert_eq!(status, 200, "{path}");
    serde_json::from_slice(&body).unwrap()
}

fn height(server: &Server) -> u64 {
    get(&server.url, "/v1/checkpoint")["header"]["height"].as_u64().unwrap()
}

#[test]
fn light_clients_follow_members_from_the_genesis_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (net, base) = (path("net"), free_base());
    let made = sealgate(&["network", "new", "--members", "4", "--dir", &net, "--base-port", &base.to_string()]).ok();
    let fingerprint = text(&made["fingerprint"]);
    let data = |at: usize| path(&format!("net/node{at}"));
    let trust = |home: &str, more: &[&str]| {
        let home = path(home);
        let mut args = vec!["trust", "--home", &home, &fingerprint];
        args.extend(more);
        sealgate(&args).ok()
    };
    let witness_home = path("witness");
    let key = text(&sealgate(&["witness", "new", "--home", &witness_home, "--name", "w.example"]).ok()["key"]);
    trust("witness", &[]);
    trust("seasoned", &["--witness", &key]);
    trust("newcomer", &[]);
    trust("offline", &[]);
    let genesis = path("net/genesis.json");
    sealgate(&["witness", "follow", "--home", &witness_home, "--genesis", &genesis]).ok();
    let witness = Server::run(&["witness", "serve", "--home", &witness_home, "--listen", "127.0.0.1:0"], &[]);
    let reports = format!("{}={key}", witness.url);
    let first = Server::run(&["serve", "--data-dir", &data(1), "--witness", &reports], &[]);
    let others: Vec<Server> = [2, 3].iter().map(|at| Server::run(&["serve", "--data-dir", &data(*at)], &[])).collect();
    // The fourth stays away while the members change.
    let audit = |home: &str, url: &str| sealgate(&["audit", "--gateway", url, "--home", &path(home)]);
    // (A new network has nothing signed to show for a moment.)
    eventually("the network signs", || (audit("seasoned", &first.url).code == 0).then_some(()));

    let fifth = data(5);
    let (peer, listen) = (format!("127.0.0.1:{}", base + 5), format!("127.0.0.1:{}", base + 105));
    let gateway = format!("http://{listen}");
    let mut request = vec!["network", "request", "--data-dir", &fifth, "--name", "Fifth", "--peer", &peer];
    request.extend(["--gateway", &gateway, "--peer-listen", &peer, "--http-listen", &listen]);
    let address = text(&sealgate(&request).ok()["address"]);
    let (authority, asked, member) = (path("net/authority"), format!("{fifth}/member.request"), path("member.json"));
    sealgate(&["network", "certify", "--authority", &authority, &asked, "--out", &member]).ok();
    let proposal = text(&sealgate(&["member", "propose", "--data-dir", &data(1), "join", &member]).ok()["proposal"]);
    for at in [2, 3] {
        sealgate(&["member", "endorse", "--data-dir", &data(at), &proposal]).ok();
    }
    // Four of five decide from now on; the one that was away learns of it.
    let fourth = Server::run(&["serve", "--data-dir", &data(4)], &[]);
    eventually("the fourth catches up", || (height(&fourth) >= height(&first)).then_some(()));
    let later = eventually("the new members decide", || {
        let run = sealgate(&["member", "propose", "--data-dir", &data(1), "leave", &address]);
        (run.code == 0).then(|| text(&run.json["proposal"]))
    });
    let ended = height(&first);
    eventually("all have it", || {
        [&first, &others[0], &others[1], &fourth].iter().all(|node| height(node) >= ended).then_some(())
    });

    // Every node gives out how the members changed, the one that was away as well.
    for node in [&first, &others[0], &others[1], &fourth] {
        let handovers = get(&node.url, "/v1/handovers?epoch=0");
        assert_eq!(handovers.as_array().unwrap().len(), 1, "{}", node.url);
        assert_eq!(handovers[0]["members"]["epoch"], 1);
        assert_eq!(get(&node.url, "/v1/handovers?epoch=1"), Value::Array(vec![]));
    }
    // Who knows the genesis alone follows, at any node; and who knew the members before.
    for (home, url) in [("newcomer", &fourth.url), ("seasoned", &others[0].url)] {
        audit(home, url).ok();
        let args =
            ["receipt", &later, "--gateway", url, "--home", &path(home), "--out", &path(&format!("{home}.json"))];
        sealgate(&args).ok();
        let receipt = Receipt::read(&std::fs::read(path(&format!("{home}.json"))).unwrap()).unwrap();
        assert_eq!(receipt.handovers.len(), 1);
        assert_eq!(receipt.headers.last().unwrap().epoch, 1);
        // Offline, the receipt brings the handover along.
        sealgate(&["verify-receipt", "--home", &path("offline"), &path(&format!("{home}.json"))]).ok();
        assert_eq!(Home::at(Path::new(&path("offline"))).members(&receipt.genesis).unwrap().members.len(), 5);
        // Without it, or with one that is altered, it is refused.
        trust("blank", &[]);
        let mut without = receipt.clone();
        without.handovers.clear();
        let mut altered = receipt.clone();
        altered.handovers[0].members.members.pop();
        for wrong in [without, altered] {
            std::fs::write(path("wrong.json"), wrong.to_bytes().unwrap()).unwrap();
            let error = sealgate(&["verify-receipt", "--home", &path("blank"), &path("wrong.json")]).error();
            assert!(error.contains("does not verify"), "{error}");
        }
    }
    // A receipt from before the change still holds, with no handover in it or with one.
    let args = ["receipt", &proposal, "--gateway", &first.url, "--home", &path("newcomer"), "--out", &path("p.json")];
    assert!(text(&sealgate(&args).ok()["action"][0]).starts_with("proposed that 'Fifth'"));

    // The witness follows the new members while it serves. (Before, it counts those that it knows.)
    let size = || sealgate(&["witness", "status", "--home", &witness_home]).ok()["ledgers"][0]["size"].as_u64();
    let head = get(&first.url, "/v1/checkpoint")["header"]["tree_size"].as_u64();
    sealgate(&["witness", "follow", "--home", &witness_home, "--gateway", &first.url]).ok();
    eventually("the witness cosigns for the new members", || (size() >= head).then_some(()));
    eventually("the head is witnessed", || {
        let audit = audit("seasoned", &first.url).ok();
        (audit["witnesses"][0]["name"] == "w.example").then_some(())
    });
}

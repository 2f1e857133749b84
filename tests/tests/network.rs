//! A ledger that four organisations share, as real processes: the main job across two of them,
//! nodes killed and started in any order, members that come and go.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::tx::{Tx, TxBody};
use sealgate_tests::{Server, Table, page, sealgate, text};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

struct Network {
    dir: TempDir,
    fingerprint: String,
    nodes: Vec<Option<Server>>,
    base_port: u16,
}

/// A port from which on those of a network are free as far as a look tells; another one for each
/// network of this process, and none of those that the system gives to clients.
fn free_base() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 30).unwrap() * 400;
    let free = |base: &u16| (1..=5).chain(101..=105).all(|at| TcpListener::bind(("127.0.0.1", base + at)).is_ok());
    (0..40)
        .map(|_| 18_000 + (own + TAKEN.fetch_add(1, Ordering::Relaxed) * 200) % 12_000)
        .find(free)
        .expect("free ports")
}

impl Network {
    fn new() -> Network {
        let dir = tempfile::tempdir().unwrap();
        let base_port = free_base();
        let folder = dir.path().join("net").display().to_string();
        let port = base_port.to_string();
        let made = sealgate(&["network", "new", "--members", "4", "--dir", &folder, "--base-port", &port]).ok();
        let mut network =
            Network { dir, fingerprint: text(&made["fingerprint"]), nodes: vec![None, None, None, None], base_port };
        (0..4).for_each(|at| network.start(at));
        network
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn data(&self, at: usize) -> String {
        self.path(&format!("net/node{}", at + 1))
    }

    fn log(&self, at: usize) -> PathBuf {
        Path::new(&self.data(at)).join("ledger/blocks.log")
    }

    fn start(&mut self, at: usize) {
        let server = Server::run(&["serve", "--data-dir", &self.data(at)], &[]);
        if at == self.nodes.len() {
            self.nodes.push(None);
        }
        self.nodes[at] = Some(server);
    }

    fn kill(&mut self, at: usize) {
        self.nodes[at].take().unwrap().kill();
    }

    fn url(&self, at: usize) -> String {
        self.nodes[at].as_ref().unwrap().url.clone()
    }

    fn height(&self, at: usize) -> u64 {
        get(&self.url(at), "/v1/checkpoint")["header"]["height"].as_u64().unwrap()
    }

    /// Waits until these nodes have the same head, of at least `height`, then compares their logs
    /// byte by byte.
    fn agree(&self, nodes: &[usize], height: u64) {
        wait("the nodes to agree", || {
            let heights: Vec<u64> = nodes.iter().map(|at| self.height(*at)).collect();
            heights.iter().all(|found| *found >= height && *found == heights[0])
        });
        let logs: Vec<Vec<u8>> = nodes.iter().map(|at| std::fs::read(self.log(*at)).unwrap()).collect();
        let shortest = logs.iter().map(Vec::len).min().unwrap();
        assert!(shortest > 1000);
        for (at, log) in nodes.iter().zip(&logs) {
            assert!(log[..shortest] == logs[0][..shortest], "node {at} has another log");
        }
    }

    fn home(&self, name: &str) -> String {
        let home = self.path(name);
        let account = sealgate(&["account", "new", "--home", &home, "--name", name]).ok();
        sealgate(&["trust", "--home", &home, &self.fingerprint]).ok();
        text(&account["address"])
    }

    fn ask(&self, at: usize, home: &str, out: &str, sql: &str) -> sealgate_tests::Run {
        let (home, out, url) = (self.path(home), self.path(out), self.url(at));
        sealgate(&["ask", "--gateway", &url, "--home", &home, "--purpose", "p", "--out", &out, sql])
    }

    fn publish_shops(&self, at: usize, grant_to: &str) {
        let rows = (0..60).map(|id| vec![id.to_string(), if id % 2 == 0 { "open" } else { "closed" }.into()]);
        let table = Table::new("shop", &["id"], &[("id", "int"), ("status", "text")], rows.collect());
        let manifest = table.write(self.dir.path());
        let data = self.data(at);
        sealgate(&["publish", "--data-dir", &data, "--manifest", &manifest.display().to_string()]).ok();
        let grant = ["--disclose", "status", "--purpose", "p"];
        let mut args = vec!["grant", "--data-dir", &data, "--asset", "shop", "--to", grant_to];
        args.extend(grant);
        sealgate(&args).ok();
    }
}

fn get(url: &str, path: &str) -> Value {
    let mut stream = std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    std::io::Write::write_all(
        &mut stream,
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let body = String::from_utf8_lossy(&bytes);
    serde_json::from_str(body.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Opens accounts at these gateways, one after the other, until told to stop; the hashes that
/// were acknowledged.
fn load(urls: &[String], stop: &AtomicBool, acknowledged: &Mutex<Vec<String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let genesis: Genesis = serde_json::from_value(get(&urls[0], "/v1/genesis")).unwrap();
    for (nonce, url) in (0u64..).zip(urls.iter().cycle()) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let secret = AccountSecret::generate("load").unwrap();
        let body = TxBody::OpenAccount { account: secret.public().clone(), identity: vec![] };
        let (chain, sender) = (genesis.chain_id(), secret.address());
        let tx = Tx { chain, sender, nonce, expiry: BlockHeight(1000), body }.sign(&secret);
        let answer = runtime.block_on(async {
            client.post(format!("{url}/v1/transactions")).body(tx.encode()).send().await?.error_for_status()
        });
        if answer.is_ok() {
            acknowledged.lock().unwrap().push(tx.hash().to_string());
        }
    }
}

#[test]
fn the_main_job_across_two_members_while_nodes_are_killed() {
    let mut network = Network::new();
    let requester = network.home("bank");
    network.publish_shops(0, &requester);

    // Published at one member, asked through another, verified offline, audited at a third.
    let answer = network.ask(1, "bank", "a.json", "SELECT status FROM shop WHERE id = 7").ok();
    assert!(answer.to_string().contains("closed"), "{answer}");
    sealgate(&["verify", "--home", &network.path("bank"), &network.path("a.json")]).ok();
    let denied = network.ask(2, "bank", "b.json", "SELECT id FROM shop WHERE id = 7").error();
    assert!(denied.contains("denied"), "{denied}");
    sealgate(&["audit", "--gateway", &network.url(2), "--home", &network.path("bank")]).ok();
    network.agree(&[0, 1, 2, 3], 4);

    // One is killed under load, and comes back to the same log.
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let urls = [network.url(1), network.url(2)];
    std::thread::scope(|scope| {
        scope.spawn(|| load(&urls, &stop, &acknowledged));
        let acked = |count: usize| wait("acknowledgements", || acknowledged.lock().unwrap().len() >= count);
        acked(5);
        network.kill(3);
        let before = acknowledged.lock().unwrap().len();
        acked(before + 10);
        network.start(3);
        let before = acknowledged.lock().unwrap().len();
        acked(before + 5);
        stop.store(true, Ordering::Relaxed);
    });
    network.agree(&[0, 1, 2, 3], network.height(1));
    for hash in acknowledged.lock().unwrap().iter() {
        for at in 0..4 {
            let receipt = get(&network.url(at), &format!("/v1/transactions/{hash}"));
            assert_eq!(receipt["outcome"], "accepted", "{hash} at {at}");
        }
    }

    // With two of four gone nothing is acknowledged; with three it goes on.
    network.kill(3);
    network.kill(2);
    let refused = network.ask(1, "bank", "c.json", "SELECT status FROM shop WHERE id = 8");
    assert_ne!(refused.code, 0);
    network.start(2);
    wait("an answer from three of four", || {
        network.ask(1, "bank", "c.json", "SELECT status FROM shop WHERE id = 8").code == 0
    });
    // The owner's own node too, and all at once.
    (0..3).for_each(|at| network.kill(at));
    (0..4).rev().for_each(|at| network.start(at));
    wait("an answer after all were killed", || {
        network.ask(3, "bank", "d.json", "SELECT status FROM shop WHERE id = 9").code == 0
    });
    network.agree(&[0, 1, 2, 3], network.height(0));
    sealgate(&["audit", "--gateway", &network.url(3), "--home", &network.path("bank")]).ok();

    // The asset goes to the second member, with keys and sealed data, and is answered there.
    let members = sealgate(&["member", "list", "--data-dir", &network.data(0)]).ok();
    let keys = members["members"][1]["account"].clone();
    let account: sealgate_ledger::account::AccountPublic = serde_json::from_value(keys).unwrap();
    let to = account.address().to_string();
    let (asset, consent) = (text(&answer["asset"]), network.path("consent.json"));
    sealgate(&["asset", "accept", "--data-dir", &network.data(1), "--asset", &asset, "--out", &consent]).ok();
    let give = ["asset", "transfer", "--data-dir", &network.data(0), "--asset", "shop", "--to", &to];
    sealgate(&[&give[..], &["--consent", &consent]].concat()).ok();
    network.kill(1);
    let (from, into) = (network.data(0), network.data(1));
    for part in ["keys", "store"] {
        sealgate_tests::copy_folder(&Path::new(&from).join(part), &Path::new(&into).join(part));
    }
    std::fs::copy(Path::new(&from).join("root.key"), Path::new(&into).join("root.key")).unwrap();
    network.start(1);
    let question = format!("SELECT status FROM \"{}/shop\" WHERE id = 11", account.did());
    wait("an answer from the new owner", || network.ask(2, "bank", "e.json", &question).code == 0);
    // It is the same asset to the new owner's commands, whoever registered it.
    let manifest = network.path("shop.toml");
    let next = sealgate(&["publish", "--data-dir", &into, "--manifest", &manifest]).ok();
    assert_eq!((&next["asset"], &next["version"]), (&asset.as_str().into(), &2.into()));
    let listed = sealgate(&["keys", "list", "--data-dir", &into]).ok();
    assert_eq!((&listed["keys"][0]["asset"], &listed["keys"][0]["name"]), (&asset.as_str().into(), &"shop".into()));
    for file in ["a.json", "e.json"] {
        sealgate(&["verify", "--home", &network.path("bank"), &network.path(file)]).ok();
    }
    let mut altered: Value = serde_json::from_slice(&std::fs::read(network.path("e.json")).unwrap()).unwrap();
    assert_eq!(altered["handed"].as_array().unwrap().len(), 1);
    // Neither without the step nor with another's keys in it.
    let mut others = altered.clone();
    others["handed"][0]["by"] = others["owner"].clone();
    altered.as_object_mut().unwrap().remove("handed");
    for altered in [altered, others] {
        std::fs::write(network.path("f.json"), format!("{altered:#}\n")).unwrap();
        sealgate(&["verify", "--home", &network.path("bank"), &network.path("f.json")]).error();
    }
    // While its node stands still a name may be another asset's by now: keys are destroyed by id.
    network.kill(1);
    let destroy = |name: &str| sealgate(&["keys", "destroy", "--data-dir", &into, "--asset", name, "--confirm", name]);
    assert!(destroy("shop").error().contains("named by its id"));
    assert_eq!(destroy(&asset).ok()["destroyed"], asset.as_str());
}

#[test]
fn a_member_joins_and_another_leaves_while_the_ledger_runs() {
    let mut network = Network::new();
    let requester = network.home("bank");
    network.publish_shops(0, &requester);
    network.ask(1, "bank", "a.json", "SELECT status FROM shop WHERE id = 1").ok();

    let (fifth, port) = (network.data(4), network.base_port);
    let (peer, http) = (format!("127.0.0.1:{}", port + 5), format!("127.0.0.1:{}", port + 105));
    let gateway = format!("http://{http}");
    let mut request = vec!["network", "request", "--data-dir", &fifth, "--name", "Fifth", "--peer", &peer];
    request.extend(["--gateway", &gateway, "--peer-listen", &peer, "--http-listen", &http]);
    let address = text(&sealgate(&request).ok()["address"]);
    let (authority, asked, member) =
        (network.path("net/authority"), format!("{fifth}/member.request"), network.path("member.json"));
    sealgate(&["network", "certify", "--authority", &authority, &asked, "--out", &member]).ok();
    let proposal =
        text(&sealgate(&["member", "propose", "--data-dir", &network.data(0), "join", &member]).ok()["proposal"]);
    let endorse = |at: usize| sealgate(&["member", "endorse", "--data-dir", &network.data(at), &proposal]).ok();
    assert_eq!(endorse(1)["done"], false);
    assert_eq!(endorse(2)["done"], true);

    let (genesis, parameters) = (network.path("net/genesis.json"), format!("{}/parameters", network.data(0)));
    let mut join = vec!["network", "join", "--data-dir", &fifth, "--genesis", &genesis, "--member", &member];
    join.extend(["--fingerprint", &network.fingerprint, "--parameters", &parameters]);
    sealgate(&join).ok();
    network.start(4);
    wait("the new member to catch up", || network.height(4) >= network.height(0));
    let listed = sealgate(&["member", "list", "--data-dir", &fifth]).ok();
    assert_eq!((&listed["epoch"], &listed["quorum"]), (&1.into(), &4.into()));

    // Four of five decide now: with the new one and without one of the old.
    network.kill(3);
    network.ask(4, "bank", "b.json", "SELECT status FROM shop WHERE id = 2").ok();
    sealgate(&["verify", "--home", &network.path("bank"), &network.path("a.json")]).ok();
    sealgate(&["verify", "--home", &network.path("bank"), &network.path("b.json")]).ok();
    let listed = sealgate(&["member", "list", "--data-dir", &network.data(0)]).ok();
    let gone = text(&listed["members"][3]["account"]["name"]);
    assert_eq!(gone, "Department 4");
    network.agree(&[0, 1, 2, 4], 6);

    // The absent one leaves; whoever trusted the genesis alone follows both changes.
    network.start(3);
    wait("the absent member to catch up", || network.height(3) >= network.height(0));
    let fourth =
        text(&sealgate(&["member", "list", "--data-dir", &network.data(3)]).ok()["members"][4]["account"]["name"]);
    assert_eq!(fourth, "Fifth");
    let proposal =
        text(&sealgate(&["member", "propose", "--data-dir", &network.data(0), "leave", &address]).ok()["proposal"]);
    for at in [1, 2, 3] {
        sealgate(&["member", "endorse", "--data-dir", &network.data(at), &proposal]).ok();
    }
    wait("an answer from the four that remain", || {
        network.ask(2, "bank", "c.json", "SELECT status FROM shop WHERE id = 3").code == 0
    });
    let newcomer = network.home("newcomer");
    assert!(newcomer.starts_with("sg1"));
    sealgate(&["audit", "--gateway", &network.url(1), "--home", &network.path("newcomer")]).ok();
    network.agree(&[0, 1, 2, 3], network.height(0));

    // The second member gets another node key.
    let second = network.data(1);
    let renewed = sealgate(&["network", "request", "--data-dir", &second, "--renew"]).ok();
    let (asked, member) = (format!("{second}/member.request"), network.path("renewed.json"));
    sealgate(&["network", "certify", "--authority", &authority, &asked, "--out", &member]).ok();
    let address = text(&renewed["address"]);
    let propose = ["member", "propose", "--data-dir", &network.data(0), "replace", &address, &member];
    let proposal = text(&sealgate(&propose).ok()["proposal"]);
    for at in [2, 3] {
        sealgate(&["member", "endorse", "--data-dir", &network.data(at), &proposal]).ok();
    }
    network.kill(1);
    let mut join = vec!["network", "join", "--data-dir", &second, "--genesis", &genesis, "--member", &member];
    join.extend(["--fingerprint", &network.fingerprint]);
    sealgate(&join).ok();
    network.start(1);
    // It takes part: without it and another there would be no quorum.
    network.kill(3);
    wait("an answer with the new key", || {
        network.ask(1, "bank", "d.json", "SELECT status FROM shop WHERE id = 4").code == 0
    });

    // What members decided tells what the page of the ledger's contents says, and no more.
    let mut told = BTreeSet::new();
    for height in 1..=network.height(1) {
        page::fields(&get(&network.url(1), &format!("/v1/blocks/{height}")), "", &mut told);
    }
    let unsaid: Vec<_> = told.difference(&page::named_in_the_page()).cloned().collect();
    assert_eq!(unsaid, [] as [String; 0]);
    for field in ["Endorse.proposal", "Propose.change.leave.account", "Propose.change.replace.account", "member.peer"] {
        assert!(told.contains(field), "{field} is not in {told:?}");
    }
    network.agree(&[0, 1, 2], network.height(0));
}

//! Floods: transactions by the thousand from senders that nobody knows, denied requests by the
//! thousand from one account, and whatever else is no transaction. Nothing grows that should not,
//! and a real question is answered while they go on. `SEALGATE_FLOOD` sets how many are sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgate_circuits::question::sql::parse_question;
use sealgate_gateway::account_file;
use sealgate_gateway::owner::signed;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{AssetId, BlockHeight, ChainId, Digest};
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::{EXPIRY_BLOCKS_MAX, TX_BYTES_MAX, TextContent, Tx, TxBody};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{Run, Server, Table, World, answers, http, sealgate, text};
use serde_json::Value;

/// Calls at the same time.
const AT_ONCE: usize = 8;
/// Longest that a question may take while a flood goes on, unoptimised and on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn many() -> usize {
    count("SEALGATE_FLOOD", 3_000)
}

/// A served ledger with a granted table, and what a sender needs to know of it.
struct Flooded {
    world: World,
    server: Server,
    genesis: Genesis,
    asset: AssetView,
}

impl Flooded {
    fn new() -> Flooded {
        let world = World::with(&Table::shops(20));
        let server = world.serve();
        world.grant("shop", &world.requester, &["--disclose", "name", "--prove", "fee >= ?", "--purpose", "tax"]).ok();
        let listed = sealgate(&["catalogue", "--gateway", &server.url]).ok();
        let asset: AssetView = serde_json::from_value(listed[0]["asset"].clone()).unwrap();
        let genesis = serde_json::from_value(get(&server.url, "/v1/genesis")).unwrap();
        let flooded = Flooded { world, server, genesis, asset };
        flooded.ask("requester", 1).ok();
        flooded
    }

    fn policy(&self, change: &[&str]) {
        let owner = self.world.path("owner");
        sealgate(&[&["member", "propose", "--data-dir", &owner, "policy"], change].concat()).ok();
    }

    fn ask(&self, home: &str, id: u32) -> Run {
        let sql = format!("SELECT name, fee >= 100 FROM shop WHERE id = {id}");
        self.world.ask(&self.server.url, home, "tax", &format!("{home}.json"), &sql)
    }

    fn head(&self) -> (BlockHeight, u64) {
        let head = get(&self.server.url, "/v1/checkpoint");
        let header = &head["header"];
        (BlockHeight(header["height"].as_u64().unwrap()), header["tree_size"].as_u64().unwrap())
    }

    fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.world.path("owner/ledger/blocks.log")).unwrap().len()
    }

    fn sign(&self, who: &AccountSecret, body: TxBody) -> Vec<u8> {
        self.sign_at(self.head().0, who, body)
    }

    fn sign_at(&self, head: BlockHeight, who: &AccountSecret, body: TxBody) -> Vec<u8> {
        signed(&self.genesis, head, who, body).unwrap().encode()
    }

    /// A request that nobody has granted.
    fn request(&self) -> TxBody {
        let question = parse_question("SELECT area FROM shop WHERE id = 1", &self.asset.schema, vec![]).unwrap();
        TxBody::Request {
            asset: self.asset.id,
            shape: question.shape,
            purpose: "tax".into(),
            commitment: Digest([7; 32]),
            consent: None,
        }
    }

    /// Sends all of these, and goes on until `meanwhile` is done; what came back to each.
    fn flood<T>(&self, calls: Vec<(&'static str, Vec<u8>)>, meanwhile: impl FnOnce() -> T) -> (Vec<Said>, T) {
        let (stop, url) = (Arc::new(AtomicBool::new(false)), self.server.url.clone());
        let (sent, ended) = (calls.len(), stop.clone());
        let sending = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(send(&url, calls, &ended))
        });
        // However it ends, the flood does.
        let _end = Stop(&stop);
        std::thread::sleep(Duration::from_millis(200));
        let done = meanwhile();
        assert!(!sending.is_finished(), "the flood had ended before");
        stop.store(true, Ordering::Relaxed);
        let said = sending.join().unwrap();
        assert!(said.len() >= sent, "{} of {sent}", said.len());
        (said, done)
    }

    /// A real question, timed.
    fn answered(&self, home: &str, id: u32) {
        let started = Instant::now();
        let answer = self.ask(home, id).ok();
        assert_eq!(answers(&answer)[0].1, format!("Shop no. {id}"));
        println!("{home} was answered in {:.1?}", started.elapsed());
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Status and body.
type Said = (u16, String);

async fn send(url: &str, calls: Vec<(&'static str, Vec<u8>)>, stop: &Arc<AtomicBool>) -> Vec<Said> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let share = calls.len().div_ceil(AT_ONCE);
    let mut senders = Vec::new();
    for calls in calls.chunks(share) {
        let (client, url, stop, calls) = (client.clone(), url.to_owned(), stop.clone(), calls.to_vec());
        senders.push(tokio::spawn(async move {
            let mut said = Vec::new();
            loop {
                for (path, body) in &calls {
                    if said.len() >= calls.len() && stop.load(Ordering::Relaxed) {
                        return said;
                    }
                    let call = client.post(format!("{url}{path}")).header("content-type", "application/json");
                    // A body that is too long is refused before it has been sent: the connection may end.
                    match call.body(body.clone()).send().await {
                        Ok(answer) => said.push((answer.status().as_u16(), answer.text().await.unwrap_or_default())),
                        Err(error) => said.push((0, error.to_string())),
                    }
                }
            }
        }));
    }
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await.unwrap());
    }
    all
}

fn get(url: &str, path: &str) -> Value {
    let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
    assert_eq!(status, 200, "{path}");
    serde_json::from_slice(&body).unwrap()
}

fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400
}

#[test]
fn senders_that_nobody_knows_leave_nothing_behind() {
    let flooded = Flooded::new();
    flooded.policy(&["--open-enrolment", "false"]);
    let strangers: Vec<AccountSecret> = (0..40).map(|_| AccountSecret::generate("nobody").unwrap()).collect();
    let bodies = |who: &AccountSecret| {
        [
            TxBody::OpenAccount { account: who.public().clone(), identity: vec![0; 2048] },
            flooded.request(),
            TxBody::PutText { name: "note".into(), title: "x".into(), content: TextContent::Public("x".repeat(4096)) },
            TxBody::Withdraw { asset: flooded.asset.id },
            TxBody::CloseAccount { account: flooded.world.requester.parse().unwrap() },
        ]
    };
    let (kinds, head) = (bodies(&strangers[0]).len(), flooded.head().0);
    let transactions: Vec<(&str, Vec<u8>)> = (0..many())
        .map(|at| {
            let who = &strangers[at % strangers.len()];
            ("/v1/transactions", flooded.sign_at(head, who, bodies(who)[at / strangers.len() % kinds].clone()))
        })
        .collect();
    let (before, bytes) = (flooded.head(), flooded.log_bytes());
    let (said, ()) = flooded.flood(transactions.clone(), || ());
    for (status, body) in &said {
        assert!(*status == 422 && body.contains("problem:refused"), "{status} {body}");
        assert!(body.contains("only members enrol") || body.contains("has no account on this ledger"), "{body}");
    }
    assert_eq!((flooded.head(), flooded.log_bytes()), (before, bytes), "the ledger grew");
    assert_eq!(get(&flooded.server.url, "/v1/accounts")["accounts"].as_array().unwrap().len(), 2);

    // Once more, and a question meanwhile: two entries, its request and its answer.
    let (said, ()) = flooded.flood(transactions, || flooded.answered("requester", 2));
    assert!(said.iter().all(|(status, _)| *status == 422));
    assert_eq!(flooded.head().1, before.1 + 2);
    flooded.world.audit_gateway(&flooded.server.url, "auditor").ok();
}

#[test]
fn one_account_s_denied_requests_end_at_the_day_s_limit_and_hold_up_nobody() {
    const LIMIT: usize = 50;
    let flooded = Flooded::new();
    flooded.policy(&["--denials-a-day", &LIMIT.to_string()]);
    let [flooder, other] = ["flooder", "other"].map(|home| {
        flooded.world.account(home);
        account_file::load(flooded.world.path(home).as_ref()).unwrap()
    });
    let url = flooded.server.url.as_str();
    for who in [&flooder, &other] {
        let open = TxBody::OpenAccount { account: who.public().clone(), identity: vec![] };
        assert_eq!(http(url, "POST /v1/transactions HTTP/1.1", &flooded.sign(who, open)).0, 200);
    }
    let denied = |who: &AccountSecret, many: usize| -> Vec<(&'static str, Vec<u8>)> {
        let head = flooded.head().0;
        (0..many).map(|_| ("/v1/transactions", flooded.sign_at(head, who, flooded.request()))).collect()
    };
    let day = today();
    let one = denied(&flooder, 1)[0].1.len();
    let (entries, bytes) = (flooded.head().1, flooded.log_bytes());
    let (said, ()) = flooded.flood(denied(&flooder, many()), || {
        flooded.answered("requester", 3);
        // Whoever else is denied something is told so, and it is recorded.
        let error = flooded.ask("other", 4).error();
        assert!(error.starts_with("denied: "), "{error}");
    });
    let (mut recorded, mut refused) = (BTreeSet::new(), 0);
    for (status, body) in &said {
        if *status == 200 {
            let receipt: Value = serde_json::from_str(body).unwrap();
            assert!(receipt["outcome"].to_string().contains("no_grant"), "{receipt}");
            recorded.insert(receipt["entry_index"].as_u64().unwrap());
        } else {
            assert!(*status == 422 && body.contains("problem:refused"), "{status} {body}");
            for word in [format!("had {LIMIT} requests denied today"), "is not recorded".into(), "grant".into()] {
                assert!(body.contains(&word), "'{word}' is not in: {body}");
            }
            refused += 1;
        }
    }
    println!("{} recorded, {refused} refused", recorded.len());
    let days = usize::try_from(today() - day).unwrap() + 1;
    assert!(recorded.len() >= LIMIT && recorded.len() <= LIMIT * days, "{}", recorded.len());
    assert!(refused >= many() - LIMIT * days);
    // The log has these, the question's two entries, the other's one, and nothing for the rest.
    assert_eq!(flooded.head().1, entries + recorded.len() as u64 + 3);
    let grown = flooded.log_bytes() - bytes;
    assert!(grown < ((recorded.len() + 3) * (one + 1024)) as u64 + 16 * 1024, "the log grew by {grown} bytes");
    let trail = flooded.world.trail(url, "auditor");
    let address = flooder.address().to_string();
    assert_eq!(trail.iter().filter(|line| line["requester"] == address.as_str()).count(), recorded.len());

    // Its software is told the same; what it is granted it is answered, on this day too.
    if today() == day {
        let error = flooded.ask("flooder", 5).error();
        assert!(error.contains("requests denied today"), "{error}");
    }
    flooded.world.grant("shop", &address, &["--disclose", "name", "--prove", "fee >= 100", "--purpose", "tax"]).ok();
    flooded.answered("flooder", 5);
    // A restart does not forget the count.
    flooded.world.revoke("shop", &address).ok();
    let Flooded { world, server, genesis, asset } = flooded;
    drop(server);
    let flooded = Flooded { server: world.serve(), world, genesis, asset };
    if today() == day {
        let error = flooded.ask("flooder", 6).error();
        assert!(error.contains("requests denied today"), "{error}");
    }
    flooded.world.audit_gateway(&flooded.server.url, "auditor").ok();
}

#[test]
fn what_is_no_transaction_is_refused_whatever_its_size() {
    let flooded = Flooded::new();
    let mut chance = Chance::of_run("floods");
    let sender = account_file::load(flooded.world.path("requester").as_ref()).unwrap();
    let good = flooded.sign(&sender, flooded.request());
    let height = flooded.head().0;
    let made = |chain: ChainId, expiry: u64, body: TxBody| {
        Tx { chain, sender: sender.address(), nonce: 1, expiry: BlockHeight(expiry), body }.sign(&sender).encode()
    };
    let chain = flooded.genesis.chain_id();
    let put = |bytes: usize| {
        let content = TextContent::Public("x".repeat(bytes));
        made(chain, height.0 + 9, TxBody::PutText { name: "t".into(), title: "t".into(), content })
    };
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    // Refused by the rules: 422.
    let refused = [
        forged,
        made(ChainId([1; 32]), height.0 + 9, flooded.request()),
        made(chain, 0, flooded.request()),
        made(chain, height.0 + EXPIRY_BLOCKS_MAX + 1000, flooded.request()),
        made(chain, height.0 + 9, TxBody::Withdraw { asset: AssetId([3; 32]) }),
    ];
    // Not read at all: 400, or 413 when it is too long.
    let unread = [
        Vec::new(),
        vec![0xff; 1000],
        vec![0; TX_BYTES_MAX],
        [good.as_slice(), &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        b"[".repeat(100_000),
        put(4097),
        put(300_000),
    ];
    let oversized = [vec![0; TX_BYTES_MAX + 129], vec![0; 2 * TX_BYTES_MAX]];
    for (bodies, status) in [(&refused[..], 422), (&unread[..], 400)] {
        for (at, body) in bodies.iter().enumerate() {
            let found = http(&flooded.server.url, "POST /v1/transactions HTTP/1.1", body);
            assert_eq!(found.0, status, "{status} no. {at}: {}", String::from_utf8_lossy(&found.1));
        }
    }
    let calls: Vec<(&str, Vec<u8>)> = (0..many())
        .map(|_| {
            let path = if chance.one_in(4) { "/v1/asks" } else { "/v1/transactions" };
            let body = match chance.below(6) {
                0 | 1 => chance.pick(&refused),
                2 => chance.pick(&unread),
                3 => chance.pick(&oversized),
                4 => (0..chance.below(2000)).map(|_| chance.bits() as u8).collect(),
                _ => {
                    // Damaged, but in its signature at least: nothing of it can be good.
                    let mut body = good.clone();
                    let at = chance.below(body.len());
                    body[at] ^= 1 << chance.below(8);
                    body
                }
            };
            (path, body)
        })
        .collect();
    let (before, bytes) = (flooded.head(), flooded.log_bytes());
    let (said, ()) = flooded.flood(calls.clone(), || ());
    let unexpected: Vec<_> =
        said.iter().filter(|(status, _)| !matches!(status, 0 | 400 | 411 | 413 | 422 | 503)).collect();
    assert!(unexpected.is_empty(), "{:?}", &unexpected[..unexpected.len().min(5)]);
    let cut = said.iter().filter(|(status, _)| *status == 0).count();
    assert!(cut < said.len() / 4, "{cut} of {} had no answer", said.len());
    // Too long is not read: the connection may end before all of it has been sent.
    assert!(cut > 0 || said.iter().any(|(status, _)| *status == 413));
    assert_eq!((flooded.head(), flooded.log_bytes()), (before, bytes), "something was recorded");

    flooded.flood(calls, || flooded.answered("requester", 7));
    assert_eq!(flooded.head().1, before.1 + 2);
    assert_eq!(text(&get(&flooded.server.url, "/health")["status"]), "ok");
    flooded.world.audit_gateway(&flooded.server.url, "auditor").ok();
}

//! The access matrix: every route that the gateway has is in the specification and here, and gives what it
//! says to whom it says, and nothing to anybody else or by any other method: to nobody, to the wrong role,
//! to a session that has ended or one that was replayed.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use sealgate_gateway::api::{Who, routes};
use sealgate_gateway::sessions::{Challenge, Claim};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::tx::TxBody;
use sealgate_tests::{Server, http, sealgate, text, workspace};
use serde_json::{Value, json};

use super::{Api, SQL, account_file};

/// Method, route, who.
const MATRIX: [(&str, &str, Who); 43] = [
    ("GET", "/health", Who::Anybody),
    ("GET", "/ready", Who::Anybody),
    ("GET", "/metrics", Who::Local),
    ("GET", "/v1/openapi.json", Who::Anybody),
    ("GET", "/v1/genesis", Who::Anybody),
    ("GET", "/v1/parameters/{}", Who::Anybody),
    ("GET", "/v1/governance", Who::Anybody),
    ("GET", "/v1/checkpoint", Who::Anybody),
    ("GET", "/v1/checkpoint/witnessed", Who::Anybody),
    ("GET", "/v1/handovers", Who::Anybody),
    ("GET", "/v1/state/assets/{}", Who::Anybody),
    ("GET", "/v1/state/assets/{}/grants/{}", Who::Anybody),
    ("GET", "/v1/state/accounts/{}", Who::Anybody),
    ("GET", "/v1/state/members", Who::Anybody),
    ("GET", "/v1/state/policy", Who::Anybody),
    ("GET", "/v1/consistency", Who::Anybody),
    ("GET", "/v1/catalogue", Who::Anybody),
    ("GET", "/v1/assets/{}", Who::Anybody),
    ("GET", "/v1/assets/{}/versions/{}", Who::Anybody),
    ("GET", "/v1/assets/{}/grants", Who::Anybody),
    ("GET", "/v1/assets/{}/grants/{}", Who::Anybody),
    ("GET", "/v1/texts", Who::Anybody),
    ("GET", "/v1/texts/{}", Who::Anybody),
    ("GET", "/v1/accounts", Who::Anybody),
    ("GET", "/v1/accounts/{}", Who::Anybody),
    ("GET", "/v1/transactions/{}", Who::Anybody),
    ("GET", "/v1/requests/{}", Who::Anybody),
    ("GET", "/v1/requests/{}/progress", Who::Requester),
    ("GET", "/v1/trail", Who::Anybody),
    ("GET", "/v1/entries/{}", Who::Anybody),
    ("GET", "/v1/blocks/{}", Who::Anybody),
    ("GET", "/v1/blocks", Who::Anybody),
    ("POST", "/v1/transactions", Who::Signer),
    ("POST", "/v1/asks", Who::Signer),
    ("GET", "/v1/answers/{}", Who::Anybody),
    ("POST", "/v1/deliveries", Who::Signer),
    ("GET", "/v1/deliveries/{}/columns/{}/segments/{}", Who::Delivery),
    ("GET", "/v1/index-audit", Who::Owner),
    ("POST", "/v1/challenges", Who::Anybody),
    ("POST", "/v1/sessions", Who::Signer),
    ("DELETE", "/v1/sessions/current", Who::Session),
    // The witness's.
    ("POST", "/add-checkpoint", Who::Signer),
    ("GET", "/{}/checkpoint", Who::Delivery),
];
/// From here on the witness's.
const WITNESS: usize = 41;
/// Only then does a call come from elsewhere in these tests: through a proxy on this machine.
const PROXIED: &str = "[limits]\nclient_header = \"x-forwarded-for\"\nrequests_per_second = 0";

fn file(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

/// A route with what varies as `{}`.
fn varying(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The routes that the gateway and the witness have.
fn in_the_source() -> BTreeSet<(String, String)> {
    let mut all: BTreeSet<_> = routes().map(|route| (route.method.to_owned(), varying(route.path))).collect();
    for (at, line) in file("gateway/src/api/witness.rs").lines().enumerate() {
        let Some((_, filter)) = line.split_once("warp::path!(") else { continue };
        let parts = filter.split_once(')').unwrap().0.split('/').map(|part| match part.trim().strip_prefix('"') {
            Some(fixed) => fixed.trim_end_matches('"').to_owned(),
            None => "{}".to_owned(),
        });
        let rest: Vec<String> =
            file("gateway/src/api/witness.rs").lines().skip(at).take(3).map(str::to_owned).collect();
        let method = if rest.join("").contains("warp::post()") { "POST" } else { "GET" };
        all.insert((method.into(), format!("/{}", parts.collect::<Vec<_>>().join("/"))));
    }
    all
}

/// The routes that the specification describes, with their methods.
fn in_the_specification() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for page in ["docs/spec/api.md", "docs/spec/witness.md"] {
        let rows = file(page);
        let begins = |line: &&str| ["| `GET /", "| `POST /", "| `DELETE /"].iter().any(|begin| line.starts_with(begin));
        for row in rows.lines().filter(begins) {
            let (calls, gives) = row.trim_start_matches("| ").split_once(" | ").unwrap();
            assert!(gives.len() > 3, "nothing is said of {calls}");
            let mut method = "";
            for call in calls.split('`').filter(|part| part.contains('/')) {
                let (named, path) = call.split_once(" /").unwrap_or(("", call.trim_start_matches('/')));
                method = if named.is_empty() { method } else { named };
                let path = path.split('?').next().unwrap().replace("<SHA-256 of the origin, hexadecimal>", "{x}");
                routes.insert((method.to_owned(), varying(&format!("/{path}"))));
            }
        }
    }
    routes
}

#[test]
fn the_matrix_holds_every_route_and_the_specification_every_one_of_them() {
    let matrix: BTreeSet<(String, String)> = MATRIX.map(|(method, path, _)| (method.into(), path.into())).into();
    assert_eq!(matrix.len(), MATRIX.len(), "a route stands there twice");
    assert_eq!(in_the_source(), matrix, "the source (left) and the matrix (right)");
    assert_eq!(in_the_specification(), matrix, "the specification (left) and the matrix (right)");
    for route in routes() {
        let row = MATRIX.iter().find(|(method, path, _)| *method == route.method && *path == varying(route.path));
        assert_eq!(row.unwrap().2, route.who, "{} {}", route.method, route.path);
    }
}

/// Where a route's variables are filled from a real ledger.
fn filled(api: &Api, request: &str, note: &str, height: u64) -> BTreeMap<&'static str, String> {
    let (asset, who) = (&api.asset, &api.world.requester);
    let fill = |path: &'static str| match path {
        "/v1/parameters/{}" => path.replace("{}", "record-15-slots-4"),
        "/v1/state/assets/{}" | "/v1/assets/{}" | "/v1/assets/{}/grants" => path.replace("{}", asset),
        "/v1/state/assets/{}/grants/{}" | "/v1/assets/{}/grants/{}" => {
            path.replacen("{}", asset, 1).replacen("{}", who, 1)
        }
        "/v1/assets/{}/versions/{}" => path.replacen("{}", asset, 1).replacen("{}", "1", 1),
        "/v1/texts/{}" => path.replace("{}", note),
        "/v1/state/accounts/{}" | "/v1/accounts/{}" => path.replace("{}", who),
        "/v1/entries/{}" => path.replace("{}", "0"),
        "/v1/blocks/{}" => path.replace("{}", &height.to_string()),
        "/v1/handovers" => format!("{path}?epoch=0"),
        "/v1/consistency" => format!("{path}?old=1&new=2"),
        "/v1/blocks" => format!("{path}?from=0"),
        "/v1/deliveries/{}/columns/{}/segments/{}" => format!("/v1/deliveries/{request}/columns/0/segments/0"),
        "/{}/checkpoint" => path.replace("{}", &"0".repeat(64)),
        _ => path.replace("{}", request),
    };
    MATRIX.iter().map(|(_, path, _)| (*path, fill(path))).collect()
}

impl Api {
    /// A challenge signed as `who` would for this gateway.
    pub(super) async fn claim(&self, who: &AccountSecret) -> Claim {
        let challenge = self.post_json("/v1/challenges", &json!({ "address": who.address() })).await.ok();
        let challenge: Challenge = serde_json::from_value(challenge).unwrap();
        Claim::sign(who, &challenge, self.server.url.strip_prefix("http://").unwrap())
    }

    async fn opened(&self, claim: &Claim) -> super::Answer {
        self.post_json("/v1/sessions", &serde_json::to_value(claim).unwrap()).await
    }

    /// A session's token.
    pub(super) async fn session(&self, who: &AccountSecret) -> String {
        text(&self.opened(&self.claim(who).await).await.ok()["token"])
    }

    /// A call from elsewhere, with a token or without.
    async fn call_afar(&self, method: &str, path: &str, token: Option<&str>) -> super::Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut call = self.http.request(method, format!("{}{path}", self.server.url));
        call = call.header("x-forwarded-for", "192.0.2.7");
        if let Some(token) = token {
            call = call.bearer_auth(token);
        }
        let response = call.send().await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status();
        super::Answer { status, kind: kind.unwrap_or_default(), body: response.bytes().await.unwrap().to_vec() }
    }

    fn secret(&self, home: &str) -> AccountSecret {
        account_file::load(self.world.path(home).as_ref()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_gives_something_to_whom_it_says_and_by_no_other_method() {
    let api = Api::configured(PROXIED);
    let (owner, note) = (api.world.path("owner"), api.world.path("note.txt"));
    std::fs::write(&note, "x").unwrap();
    let put = ["text", "put", "--data-dir", &owner, "--name", "note", "--title", "Note", "--file", &note, "--public"];
    let note = text(&sealgate(&put).ok()["text"]);
    let request = text(&api.get("/v1/trail").await.ok()["requests"][0]["hash"]);
    let home = api.world.path("witness");
    sealgate(&["witness", "new", "--home", &home, "--name", "witness.example/1"]).ok();
    sealgate(&["trust", "--home", &home, &api.world.fingerprint]).ok();
    let genesis = api.world.path("owner/ledger/genesis.json");
    sealgate(&["witness", "follow", "--home", &home, "--genesis", &genesis]).ok();
    let witness = Server::run(&["witness", "serve", "--home", &home, "--listen", "127.0.0.1:0"], &[]);
    // Sessions: of the owner; of the requester, who is the wrong one for what is the owner's; one that was
    // ended; and a token that another gateway, or another run of this one, might have given.
    let (owner, requester) = (api.secret("owner"), api.secret("requester"));
    let (right, wrong, ended) = (api.session(&owner).await, api.session(&requester).await, api.session(&owner).await);
    let closed = api.http.delete(format!("{}/v1/sessions/current", api.server.url)).bearer_auth(&ended);
    assert_eq!(closed.send().await.unwrap().status(), 204);
    let foreign = ended.chars().rev().collect::<String>();

    let height = api.height().await;
    let paths = filled(&api, &request, &note, height);
    for (at, (method, path, who)) in MATRIX.iter().enumerate() {
        let path = paths[path].as_str();
        if at >= WITNESS || *method == "POST" {
            // What is to be signed is not taken from anybody, and what is not there is not there.
            let url = if at < WITNESS { &api.server.url } else { &witness.url };
            let expected = if *method == "POST" { 400 } else { 404 };
            assert_eq!(http(url, &format!("{method} {path} HTTP/1.1"), b"{}").0, expected, "{method} {path}");
        } else {
            let expected = match who {
                Who::Anybody => [200; 5],
                Who::Session => [204; 5],
                Who::Owner | Who::Local => [404, 404, 404, 404, 200],
                // Nothing is being made or delivered just now: nobody is told more.
                Who::Requester | Who::Delivery => [404; 5],
                Who::Signer => unreachable!("a signature is sent in a body"),
            };
            // Last who may: a session is ended by its own call.
            let tokens = [None, Some(&wrong), Some(&ended), Some(&foreign), Some(&right)];
            for (token, expected) in tokens.into_iter().zip(expected) {
                if *who == Who::Session && token.is_some_and(|token| *token == right || *token == wrong) {
                    continue;
                }
                let found = api.call_afar(method, path, token.map(String::as_str)).await;
                assert_eq!(found.status.as_u16(), expected, "{method} {path} with {token:?}");
            }
        }
        let url = if at < WITNESS { &api.server.url } else { &witness.url };
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "SEALGATE"] {
            if other == *method {
                continue;
            }
            let found = http(url, &format!("{other} {path} HTTP/1.1"), b"{}").0;
            assert!(matches!(found, 404 | 405), "{other} {path}: {found}");
        }
    }
    // A program on the same machine reads what is counted.
    let counted = api.get("/metrics").await;
    assert!(counted.status == 200 && counted.kind.starts_with("application/openmetrics-text"));
    assert_eq!(api.height().await, height, "something was recorded");

    // What they give: members and rules, texts, the state with its proof.
    let governance = api.get("/v1/governance").await.ok();
    assert_eq!(governance["members"]["members"].as_array().unwrap().len(), 1);
    assert_eq!((&governance["policy"]["open_enrolment"], &governance["proposals"]), (&true.into(), &json!([])));
    let shown = api.get(&paths["/v1/texts/{}"]).await.ok();
    assert_eq!((&shown["name"], &shown["content"]["public"]), (&"note".into(), &"x".into()));
    assert_eq!(api.get("/v1/texts").await.ok(), json!({ "texts": [shown], "next": null }));
    assert_eq!(api.get("/v1/handovers?epoch=0").await.ok(), json!([]));
    for path in ["/v1/state/policy", "/v1/state/members", &paths["/v1/state/accounts/{}"]] {
        let standing = api.get(path).await.ok();
        assert!(standing["value"].is_object() && standing["head"]["checkpoint"].is_string(), "{path}: {standing}");
    }
    for (path, status, code) in [
        (format!("/v1/texts/{}", api.asset), 404, "not-found"),
        ("/v1/texts/note".into(), 404, "not-found"),
        ("/v1/state".into(), 404, "not-found"),
        ("/v1/state/nothing".into(), 404, "not-found"),
        ("/v1/state/assets/people".into(), 404, "not-found"),
        ("/v1/state/accounts/nobody".into(), 404, "not-found"),
        ("/v1/handovers".into(), 400, "malformed"),
        ("/v1/handovers?epoch=-1".into(), 400, "malformed"),
    ] {
        println!("{path}");
        api.get(&path).await.problem(status, code);
    }
    // What is not there is proven not to be.
    let nobody = format!("/v1/state/accounts/{}", api.world.auditor);
    assert!(api.get(&nobody).await.ok()["value"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_taken_from_its_signer_once_and_in_time() {
    let api = Api::new();
    let owner = api.secret("owner");
    let stranger = AccountSecret::generate("stranger").unwrap();
    let open = |who: &AccountSecret| TxBody::OpenAccount { account: who.public().clone(), identity: vec![] };
    let withdraw = TxBody::Withdraw { asset: api.asset.parse().unwrap() };
    // A wrong role, and one that nobody knows.
    for who in [&api.account, &stranger] {
        api.post("/v1/transactions", api.sign(who, withdraw.clone()).await.encode()).await.problem(422, "refused");
    }
    // Too late: its last block has passed.
    let mut late = api.sign(&owner, withdraw.clone()).await.tx;
    late.expiry = sealgate_ledger::ids::BlockHeight(0);
    api.post("/v1/transactions", late.sign(&owner).encode()).await.problem(422, "refused");
    // The right one; and the same bytes again, which are the same transaction: one receipt, one entry.
    let tx = api.sign(&stranger, open(&stranger)).await.encode();
    let receipt = api.post("/v1/transactions", tx.clone()).await.ok();
    let size = api.get("/v1/checkpoint").await.ok()["header"]["tree_size"].clone();
    for _ in 0..3 {
        assert_eq!(api.post("/v1/transactions", tx.clone()).await.ok(), receipt);
    }
    assert_eq!(api.get("/v1/checkpoint").await.ok()["header"]["tree_size"], size);

    // A challenge is signed by the account that asked for it, for this gateway, and used once.
    let claim = api.claim(&owner).await;
    let spoilt = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&claim).unwrap();
        change(&mut value);
        value
    };
    let other = api.secret("requester").address().to_string();
    for (name, value) in [
        ("another's name", {
            let mut value = serde_json::to_value(&claim).unwrap();
            value["address"] = json!(other);
            value
        }),
        ("another gateway", spoilt(|value| value["audience"] = json!("other.example:443"))),
        ("another challenge", spoilt(|value| value["challenge"] = json!("A".repeat(64)))),
        ("no signature", spoilt(|value| value["signature"] = json!("0".repeat(128)))),
    ] {
        println!("{name}");
        let detail = api.post_json("/v1/sessions", &value).await.problem(401, "not-signed-in");
        assert!(!detail.is_empty());
    }
    let fresh = api.claim(&owner).await;
    api.opened(&fresh).await.ok();
    api.opened(&fresh).await.problem(401, "not-signed-in");
    // An account that is not on the ledger.
    let nobody = AccountSecret::generate("nobody").unwrap();
    let claim = api.claim(&nobody).await;
    api.opened(&claim).await.problem(401, "not-signed-in");

    // Nothing of all that lives on across a restart: neither a challenge that was signed, nor a session.
    let (token, unused) = (api.session(&owner).await, api.claim(&owner).await);
    let Api { world, server, http, account, asset } = api;
    let listen = server.url.strip_prefix("http://").unwrap().to_owned();
    drop(server);
    let server = Server::run(&["serve", "--data-dir", &world.path("owner"), "--listen", &listen], &[]);
    let api = Api { world, server, http, account, asset };
    api.opened(&unused).await.problem(401, "not-signed-in");
    let again = api.http.get(format!("{}/v1/index-audit", api.server.url)).bearer_auth(token).send().await.unwrap();
    assert_eq!(again.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_an_answer_is_is_told_to_its_requester_and_the_owner() {
    let api = Api::new();
    let (owner, requester) = (api.session(&api.secret("owner")).await, api.session(&api.account).await);
    let stranger = AccountSecret::generate("stranger").unwrap();
    let opened = TxBody::OpenAccount { account: stranger.public().clone(), identity: vec![] };
    api.post("/v1/transactions", api.sign(&stranger, opened).await.encode()).await.ok();
    let stranger = api.session(&stranger).await;
    let keys: String = (1..=30).map(|id| format!("{id}\n")).collect();
    std::fs::write(api.world.path("keys.csv"), format!("id\n{keys}")).unwrap();
    let (world, url) = (&api.world, api.server.url.clone());
    let asked = std::sync::atomic::AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let sql = "SELECT name FROM people WHERE id = ?";
            let run = world.ask_keys(&url, "requester", "many", "many.json", &world.path("keys.csv"), sql);
            asked.store(true, std::sync::atomic::Ordering::Relaxed);
            run
        });
        let mut told = 0;
        let status = |path: &str, token: Option<&str>| {
            let head = token.map(|token| format!("\r\nauthorization: Bearer {token}")).unwrap_or_default();
            http(&url, &format!("GET {path} HTTP/1.1{head}"), b"").0
        };
        while !asked.load(std::sync::atomic::Ordering::Relaxed) {
            let (_, page) = http(&url, "GET /v1/trail HTTP/1.1", b"");
            let page: Value = serde_json::from_slice(&page).unwrap();
            let last = page["requests"].as_array().unwrap().last().unwrap();
            let path = format!("/v1/requests/{}/progress", text(&last["hash"]));
            assert_eq!(status(&path, None), 404);
            assert_eq!(status(&path, Some(&stranger)), 404);
            told += u32::from(status(&path, Some(&requester)) == 200 && status(&path, Some(&owner)) == 200);
            assert_eq!(status(&path, Some(&stranger)), 404);
        }
        asking.join().unwrap().ok();
        told
    });
    assert!(told > 0, "thirty proofs took so little time that nobody could be told of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_not_there() {
    let api = Api::new();
    // The same bytes for a request of somebody else's and for none.
    let token = api.session(&api.account).await;
    let request = text(&api.get("/v1/trail").await.ok()["requests"][0]["hash"]);
    let mut bodies = BTreeSet::new();
    for path in [
        format!("/v1/requests/{request}/progress"),
        format!("/v1/requests/{}/progress", "0".repeat(64)),
        format!("/v1/deliveries/{request}/columns/0/segments/0"),
        format!("/v1/deliveries/{}/columns/0/segments/0", "0".repeat(64)),
        "/v1/index-audit".into(),
        "/v1/nothing".into(),
    ] {
        for token in [None, Some(token.as_str())] {
            let answer = api.call_afar("GET", &path, token).await;
            bodies.insert((answer.status.as_u16(), answer.kind, answer.body));
        }
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_was_passed_on_is_answered_for_the_owner_s_own_assets_alone() {
    let api = Api::new();
    let request = api.request(SQL, "passed on", 8, |_| ()).await;
    let call = api.http.request(Method::POST, format!("{}/v1/asks", api.server.url));
    let answer = call.header("sealgate-passed-on", "1").json(&request).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // On an embedded ledger nothing is passed on: another's asset is nobody's here.
    let stranger = account_file::load(api.world.path("auditor").as_ref()).unwrap();
    let open = TxBody::OpenAccount { account: stranger.public().clone(), identity: vec![] };
    let opened = api.sign(&stranger, open).await.encode();
    api.post("/v1/transactions", opened).await.ok();
    api.world.transfer(&api.server.url, &api.asset, "auditor").ok();
    let before = api.height().await;
    let detail = api.ask(&request).await.problem(400, "malformed");
    assert!(detail.contains("answers for no asset"), "{detail}");
    assert_eq!(api.height().await, before);
}

//! Every route of the HTTP API: what it gives, what it refuses, and in which form.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Method, StatusCode};
use sealgate_circuits::question::Item;
use sealgate_circuits::question::sql::parse_question;
use sealgate_gateway::account_file;
use sealgate_gateway::messages::{AskRequest, Nonce, SecretQuestion, question_purpose};
use sealgate_gateway::{envelope, owner};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::block::Block;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::tx::{SignedTx, TX_BYTES_MAX, TxBody};
use sealgate_tests::{Server, World, sealgate, text};
use serde_json::{Value, json};

mod people;

#[path = "api/described.rs"]
mod described;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/logs.rs"]
mod logs;
#[path = "api/matrix.rs"]
mod matrix;
#[path = "api/pressure.rs"]
mod pressure;
#[path = "api/proxied.rs"]
mod proxied;
#[path = "api/secure.rs"]
mod secure;
#[path = "api/timing.rs"]
mod timing;

const SQL: &str = "SELECT name, fee >= 500 FROM people WHERE id = 24";

/// A server, a client, and what a requester holds.
struct Api {
    world: World,
    server: Server,
    http: Client,
    account: AccountSecret,
    asset: String,
}

struct Answer {
    status: StatusCode,
    kind: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.kind, "application/json");
        self.json()
    }

    /// Problem details (RFC 9457) with this status and code.
    fn problem(self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.kind, "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:sealgate:problem:{code}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(!text(&problem["title"]).is_empty());
        let detail = text(&problem["detail"]);
        assert!(!detail.is_empty() && !detail.contains('\n'), "{detail}");
        for inside in ["/tmp", "/home", ".rs", "panicked", "os error"] {
            assert!(!detail.contains(inside), "internal text leaves: {detail}");
        }
        detail
    }
}

impl Api {
    /// `people` is published and granted; the requester has asked once and is enrolled.
    fn new() -> Api {
        Api::configured("")
    }

    /// The same with more in the gateway's configuration.
    fn configured(more: &str) -> Api {
        let world = people::world(40);
        let config = world.path("owner/sealgate.toml");
        let usual = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{usual}\n{more}\n")).unwrap();
        let server = world.serve();
        world.ask(&server.url, "requester", "enrol", "enrol.json", SQL).ok();
        let account = account_file::load(world.path("requester").as_ref()).unwrap();
        let catalogue = sealgate(&["catalogue", "--gateway", &server.url]).ok();
        let asset = text(&catalogue[0]["asset"]["id"]);
        Api { http: Client::builder().no_proxy().build().unwrap(), world, server, account, asset }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.server.url));
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status();
        Answer { status, kind: kind.unwrap_or_default(), body: response.bytes().await.unwrap().to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.call(Method::POST, path, Some(body.into())).await
    }

    async fn genesis(&self) -> Genesis {
        serde_json::from_value(self.get("/v1/genesis").await.ok()).unwrap()
    }

    async fn height(&self) -> u64 {
        self.get("/v1/checkpoint").await.ok()["header"]["height"].as_u64().unwrap()
    }

    async fn sign(&self, who: &AccountSecret, body: TxBody) -> SignedTx {
        owner::signed(&self.genesis().await, BlockHeight(self.height().await), who, body).unwrap()
    }

    /// A whole ask, made by hand; `change` may spoil the secret question after it was committed to.
    async fn request(&self, sql: &str, purpose: &str, nonce: u8, change: impl Fn(&mut SecretQuestion)) -> AskRequest {
        let detail = self.get(&format!("/v1/assets/{}", self.asset)).await.ok();
        let schema = serde_json::from_value(detail["asset"]["schema"].clone()).unwrap();
        let owner = self.get(&format!("/v1/accounts/{}", text(&detail["asset"]["owner"]))).await.ok();
        let key = serde_json::from_value(owner["account"]["encryption_key"].clone()).unwrap();
        let mut question = parse_question(sql, &schema, vec![]).unwrap();
        // The grant leaves the constant of `level` free.
        let mut shape = question.shape.clone();
        for item in &mut shape.items {
            if let Item::Prove(predicate) = item
                && predicate.columns().contains(&4)
            {
                *predicate = predicate.freed();
            }
        }
        question = question.reshaped(&shape).unwrap();
        let mut secret = SecretQuestion { nonce: Nonce([nonce; 32]), question };
        let body = TxBody::Request {
            asset: self.asset.parse().unwrap(),
            shape: secret.question.shape.clone(),
            purpose: purpose.into(),
            commitment: secret.commitment(),
            consent: None,
        };
        let tx = self.sign(&self.account, body).await;
        change(&mut secret);
        let message = sealgate_ledger::codec::encode(&secret);
        let question = envelope::seal(&key, question_purpose(&tx.hash()), &message).unwrap();
        AskRequest { transaction: BASE64.encode(tx.encode()), question: BASE64.encode(question), seen: 0 }
    }

    async fn ask(&self, request: &AskRequest) -> Answer {
        self.post_json("/v1/asks", &serde_json::to_value(request).unwrap()).await
    }

    async fn post_json(&self, path: &str, value: &Value) -> Answer {
        let response = self.http.post(format!("{}{path}", self.server.url)).json(value).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        Answer { status: response.status(), kind, body: response.bytes().await.unwrap().to_vec() }
    }

    /// Bytes as they are, on the wire.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.server.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_gives_what_it_says() {
    let api = Api::new();
    let (asset, requester) = (api.asset.clone(), api.world.requester.clone());
    let health = api.get("/health").await.ok();
    assert_eq!(health["status"], "ok");
    let height = api.height().await;
    assert_eq!(health["height"], height);
    assert_eq!(api.genesis().await.chain_id().to_string(), api.world.fingerprint);
    for circuit in ["record-15-slots-4", "record-31-slots-4"] {
        let key = api.get(&format!("/v1/parameters/{circuit}")).await;
        assert_eq!(key.status, 200);
        let known = api.genesis().await.circuits.into_iter().find(|known| known.circuit == circuit).unwrap();
        assert_eq!(sealgate_circuits::verifier::digest(&key.body), known.verifying_key);
    }
    let head = api.get("/v1/checkpoint").await.ok();
    let size = head["header"]["tree_size"].as_u64().unwrap();
    assert!(text(&head["checkpoint"]).contains(&api.world.fingerprint));
    let proof = api.get(&format!("/v1/consistency?old=1&new={size}")).await.ok();
    assert!(proof.as_array().is_some_and(|proof| !proof.is_empty()), "{proof}");
    assert_eq!(api.get(&format!("/v1/consistency?old={size}&new={size}")).await.ok(), json!([]));

    let catalogue = api.get("/v1/catalogue").await.ok();
    let listed = &catalogue["assets"][0];
    assert_eq!((catalogue["assets"].as_array().unwrap().len(), &catalogue["seen"]), (1, &json!(1)));
    let detail = api.get(&format!("/v1/assets/{asset}")).await.ok();
    assert_eq!((&listed["asset"], &listed["version"]), (&detail["asset"], &detail["version"]));
    for (query, count) in [("search=PEOPLE+made", 1), ("search=nobody", 0), ("owner=nobody", 0), ("type=decimal", 1)] {
        let found = api.get(&format!("/v1/catalogue?limit=1&{query}")).await.ok();
        assert_eq!((found["assets"].as_array().unwrap().len(), &found["next"]), (count, &Value::Null), "{query}");
    }
    assert_eq!(api.get(&format!("/v1/catalogue?after={asset}")).await.ok()["seen"], 0);
    assert_eq!(detail["asset"]["name"], "people");
    assert_eq!(detail["version"], api.get(&format!("/v1/assets/{asset}/versions/1")).await.ok());
    let grants = api.get(&format!("/v1/assets/{asset}/grants")).await.ok();
    let grant = api.get(&format!("/v1/assets/{asset}/grants/{requester}")).await.ok();
    assert_eq!(grants, json!({ "grants": [grant], "next": null }));
    assert_eq!(grant["used"], 1);
    let accounts = api.get("/v1/accounts").await.ok()["accounts"].clone();
    assert_eq!(accounts.as_array().unwrap().len(), 2);
    let account = api.get(&format!("/v1/accounts/{requester}")).await.ok();
    assert!(accounts.as_array().unwrap().contains(&account));
    assert_eq!(account["address"], json!(requester));

    let page = api.get("/v1/trail").await.ok();
    let trail = page["requests"].clone();
    assert_eq!(trail.as_array().unwrap().len(), 1);
    let hash = text(&trail[0]["hash"]);
    assert_eq!(api.get(&format!("/v1/requests/{hash}")).await.ok(), trail[0]);
    assert_eq!(api.get(&format!("/v1/trail?asset={asset}&limit=10")).await.ok(), page);
    let entry = trail[0]["entry_index"].as_u64().unwrap();
    assert_eq!(api.get(&format!("/v1/trail?after={entry}")).await.ok(), json!({ "requests": [], "next": null }));
    // A page has a line at least, and says where the next one begins.
    assert_eq!(api.get("/v1/trail?limit=0").await.ok(), json!({ "requests": trail, "next": entry }));
    let receipt = api.get(&format!("/v1/transactions/{hash}")).await.ok();
    assert_eq!((&receipt["hash"], &receipt["entry_index"]), (&json!(hash), &json!(entry)));
    let answer = api.get(&format!("/v1/answers/{hash}")).await.ok();
    assert_eq!(answer["proofs"]["entries"].as_array().unwrap().len(), 4);
    assert_eq!(answer["proofs"]["consistency"], json!([]));
    let seen = api.get(&format!("/v1/answers/{hash}?seen=1")).await.ok();
    assert!(!seen["proofs"]["consistency"].as_array().unwrap().is_empty());
    let proven = api.get(&format!("/v1/entries/{entry}")).await.ok();
    assert_eq!(proven, answer["proofs"]["entries"][2]);
    let smaller = api.get(&format!("/v1/entries/{entry}?size={}", entry + 1)).await.ok();
    assert_eq!(smaller["entry"], proven["entry"]);

    let blocks: Vec<Block> =
        sealgate_ledger::codec::decode("blocks", &api.get("/v1/blocks?from=0").await.body).unwrap();
    assert_eq!(blocks.len() as u64, height + 1);
    assert_eq!(api.get(&format!("/v1/blocks/{height}")).await.ok(), serde_json::to_value(blocks.last()).unwrap());
    let past: Vec<Block> =
        sealgate_ledger::codec::decode("blocks", &api.get(&format!("/v1/blocks?from={}", u64::MAX)).await.body)
            .unwrap();
    assert!(past.is_empty());

    // A signed transaction, and the same again: one receipt.
    let body =
        TxBody::OpenAccount { account: AccountSecret::generate("new").unwrap().public().clone(), identity: vec![] };
    let operator = account_file::load(api.world.path("owner").as_ref()).unwrap();
    let tx = api.sign(&operator, body).await.encode();
    let receipt = api.post("/v1/transactions", tx.clone()).await.ok();
    assert_eq!(receipt["outcome"], "accepted");
    assert_eq!(api.post("/v1/transactions", tx).await.ok(), receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404() {
    let api = Api::new();
    let (asset, stranger) = (api.asset.clone(), api.world.auditor.clone());
    let none = "00".repeat(32);
    for path in [
        "/".into(),
        "/v1".into(),
        "/v1/".into(),
        "/v2/genesis".into(),
        "/v1/genesis/more".into(),
        "/v1/parameters/none".into(),
        "/v1/parameters/..%2f..%2faccount.key".into(),
        "/v1/parameters".into(),
        "/v1/assets".into(),
        "/v1/assets/people".into(),
        format!("/v1/assets/{}", asset.to_uppercase()),
        format!("/v1/assets/{asset}/versions/0"),
        format!("/v1/assets/{asset}/versions/2"),
        format!("/v1/assets/{asset}/versions/99999999999"),
        format!("/v1/assets/{asset}/versions/-1"),
        format!("/v1/assets/{asset}/grants/{stranger}"),
        format!("/v1/assets/{asset}/grants/nobody"),
        format!("/v1/accounts/{stranger}"),
        "/v1/accounts/sg1".into(),
        format!("/v1/accounts/{}", "x".repeat(5000)),
        format!("/v1/transactions/{none}"),
        "/v1/transactions/xyz".into(),
        format!("/v1/requests/{none}"),
        format!("/v1/answers/{none}"),
        "/v1/answers/..".into(),
        "/v1/entries/1000000".into(),
        "/v1/entries/x".into(),
        "/v1/entries/0?size=1000000".into(),
        "/v1/entries/3?size=3".into(),
        "/v1/blocks/1000000".into(),
        "/v1/blocks/x".into(),
        "/v1/consistency?old=1&new=1000000".into(),
        "/v1/consistency?old=3&new=2".into(),
        "/v1/index-audit".into(),
        "/v1/trail?asset=nothing".into(),
        "/v1/catalogue?after=nothing".into(),
        "/account.key".into(),
        "/%2e%2e/account.key".into(),
        "/v1/%00".into(),
    ] {
        println!("{path}");
        api.get(&path).await.problem(404, "not-found");
    }
    // The asset exists, the grants of one that does not are nobody's.
    let unknown = format!("/v1/assets/{}/grants", asset.replace("asset1", "asset1q"));
    api.get(&unknown).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_audit_is_the_owners_and_hidden_from_others() {
    let api = Api::new();
    let serving: Value = serde_json::from_slice(&std::fs::read(api.world.path("owner/serving.json")).unwrap()).unwrap();
    let token = text(&serving["token"]);
    let url = format!("{}/v1/index-audit", api.server.url);
    let right = api.http.get(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(right.status(), 200);
    assert_eq!(right.json::<u64>().await.unwrap(), api.height().await);
    let almost = format!("{}{}", &token[..63], if token.ends_with('0') { '1' } else { '0' });
    for wrong in ["", "x", &almost, &token[..63], &format!("{token}0"), &token.to_uppercase()] {
        let answer = api.http.get(&url).bearer_auth(wrong).send().await.unwrap();
        assert_eq!(answer.status(), 404, "token '{wrong}'");
    }
    let basic = api.http.get(&url).header("authorization", format!("Basic {token}")).send().await.unwrap();
    assert_eq!(basic.status(), 404);
    assert_eq!(api.get(&format!("/v1/index-audit?token={token}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused() {
    let api = Api::new();
    for (method, path) in [
        (Method::POST, "/v1/genesis"),
        (Method::POST, "/v1/catalogue"),
        (Method::PUT, "/v1/genesis"),
        (Method::DELETE, "/v1/genesis"),
        (Method::PATCH, "/v1/asks"),
        (Method::PUT, "/v1/transactions"),
        (Method::DELETE, "/v1/transactions"),
        (Method::GET, "/v1/asks"),
        (Method::GET, "/v1/transactions"),
    ] {
        println!("{method} {path}");
        api.call(method, path, Some(b"{}".to_vec())).await.problem(405, "method");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_calls_are_told_so_and_nothing_is_recorded() {
    let api = Api::new();
    let before = api.height().await;
    for path in [
        "/v1/consistency",
        "/v1/consistency?old=1",
        "/v1/consistency?old=x&new=2",
        "/v1/consistency?old=-1&new=2",
        "/v1/blocks",
        "/v1/blocks?from=x",
        "/v1/blocks?from=99999999999999999999999",
        "/v1/entries/0?size=x",
        "/v1/trail?after=x",
        "/v1/trail?limit=-1",
        "/v1/catalogue?limit=-1",
        &format!("/v1/catalogue?search={}", "x".repeat(501)),
    ] {
        println!("{path}");
        api.get(path).await.problem(400, "malformed");
    }
    let good = api.request(SQL, "p", 1, |_| ()).await;
    for body in [&b"hello"[..], b"{}", b"[]", b"null", b"{\"transaction\":1}", &[0xff; 100], &[b'['; 100_000]] {
        let answer = api
            .http
            .post(format!("{}/v1/asks", api.server.url))
            .header("content-type", "application/json")
            .body(body.to_vec());
        let response = answer.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        Answer { status: response.status(), kind, body: response.bytes().await.unwrap().to_vec() }
            .problem(400, "malformed");
    }
    let spoil = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&good).unwrap();
        change(&mut value);
        value
    };
    for (name, value) in [
        ("no base64", spoil(|v| v["transaction"] = json!("?"))),
        ("empty transaction", spoil(|v| v["transaction"] = json!(""))),
        ("zeros", spoil(|v| v["transaction"] = json!(BASE64.encode([0; 500])))),
        ("cut", spoil(|v| v["transaction"] = json!(&text(&v["transaction"])[..200]))),
        ("no question", spoil(|v| v["question"] = json!(""))),
        ("question of zeros", spoil(|v| v["question"] = json!(BASE64.encode([0; 8240])))),
        ("question too long", spoil(|v| v["question"] = json!(BASE64.encode(vec![0; 1_200_000])))),
        ("a field more", spoil(|v| v["extra"] = json!(1))),
        (
            "a field less",
            spoil(|v| {
                v.as_object_mut().unwrap().remove("seen");
            }),
        ),
        ("negative", spoil(|v| v["seen"] = json!(-1))),
        ("text for a number", spoil(|v| v["seen"] = json!("0"))),
    ] {
        println!("{name}");
        api.post_json("/v1/asks", &value).await.problem(400, "malformed");
    }
    // A question that is not what was committed to, or not in the request's shape.
    let other_key: fn(&mut SecretQuestion) =
        |secret| secret.question.keys = vec![vec![sealgate_circuits::value::Value::Int(25)]];
    let other_nonce: fn(&mut SecretQuestion) = |secret| secret.nonce = Nonce([9; 32]);
    let other_shape: fn(&mut SecretQuestion) = |secret| {
        secret.question.shape.items.pop();
    };
    for change in [other_key, other_nonce, other_shape] {
        let request = api.request(SQL, "p", 2, change).await;
        api.ask(&request).await.problem(400, "malformed");
    }
    // The question of one request under another.
    let mut mixed = api.request(SQL, "p", 3, |_| ()).await;
    mixed.question = good.question.clone();
    api.ask(&mixed).await.problem(400, "malformed");
    // A transaction that is no request, and one that no signature holds.
    let open =
        api.sign(&api.account, TxBody::OpenAccount { account: api.account.public().clone(), identity: vec![] }).await;
    let no_request = AskRequest { transaction: BASE64.encode(open.encode()), ..good.clone() };
    api.ask(&no_request).await.problem(400, "malformed");
    let mut tx = SignedTx::decode(&BASE64.decode(&good.transaction).unwrap()).unwrap();
    tx.signature.0[0] ^= 1;
    let unsigned = AskRequest { transaction: BASE64.encode(tx.encode()), ..good.clone() };
    api.ask(&unsigned).await.problem(422, "refused");
    api.post("/v1/transactions", tx.encode()).await.problem(422, "refused");
    for body in [b"hello".to_vec(), vec![0xff; 1000], [tx.encode(), vec![0]].concat()] {
        api.post("/v1/transactions", body).await.problem(400, "malformed");
    }
    assert_eq!(api.height().await, before, "something was recorded");
    api.ask(&good).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_length_and_a_limit() {
    let api = Api::new();
    for (path, limit) in [("/v1/asks", 12 << 20), ("/v1/transactions", TX_BYTES_MAX + 128)] {
        api.post(path, vec![b' '; limit]).await.problem(400, "malformed");
        // Refused by its announcement; the body need not be sent.
        let announced = api.raw(
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", limit + 1)
                .as_bytes(),
        );
        assert!(announced.starts_with("HTTP/1.1 413") && announced.contains("problem:too-large"), "{announced}");
        let endless = api.raw(
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", u64::MAX)
                .as_bytes(),
        );
        assert!(endless.starts_with("HTTP/1.1 4"), "{endless}");
        let chunked = api.raw(format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").as_bytes());
        assert!(chunked.starts_with("HTTP/1.1 411") && chunked.contains("problem:length-required"), "{chunked}");
        let unsaid = api.raw(format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(unsaid.starts_with("HTTP/1.1 411"), "{unsaid}");
    }
    // Not HTTP at all, and headers without end, end the connection and nothing else.
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n"] {
        let answer = api.raw(bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let headers = api.raw(&[b"GET /health HTTP/1.1\r\nx: ".to_vec(), vec![b'y'; 2 << 20]].concat());
    assert!(headers.is_empty() || headers.starts_with("HTTP/1.1 4"), "{headers}");
    api.get("/health").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ask_gives_the_same_sealed_answer() {
    let api = Api::new();
    let request = api.request(SQL, "again", 5, |_| ()).await;
    let first = api.ask(&request).await.ok();
    let again = api.ask(&request).await.ok();
    assert_eq!(first["sealed"], again["sealed"]);
    assert_eq!(first["proofs"]["entries"].as_array().unwrap().len(), 4);
    // At the same moment, too.
    let request = api.request(SQL, "at once", 6, |_| ()).await;
    let (a, b, c, d) = tokio::join!(api.ask(&request), api.ask(&request), api.ask(&request), api.ask(&request));
    let sealed: Vec<Value> = [a, b, c, d].into_iter().map(|answer| answer.ok()["sealed"].clone()).collect();
    assert!(sealed.iter().all(|one| *one == sealed[0] && one.is_string()));
    let hash = SignedTx::decode(&BASE64.decode(&request.transaction).unwrap()).unwrap().hash();
    assert_eq!(api.get(&format!("/v1/answers/{hash}")).await.ok()["sealed"], sealed[0]);
    let grant = api.get(&format!("/v1/assets/{}/grants/{}", api.asset, api.world.requester)).await.ok();
    assert_eq!(grant["used"], 3, "one to enrol, one again, one at once");

    // A requester who claims to have seen more than there is learns it.
    let request = AskRequest { seen: 1_000_000, ..request };
    let detail = api.ask(&request).await.problem(400, "malformed");
    assert!(detail.contains("rolled back"), "{detail}");
    let detail = api.get(&format!("/v1/answers/{hash}?seen=1000000")).await.problem(400, "malformed");
    assert!(detail.contains("rolled back"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_gets_its_answer_when_it_comes_back() {
    let api = Api::new();
    for round in 0..12u64 {
        let request = api.request(SQL, "hang up", 50 + round as u8, |_| ()).await;
        let hasty = std::time::Duration::from_millis(20 * round);
        let url = format!("{}/v1/asks", api.server.url);
        let _ = api.http.post(url).json(&serde_json::to_value(&request).unwrap()).timeout(hasty).send().await;
        let answer = api.ask(&request).await.ok();
        assert!(answer["sealed"].is_string(), "hung up after {hasty:?}");
        assert_eq!(api.ask(&request).await.ok()["sealed"], answer["sealed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_of_one_requester_at_once_are_all_answered() {
    let api = Api::new();
    let mut requests = Vec::new();
    // As many as one account may have waiting.
    for at in 0..16u8 {
        requests.push(
            api.request(&format!("SELECT name FROM people WHERE id = {}", 30 + at), "many", 100 + at, |_| ()).await,
        );
    }
    let answers = futures_join(requests.iter().map(|request| api.ask(request)).collect()).await;
    for answer in answers {
        assert!(answer.ok()["sealed"].is_string());
    }
    // And by the command line, from one home at once.
    let (world, url) = (&api.world, api.server.url.as_str());
    std::thread::scope(|scope| {
        let asks: Vec<_> = (1..9)
            .map(|id| {
                scope.spawn(move || {
                    let sql = format!("SELECT name FROM people WHERE id = {id}");
                    world.ask(url, "requester", "at once", &format!("{id}.json"), &sql)
                })
            })
            .collect();
        let runs: Vec<_> = asks.into_iter().map(|ask| ask.join().unwrap()).collect();
        let failed: Vec<_> = runs.iter().filter(|run| run.code != 0).map(|run| run.json.to_string()).collect();
        assert!(failed.is_empty(), "{} of {} failed: {}", failed.len(), runs.len(), failed.join("\n"));
    });
    // A home whose account is not enrolled yet asks twice at once.
    world.grant("people", &world.auditor, &people::GRANT).ok();
    std::thread::scope(|scope| {
        let ask = |id: u64| {
            let sql = format!("SELECT name FROM people WHERE id = {id}");
            world.ask(url, "auditor", "first", &format!("first-{id}.json"), &sql)
        };
        let asks: Vec<_> = (1..4).map(|id| scope.spawn(move || ask(id))).collect();
        for run in asks.into_iter().map(|ask| ask.join().unwrap()) {
            run.ok();
        }
    });
}

async fn futures_join<F: Future<Output = Answer>>(futures: Vec<F>) -> Vec<Answer> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<Answer>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in pinned.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(answer) = future.as_mut().poll(context) {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn present_absent_and_null_answers_look_alike() {
    let api = Api::new();
    let mut sizes = Vec::new();
    let on_disk = || -> std::collections::BTreeSet<u64> {
        let files = std::fs::read_dir(api.world.path("owner/answers")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).collect()
    };
    for (name, sql) in [
        ("present", "SELECT name, fee, level, level >= 3 FROM people WHERE id = 25"),
        ("null", "SELECT name, fee, level, level >= 3 FROM people WHERE id = 24"),
        ("absent", "SELECT name, fee, level, level >= 3 FROM people WHERE id = 2400"),
        ("exists", "SELECT 1 FROM people WHERE id = 24"),
        ("does not exist", "SELECT 1 FROM people WHERE id = 2400"),
        ("false", "SELECT level >= 3 FROM people WHERE id = 22"),
    ] {
        let answer = api.ask(&api.request(sql, name, 7, |_| ()).await).await.ok();
        sizes.push((name, text(&answer["sealed"]).len()));
        // On disk, too, where what is charged is noted beside: its size follows from the question.
        let charged = if name.contains("exist") { 2 } else { 1 };
        assert!(on_disk().len() <= charged + usize::from(name == "false"), "{name}: {:?}", on_disk());
    }
    assert!(sizes.iter().all(|(_, size)| *size == sizes[0].1), "{sizes:?}");
}

//! What the gateway takes at once, and for how long it waits for who is slow.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sealgate_gateway::messages::AskRequest;
use sealgate_ledger::tx::SignedTx;
use serde_json::Value;

use super::{Api, BASE64, SQL};

/// Longer than anything here may take, for a stream that must end.
const PATIENCE: Duration = Duration::from_secs(60);

impl Api {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// What comes until the other side ends the connection, however it does.
fn until_its_end(mut stream: &TcpStream) -> String {
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection was not ended: {error}"),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_its_rate_and_takes_nobody_else_s() {
    let api = Api::configured("[limits]\nclient_header = \"X-Client\"\nrequests_per_second = 1\nburst = 20");
    let call = |client: &str| api.http.get(format!("{}/health", api.server.url)).header("x-client", client);
    let mut refused = 0;
    for _ in 0..100 {
        let answer = call("192.0.2.1").send().await.unwrap();
        if answer.status() == 429 {
            let again: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=2).contains(&again));
            assert!(answer.text().await.unwrap().contains("urn:sealgate:problem:too-many"));
            refused += 1;
        } else {
            assert_eq!(answer.status(), 200);
        }
    }
    assert!(refused > 0, "a hundred calls at one a second were all taken");
    // Somebody else; who claims to be many, of whom the proxy has seen the last; programs of this machine.
    assert_eq!(call("192.0.2.2").send().await.unwrap().status(), 200);
    assert_eq!(call("192.0.2.9, 192.0.2.2").send().await.unwrap().status(), 200);
    for _ in 0..100 {
        assert_eq!(api.get("/health").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_is_cut_off() {
    let api = Api::configured("[limits]\nhead_time = \"1s\"\nstall_time = \"1s\"");
    // A head that never ends, and one that never begins.
    let slow = api.connect();
    (&slow).write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx: ").unwrap();
    let silent = api.connect();
    // A body that never ends.
    let stalled = api.connect();
    (&stalled).write_all(b"POST /v1/asks HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"a").unwrap();
    // A connection that is kept, and then not used.
    let kept = api.connect();
    (&kept).write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(until_its_end(&slow), "");
    assert_eq!(until_its_end(&silent), "");
    let answer = until_its_end(&stalled);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("problem:too-slow"), "{answer}");
    assert!(until_its_end(&kept).starts_with("HTTP/1.1 200 "));
    // One that asks for much again and again, and reads nothing.
    let deaf = api.connect();
    let ask = b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    let begun = Instant::now();
    let mut writing = &deaf;
    writing.set_write_timeout(Some(PATIENCE)).unwrap();
    while writing.write_all(&ask).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "nobody cuts off who reads nothing");
        std::thread::sleep(Duration::from_millis(100));
    }
    api.get("/health").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_in_its_form() {
    let api = Api::configured("[limits]\nbody_bytes = \"16MB\"");
    let url = format!("{}/v1/asks", api.server.url);
    for encoding in ["gzip", "br", "deflate, gzip", "x-what"] {
        let answer = api.http.post(&url).header("content-encoding", encoding).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 415, "{encoding}");
        assert!(answer.text().await.unwrap().contains("problem:media"));
    }
    let form = api.http.post(&url).header("content-type", "application/x-www-form-urlencoded").body("a=b");
    assert_eq!(form.send().await.unwrap().status(), 415);
    api.get(&format!("/v1/catalogue?search={}", "x".repeat(9_000))).await.problem(414, "address-too-long");
    let large = format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(17 << 10));
    assert!(api.raw(large.as_bytes()).starts_with("HTTP/1.1 431"));
    let many = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert!(api.raw(many.as_bytes()).starts_with("HTTP/1.1 431"));
    // Two bodies of twelve megabytes do not fit into sixteen.
    let head =
        format!("POST /v1/asks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", 12 << 20);
    let first = api.connect();
    (&first).write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    let refused = loop {
        let second = api.connect();
        (&second).write_all(head.as_bytes()).unwrap();
        second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut answer = [0; 2048];
        if let Ok(count) = (&second).read(&mut answer) {
            break String::from_utf8_lossy(&answer[..count]).into_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "bodies without end are waited for");
    };
    assert!(refused.starts_with("HTTP/1.1 503") && refused.to_lowercase().contains("retry-after: 3"), "{refused}");
    // Small ones, and reads, go on.
    api.get("/health").await.ok();
    api.post("/v1/transactions", b"hello".to_vec()).await.problem(400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_others() {
    let api = Api::configured("[limits]\nconnections = 8");
    let idle: Vec<TcpStream> = (0..40).map(|_| api.connect()).collect();
    for _ in 0..20 {
        // Each on a connection of its own.
        let answer = api.raw(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // The oldest are gone: their streams end long before a head's time is over for them.
    let begun = Instant::now();
    for stream in &idle[..30] {
        assert_eq!(until_its_end(stream), "");
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_its_own_number() {
    let api = Api::new();
    let mut numbers = BTreeSet::new();
    for path in ["/health", "/v1/nothing", "/v1/consistency", "/v1/index-audit", "/health"] {
        let call = api.http.get(format!("{}{path}", api.server.url)).header("x-request-id", "mine");
        let answer = call.send().await.unwrap();
        let number = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{number}");
        numbers.insert(number);
    }
    assert_eq!(numbers.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_is_answered_although_the_gateway_is_told_to_stop() {
    let api = Api::new();
    let mut asks = Vec::new();
    for nonce in 1..=4 {
        let request = api.request(SQL, "stop", nonce, |_| ()).await;
        let tx = SignedTx::decode(&BASE64.decode(&request.transaction).unwrap()).unwrap();
        asks.push((request, format!("/v1/requests/{}", tx.hash())));
    }
    let Api { world, server, http, .. } = api;
    let url = server.url.clone();
    let ask = |(request, _): &(AskRequest, String)| {
        let call = http.post(format!("{url}/v1/asks")).json(request).send();
        tokio::spawn(async move {
            let response = call.await.ok()?;
            (response.status() == 200).then_some(response.json::<Value>().await.ok()?)
        })
    };
    let mut calls = vec![ask(&asks[0])];
    // It stands on the ledger, and its answer takes a while. Then the gateway is told to stop, while others come.
    let begun = Instant::now();
    while http.get(format!("{url}{}", asks[0].1)).send().await.unwrap().status() != 200 {
        assert!(begun.elapsed() < PATIENCE, "the question did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stopping = tokio::task::spawn_blocking(move || drop(server));
    calls.extend(asks[1..].iter().map(ask));
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    stopping.await.unwrap();
    assert!(answers[0].is_some(), "what was granted before was not answered");

    // Each was answered, and the ledger says so; or it was refused before anything was recorded.
    let server = world.serve();
    for ((_, path), answer) in asks.iter().zip(&answers) {
        let recorded = http.get(format!("{}{path}", server.url)).send().await.unwrap();
        match answer {
            Some(answer) => {
                assert!(answer["sealed"].is_string(), "{answer}");
                let recorded: Value = recorded.json().await.unwrap();
                assert!(recorded["status"]["answered"].is_object(), "{recorded}");
            }
            None => assert_eq!(recorded.status(), 404, "{path} was recorded and not answered"),
        }
    }
    world.ask(&server.url, "requester", "after", "after.json", SQL).ok();
}

//! What is too much is refused with the time to come back, while everything else goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sealgate_gateway::account_file;
use sealgate_gateway::messages::AskRequest;
use sealgate_ledger::tx::SignedTx;

use super::{Api, BASE64};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Api {
    /// What is counted, by name and labels.
    async fn metrics(&self) -> BTreeMap<String, f64> {
        let text = String::from_utf8(self.get("/metrics").await.body).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    async fn counted(&self, name: &str) -> f64 {
        self.metrics().await.get(name).copied().unwrap_or_default()
    }
}

const REFUSED: &str = "sealgate_refused_total{limit=\"questions\"}";

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_find_no_place_are_refused_and_others_are_served() {
    let mut api = Api::configured("[limits]\nquestions_waiting = 1");
    api.world.grant("people", &api.world.auditor, &["--disclose", "name", "--purpose", "p"]).ok();
    let name = "SELECT name FROM people WHERE id = 7";
    api.world.ask(&api.server.url, "auditor", "p", "a.json", name).ok();
    // Made before, so that all come at the same time.
    let own = api.request(name, "own", 1, |_| ()).await;
    let mut forged = api.request(name, "forged", 2, |_| ()).await;
    let mut tx = SignedTx::decode(&BASE64.decode(&forged.transaction).unwrap()).unwrap();
    tx.signature.0[5] ^= 1;
    forged.transaction = BASE64.encode(tx.encode());
    let requester =
        std::mem::replace(&mut api.account, account_file::load(api.world.path("auditor").as_ref()).unwrap());
    let other = api.request(name, "p", 3, |_| ()).await;
    api.account = requester;
    assert_eq!(api.counted(REFUSED).await, 0.0);

    let keys: String = (1..=40).map(|id| format!("{id}\n")).collect();
    std::fs::write(api.world.path("keys.csv"), format!("id\n{keys}")).unwrap();
    let sql = "SELECT name, fee >= 500 FROM people WHERE id = ?";
    std::thread::scope(|scope| {
        let (world, url) = (&api.world, &api.server.url);
        let long = scope.spawn(move || world.ask_keys(url, "requester", "long", "long.json", "keys.csv", sql));
        let runtime = tokio::runtime::Handle::current();
        let checks = async {
            let begun = Instant::now();
            while api.counted("sealgate_questions_waiting").await < 1.0 {
                assert!(begun.elapsed() < PATIENCE && !long.is_finished(), "the question did not come");
            }
            for (request, status, code) in [(&own, 429, "too-many"), (&other, 503, "busy")] {
                let response = api.send(request).await;
                assert_eq!(response.headers()["retry-after"], "3");
                assert_eq!(response.status().as_u16(), status);
                let body = response.text().await.unwrap();
                assert!(
                    body.contains(&format!("urn:sealgate:problem:{code}")) && body.contains("nothing was recorded"),
                    "{body}"
                );
            }
            // What nobody signed takes no place: it is not even told that there is none.
            api.ask(&forged).await.problem(422, "refused");
            assert_eq!(api.counted(REFUSED).await, 2.0);
            for path in ["/health", "/v1/catalogue", "/v1/trail"] {
                api.get(path).await.ok();
            }
            assert!(!long.is_finished(), "the long question ended before all this was tried");
        };
        tokio::task::block_in_place(|| runtime.block_on(checks));
        long.join().unwrap().ok();
    });
    // A place is given back, and what was refused is answered when it comes again.
    api.ask(&own).await.ok();
    api.ask(&other).await.ok();
    assert_eq!((api.counted("sealgate_questions_waiting").await, api.counted(REFUSED).await), (0.0, 2.0));
    assert!(api.counted("sealgate_proofs_made_total").await >= 40.0);
}

impl Api {
    async fn send(&self, request: &AskRequest) -> reqwest::Response {
        self.http.post(format!("{}/v1/asks", self.server.url)).json(request).send().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_find_no_turn_are_refused_and_health_is_told() {
    let api = Api::configured("[limits]\nreads_waiting = 1");
    let begun = Instant::now();
    let mut refused = BTreeMap::new();
    while refused.len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "only these were refused: {refused:?}");
        let mut calls = tokio::task::JoinSet::new();
        for at in 0..400 {
            let path = ["/v1/blocks?from=0", "/console/explorer?before=1000"][at % 2];
            let call = api.http.get(format!("{}{path}", api.server.url));
            calls.spawn(async move { (path, call.send().await.unwrap()) });
        }
        // Whoever watches it is answered all the same.
        for _ in 0..20 {
            api.get("/health").await.ok();
            assert_eq!(api.get("/metrics").await.status, 200);
        }
        for (path, answer) in calls.join_all().await {
            match answer.status().as_u16() {
                200 => {}
                503 => {
                    assert_eq!(answer.headers()["retry-after"], "3", "{path}");
                    refused.insert(path, answer.text().await.unwrap());
                }
                other => panic!("{path}: {other}"),
            }
        }
    }
    assert!(refused["/v1/blocks?from=0"].contains("urn:sealgate:problem:busy"), "{refused:?}");
    assert!(refused["/console/explorer?before=1000"].contains("Too many pages"), "{refused:?}");
    assert!(api.counted("sealgate_refused_total{limit=\"reads\"}").await >= 1.0);
    // And then all is as before.
    api.get("/v1/blocks?from=0").await;
    assert_eq!(api.get("/console/explorer").await.status, 200);
    let pages = "sealgate_requests_total{route=\"/console/explorer\",method=\"GET\",status=\"503\"}";
    assert!(api.counted(pages).await >= 1.0, "{:?}", api.metrics().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_work_says_so() {
    let api = Api::configured("[[sync]]\nmanifest = \"none.toml\"\nevery = \"1s\"");
    let response = api.http.get(format!("{}/ready", api.server.url)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"3".parse().unwrap()));
    let detail = api.get("/ready").await.problem(503, "not-ready");
    assert!(detail.contains("a scheduled sync is overdue") && !detail.contains("none.toml"), "{detail}");
    api.get("/health").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_fails_is_counted() {
    let api = Api::new();
    assert_eq!(api.counted("sealgate_store_errors_total").await, 0.0);
    // That a record is not there is no failure; that the store's folder is a file is one.
    api.ask(&api.request("SELECT name FROM people WHERE id = 9024", "count", 1, |_| ()).await).await.ok();
    assert_eq!(api.counted("sealgate_store_errors_total").await, 0.0);
    let store = api.world.path("owner/store");
    std::fs::rename(&store, api.world.path("away")).unwrap();
    std::fs::write(&store, "").unwrap();
    let detail = api.get("/ready").await.problem(503, "not-ready");
    assert!(detail.contains("store"), "{detail}");
    assert!(api.counted("sealgate_store_errors_total").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_connections_are_counted_as_they_come_and_go() {
    let api = Api::new();
    let before = api.counted("sealgate_connections").await;
    let held: Vec<std::net::TcpStream> = (0..20)
        .map(|_| std::net::TcpStream::connect(api.server.url.strip_prefix("http://").unwrap()).unwrap())
        .collect();
    let begun = Instant::now();
    let wait_for = async |wanted: &dyn Fn(f64) -> bool| {
        while !wanted(api.counted("sealgate_connections").await) {
            assert!(begun.elapsed() < PATIENCE, "{}", api.counted("sealgate_connections").await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for(&|open| open >= before + 20.0).await;
    drop(held);
    wait_for(&|open| open < before + 10.0).await;
}

#[test]
fn what_stops_the_process_waits_longer_than_its_work() {
    let file = |path: &str| std::fs::read_to_string(sealgate_tests::workspace().join(path)).unwrap();
    let seconds_after = |text: &str, mark: &str| -> Vec<u64> {
        let parts = text.split(mark).skip(1);
        parts.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()).collect()
    };
    let own = sealgate_gateway::api::STOP.as_secs();
    let unit = seconds_after(&file("ops/systemd/sealgate.service"), "TimeoutStopSec=");
    let container = seconds_after(&file("ops/container/Containerfile"), "--stop-timeout ");
    assert!(!unit.is_empty() && !container.is_empty());
    for waits in unit.iter().chain(&container) {
        assert!(*waits >= own + 15, "{waits} s are too few for {own} s");
    }
    for page in ["docs/spec/api.md", "docs/production.md"] {
        assert!(file(page).contains(&format!("within {own} s")), "{page}");
        assert!(
            file(page).contains(&format!("waits {} s", unit[0]))
                || file(page).contains(&format!("waits for {} s", unit[0])),
            "{page}"
        );
    }
}

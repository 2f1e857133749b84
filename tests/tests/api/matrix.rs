//! The access matrix: every route that the source has is in the specification and here, and gives
//! what it says to whom it says, and nothing by any other method.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use sealgate_ledger::tx::TxBody;
use sealgate_tests::{Server, http, sealgate, text, workspace};

use super::{Api, SQL, account_file};

/// Who gets something from a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever reaches the gateway.
    Anybody,
    /// Anybody, while there is something to tell.
    Sometimes,
    /// Whoever shows the token in the owner's folder.
    Owner,
    /// Whoever has signed what is sent.
    Signer,
}

/// Method, route, who.
const MATRIX: [(&str, &str, Who); 37] = [
    ("GET", "/health", Who::Anybody),
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
    ("GET", "/v1/requests/{}/progress", Who::Sometimes),
    ("GET", "/v1/trail", Who::Anybody),
    ("GET", "/v1/entries/{}", Who::Anybody),
    ("GET", "/v1/blocks/{}", Who::Anybody),
    ("GET", "/v1/blocks", Who::Anybody),
    ("POST", "/v1/transactions", Who::Signer),
    ("POST", "/v1/asks", Who::Signer),
    ("GET", "/v1/answers/{}", Who::Anybody),
    ("POST", "/v1/deliveries", Who::Signer),
    ("GET", "/v1/deliveries/{}/columns/{}/segments/{}", Who::Sometimes),
    ("GET", "/v1/index-audit", Who::Owner),
    ("POST", "/add-checkpoint", Who::Signer),
    ("GET", "/{}/checkpoint", Who::Sometimes),
];
/// From here on the witness's.
const WITNESS: usize = 35;

fn file(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

/// A match arm's or a filter's segments, with what varies as `{}`.
fn route(segments: &str, between: &str) -> String {
    let segment = |part: &str| match part.trim().strip_prefix('"') {
        Some(fixed) => fixed.trim_end_matches('"').to_owned(),
        None => "{}".to_owned(),
    };
    segments.split(between).fold(String::new(), |path, part| path + "/" + &segment(part))
}

/// The routes that the source has.
fn in_the_source() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for path in ["gateway/src/api.rs", "gateway/src/api/witness.rs"] {
        for line in file(path).lines().map(str::trim) {
            if let Some((_, filter)) = line.split_once("warp::path!(") {
                routes.insert(route(filter.split_once(')').unwrap().0, "/"));
            }
            let Some((arm, _)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) else { continue };
            if !line.contains("=>") && !line.contains(" if ") || arm.contains("..") || line.contains("ApiError::Method")
            {
                continue;
            }
            let top = arm.starts_with("\"v1\"") || arm == "\"health\"";
            routes.insert(if top { String::new() } else { "/v1/state".into() } + &route(arm, ","));
        }
    }
    routes
}

/// The routes that the specification describes, with their methods.
fn in_the_specification() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for page in ["docs/spec/api.md", "docs/spec/witness.md"] {
        for row in file(page).lines().filter(|line| line.starts_with("| `GET /") || line.starts_with("| `POST /")) {
            let (calls, gives) = row.trim_start_matches("| ").split_once(" | ").unwrap();
            assert!(gives.len() > 3, "nothing is said of {calls}");
            let mut method = "";
            for call in calls.split('`').filter(|part| part.contains('/')) {
                let (named, path) = call.split_once(" /").unwrap_or(("", call.trim_start_matches('/')));
                method = if named.is_empty() { method } else { named };
                let path = path.split('?').next().unwrap().replace("<SHA-256 of the origin, hexadecimal>", "{x}");
                let varying = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
                let path: Vec<String> = path.split('/').map(varying).collect();
                routes.insert((method.to_owned(), format!("/{}", path.join("/"))));
            }
        }
    }
    routes
}

#[test]
fn the_matrix_holds_every_route_and_the_specification_every_one_of_them() {
    let matrix: BTreeSet<(String, String)> = MATRIX.map(|(method, path, _)| (method.into(), path.into())).into();
    assert_eq!(matrix.len(), MATRIX.len(), "a route stands there twice");
    let paths: BTreeSet<String> = matrix.iter().map(|(_, path)| path.clone()).collect();
    assert_eq!(in_the_source(), paths, "the source (left) and the matrix (right)");
    assert_eq!(in_the_specification(), matrix, "the specification (left) and the matrix (right)");
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

#[tokio::test(flavor = "multi_thread")]
async fn every_route_gives_something_to_whom_it_says_and_by_no_other_method() {
    let api = Api::new();
    let (owner, note) = (api.world.path("owner"), api.world.path("note.txt"));
    std::fs::write(&note, "x").unwrap();
    let put = ["text", "put", "--data-dir", &owner, "--name", "note", "--title", "Note", "--file", &note, "--public"];
    let note = text(&sealgate(&put).ok()["text"]);
    let request = text(&api.get("/v1/trail").await.ok()[0]["hash"]);
    let home = api.world.path("witness");
    sealgate(&["witness", "new", "--home", &home, "--name", "witness.example/1"]).ok();
    sealgate(&["trust", "--home", &home, &api.world.fingerprint]).ok();
    let genesis = api.world.path("owner/ledger/genesis.json");
    sealgate(&["witness", "follow", "--home", &home, "--genesis", &genesis]).ok();
    let witness = Server::run(&["witness", "serve", "--home", &home, "--listen", "127.0.0.1:0"], &[]);

    let height = api.height().await;
    let paths = filled(&api, &request, &note, height);
    for (at, (method, path, who)) in MATRIX.iter().enumerate() {
        let path = paths[path].as_str();
        let url = if at < WITNESS { &api.server.url } else { &witness.url };
        let status = |method: &str, body: &[u8]| http(url, &format!("{method} {path} HTTP/1.1"), body).0;
        // What is to be signed is not taken from anybody.
        let expected = match who {
            Who::Anybody => 200,
            Who::Sometimes | Who::Owner => 404,
            Who::Signer => 400,
        };
        assert_eq!(status(method, b"{}"), expected, "{method} {path}");
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "SEALGATE"] {
            if other == *method || (*method == "POST" && other == "GET" && path == "/v1/transactions") {
                continue;
            }
            let found = status(other, b"{}");
            assert!(matches!(found, 404 | 405), "{other} {path}: {found}");
        }
    }
    assert_eq!(api.height().await, height, "something was recorded");

    // What they give: members and rules, texts, the state with its proof.
    let governance = api.get("/v1/governance").await.ok();
    assert_eq!(governance["members"]["members"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&governance["policy"]["open_enrolment"], &governance["proposals"]),
        (&true.into(), &serde_json::json!([]))
    );
    let shown = api.get(&paths["/v1/texts/{}"]).await.ok();
    assert_eq!((&shown["name"], &shown["content"]["public"]), (&"note".into(), &"x".into()));
    assert_eq!(api.get("/v1/texts").await.ok(), serde_json::json!([shown]));
    assert_eq!(api.get("/v1/handovers?epoch=0").await.ok(), serde_json::json!([]));
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
    let owner = api.world.path("owner");
    let given = ["asset", "transfer", "--data-dir", &owner, "--asset", "people", "--to", &api.world.auditor];
    sealgate(&given).ok();
    let before = api.height().await;
    let detail = api.ask(&request).await.problem(400, "malformed");
    assert!(detail.contains("answers for no asset"), "{detail}");
    assert_eq!(api.height().await, before);
}

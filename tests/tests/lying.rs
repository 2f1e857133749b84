//! A gateway that lies: whatever it shows, the requester's and auditor's own software refuses it,
//! says why in one line, and ends with exit code 1.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_circuits::evidence::{Evidence, Shown};
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::{Item, Operator, Predicate, SlotAnswer};
use sealgate_circuits::statement::{Statement, answers};
use sealgate_circuits::tree::PathEnd;
use sealgate_circuits::value::Value as Cell;
use sealgate_gateway::messages::{AskRequest, SecretQuestion, context, question_purpose};
use sealgate_gateway::{account_file, envelope, owner};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::tx::{SignedTx, TxBody};
use sealgate_tests::{Run, Server, World, binary, sealgate, text};
use serde_json::{Value, json};

#[path = "lying/cases.rs"]
mod cases;
#[path = "lying/dishonest.rs"]
mod dishonest;
#[path = "lying/forge.rs"]
mod forge;
mod people;
#[path = "lying/wire.rs"]
mod wire;

use cases::Cases;
use dishonest::{CIRCUIT, Dishonest, Lie, Truth};
use wire::{Liar, Reply, Sent};

const SQL: &str = "SELECT name, fee >= 500 FROM people WHERE id = 24";

fn ask(world: &World, url: &str, purpose: &str, sql: &str) -> Run {
    world.ask(url, "requester", purpose, &format!("{purpose}.json"), sql)
}

fn audit(world: &World, url: &str, home: &str) -> Run {
    sealgate(&["audit", "--gateway", url, "--home", &world.path(home)])
}

fn trail(world: &World, url: &str, home: &str) -> Run {
    sealgate(&["trail", "--gateway", url, "--home", &world.path(home)])
}

/// How many questions count against the requester's quota.
fn used(world: &World, url: &str) -> u64 {
    let upstream = wire::Upstream::at(url);
    let catalogue = upstream.get("/v1/catalogue").json();
    let asset = text(&catalogue["assets"][0]["asset"]["id"]);
    upstream.get(&format!("/v1/assets/{asset}/grants/{}", world.requester)).json()["used"].as_u64().unwrap()
}

fn copy_folder(world: &World, from: &str, to: &str) {
    assert!(Command::new("cp").args(["-r", &world.path(from), &world.path(to)]).status().unwrap().success());
}

fn flip(base64: &Value, at: usize) -> Value {
    let mut bytes = BASE64.decode(base64.as_str().unwrap()).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    json!(BASE64.encode(bytes))
}

#[test]
fn another_ledger_behind_the_same_address_is_not_trusted() {
    let (world, other) = (people::world(40), people::world(40));
    let server = other.serve();
    let mut cases = Cases::default();
    let reason = ["is not trusted by", &other.fingerprint, "sealgate trust"];
    cases.refused("ask", ask(&world, &server.url, "p", SQL), &reason);
    cases.refused("trail", trail(&world, &server.url, "requester"), &reason);
    cases.refused("audit", audit(&world, &server.url, "auditor"), &reason);

    // The genesis altered so that it looks like the trusted one in all but what was altered.
    let ours = world.serve();
    for (field, value) in [
        ("name", json!("other")),
        ("policy", json!({"open_enrolment": false, "answer_window_blocks": 1, "denials_a_day": 1, "auditor": null})),
        ("development", json!(false)),
    ] {
        let liar = Liar::altering(&ours.url, "/v1/genesis", move |genesis, _| genesis[field] = value.clone());
        cases.refused(field, ask(&world, &liar.url, "p", SQL), &["is not trusted by"]);
    }
    // The other ledger under the trusted genesis.
    let genesis = wire::Upstream::at(&ours.url).get("/v1/genesis");
    let liar = Liar::start(&server.url, move |call, upstream| {
        if call.is("GET", "/v1/genesis") { genesis.clone().into() } else { upstream.forward(call).into() }
    });
    cases.refused("borrowed genesis", ask(&world, &liar.url, "p", SQL), &["the checkpoint is of", &other.fingerprint]);
    cases.refused("borrowed genesis, audit", audit(&world, &liar.url, "auditor"), &["the checkpoint is of"]);
    cases.finish();
}

#[test]
fn forked_and_rolled_back_histories_are_noticed() {
    let world = people::world(40);
    copy_folder(&world, "owner", "fork");
    copy_folder(&world, "owner", "old");
    let server = world.serve();
    ask(&world, &server.url, "p", SQL).ok();
    let size = wire::Upstream::at(&server.url).get("/v1/checkpoint").json()["header"]["tree_size"].as_u64().unwrap();

    let mut cases = Cases::default();
    let old = Server::start(&world.path("old"));
    let rolled_back = ["contradicts what", "was rolled back"];
    cases.refused("old, ask", ask(&world, &old.url, "q", SQL), &rolled_back);
    cases.refused("old, trail", trail(&world, &old.url, "requester"), &rolled_back);
    cases.refused("old, audit", audit(&world, &old.url, "requester"), &rolled_back);

    let fork = Server::start(&world.path("fork"));
    let grow = || {
        let args = ["grant", "--data-dir", &world.path("fork"), "--asset", "people", "--to", &world.requester];
        sealgate(&[&args[..], &people::GRANT].concat()).ok();
        wire::Upstream::at(&fork.url).get("/v1/checkpoint").json()["header"]["tree_size"].as_u64().unwrap()
    };
    while grow() < size {}
    let two = ["contradicts what", "showed two histories"];
    cases.refused("same size, ask", ask(&world, &fork.url, "q", SQL), &two);
    cases.refused("same size, trail", trail(&world, &fork.url, "requester"), &two);
    cases.refused("same size, audit", audit(&world, &fork.url, "requester"), &two);
    grow();
    let not_extended = ["contradicts what", "does not extend"];
    cases.refused("longer, ask", ask(&world, &fork.url, "q", SQL), &not_extended);
    cases.refused("longer, trail", trail(&world, &fork.url, "requester"), &not_extended);
    cases.refused("longer, audit", audit(&world, &fork.url, "requester"), &not_extended);

    // Somebody who saw only the fork is shown an answer from the other history.
    audit(&world, &fork.url, "auditor").ok();
    let (home, file, requester) = (world.path("auditor"), world.path("p.json"), world.requester.as_str());
    let verify = ["verify", "--home", &home, "--requester", requester, &file];
    cases.refused("file, alone", sealgate(&verify), &["does not verify", "--gateway URL"]);
    let with = |url: &str| sealgate(&[&verify[..], &["--gateway", url]].concat());
    cases.refused("file, fork's gateway", with(&fork.url), &["does not extend"]);
    cases.refused("file, its own gateway", with(&server.url), &["does not verify"]);

    // What was seen stays, and the true history goes on.
    ask(&world, &server.url, "q", SQL).ok();
    audit(&world, &server.url, "requester").ok();
    cases.finish();
}

const NOT_RECORDED: &str = "the sealed answer is not the one recorded";

type Alter = Box<dyn Fn(&mut Value) + Send + Sync>;

#[test]
fn altered_responses_to_an_ask_are_refused() {
    let world = people::world(40);
    let server = world.serve();
    let old_head = wire::Upstream::at(&server.url).get("/v1/checkpoint").json()["checkpoint"].clone();
    let head = wire::Upstream::at(&server.url).get("/v1/checkpoint").json();
    ask(&world, &server.url, "earlier", "SELECT fee FROM people WHERE id = 24").ok();

    let alter = |f: fn(&mut Value)| -> Alter { Box::new(f) };
    let lies: Vec<(&str, Alter, &[&str])> = vec![
        ("older checkpoint", Box::new(move |v| v["proofs"]["checkpoint"] = old_head.clone()), &["rolled back"]),
        ("checkpoint of another root", alter(|v| edit(&mut v["proofs"]["checkpoint"], 2, "A")), &["checkpoint"]),
        ("checkpoint of another size", alter(|v| edit(&mut v["proofs"]["checkpoint"], 1, "9")), &["signature"]),
        ("checkpoint unsigned", alter(unsign), &["checkpoint"]),
        ("no sealed answer", alter(|v| v["sealed"] = Value::Null), &["neither granted nor denied"]),
        ("denial claimed", alter(deny), &["says the request was denied, and the ledger does not"]),
        (
            "denial forged",
            alter(|v| {
                deny(v);
                outcome(&mut v["proofs"]["entries"][0], json!({"denied": {"reason": "no_grant"}}))
            }),
            &["not on the ledger"],
        ),
        ("envelope changed", alter(|v| v["sealed"] = flip(&v["sealed"], 100)), &[NOT_RECORDED]),
        ("envelope cut", alter(|v| v["sealed"] = json!("AAAA")), &[NOT_RECORDED]),
        ("envelope no base64", alter(|v| v["sealed"] = json!("?")), &["not base64"]),
        ("no registration", alter(|v| drop_entry(v, 0)), &["does not prove registration"]),
        ("no publication", alter(|v| drop_entry(v, 1)), &["does not prove registration"]),
        ("no answer", alter(|v| drop_entry(v, 3)), &["does not prove registration"]),
        (
            "answer not recorded",
            alter(|v| v["proofs"]["entries"][3] = v["proofs"]["entries"][2].clone()),
            &[NOT_RECORDED],
        ),
        (
            "request is another entry",
            alter(|v| v["proofs"]["entries"][2] = v["proofs"]["entries"][3].clone()),
            &["another request"],
        ),
        (
            "registration is another entry",
            alter(|v| v["proofs"]["entries"][0] = v["proofs"]["entries"][2].clone()),
            &["refused", "registration"],
        ),
        (
            "publication is another entry",
            alter(|v| v["proofs"]["entries"][1] = v["proofs"]["entries"][2].clone()),
            &["refused", "publication"],
        ),
        (
            "entries in another order",
            alter(|v| v["proofs"]["entries"].as_array_mut().unwrap().reverse()),
            &["another request"],
        ),
        ("registration's path", alter(|v| path(v, 0)), &["registration", "is not in the ledger"]),
        ("request's path", alter(|v| path(v, 2)), &["request", "is not in the ledger"]),
        ("answer's path", alter(|v| path(v, 3)), &["answer", "is not in the ledger"]),
        (
            "a short path",
            alter(|v| {
                v["proofs"]["entries"][3]["path"].as_array_mut().unwrap().pop();
            }),
            &["is not in the ledger"],
        ),
        (
            "a long path",
            alter(|v| v["proofs"]["entries"][3]["path"] = json!(vec!["11".repeat(32); 500])),
            &["500 hashes"],
        ),
        ("no path", alter(|v| v["proofs"]["entries"][2]["path"] = json!([])), &["is not in the ledger"]),
        ("another index", alter(|v| v["proofs"]["entries"][3]["entry_index"] = json!(1)), &["is not in the ledger"]),
        (
            "an index to come",
            alter(|v| v["proofs"]["entries"][3]["entry_index"] = json!(u64::MAX)),
            &["came after the checkpoint"],
        ),
        (
            "another block",
            alter(|v| v["proofs"]["entries"][2]["entry"]["height"] = json!(1)),
            &["is not in the ledger"],
        ),
        (
            "another version bound",
            alter(|v| outcome(&mut v["proofs"]["entries"][2], json!({"granted": {"version": 2, "deadline": 900}}))),
            &["is not in the ledger"],
        ),
        (
            "answer's outcome",
            alter(|v| outcome(&mut v["proofs"]["entries"][3], json!({"granted": {"version": 1, "deadline": 900}}))),
            &["is not in the ledger"],
        ),
        ("schema in the registration", alter(schema_in_registration), &["is not in the ledger"]),
        (
            "root in the registration",
            alter(|v| {
                for i in 0..2 {
                    version_of(v, i)["root"] = json!("00".repeat(32))
                }
            }),
            &["is not in the ledger"],
        ),
        ("answer's binding", alter(|v| answer_of(v)["binding"] = json!("00".repeat(32))), &["is not in the ledger"]),
        ("answer's digest", alter(|v| answer_of(v)["sealed"] = json!("00".repeat(32))), &[NOT_RECORDED]),
        ("not an answer", alter(|v| *v = json!({"hello": 1})), &["cannot be read"]),
        ("a field more", alter(|v| v["proofs"]["verified"] = json!(true)), &["cannot be read"]),
    ];
    let mut cases = Cases::default();
    for (name, lie, reasons) in lies {
        let liar = Liar::altering(&server.url, "/v1/asks", move |value, _| lie(value));
        cases.refused(name, ask(&world, &liar.url, "p", SQL), reasons);
    }
    // A new request each time, so that the ledger grows between head and answer.
    let growing: Vec<(&str, Alter, &[&str])> = vec![
        ("no consistency", alter(|v| v["proofs"]["consistency"] = json!([])), &["does not extend"]),
        ("garbage consistency", alter(|v| v["proofs"]["consistency"] = json!(["00".repeat(32)])), &["does not extend"]),
        (
            "endless consistency",
            alter(|v| v["proofs"]["consistency"] = json!(vec!["00".repeat(32); 1000])),
            &["1000 hashes"],
        ),
    ];
    for (name, lie, reasons) in growing {
        let liar = Liar::altering(&server.url, "/v1/asks", move |value, _| lie(value));
        cases.refused(name, ask(&world, &liar.url, name, SQL), reasons);
    }
    // Before anything is asked: the head.
    let heads: Vec<(&str, Alter, &[&str])> = vec![
        ("head: old", Box::new(move |v| *v = head.clone()), &["rolled back"]),
        ("head: another size", alter(|v| edit(&mut v["checkpoint"], 1, "9")), &["signature"]),
        ("head: no checkpoint", alter(|v| v["checkpoint"] = json!("")), &["no checkpoint"]),
        ("head: huge checkpoint", alter(|v| v["checkpoint"] = json!("x".repeat(1 << 20))), &["too long"]),
    ];
    for (name, lie, reasons) in heads {
        let liar = Liar::altering(&server.url, "/v1/checkpoint", move |value, _| lie(value));
        cases.refused(name, ask(&world, &liar.url, "p", SQL), reasons);
    }
    ask(&world, &server.url, "p", SQL).ok();
    cases.holds("asked once for all that", used(&world, &server.url) == 5, used(&world, &server.url));

    // The ledger has grown past what the requester knows, and the proof that it did is none.
    let grow = || {
        world.grant("people", &world.auditor, &people::GRANT).ok();
    };
    for (name, proof) in
        [("none", json!([])), ("garbage", json!(["22".repeat(32)])), ("endless", json!(vec!["22".repeat(32); 500]))]
    {
        grow();
        let liar = Liar::altering(&server.url, "/v1/consistency", move |value, _| *value = proof.clone());
        cases.refused(name, ask(&world, &liar.url, "p", SQL), &["does not extend"]);
        cases.refused(name, audit(&world, &liar.url, "requester"), &["does not extend"]);
        cases.refused(name, trail(&world, &liar.url, "requester"), &["does not extend"]);
    }
    cases.finish();
}

/// Puts `with` in front of a line of a signed note.
fn edit(note: &mut Value, line: usize, with: &str) {
    let text = note.as_str().unwrap();
    let lines: Vec<String> = text
        .split('\n')
        .enumerate()
        .map(|(i, l)| if i == line { format!("{with}{}", &l[1..]) } else { l.into() })
        .collect();
    let edited = lines.join("\n");
    *note = json!(if edited == text { edited.replacen(with, "B", 1) } else { edited });
}

fn unsign(value: &mut Value) {
    let note = text(&value["proofs"]["checkpoint"]);
    value["proofs"]["checkpoint"] = json!(format!("{}\n\n", note.split("\n\n").next().unwrap()));
}

fn deny(value: &mut Value) {
    value["sealed"] = Value::Null;
    value["proofs"]["entries"] = json!([value["proofs"]["entries"][2].clone()]);
}

fn outcome(entry: &mut Value, outcome: Value) {
    entry["entry"]["body"]["transaction"]["outcome"] = outcome;
}

fn drop_entry(value: &mut Value, at: usize) {
    value["proofs"]["entries"].as_array_mut().unwrap().remove(at);
}

fn path(value: &mut Value, at: usize) {
    value["proofs"]["entries"][at]["path"][0] = json!("11".repeat(32));
}

fn version_of(value: &mut Value, at: usize) -> &mut Value {
    &mut value["proofs"]["entries"][at]["entry"]["body"]["transaction"]["tx"]["tx"]["body"]["RegisterAsset"]["version"]
}

fn answer_of(value: &mut Value) -> &mut Value {
    &mut value["proofs"]["entries"][3]["entry"]["body"]["transaction"]["tx"]["tx"]["body"]["Answer"]
}

fn schema_in_registration(value: &mut Value) {
    let body = &mut value["proofs"]["entries"][0]["entry"]["body"]["transaction"]["tx"]["tx"]["body"];
    body["RegisterAsset"]["schema"]["columns"].as_array_mut().unwrap().swap(1, 2);
}

#[test]
fn other_keys_circuits_and_schemas_are_refused() {
    let world = people::world(40);
    let server = world.serve();
    let stranger = AccountSecret::generate("stranger").unwrap();
    let other_key = ProvingKey::generate_development(CIRCUIT).unwrap().verifying_key_bytes().unwrap();
    let mut cases = Cases::default();

    let parameters = |name: &str, reply: Reply, reason: &str, cases: &mut Cases| {
        let liar = Liar::start(&server.url, move |call, upstream| {
            if call.is("GET", "/v1/parameters") { reply.clone().into() } else { upstream.forward(call).into() }
        });
        cases.refused(name, ask(&world, &liar.url, "p", SQL), &["refused", reason]);
    };
    parameters("another verifying key", Reply { status: 200, body: other_key }, "the genesis names", &mut cases);
    let other_circuit = wire::Upstream::at(&server.url).get("/v1/parameters/record-31-slots-4");
    parameters("another circuit's key", other_circuit, "the genesis names", &mut cases);
    parameters("no key", Reply { status: 200, body: vec![] }, "the genesis names", &mut cases);

    let public = serde_json::to_value(stranger.public()).unwrap();
    let key = public["encryption_key"].clone();
    let liar = Liar::altering(&server.url, "/v1/accounts", move |value, _| {
        if value["height"] == json!(0) {
            value["account"]["encryption_key"] = key.clone();
        }
    });
    let not_theirs = ["the owner's keys are not those of its address"];
    cases.refused("owner's encryption key", ask(&world, &liar.url, "p", SQL), &not_theirs);
    cases.holds(
        "nothing was sent",
        !liar.calls().iter().any(|call| call.is("POST", "/v1/asks")),
        "a question was sent",
    );
    let liar = Liar::altering(&server.url, "/v1/accounts", move |value, _| {
        if value["height"] == json!(0) {
            value["account"] = public.clone();
        }
    });
    cases.refused("owner's account", ask(&world, &liar.url, "p", SQL), &not_theirs);
    ask(&world, &server.url, "p", SQL).ok();
    cases.holds("asked once for all that", used(&world, &server.url) == 1, used(&world, &server.url));
    cases.finish();
}

/// Alters an asset's schema.
fn schema_liar(server: &Server, alter: fn(&mut Value)) -> Liar {
    Liar::altering(&server.url, "/v1/assets/asset1", move |detail, _| {
        if detail["asset"].is_object() {
            alter(&mut detail["asset"]["schema"]);
        }
    })
}

const SCHEMA_LIES: [(&str, fn(&mut Value)); 6] = [
    ("names swapped", |schema| {
        let name = schema["columns"][1]["name"].clone();
        schema["columns"][1]["name"] = schema["columns"][2]["name"].clone();
        schema["columns"][2]["name"] = name;
    }),
    ("another type", |schema| schema["columns"][3]["kind"] = json!("int")),
    ("a column less in front", |schema| {
        schema["columns"].as_array_mut().unwrap().remove(1);
    }),
    ("no columns", |schema| schema["columns"] = json!([])),
    ("too many columns", |schema| {
        let columns = schema["columns"].as_array().unwrap().clone();
        schema["columns"] = json!(columns.iter().cycle().take(100).collect::<Vec<_>>());
    }),
    ("another key", |schema| schema["key"] = json!([4])),
];

#[test]
fn an_altered_schema_is_refused() {
    let world = people::world(40);
    let server = world.serve();
    let mut cases = Cases::default();
    for (at, (name, lie)) in SCHEMA_LIES.into_iter().enumerate() {
        let sql = format!("SELECT name, status, fee FROM people WHERE id = {}", 10 + at);
        cases.refused(name, ask(&world, &schema_liar(&server, lie).url, "p", &sql), &[]);
    }
    cases.finish();
}

#[test]
fn a_lie_that_was_noticed_does_not_keep_the_question_from_being_answered_later() {
    let world = people::world(40);
    let server = world.serve();
    let mut cases = Cases::default();
    for (at, (name, lie)) in SCHEMA_LIES.into_iter().enumerate() {
        let sql = format!("SELECT name, status, fee FROM people WHERE id = {}", 10 + at);
        ask(&world, &schema_liar(&server, lie).url, "p", &sql);
        let honest = ask(&world, &server.url, "p", &sql);
        cases.holds(name, honest.code == 0, honest);
    }
    let liar = Liar::altering(&server.url, "/v1/checkpoint", |head, _| head["header"]["height"] = json!(1_000_000_000));
    let sql = "SELECT name FROM people WHERE id = 30";
    cases.refused("a head far ahead", ask(&world, &liar.url, "p", sql), &[]);
    let honest = ask(&world, &server.url, "p", sql);
    cases.holds("a head far ahead", honest.code == 0, honest);
    cases.finish();
}

#[test]
fn nobody_but_the_owner_can_open_a_question() {
    let world = people::world(40);
    let server = world.serve();
    // The liar has an account of its own and passes it off as the owner; it can open what it gets,
    // seal it anew to the true owner, and nobody would notice.
    let spy = AccountSecret::generate("spy").unwrap();
    let (public, address) = (serde_json::to_value(spy.public()).unwrap(), spy.address());
    let owner = account_file::load(world.path("owner").as_ref()).unwrap().address().to_string();
    let liar = Liar::start(&server.url, move |call, upstream| {
        let mut reply = upstream.forward(call);
        // Of one asset and in the catalogue.
        let shows_owners = call.is("GET", "/v1/assets/asset1") || call.is("GET", "/v1/catalogue");
        if shows_owners && !call.path.contains("grants") {
            let text = String::from_utf8(reply.body).unwrap().replace(&owner, &address.to_string());
            reply = Reply { body: text.into_bytes(), status: reply.status };
        }
        if call.path == format!("/v1/accounts/{address}") {
            reply = Reply::of(&json!({"address": address, "account": public, "height": 1}));
        }
        reply.into()
    });
    let run = ask(&world, &liar.url, "p", SQL);
    for call in liar.calls().into_iter().filter(|call| call.is("POST", "/v1/asks")) {
        let request: AskRequest = serde_json::from_slice(&call.body).unwrap();
        let tx = SignedTx::decode(&BASE64.decode(request.transaction).unwrap()).unwrap();
        let question = BASE64.decode(request.question).unwrap();
        let opened = envelope::open(&spy, question_purpose(&tx.hash()), &question);
        let secret =
            opened.ok().map(|bytes| sealgate_ledger::codec::decode::<SecretQuestion>("question", &bytes).unwrap());
        assert!(secret.is_none(), "the liar read the question: {secret:?}");
    }
    run.error();
}

#[test]
fn broken_responses_are_refused() {
    let world = people::world(40);
    let server = world.serve();
    let mut cases = Cases::default();
    let sent: Vec<(&str, fn(Reply) -> Sent, &[&str])> = vec![
        ("cut", |reply| Sent::Cut(Reply { ..reply.clone() }, reply.body.len() / 2), &[]),
        ("nothing of it", |reply| Sent::Cut(reply, 0), &[]),
        ("empty", |reply| Reply { body: vec![], ..reply }.into(), &["cannot be read"]),
        ("no JSON", |reply| Reply { body: b"<html>hello</html>".to_vec(), ..reply }.into(), &["cannot be read"]),
        ("other JSON", |reply| Reply { body: b"[1,2]".to_vec(), ..reply }.into(), &["cannot be read"]),
        (
            "half a JSON",
            |reply| Reply { body: reply.body[..reply.body.len() / 2].to_vec(), ..reply }.into(),
            &["cannot be read"],
        ),
        ("deep JSON", |reply| Reply { body: vec![b'['; 1 << 20], ..reply }.into(), &["cannot be read"]),
        ("two of them", |reply| Reply { body: reply.body.repeat(2), ..reply }.into(), &["cannot be read"]),
        ("error without a problem", |_| Reply { status: 500, body: b"oops".to_vec() }.into(), &["500"]),
        ("moved", |reply| Reply { status: 302, ..reply }.into(), &["302"]),
        ("not found", |_| not_found().into(), &[]),
        ("not HTTP", |_| Sent::Raw(b"220 mail.example ESMTP\r\n".to_vec()), &[]),
        ("silence", |_| Sent::Silence(Duration::ZERO), &[]),
    ];
    for path in ["/v1/genesis", "/v1/checkpoint", "/v1/assets/asset1", "/v1/entries", "/v1/accounts", "/v1/asks"] {
        for (name, send, reasons) in &sent {
            if path == "/v1/accounts" && *name == "not found" {
                continue; // The truth, before the account is enrolled.
            }
            let send = *send;
            let liar = Liar::start(&server.url, move |call, upstream| {
                let reply = upstream.forward(call);
                if call.path.starts_with(path) { send(reply) } else { reply.into() }
            });
            let reasons: Vec<&str> = match (path, *name) {
                // The catalogue shows it all the same; that nothing is granted is believed, and the ledger denies.
                ("/v1/assets/asset1", "not found") => vec!["denied"],
                _ => reasons.iter().copied().chain([liar.url.as_str()]).collect(),
            };
            cases.refused(&format!("{path}: {name}"), ask(&world, &liar.url, "p", SQL), &reasons);
        }
    }
    for path in ["/v1/genesis", "/v1/assets/asset1", "/v1/parameters"] {
        let liar = Liar::start(&server.url, move |call, upstream| {
            if call.path.starts_with(path) { Sent::Flood(40 << 20) } else { upstream.forward(call).into() }
        });
        cases.refused(&format!("{path}: a flood"), ask(&world, &liar.url, "p", SQL), &["more than"]);
    }
    // Slow is not wrong.
    let liar = Liar::start(&server.url, |call, upstream| Sent::Drip(upstream.forward(call), Duration::from_millis(50)));
    let slow = ask(&world, &liar.url, "p", SQL);
    cases.holds("slow", slow.code == 0, slow);
    cases.holds("asked once for all that", used(&world, &server.url) == 1, used(&world, &server.url));
    cases.finish();
}

fn not_found() -> Reply {
    let problem = json!({"type": "urn:sealgate:problem:not-found", "title": "", "status": 404, "detail": ""});
    Reply { status: 404, ..Reply::of(&problem) }
}

#[test]
#[ignore = "waits two minutes for the time-out; scripts/soak runs it"]
fn a_gateway_that_never_answers_is_given_up() {
    let world = people::world(10);
    let server = world.serve();
    let liar = Liar::start(&server.url, |_, _| Sent::Silence(Duration::from_secs(600)));
    let started = std::time::Instant::now();
    let error = ask(&world, &liar.url, "p", SQL).error();
    assert!(started.elapsed() < Duration::from_secs(180), "{error}");
    assert!(error.contains(&liar.url), "{error}");
}

#[test]
fn what_a_gateway_says_cannot_command_the_terminal() {
    let world = people::world(10);
    let server = world.serve();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2Jall is well\u{9b}31m";
    let problem = json!({"type": "urn:sealgate:problem:refused", "title": evil, "status": 422, "detail": evil});
    let reply = Reply { status: 422, ..Reply::of(&problem) };
    let liar = Liar::start(&server.url, move |call, upstream| {
        let mut honest = upstream.forward(call);
        if call.is("GET", "/v1/catalogue") {
            let mut value = honest.json();
            for field in ["title", "name", "description"] {
                value["assets"][0]["asset"][field] = json!(format!("x{evil}"));
            }
            value["assets"][0]["asset"]["schema"]["columns"][0]["name"] = json!(evil);
            honest = Reply::of(&value);
        }
        if call.is("GET", "/v1/checkpoint") { reply.clone().into() } else { honest.into() }
    });
    let mut cases = Cases::default();
    for args in [
        vec!["catalogue", "--gateway", &liar.url],
        vec!["trail", "--gateway", &liar.url, "--home", &world.path("requester")],
        vec![
            "ask",
            "--gateway",
            &liar.url,
            "--home",
            &world.path("requester"),
            "--purpose",
            "p",
            "--out",
            "/dev/null/x",
            SQL,
        ],
    ] {
        let output = Command::new(binary()).args(&args).output().unwrap();
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let commands = shown.chars().any(|c| c.is_control() && c != '\n');
        cases.holds(args[0], !commands, shown);
    }
    cases.finish();
}

/// Lies of a dishonest owner, each with a valid record on the ledger.
type OwnerLie = fn(&Truth<'_>) -> Lie;

const PRESENT: &str = "SELECT name, fee, fee >= 500, level FROM people WHERE id = 24"; // fee 600.50, level null
const LEVEL: &str = "SELECT level >= 3 FROM people WHERE id = 24"; // null
const SMALL: &str = "SELECT level >= 3 FROM people WHERE id = 22"; // level 2: false
const ABSENT: &str = "SELECT name, fee, fee >= 500, level FROM people WHERE id = 4000";
const EXISTS: &str = "SELECT 1 FROM people WHERE id = 24";
const NOT_THERE: &str = "SELECT 1 FROM people WHERE id = 4000";

fn owner_lies() -> Vec<(&'static str, &'static str, OwnerLie, &'static str)> {
    vec![
        (
            "present said absent",
            PRESENT,
            |t| t.but(|e| e.present = None),
            "no record has this key, but the path shows one",
        ),
        (
            "present said absent, with an absent key's path",
            PRESENT,
            |t| {
                t.but(|e| {
                    e.present = None;
                    e.path = t.about(4000).path
                })
            },
            "path",
        ),
        ("present said absent, with an absent key's place", PRESENT, |t| t.but(|e| *e = t.about(4000)), "place"),
        (
            "present said absent, with a shorter path",
            PRESENT,
            |t| {
                t.but(|e| {
                    e.present = None;
                    e.path.siblings.pop();
                    e.path.end = PathEnd::Empty
                })
            },
            "path",
        ),
        (
            "present said absent, with an empty path",
            PRESENT,
            |t| {
                t.but(|e| {
                    e.present = None;
                    e.path.siblings.clear();
                    e.path.end = PathEnd::Empty
                })
            },
            "path",
        ),
        (
            "an existing record denied",
            EXISTS,
            |t| t.but(|e| e.present = None),
            "no record has this key, but the path shows one",
        ),
        (
            "absent said present",
            ABSENT,
            |t| t.but(|e| e.present = t.about(24).present),
            "but the path shows that none has this key",
        ),
        (
            "absent said present, with a record's path",
            ABSENT,
            |t| {
                t.but(|e| {
                    let place = e.place_proof;
                    *e = t.about(24);
                    e.place_proof = place
                })
            },
            "path",
        ),
        ("absent said present, with a record's place", ABSENT, |t| t.but(|e| *e = t.about(24)), "place"),
        (
            "absent said to exist",
            NOT_THERE,
            |t| t.but(|e| e.present = t.about(24).present),
            "but the path shows that none has this key",
        ),
        ("another record's data", PRESENT, |t| t.but(|e| e.present = t.about(25).present), "proof"),
        (
            "another record's data and leaf",
            PRESENT,
            |t| {
                t.but(|e| {
                    let other = t.about(25);
                    e.present = other.present;
                    if let (PathEnd::Leaf(to), PathEnd::Leaf(from)) = (&mut e.path.end, other.path.end) {
                        to.commitment = from.commitment
                    }
                })
            },
            "path",
        ),
        ("another record's path", PRESENT, |t| t.but(|e| e.path = t.about(25).path), "path"),
        ("all of another record", PRESENT, |t| t.but(|e| *e = t.about(25)), "place"),
        ("a value changed", PRESENT, |t| t.claiming(claims("Person 25 v1", 60050, Some(true), Cell::Null)), "proof"),
        ("an amount changed", PRESENT, |t| t.claiming(claims("Person 24 v1", 60051, Some(true), Cell::Null)), "proof"),
        ("truth flipped", PRESENT, |t| t.claiming(claims("Person 24 v1", 60050, Some(false), Cell::Null)), "proof"),
        ("truth said null", PRESENT, |t| t.claiming(claims("Person 24 v1", 60050, None, Cell::Null)), "proof"),
        ("null said zero", PRESENT, |t| t.claiming(claims("Person 24 v1", 60050, Some(true), Cell::Int(0))), "proof"),
        (
            "a value said null",
            PRESENT,
            |t| t.but(|e| e.present.as_mut().unwrap().answers[1] = SlotAnswer::Value(Cell::Null)),
            "proof",
        ),
        ("null said false", LEVEL, |t| t.claiming(vec![SlotAnswer::Truth(Some(false))]), "proof"),
        ("null said true", LEVEL, |t| t.claiming(vec![SlotAnswer::Truth(Some(true))]), "proof"),
        ("false said null", SMALL, |t| t.claiming(vec![SlotAnswer::Truth(None)]), "proof"),
        ("false said true", SMALL, |t| t.claiming(vec![SlotAnswer::Truth(Some(true))]), "proof"),
        ("a value where a truth is due", SMALL, |t| t.claiming(vec![SlotAnswer::Value(Cell::Int(2))]), "answers"),
        (
            "a truth where a value is due",
            PRESENT,
            |t| t.but(|e| e.present.as_mut().unwrap().answers[0] = SlotAnswer::Truth(Some(true))),
            "answers",
        ),
        (
            "a value of another type",
            PRESENT,
            |t| t.but(|e| e.present.as_mut().unwrap().answers[1] = SlotAnswer::Value(Cell::Int(60050))),
            "answers",
        ),
        (
            "an answer less",
            PRESENT,
            |t| {
                t.but(|e| {
                    e.present.as_mut().unwrap().answers.pop();
                })
            },
            "answers",
        ),
        ("an answer more", SMALL, |t| t.claiming(vec![SlotAnswer::Truth(Some(false)); 2]), "answers"),
        ("answers swapped", PRESENT, |t| t.but(|e| e.present.as_mut().unwrap().answers.swap(0, 3)), "answers"),
        ("another question's proof", SMALL, |t| another_question(t), "proof"),
        ("another request's proof", PRESENT, |t| other_context(t, TxHash([7; 32]), t.version), "proof"),
        ("another version's proof", PRESENT, |t| other_context(t, t.request, 2), "proof"),
        ("a proof by other parameters", SMALL, |t| other_parameters(t), "proof"),
        ("a proof of zeros", SMALL, |t| t.proven_by(sealgate_circuits::bytes::ProofBytes([0; 192])), "proof"),
        ("a proof of ones", SMALL, |t| t.proven_by(sealgate_circuits::bytes::ProofBytes([0xff; 192])), "proof"),
        ("a proof with a bit flipped", SMALL, |t| t.but(|e| proof_of(e).0[100] ^= 1), "proof"),
        ("a proof of points at infinity", SMALL, |t| t.proven_by(infinity()), "proof"),
        ("a place proof with a bit flipped", SMALL, |t| t.but(|e| e.place_proof.0[40] ^= 1), "place"),
        (
            "an endless path",
            SMALL,
            |t| {
                t.but(|e| {
                    let one = e.path.siblings[0];
                    e.path.siblings = vec![one; 3000]
                })
            },
            "path",
        ),
    ]
}

fn claims(name: &str, fee: i64, truth: Option<bool>, level: Cell) -> Vec<SlotAnswer> {
    vec![
        SlotAnswer::Value(Cell::Text(name.into())),
        SlotAnswer::Value(Cell::Decimal(fee)),
        SlotAnswer::Truth(truth),
        SlotAnswer::Value(level),
    ]
}

/// Proves about the true record, but another statement than the one asked.
fn prove_other(
    t: &Truth<'_>,
    items: &[Item<Cell>],
    request: TxHash,
    version: u32,
    claims: Option<Vec<SlotAnswer>>,
    key: &ProvingKey,
) -> Lie {
    let Cell::Int(id) = t.secret.question.keys[0][0] else { panic!() };
    let record = t.owner.lookup(&t.asset, t.version, id).record.unwrap();
    let said = answers(items, &record.values).unwrap();
    let bound = context(&t.owner.gateway.ledger().genesis().chain_id(), &request, version);
    let statement = Statement::new(CIRCUIT, &t.asset.schema, items, &said, &record.commitment, &bound).unwrap();
    let proof = key.prove(&t.asset.schema, &statement, &record.values, &record.salt).unwrap();
    t.but(|evidence| {
        let present = evidence.present.as_mut().unwrap();
        present.answers = claims.unwrap_or(said);
        present.shown = Shown::Proof(proof);
    })
}

/// `level >= 3` is false; `level >= 1` is true, and proven.
fn another_question(t: &Truth<'_>) -> Lie {
    let items = [Item::Prove(Predicate::compare(4, Operator::Ge, vec![Cell::Int(1)]))];
    prove_other(t, &items, t.request, t.version, None, &t.owner.proving_key())
}

fn other_context(t: &Truth<'_>, request: TxHash, version: u32) -> Lie {
    prove_other(t, &t.items(), request, version, None, &t.owner.proving_key())
}

fn other_parameters(t: &Truth<'_>) -> Lie {
    let key = ProvingKey::generate_development(CIRCUIT).unwrap();
    prove_other(t, &t.items(), t.request, t.version, None, &key)
}

/// The proof in evidence about a record that is there.
fn proof_of(evidence: &mut Evidence) -> &mut sealgate_circuits::bytes::ProofBytes {
    match &mut evidence.present.as_mut().unwrap().shown {
        Shown::Proof(proof) => proof,
        Shown::Opening(_) => panic!("an opening"),
    }
}

/// The canonical encodings of the points at infinity.
fn infinity() -> sealgate_circuits::bytes::ProofBytes {
    let mut bytes = [0; 192];
    for at in [0, 48, 144] {
        bytes[at] = 0xc0;
    }
    sealgate_circuits::bytes::ProofBytes(bytes)
}

/// A liar in front of a dishonest owner in this process; the file of the last lie goes to `file`.
fn dishonest_liar(owner: &Arc<Dishonest>, lie: OwnerLie, file: String) -> Liar {
    let (honest, owner) = (owner.url.clone(), owner.clone());
    Liar::start(&honest, move |call, upstream| {
        if !call.is("POST", "/v1/asks") {
            return upstream.forward(call).into();
        }
        let told = owner.ask(call, lie);
        if let Some(shown) = &told.file {
            std::fs::write(&file, shown.to_bytes().unwrap()).unwrap();
        }
        Reply::from(told.response).into()
    })
}

#[test]
fn a_dishonest_owner_cannot_prove_a_lie() {
    let world = people::world(40);
    let owner = Arc::new(Dishonest::open(&world.path("owner")));
    let mut cases = Cases::default();
    // The machinery itself is sound: the truth, told this way, is believed.
    for sql in [PRESENT, LEVEL, SMALL, ABSENT, EXISTS, NOT_THERE] {
        let liar = dishonest_liar(&owner, |t| t.answer.clone().into(), world.path("truth.json"));
        let run = ask(&world, &liar.url, "truth", sql);
        cases.holds(sql, run.code == 0, run);
        let run = world.verify("requester", "truth.json");
        cases.holds(sql, run.code == 0, run);
    }
    for (name, sql, lie, reason) in owner_lies() {
        let liar = dishonest_liar(&owner, lie, world.path("lie.json"));
        cases.refused(name, ask(&world, &liar.url, name, sql), &["the gateway's answer is refused", reason]);
        let (home, file) = (world.path("auditor"), world.path("lie.json"));
        let shown = sealgate(&["verify", "--home", &home, "--requester", &world.requester, &file]);
        cases.refused(&format!("{name}, shown to others"), shown, &["does not verify", reason]);
        std::fs::remove_file(file).unwrap();
    }
    cases.finish();
}

#[test]
fn what_is_released_is_what_is_recorded_for_that_requester_and_request() {
    let world = people::world(40);
    let owner = Arc::new(Dishonest::open(&world.path("owner")));
    let mut cases = Cases::default();
    let lies: [(&str, OwnerLie, &[&str]); 7] = [
        (
            "recorded differently",
            |t| {
                let lie = t.claiming(claims("Somebody else", 60050, Some(true), Cell::Null)).answer;
                Lie { recorded: Some(t.answer.clone()), ..lie.into() }
            },
            &["the ledger recorded another answer to this request"],
        ),
        (
            "a lie recorded, the truth released",
            |t| {
                let lie = t.claiming(claims("Somebody else", 60050, Some(true), Cell::Null)).answer;
                Lie { recorded: Some(lie), ..t.answer.clone().into() }
            },
            &["the ledger recorded another answer to this request"],
        ),
        ("another envelope", |t| Lie { other_envelope: true, ..t.answer.clone().into() }, &["not the one recorded"]),
        (
            "another length recorded",
            |t| Lie { other_bytes: Some((8 << 20) + 48), ..t.answer.clone().into() },
            &["records a sealed answer of 8388656 bytes, and it has 8240"],
        ),
        (
            "sealed to somebody else",
            |t| {
                let other = AccountSecret::generate("other").unwrap().public().encryption_key;
                Lie { seal_to: Some(other), ..t.answer.clone().into() }
            },
            &["does not open"],
        ),
        (
            "names another request",
            |t| {
                let mut answer = t.answer.clone();
                answer.request = TxHash([9; 32]);
                Lie { recorded: Some(t.answer.clone()), ..answer.into() }
            },
            &["to another request"],
        ),
        (
            "names another version",
            |t| {
                let mut answer = t.answer.clone();
                answer.version = 2;
                answer.into()
            },
            &["refused"],
        ),
    ];
    for (name, lie, reasons) in lies {
        let liar = dishonest_liar(&owner, lie, world.path("lie.json"));
        cases.refused(name, ask(&world, &liar.url, name, PRESENT), reasons);
    }
    cases.finish();
}

#[test]
fn an_old_answer_does_not_answer_a_new_request() {
    let world = people::world(40);
    let server = world.serve();
    ask(&world, &server.url, "first", SQL).ok();
    let trail = trail(&world, &server.url, "requester").ok();
    let first = text(&trail[0]["request"]);
    let replay = |take: fn(&mut Value, &Value)| {
        let first = first.clone();
        Liar::start(&server.url, move |call, upstream| {
            let honest = upstream.forward(call);
            if !call.is("POST", "/v1/asks") {
                return honest.into();
            }
            let seen = &call.json()["seen"];
            let old = upstream.get(&format!("/v1/answers/{first}?seen={seen}")).json();
            let mut value = honest.json();
            take(&mut value, &old);
            Reply::of(&value).into()
        })
    };
    let mut cases = Cases::default();
    let lies: [(&str, fn(&mut Value, &Value), &str); 5] = [
        ("all of it", |new, old| *new = old.clone(), "another request"),
        ("its envelope", |new, old| new["sealed"] = old["sealed"].clone(), "not the one recorded"),
        (
            "its record",
            |new, old| new["proofs"]["entries"][3] = old["proofs"]["entries"][3].clone(),
            "not the one recorded",
        ),
        (
            "envelope and record",
            |new, old| {
                new["sealed"] = old["sealed"].clone();
                new["proofs"]["entries"][3] = old["proofs"]["entries"][3].clone();
            },
            "does not open",
        ),
        (
            "its request",
            |new, old| new["proofs"]["entries"][2] = old["proofs"]["entries"][2].clone(),
            "another request",
        ),
    ];
    // The same words for another purpose are a new request; so are other words for the same.
    for (name, take, reason) in lies {
        cases.refused(name, ask(&world, &replay(take).url, "second", SQL), &["refused", reason]);
    }
    cases.holds("one request for all that", used(&world, &server.url) == 2, used(&world, &server.url));

    // An answer given to one requester is not another's.
    let file = world.path("first.json");
    cases.refused(
        "verify as another",
        sealgate(&["verify", "--home", &world.path("auditor"), &file]),
        &["was given to", "--requester"],
    );
    let wrong = sealgate(&["verify", "--home", &world.path("requester"), "--requester", &world.auditor, &file]);
    cases.refused("verify for another", wrong, &["was given to"]);
    cases.finish();
}

#[test]
fn an_answer_is_from_the_bound_version() {
    let world = people::world(40);
    world.publish(&people::write(&world, 40, "v2")).ok();
    let owner = Arc::new(Dishonest::open(&world.path("owner")));
    let sql = "SELECT name FROM people WHERE id = 24";
    let mut cases = Cases::default();
    let old_evidence: OwnerLie = |t| {
        assert_eq!(t.version, 2);
        let mut answer = t.answer.clone();
        answer.evidence[0] = t.owner.evidence(&t.asset, 1, &t.request, &t.items(), 24);
        answer.into()
    };
    let liar = dishonest_liar(&owner, old_evidence, world.path("lie.json"));
    cases.refused("the old version's evidence", ask(&world, &liar.url, "a", sql), &["path leads to root"]);

    let (honest, dishonest) = (owner.url.clone(), owner.clone());
    let liar = Liar::start(&honest, move |call, upstream| {
        if !call.is("POST", "/v1/asks") {
            return upstream.forward(call).into();
        }
        let mut response = dishonest.ask(call, old_evidence).response;
        response.proofs.entries[1] = response.proofs.entries[0].clone();
        Reply::from(response).into()
    });
    cases.refused(
        "the old version's publication too",
        ask(&world, &liar.url, "b", sql),
        &["bound to version 2", "from version 1"],
    );
    cases.finish();
}

#[test]
fn denials_and_grants_are_the_ledgers() {
    let world = people::world(40);
    let owner = Arc::new(Dishonest::open(&world.path("owner")));
    world_enrol(&world, &owner);
    let mut cases = Cases::default();
    let denied = "SELECT name, id FROM people WHERE id = 24"; // id is not granted
    cases.refused("honestly denied", ask(&world, &owner.url, "honest", denied), &["denied", "does not let"]);

    // Granted, said though the ledger denied it: with the record of another answer, and an envelope
    // that the owner made for this request.
    ask(&world, &owner.url, "earlier", SQL).ok();
    let liar = |alter: fn(&mut Value)| {
        Liar::start(&owner.url, move |call, upstream| {
            let reply = upstream.forward(call);
            if !call.is("POST", "/v1/asks") {
                return reply.into();
            }
            let earlier = upstream.get("/v1/trail").json();
            let answered =
                earlier["requests"].as_array().unwrap().iter().find(|r| r["status"]["answered"].is_object()).unwrap();
            let hash = text(&answered["hash"]);
            let seen = call.json()["seen"].as_u64().unwrap();
            let old = upstream.get(&format!("/v1/answers/{hash}?seen={seen}")).json();
            let mut value = old;
            value["proofs"]["entries"][2] = reply.json()["proofs"]["entries"][0].clone();
            alter(&mut value);
            Reply::of(&value).into()
        })
    };
    let said =
        |v: &mut Value| outcome(&mut v["proofs"]["entries"][2], json!({"granted": {"version": 1, "deadline": 500}}));
    cases.refused("granted, said though denied", ask(&world, &liar(|_| ()).url, "x", denied), &["refused"]);
    cases.refused("granted, forged", ask(&world, &liar(said).url, "y", denied), &["refused"]);

    let body =
        TxBody::Revoke { asset: owner.gateway.ledger().assets().unwrap()[0].id, to: world.requester.parse().unwrap() };
    owner.submit(body);
    cases.refused("denied for good", ask(&world, &owner.url, "z", SQL), &["denied", "granted"]);
    let trail = trail(&world, &owner.url, "requester").ok();
    let denials = trail.as_array().unwrap().iter().filter(|line| line["status"]["denied"].is_object()).count();
    cases.holds("every denial is on the trail", denials == 4, trail);
    cases.finish();
}

/// Enrols the requester by letting it ask once.
fn world_enrol(world: &World, owner: &Dishonest) {
    let account = account_file::load(world.path("requester").as_ref()).unwrap();
    let ledger = owner.gateway.ledger();
    let body = TxBody::OpenAccount { account: account.public().clone(), identity: vec![] };
    ledger.submit(owner::signed(ledger.genesis(), ledger.head().height, &account, body).unwrap()).unwrap();
}

#[test]
fn audit_and_trail_refuse_altered_blocks() {
    let world = people::world(40);
    let server = world.serve();
    ask(&world, &server.url, "p", SQL).ok();
    ask(&world, &server.url, "p", "SELECT id FROM people WHERE id = 1").error();
    let mut cases = Cases::default();
    for (name, lie, reason) in forge::BLOCK_LIES {
        let liar = Liar::start(&server.url, move |call, upstream| {
            let reply = upstream.forward(call);
            if !call.is("GET", "/v1/blocks") {
                return reply.into();
            }
            let mut blocks = forge::decode(&reply.body);
            lie(&mut blocks);
            Reply { body: sealgate_ledger::codec::encode(&blocks), ..reply }.into()
        });
        cases.refused(&format!("audit: {name}"), audit(&world, &liar.url, "auditor"), &[reason]);
        cases.refused(&format!("trail: {name}"), trail(&world, &liar.url, "auditor"), &[reason]);
    }
    let raw: [(&str, fn(Vec<u8>) -> Sent); 5] = [
        ("garbage", |_| Reply { status: 200, body: vec![0xff; 4096] }.into()),
        ("a length of 2^32", |_| Reply { status: 200, body: vec![0xff; 4] }.into()),
        ("bytes behind", |mut bytes| {
            bytes.push(0);
            Reply { status: 200, body: bytes }.into()
        }),
        ("bytes missing", |mut bytes| {
            bytes.pop();
            Reply { status: 200, body: bytes }.into()
        }),
        ("an end too soon", |bytes| Sent::Cut(Reply { status: 200, body: bytes }, 100)),
    ];
    for (name, send) in raw {
        let liar = Liar::start(&server.url, move |call, upstream| {
            let reply = upstream.forward(call);
            if call.is("GET", "/v1/blocks") { send(reply.body) } else { reply.into() }
        });
        cases.refused(name, audit(&world, &liar.url, "auditor"), &[&liar.url]);
        cases.refused(name, trail(&world, &liar.url, "auditor"), &[&liar.url]);
    }
    audit(&world, &server.url, "auditor").ok();
    cases.finish();
}

#[test]
fn audit_and_trail_refuse_entries_that_nobody_signed() {
    let world = people::world(20);
    let server = world.serve();
    ask(&world, &server.url, "p", "SELECT 1 FROM people WHERE id = 1").ok();
    let upstream = wire::Upstream::at(&server.url);
    let genesis = serde_json::from_slice(&upstream.get("/v1/genesis").body).unwrap();
    let blocks = forge::decode(&upstream.get("/v1/blocks?from=0").body);
    let operator = account_file::load(world.path("owner").as_ref()).unwrap();
    let requester = account_file::load(world.path("requester").as_ref()).unwrap();
    // The same blocks with another last one, under the honest head.
    let forged = forge::history(&genesis, &operator, &requester, blocks, |f, blocks| forge::slip_in(f, blocks));
    let liar = Liar::start(&server.url, move |call, upstream| forged.blocks(call, upstream));
    let mut cases = Cases::default();
    let reason = "entries, and its checkpoint covers only";
    cases.refused("audit", audit(&world, &liar.url, "auditor"), &[reason]);
    cases.refused("trail", trail(&world, &liar.url, "auditor"), &[reason]);
    audit(&world, &server.url, "auditor").ok();
    cases.finish();
}

#[test]
fn a_catalogue_that_does_not_hold_together_is_refused() {
    let world = people::world(5);
    let server = world.serve();
    let other = serde_json::to_value(AccountSecret::generate("other").unwrap().public()).unwrap();
    let mut cases = Cases::default();
    let lies: [(&str, Box<dyn Fn(&mut Value) + Send + Sync>, &str); 4] = [
        ("circles", Box::new(|page| page["next"] = page["assets"][0]["asset"]["id"].clone()), "goes in circles"),
        ("another's keys", Box::new(move |page| page["assets"][0]["owner"] = other.clone()), "another than its owner"),
        ("no page", Box::new(|page| *page = page["assets"].clone()), "cannot be read"),
        ("no asset", Box::new(|page| page["assets"][0]["asset"] = Value::Null), "cannot be read"),
    ];
    for (name, lie, reason) in lies {
        let liar = Liar::start(&server.url, move |call, upstream| {
            if !call.path.starts_with("/v1/catalogue") {
                return upstream.forward(call).into();
            }
            let mut page = upstream.get("/v1/catalogue").json();
            lie(&mut page);
            Reply::of(&page).into()
        });
        cases.refused(name, sealgate(&["catalogue", "--gateway", &liar.url]), &[reason]);
    }
    cases.finish();
}

#[test]
fn audit_and_trail_refuse_a_history_that_its_operator_forged() {
    let world = people::world(40);
    let server = world.serve();
    ask(&world, &server.url, "p", SQL).ok();
    ask(&world, &server.url, "p", "SELECT id FROM people WHERE id = 1").error();
    let upstream = wire::Upstream::at(&server.url);
    let genesis = serde_json::from_slice(&upstream.get("/v1/genesis").body).unwrap();
    let blocks = forge::decode(&upstream.get("/v1/blocks?from=0").body);
    let operator = account_file::load(world.path("owner").as_ref()).unwrap();
    let requester = account_file::load(world.path("requester").as_ref()).unwrap();
    let mut cases = Cases::default();
    for (at, (name, lie, reason)) in forge::OPERATOR_LIES.into_iter().enumerate() {
        let forged = forge::history(&genesis, &operator, &requester, blocks.clone(), lie);
        let liar = Liar::start(&server.url, move |call, upstream| forged.reply(call, upstream));
        for (command, home) in [("audit", format!("fresh-audit-{at}")), ("trail", format!("fresh-trail-{at}"))] {
            sealgate(&["account", "new", "--home", &world.path(&home), "--name", "fresh"]).ok();
            sealgate(&["trust", "--home", &world.path(&home), &world.fingerprint]).ok();
            let run =
                if command == "audit" { audit(&world, &liar.url, &home) } else { trail(&world, &liar.url, &home) };
            cases.refused(&format!("{command}: {name}"), run, &[reason]);
        }
    }
    cases.finish();
}

//! The API's document, and the gateway held against it by programs of others: openapi-spec-validator, and
//! schemathesis, which makes thousands of calls from the document, good ones and bad ones.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::Command;

use sealgate_tests::{http, sealgate, text, workspace};
use serde_json::Value;

mod people;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,allow_header_conformance";

/// A program of the environment that `scripts/test` makes; `SEALGATE_SCHEMATHESIS` names another folder. None,
/// said plainly, where it is absent; in continuous integration it must be there.
fn program(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEALGATE_SCHEMATHESIS")
        .map_or_else(|| workspace().join("target/schemathesis/bin"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent: run scripts/test", path.display());
    println!("skipped: {} is absent (scripts/test installs it)", path.display());
    None
}

#[test]
fn the_document_is_openapi_3_1() {
    let Some(validator) = program("openapi-spec-validator") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, sealgate_gateway::api::document().to_string()).unwrap();
    let valid = Command::new(&validator).args(["--schema", "3.1.0"]).arg(&file).output().unwrap();
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));
    // It is one that says no.
    let mut wrong = sealgate_gateway::api::document();
    wrong["paths"]["/health"]["get"]["responses"] = Value::Null;
    std::fs::write(&file, wrong.to_string()).unwrap();
    assert!(!Command::new(validator).args(["--schema", "3.1.0"]).arg(&file).output().unwrap().status.success());
}

#[test]
fn what_the_gateway_gives_is_what_its_document_says() {
    let Some(schemathesis) = program("st") else { return };
    let world = people::world(20);
    let note = world.path("note.txt");
    std::fs::write(&note, "x").unwrap();
    let owner = world.path("owner");
    let put = ["text", "put", "--data-dir", &owner, "--name", "note", "--title", "Note", "--file", &note, "--public"];
    let note = text(&sealgate(&put).ok()["text"]);
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "p.json", "SELECT name FROM people WHERE id = 4").ok();
    let get = |path: &str| -> Value {
        let (status, body) = http(&server.url, &format!("GET {path} HTTP/1.1"), b"");
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    };
    let asset = text(&get("/v1/catalogue")["assets"][0]["asset"]["id"]);
    let request = text(&get("/v1/trail")["requests"][0]["hash"]);
    // What is there, so that answers are checked and not refusals alone.
    let folder = tempfile::tempdir().unwrap();
    let requester = &world.requester;
    let values = format!(
        "[parameters]\n\"path.asset\" = \"{asset}\"\n\"path.address\" = \"{requester}\"\n\"path.hash\" = \"{request}\"\n\
         \"path.request\" = \"{request}\"\n\"path.text\" = \"{note}\"\n\"path.circuit\" = \"record-15-slots-4\"\n\
         \"path.n\" = 1\n\"path.index\" = 0\n\"path.height\" = 1\n"
    );
    std::fs::write(folder.path().join("schemathesis.toml"), values).unwrap();
    let before = get("/v1/checkpoint")["header"]["tree_size"].clone();
    for configured in [true, false] {
        let mut run = Command::new(&schemathesis);
        if configured {
            run.arg("--config-file").arg(folder.path().join("schemathesis.toml"));
        }
        // Of each of the two passes; scripts/soak takes longer.
        let seconds = std::env::var("SEALGATE_SCHEMA_SECONDS").unwrap_or_else(|_| "15".into());
        run.args(["run", &format!("{}/v1/openapi.json", server.url), "--checks", CHECKS]);
        run.args(["--phases", "coverage,fuzzing", "--max-time", &seconds, "--continue-on-failure", "--no-shrink"]);
        run.args(["--warnings", "off", "--no-color"]).current_dir(folder.path());
        let said = run.output().unwrap();
        let said = (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned());
        assert!(said.0, "{}", said.1);
        // Every route was called but the one that the document came from, which it leaves out itself.
        let tested = said.1.lines().find_map(|line| line.trim().strip_prefix("Tested: ")).unwrap().to_owned();
        assert_eq!(tested, (sealgate_gateway::api::routes().count() - 1).to_string(), "{}", said.1);
        println!("{}", said.1.lines().filter(|line| line.contains("generated")).collect::<String>());
    }
    assert_eq!(get("/v1/checkpoint")["header"]["tree_size"], before, "something was recorded");
    world.audit_gateway(&server.url, "auditor").ok();
}

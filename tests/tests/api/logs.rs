//! What the gateway logs of a full run: every call, and nothing that anybody keeps secret.

use sealgate_tests::{Server, World, answers, files_under, sealgate, text};
use serde_json::Value;

use super::{SQL, people};

#[test]
fn a_full_run_leaves_no_secret_in_the_log() {
    let world: World = people::world(40);
    let log = world.dir.path().join("log.jsonl");
    let server = Server::logging(&world.path("owner"), "debug", &log);
    let url = server.url.as_str();
    let answer = world.ask(url, "requester", "a purpose like no other", "a.json", SQL).ok();
    let told: Vec<String> = answers(&answer).into_iter().map(|(_, told)| told).collect();
    let sign_in = sealgate(&["sign-in", "--data-dir", &world.path("owner")]).ok();
    let (token, link) = (text(&sign_in["token"]), text(&sign_in["link"]));
    let code = link.split("code=").nth(1).unwrap().to_owned();
    let get = |path: &str, token: &str| {
        let line = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}");
        sealgate_tests::http(url, &line, b"").0
    };
    assert_eq!(get("/v1/index-audit", &token), 200);
    assert_eq!(get("/v1/catalogue?search=somebody-s-illness&owner=somebody", "a-guessed-token"), 200);
    assert_eq!(get(&format!("/console/enter?code={code}"), ""), 200);
    assert_eq!(get("/v1/nothing/somebody-s-secret", ""), 404);
    world.grant("people", &world.auditor, &["--disclose", "name", "--purpose", "p"]).ok();
    let serving: Value = serde_json::from_slice(&std::fs::read(world.path("owner/serving.json")).unwrap()).unwrap();
    let folder_token = text(&serving["token"]);
    drop(server);

    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // It has what is to be found in it: the calls, with their numbers.
    let of = |route: &str| lines.iter().filter(|line| line["route"] == route).count();
    assert!(of("/v1/asks") == 1 && of("/v1/index-audit") == 1 && of("/v1/catalogue") >= 1, "{log}");
    let answered = lines.iter().filter(|line| line["message"] == "answered");
    for line in answered {
        assert!(line["status"].is_u64() && line["ms"].is_u64(), "{line}");
        assert_eq!(text(&line["spans"][0]["id"]).len(), 32, "{line}");
    }
    // And nothing else.
    let mut secrets = vec![token, code, folder_token, "a-guessed-token".into(), "somebody".into()];
    secrets.extend(told.into_iter().filter(|told| told.len() > 4));
    secrets.extend(["Person 24".into(), "a purpose like no other".into(), "id = 24".into(), "fee >= 500".into()]);
    for home in ["owner", "requester", "auditor"] {
        for path in files_under(world.path(home).as_ref()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".key") {
                let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let words = content.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 32);
                secrets.extend(words.map(str::to_owned));
            }
        }
    }
    assert!(secrets.len() > 10, "{} secrets were looked for", secrets.len());
    for secret in secrets {
        assert!(!log.contains(&secret), "the log has '{secret}'");
    }
}

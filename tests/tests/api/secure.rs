//! Serving under a certificate: made by the gateway, or the owner's own and renewed while it serves.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealgate_tests::{Server, World, answers, binary, sealgate, text};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{SQL, people};

/// A world whose gateway serves under `tls`.
fn world(tls: &str) -> (World, Server) {
    let world = people::world(40);
    let config = world.path("owner/sealgate.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{usual}\n[serve]\ntls = {tls}\n")).unwrap();
    let server = world.serve();
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    (world, server)
}

/// Asks as the requester, with more arguments.
pub(super) fn ask(world: &World, url: &str, out: &str, more: &[&str]) -> sealgate_tests::Run {
    let (home, out) = (world.path("requester"), world.path(out));
    let asking = ["ask", "--gateway", url, "--home", &home, "--purpose", "p", "--out", &out, SQL];
    sealgate(&[&asking[..], more].concat())
}

#[test]
fn a_gateway_that_makes_its_own_certificate_is_believed_by_who_has_it() {
    let (world, server) = world("\"generated\"");
    let certificate = world.path("owner/serving.pem");
    // The system's authorities do not know it, and the way out is said.
    let error = ask(&world, &server.url, "no.json", &[]).error();
    assert!(error.contains("--gateway-ca"), "{error}");
    let answer = ask(&world, &server.url, "yes.json", &["--gateway-ca", &certificate]).ok();
    assert_eq!(answers(&answer).len(), 2);
    let mut catalogue = Command::new(binary());
    catalogue.args(["--json", "catalogue", "--gateway", &server.url]).env("SEALGATE_CA", &certificate);
    assert!(catalogue.status().unwrap().success());
    // Another gateway's certificate is another's.
    let other = people::world(2);
    let owner = other.path("owner");
    std::fs::write(other.path("owner/sealgate.toml"), "[serve]\ntls = \"generated\"\n").unwrap();
    drop(Server::start(&owner));
    let error = ask(&world, &server.url, "other.json", &["--gateway-ca", &other.path("owner/serving.pem")]).error();
    assert!(error.contains("certificate"), "{error}");
    let error = ask(&world, &server.url, "none.json", &["--gateway-ca", &world.path("people.csv")]).error();
    assert!(error.contains("people.csv") && error.contains("PEM"), "{error}");
    // The owner's own commands need nothing said.
    world.grant("people", &world.auditor, &["--disclose", "name", "--purpose", "p"]).ok();
    let link = text(&sealgate(&["sign-in", "--data-dir", &world.path("owner")]).ok()["link"]);
    assert!(link.starts_with(&server.url), "{link}");
    // Started again it is the same certificate; plain HTTP is not answered on its port.
    let pem = std::fs::read(&certificate).unwrap();
    let plain = server.url.replace("https://", "http://");
    assert_eq!(sealgate(&["catalogue", "--gateway", &plain]).code, 1);
    drop(server);
    let server = world.serve();
    assert_eq!(std::fs::read(&certificate).unwrap(), pem);
    ask(&world, &server.url, "again.json", &["--gateway-ca", &certificate]).ok();
}

#[test]
fn the_fingerprint_that_is_said_is_the_certificate_s() {
    let world = people::world(2);
    let config = world.path("owner/sealgate.toml");
    std::fs::write(&config, "[serve]\ntls = \"generated\"\n").unwrap();
    let mut serving = Command::new(binary())
        .args(["--json", "serve", "--data-dir", &world.path("owner"), "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(serving.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    Command::new("kill").arg(serving.id().to_string()).status().unwrap();
    serving.wait().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let pem = std::fs::read_to_string(world.path("owner/serving.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap();
    let print: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(said["certificate"], print.join(":"));
}

/// An authority, and what it certifies: the authority's certificate and the gateway's chain and key are
/// written into `folder`.
pub(super) fn certify(folder: &Path, authority: &str) -> String {
    let issuer = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let issuer = issuer(authority);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let own = folder.join(format!("{authority}.pem"));
    std::fs::write(&own, issuer.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("chain.pem"), certificate.pem()).unwrap();
    own.display().to_string()
}

#[test]
fn the_owner_s_own_certificate_is_renewed_without_a_restart() {
    let certificates = tempfile::tempdir().unwrap();
    let first = certify(certificates.path(), "first");
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| certificates.path().join(name).display().to_string());
    let (world, server) = world(&format!("{{ certificate = \"{chain}\", key = \"{key}\" }}"));
    ask(&world, &server.url, "first.json", &["--gateway-ca", &first]).ok();
    let second = certify(certificates.path(), "second");
    Command::new("kill").args(["-HUP", &server.process().to_string()]).status().unwrap();
    // Read again soon; until then the one before is shown, and neither is ever missing.
    let begun = Instant::now();
    let believed =
        |authority: &str| sealgate(&["catalogue", "--gateway", &server.url, "--gateway-ca", authority]).code == 0;
    while !believed(&second) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the renewed certificate is not shown");
    }
    assert!(!believed(&first));
    // What cannot be used is not: the one before stays.
    std::fs::write(&chain, "no certificate").unwrap();
    Command::new("kill").args(["-HUP", &server.process().to_string()]).status().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(believed(&second));
    ask(&world, &server.url, "second.json", &["--gateway-ca", &second]).ok();
    // The owner's commands believe what its files say; those are wrong just now.
    drop(server);
    let refused = sealgate(&["serve", "--data-dir", &world.path("owner"), "--listen", "127.0.0.1:0"]).error();
    assert!(refused.contains("chain.pem"), "{refused}");
}

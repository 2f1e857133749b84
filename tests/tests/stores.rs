//! An owner whose sealed objects lie in S3, on a real server: published, asked, audited; and what is said when
//! it is away.

#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

use sealgate_tests::s3::{S3, SECRET_KEY};
use sealgate_tests::{Server, World, binary, files_under};

mod people;

#[test]
fn an_owner_keeps_its_objects_in_s3() {
    let Some(s3) = S3::start() else { return };
    let world = World::new();
    let owner = world.path("owner");
    let config = Path::new(&owner).join("sealgate.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("file:store", "s3://sealed/department");
    std::fs::write(&config, text).unwrap();
    let environment = s3.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let run = |args: &[&str]| {
        let output = Command::new(binary()).arg("--json").args(args).envs(environment).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let manifest = people::write(&world, 40, "v1").display().to_string();
    let publish = ["publish", "--data-dir", owner.as_str(), "--manifest", &manifest];
    let (done, told) = run(&publish);
    assert!(done, "{told}");
    world.grant("people", &world.requester, &people::GRANT).ok();
    {
        let server = Server::start_in(&owner, &environment);
        world.ask(&server.url, "requester", "", "answer.json", "SELECT name FROM people WHERE id = 24").ok();
    }
    let audit = ["audit", "--data-dir", owner.as_str()];
    let (whole, told) = run(&audit);
    assert!(whole && told.contains("\"versions\":1"), "{told}");
    assert!(files_under(Path::new(&owner)).iter().all(|file| !file.display().to_string().contains("/store/")));

    // Backups name what is not in them.
    let file = world.path("owner.backup");
    let output = Command::new(binary())
        .args(["backup", "--data-dir", &owner, "--out", &file])
        .env("SEALGATE_BACKUP_PASSPHRASE", "a passphrase for tests")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("the sealed objects in s3://sealed/department"), "{told}");

    // Without its credentials, and without the service: an error that says so, and no secret.
    drop(s3);
    let (done, told) = run(&audit);
    assert!(!done && told.contains("store, object") && !told.contains(SECRET_KEY), "{told}");
}

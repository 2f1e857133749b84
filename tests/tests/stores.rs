//! An owner whose sealed objects lie in S3, on a real server (moto's, in `target/s3` or where
//! `SEALGATE_MOTO` says): published, asked, audited; and what is said when it is away.

#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sealgate_tests::{Server, World, binary, files_under, workspace};

mod people;

struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    fn start() -> Option<S3> {
        let program = std::env::var_os("SEALGATE_MOTO")
            .map_or_else(|| workspace().join("target/s3/bin/moto_server"), PathBuf::from);
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "{} is absent: scripts/test makes it", program.display());
            println!("skipped: {} is absent; scripts/test makes it", program.display());
            return None;
        }
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(std::io::Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        let address = told.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        let server = S3 { child, address };
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(stream, "PUT /sealed HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", server.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        Some(server)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_owner_keeps_its_objects_in_s3() {
    let Some(s3) = S3::start() else { return };
    let world = World::new();
    let owner = world.path("owner");
    let config = Path::new(&owner).join("sealgate.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("file:store", "s3://sealed/department");
    std::fs::write(&config, text).unwrap();
    let endpoint = format!("http://{}", s3.address);
    let environment = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "the secret key"),
    ];
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
    assert!(!done && told.contains("store, object") && !told.contains("the secret key"), "{told}");
}

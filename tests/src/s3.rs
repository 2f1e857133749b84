//! An S3 service of its own: moto's, in `target/s3` or where `SEALGATE_MOTO` says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long it may take to start.
const START: Duration = Duration::from_secs(60);
/// The secret part of its credentials.
pub const SECRET_KEY: &str = "the secret key";

/// A running service with the bucket `sealed`; it ends with this value.
pub struct S3 {
    child: Child,
    endpoint: String,
}

impl S3 {
    /// Starts one. `None`, said plainly, where it is not installed; in continuous integration it must be there.
    pub fn start() -> Option<S3> {
        let program = std::env::var_os("SEALGATE_MOTO")
            .map_or_else(|| crate::workspace().join("target/s3/bin/moto_server"), PathBuf::from);
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
        let address = told.recv_timeout(START).unwrap();
        let server = S3 { child, endpoint: format!("http://{address}") };
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "PUT /sealed HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        Some(server)
    }

    /// The variables by which a store finds it.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

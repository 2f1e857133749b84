//! A gateway in between: hands every call to the real one and may change what comes back, down to
//! the bytes on the wire.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub body: Vec<u8>,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.starts_with(path)
    }
}

/// What a gateway answers.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn of(value: &Value) -> Reply {
        Reply { status: 200, body: serde_json::to_vec(value).unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// How an answer goes over the wire.
pub enum Sent {
    Whole(Reply),
    /// The length is promised and only so many bytes come.
    Cut(Reply, usize),
    /// So many bytes of nothing, without a length.
    Flood(usize),
    /// A few bytes at a time with a pause between.
    Drip(Reply, Duration),
    /// Nothing, for so long.
    Silence(Duration),
    /// Not HTTP.
    Raw(Vec<u8>),
}

impl From<Reply> for Sent {
    fn from(reply: Reply) -> Self {
        Sent::Whole(reply)
    }
}

/// The real gateway behind the liar.
pub struct Upstream(String);

impl Upstream {
    pub fn at(url: &str) -> Upstream {
        Upstream(url.strip_prefix("http://").unwrap().to_owned())
    }

    pub fn get(&self, path: &str) -> Reply {
        self.forward(&Call { method: "GET".into(), path: path.into(), body: Vec::new() })
    }

    pub fn forward(&self, call: &Call) -> Reply {
        let mut stream = TcpStream::connect(&self.0).unwrap();
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            call.method,
            call.path,
            self.0,
            call.body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&call.body).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = position(&bytes, b"\r\n\r\n").expect("an HTTP answer");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        assert!(!head.contains("transfer-encoding"), "{head}");
        Reply { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: bytes[end + 4..].to_vec() }
    }
}

type Lie = dyn Fn(&Call, &Upstream) -> Sent + Send + Sync;

/// A running liar; it lives as long as the test.
pub struct Liar {
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Liar {
    pub fn start(upstream: &str, lie: impl Fn(&Call, &Upstream) -> Sent + Send + Sync + 'static) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (lie, upstream): (Arc<Lie>, _) = (Arc::new(lie), Arc::new(Upstream::at(upstream)));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (lie, upstream, seen) = (lie.clone(), upstream.clone(), seen.clone());
                std::thread::spawn(move || {
                    if let Some(call) = read_call(&stream) {
                        seen.lock().unwrap().push(call.clone());
                        write_reply(stream, lie(&call, &upstream));
                    }
                });
            }
        });
        Liar { url, calls }
    }

    /// Alters the JSON that comes back from calls to `path`.
    pub fn altering(
        upstream: &str,
        path: &'static str,
        alter: impl Fn(&mut Value, &Upstream) + Send + Sync + 'static,
    ) -> Liar {
        Liar::start(upstream, move |call, upstream| {
            let mut reply = upstream.forward(call);
            if call.path.starts_with(path) {
                let mut value = reply.json();
                alter(&mut value, upstream);
                reply = Reply { body: serde_json::to_vec(&value).unwrap(), ..reply };
            }
            reply.into()
        })
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn read_call(mut stream: &TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    let end = loop {
        if let Some(end) = position(&bytes, b"\r\n\r\n") {
            break end;
        }
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&chunk[..n]);
    }
    let mut words = head.split(' ');
    Some(Call { method: words.next()?.into(), path: words.next()?.into(), body })
}

/// The client may hang up at any time; that is its right.
fn write_reply(mut stream: TcpStream, sent: Sent) {
    let head = |reply: &Reply| {
        format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", reply.status, reply.body.len())
    };
    let mut write = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
    match sent {
        Sent::Whole(reply) => {
            let _ = write(head(&reply).as_bytes()) && write(&reply.body);
        }
        Sent::Cut(reply, bytes) => {
            let _ = write(head(&reply).as_bytes()) && write(&reply.body[..bytes.min(reply.body.len())]);
        }
        Sent::Flood(bytes) => {
            let mut ok = write(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n");
            let mut left = bytes;
            while ok && left > 0 {
                ok = write(&[b' '; 65536]);
                left = left.saturating_sub(65536);
            }
        }
        Sent::Drip(reply, pause) => {
            let mut ok = write(head(&reply).as_bytes());
            for part in reply.body.chunks(reply.body.len().div_ceil(4).max(1)) {
                std::thread::sleep(pause);
                ok = ok && write(part);
            }
        }
        Sent::Silence(pause) => std::thread::sleep(pause),
        Sent::Raw(bytes) => {
            let _ = write(&bytes);
        }
    }
}

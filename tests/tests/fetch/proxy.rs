//! Between a requester and its gateway: hands everything on as it is, but may change the bytes of a
//! body, or keep it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

type Change = dyn Fn(&str, &mut Vec<u8>) + Send + Sync;

/// A running proxy; it lives as long as the test.
pub struct Proxy {
    pub url: String,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `change` is given the path of each call and the body of its reply.
    pub fn start(upstream: &str, change: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (change, calls): (Arc<Change>, Arc<Mutex<Vec<String>>>) = (Arc::new(change), Arc::default());
        let (upstream, seen) = (upstream.strip_prefix("http://").unwrap().to_owned(), calls.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (change, upstream, seen) = (change.clone(), upstream.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &upstream, &*change, &seen));
            }
        });
        Proxy { url, calls }
    }

    /// How many calls there were to paths that hold this.
    pub fn count(&self, part: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }
}

/// One call; either side may hang up at any time.
fn serve(mut client: TcpStream, upstream: &str, change: &Change, seen: &Mutex<Vec<String>>) -> Option<()> {
    let call = read(&mut client)?;
    let end = call.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(call[..end].to_vec()).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    seen.lock().unwrap().push(path.clone());
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    server.write_all(&call[end + 4..]).ok()?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).ok()?;
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let mut body = reply.split_off(end);
    let before = body.len();
    change(&path, &mut body);
    let head = String::from_utf8(reply)
        .ok()?
        .replace(&format!("content-length: {before}"), &format!("content-length: {}", body.len()));
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(&body).ok()
}

/// A whole call: its head and as much of a body as it says.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65536]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0usize) {
                return Some(bytes);
            }
        }
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}

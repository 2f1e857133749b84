//! What `sealgate.toml` says of serving: where and under which certificate, and how much at once
//! (docs/spec/api.md#limits).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

/// Where and how a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Address and port; none where `--listen`, a member's `node.json` or the default says.
    pub listen: Option<String>,
    /// Other names, `host:port`, under which people and programs reach it.
    pub names: Vec<String>,
    /// Whether connections are encrypted.
    pub tls: Tls,
}

/// The certificate that a gateway shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// None: plain HTTP, for one machine.
    Off,
    /// None of its own: a proxy on the same machine encrypts, under one of [`Serve::names`], and says of each
    /// call whose it is.
    Proxy,
    /// One that the gateway makes for itself, in its data folder.
    Generated,
    /// The owner's own.
    Files {
        /// The chain, PEM, the gateway's own certificate first.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
}

/// The header in which proxies name their client, where none is configured.
pub(super) const CLIENT_HEADER: &str = "x-forwarded-for";

/// How much a gateway takes at once and for how long it waits; what goes beyond is refused, not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at the same time.
    pub connections: usize,
    /// How long a connection may take to send a request's head, from its opening or its last answer on.
    pub head_time: Duration,
    /// How long a connection may take nothing of an answer, or send nothing of a body.
    pub stall_time: Duration,
    /// Bytes of request bodies that are in memory at the same time.
    pub body_bytes: u64,
    /// Reads of the ledger that wait for their turn.
    pub reads_waiting: usize,
    /// Questions that wait for a prover.
    pub questions_waiting: usize,
    /// Requests that one client may send in a second; none for as many as it likes.
    pub rate: Option<Rate>,
    /// Header in which a proxy on this machine names its client; `x-forwarded-for` under [`Tls::Proxy`] unless
    /// another is given.
    pub client_header: Option<String>,
}

/// Requests of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second, on average.
    pub requests_per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Default for Serve {
    fn default() -> Self {
        Serve { listen: None, names: Vec::new(), tls: Tls::Off }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1024,
            head_time: Duration::from_secs(15),
            stall_time: Duration::from_secs(30),
            body_bytes: 256_000_000,
            reads_waiting: 256,
            questions_waiting: 64,
            rate: Some(Rate { requests_per_second: 100, burst: 1000 }),
            client_header: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServe {
    listen: Option<Spanned<String>>,
    #[serde(default)]
    names: Vec<String>,
    /// A word, or [`RawFiles`].
    tls: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFiles {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    connections: Option<Spanned<u32>>,
    head_time: Option<Spanned<String>>,
    stall_time: Option<Spanned<String>>,
    body_bytes: Option<Spanned<String>>,
    reads_waiting: Option<Spanned<u32>>,
    questions_waiting: Option<Spanned<u32>>,
    requests_per_second: Option<Spanned<u32>>,
    burst: Option<Spanned<u32>>,
    client_header: Option<Spanned<String>>,
}

/// What is wrong, and where in the file.
pub(super) type Wrong = (std::ops::Range<usize>, String);

impl RawServe {
    pub(super) fn checked(self, folder: &Path) -> Result<Serve, Wrong> {
        let listen = self.listen.map(|listen| {
            let port =
                listen.as_ref().rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            match port {
                Some((host, _)) if !host.is_empty() => Ok(listen.into_inner()),
                _ => Err((
                    listen.span(),
                    format!("'{}' is no address: write for example \"0.0.0.0:8443\"", shown(&listen)),
                )),
            }
        });
        let tls = self.tls.map(|tls| {
            let span = tls.span();
            let what = "write \"off\", \"proxy\", \"generated\", or { certificate = \"FILE\", key = \"FILE\" }";
            match tls.into_inner() {
                toml::Value::String(word) if word == "off" => Ok(Tls::Off),
                toml::Value::String(word) if word == "proxy" && self.names.is_empty() => {
                    let what = "say in 'names' how the proxy is called: browsers and signatures name it";
                    Err((span, what.to_owned()))
                }
                toml::Value::String(word) if word == "proxy" => Ok(Tls::Proxy),
                toml::Value::String(word) if word == "generated" => Ok(Tls::Generated),
                toml::Value::String(word) => {
                    let word: String = word.escape_debug().take(100).collect();
                    Err((span, format!("'{word}' is no way to encrypt: {what}")))
                }
                other => match other.try_into::<RawFiles>() {
                    Ok(RawFiles { certificate, key }) => {
                        Ok(Tls::Files { certificate: folder.join(certificate), key: folder.join(key) })
                    }
                    Err(error) => Err((span, format!("tls: {}; {what}", error.message()))),
                },
            }
        });
        let tls = tls.transpose()?.unwrap_or(Tls::Off);
        Ok(Serve { listen: listen.transpose()?, names: self.names, tls })
    }
}

impl RawLimits {
    pub(super) fn checked(self) -> Result<Limits, Wrong> {
        let usual = Limits::default();
        let time = |text: Option<Spanned<String>>, usual: Duration| match text {
            None => Ok(usual),
            Some(text) => {
                super::duration(text.as_ref()).filter(|time| *time <= Duration::from_secs(3600)).ok_or_else(|| {
                    (
                        text.span(),
                        format!("'{}' is no time to wait: write for example \"15s\", at most \"1h\"", shown(&text)),
                    )
                })
            }
        };
        let count = |number: Option<Spanned<u32>>, usual: usize, least: u32| match number {
            None => Ok(usual),
            Some(number) if *number.as_ref() >= least => Ok(usize::try_from(*number.as_ref()).unwrap_or(usize::MAX)),
            Some(number) => Err((number.span(), format!("{} is too few: at least {least}", number.as_ref()))),
        };
        let body_bytes = match self.body_bytes {
            None => usual.body_bytes,
            Some(text) => super::size(text.as_ref()).filter(|bytes| *bytes >= 16_000_000).ok_or_else(|| {
                (text.span(), format!("'{}' is no size: write for example \"256MB\", at least \"16MB\"", shown(&text)))
            })?,
        };
        let header = match self.client_header {
            Some(name) if !is_token(name.as_ref()) => {
                return Err((
                    name.span(),
                    format!("'{}' is no header's name: write for example \"x-forwarded-for\"", shown(&name)),
                ));
            }
            name => name.map(|name| name.into_inner().to_ascii_lowercase()),
        };
        let usual_rate = usual.rate.unwrap_or(Rate { requests_per_second: 0, burst: 1 });
        let per_second = self.requests_per_second.map_or(usual_rate.requests_per_second, Spanned::into_inner);
        let burst = self.burst.map_or(usual_rate.burst, Spanned::into_inner).max(per_second).max(1);
        Ok(Limits {
            connections: count(self.connections, usual.connections, 8)?,
            head_time: time(self.head_time, usual.head_time)?,
            stall_time: time(self.stall_time, usual.stall_time)?,
            body_bytes,
            reads_waiting: count(self.reads_waiting, usual.reads_waiting, 1)?,
            questions_waiting: count(self.questions_waiting, usual.questions_waiting, 1)?,
            rate: (per_second > 0).then_some(Rate { requests_per_second: per_second, burst }),
            client_header: header,
        })
    }
}

fn shown(text: &Spanned<String>) -> String {
    text.as_ref().escape_debug().take(100).collect()
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

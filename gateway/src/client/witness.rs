//! The log's side of C2SP's tlog-witness: bounded, and nothing of what comes back is believed here.

use std::time::Duration;

use sealgate_ledger::witness::{AddCheckpoint, decimal};

/// Largest response that is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 16 << 10;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a witness gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum WitnessClientError {
    /// Not an address.
    #[error("'{0}' is no witness's address: write http://host:port or https://host:port")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot be reached ({0})")]
    Unreachable(#[from] reqwest::Error),
    /// It does not cosign.
    #[error("refuses with status {status}: {what}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says, shortened.
        what: String,
    },
    /// It answered something else.
    #[error("gave an answer that cannot be read")]
    Unreadable,
}

/// What a witness answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Signature lines, to be checked.
    Lines(String),
    /// The checkpoint it cosigned last has this size.
    Conflict(u64),
}

/// A client of one witness.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    base: String,
    http: reqwest::Client,
}

impl WitnessClient {
    /// A client of the witness whose submission prefix is `url` (`http://host:port`).
    ///
    /// # Errors
    /// [`WitnessClientError::Address`].
    pub fn new(url: &str) -> Result<WitnessClient, WitnessClientError> {
        let bad = || WitnessClientError::Address(url.chars().take(100).collect());
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        if !["http", "https"].contains(&parsed.scheme()) || parsed.host_str().is_none() {
            return Err(bad());
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let http = super::trust::believing(builder, parsed.scheme() == "https").build()?;
        Ok(WitnessClient { base: url.trim_end_matches('/').to_owned(), http })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Asks for a cosignature.
    ///
    /// # Errors
    /// [`WitnessClientError`].
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Submitted, WitnessClientError> {
        let post = self.http.post(format!("{}/add-checkpoint", self.base)).body(request.to_text());
        let mut response = post.send().await?;
        let status = response.status().as_u16();
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
        let sized = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/x.tlog.size"));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err(WitnessClientError::Unreadable);
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).map_err(|_| WitnessClientError::Unreadable)?;
        match status {
            200 => Ok(Submitted::Lines(body)),
            409 if sized => {
                let size = body.strip_suffix('\n').and_then(decimal);
                size.map(Submitted::Conflict).ok_or(WitnessClientError::Unreadable)
            }
            _ => {
                let what = body.trim().escape_debug().take(200).collect();
                Err(WitnessClientError::Refused { status, what })
            }
        }
    }
}

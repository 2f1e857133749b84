//! Asking a gateway how it is, without much patience.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Client, ClientError};
use crate::owner::clock_ms;

/// How long a gateway may take to say how it is.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer that is read, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// How a gateway says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Height of its ledger's last block.
    pub height: u64,
    /// Its version, if it says so.
    pub version: String,
    /// How long it took to answer.
    pub took: Duration,
    /// By how many milliseconds its clock is ahead of this machine's, to about a second: as its `Date`
    /// header says. None if it sends none.
    pub clock_ahead_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Said {
    height: u64,
    #[serde(default)]
    version: String,
}

impl Client {
    /// How the gateway is.
    ///
    /// # Errors
    /// [`ClientError`], also when it takes longer than [`PATIENCE`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let began = Instant::now();
        let request = self.http.get(format!("{}/health", self.base)).timeout(PATIENCE);
        let mut response = request.send().await.map_err(unreachable)?;
        let took = began.elapsed();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).and_then(time_of);
        // The header has whole seconds, and the answer was made about half way.
        let half = i64::try_from(took.as_millis() / 2).unwrap_or(i64::MAX);
        let own = i64::try_from(clock_ms()).unwrap_or(i64::MAX).saturating_sub(half);
        let clock_ahead_ms = date.map(|date| date.saturating_add(500).saturating_sub(own));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(self.unreadable("its health is too long to read"));
            }
            body.extend_from_slice(&chunk);
        }
        if !response.status().is_success() {
            return Err(self.unreadable(format!("HTTP status {} for its health", response.status())));
        }
        let said: Said = serde_json::from_slice(&body).map_err(|error| self.unreadable(error))?;
        Ok(Health { height: said.height, version: said.version, took, clock_ahead_ms })
    }
}

/// An HTTP date (RFC 9110, section 5.6.7) in milliseconds since 1970-01-01 UTC.
fn time_of(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|time| time.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(time_of("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1000));
        assert_eq!(time_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for other in ["", "yesterday", "1994-11-06T08:49:37Z"] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}

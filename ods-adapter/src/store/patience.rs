//! How long a service is waited for: an upload as long as its size may take, an answer while it keeps
//! coming.

use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, Result, RetryConfig};

/// Bytes that are on their way to a store at once, whatever number of objects they are: many large ones
/// side by side would share a slow line until each of them takes too long.
pub(super) const UPLOAD_BYTES: usize = 64 << 20;

/// How long a service is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the beginning of an upload until it is acknowledged.
    pub(super) upload: Duration,
    /// Without a sign of the service: until an answer begins, and between its pieces.
    pub(super) silence: Duration,
    /// How often a request is made again that failed or took too long, with pauses up to a quarter of a
    /// minute. Then, or when [`Patience::in_all`] has passed, it is an error.
    pub(super) retries: usize,
    /// After which time a request is not made again.
    pub(super) in_all: Duration,
}

impl Patience {
    /// All of [`UPLOAD_BYTES`] get through in the time of one upload at 230 kB a second.
    pub(super) const USUAL: Self = Self {
        upload: Duration::from_secs(300),
        silence: Duration::from_secs(30),
        retries: 6,
        in_all: Duration::from_secs(1200),
    };

    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig { max_retries: self.retries, retry_timeout: self.in_all, backoff: BackoffConfig::default() }
    }
}

impl HttpConnector for Patience {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let connect = |options| ReqwestConnector::default().connect(&options);
        let silence = format!("{}ms", self.silence.as_millis());
        let others = options.clone().with_timeout_disabled().with_config(ClientConfigKey::ReadTimeout, silence);
        Ok(HttpClient::new(Clients {
            uploads: connect(options.clone().with_timeout(self.upload))?,
            others: connect(others)?,
        }))
    }
}

/// A client for each way of waiting: the timeout of silence also counts while a body is sent.
#[derive(Debug)]
struct Clients {
    uploads: HttpClient,
    others: HttpClient,
}

#[async_trait]
impl HttpService for Clients {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = if request.body().content_length() > 0 { &self.uploads } else { &self.others };
        client.execute(request).await
    }
}

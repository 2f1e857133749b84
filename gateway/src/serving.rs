//! `sealgate serve`: opens the owner's folder, answers on an address, and stops in order.

use std::sync::Arc;

use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::genesis::Genesis;

use crate::api;
use crate::api::tls::{Certificates, TlsError};
use crate::config::Tls;
use crate::console::{Console, Names};
use crate::files::{FileError, write_json};
use crate::gateway::Gateway;
use crate::opened::look_after;
use crate::owner::{Owner, OwnerError, Serving};
use crate::rehashing::rehash_by_schedule;
use crate::sessions::{SessionError, Sessions};
use crate::syncing::keep_in_sync;
use crate::witness::pushing::Peer;

/// A running gateway.
pub struct Running {
    /// Its address, `http://host:port` or `https://host:port`.
    pub url: String,
    /// Its address as browsers call it: the proxy's where one encrypts, else its own.
    public: String,
    /// SHA-256 of the certificate under which it serves, if it does.
    pub certificate: Option<String>,
    /// The ledger it serves.
    pub genesis: Genesis,
    sessions: Arc<Sessions>,
    account: AccountPublic,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<Result<(), TlsError>>,
    /// What goes on beside answering, until the end: reports to witnesses, syncs, checks of what is stored.
    background: Vec<tokio::task::JoinHandle<()>>,
    serving_path: std::path::PathBuf,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The owner's folder.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// Sessions.
    #[error(transparent)]
    Sessions(#[from] SessionError),
    /// The address.
    #[error("{0}")]
    Listen(String),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Starts serving.
///
/// # Errors
/// [`ServeError`].
pub async fn start(owner: Owner, listen: &str) -> Result<Running, ServeError> {
    start_witnessed(owner, listen, Vec::new()).await
}

/// Starts serving a ledger that reports its checkpoints to witnesses.
///
/// # Errors
/// [`ServeError`].
pub async fn start_witnessed(owner: Owner, listen: &str, witnesses: Vec<Peer>) -> Result<Running, ServeError> {
    let serving_path = owner.serving_path();
    let gateway = Arc::new(tokio::task::block_in_place(|| Gateway::open(owner))?);
    gateway.prepare();
    let config = gateway.owner().config().clone();
    let certificates = Certificates::open(&config.serve.tls, gateway.owner().folder(), listen)?;
    let (listener, address) = api::bind(listen).await.map_err(ServeError::Listen)?;
    let mut token = [0u8; 32];
    getrandom::fill(&mut token).map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let path = certificates.as_ref().map(|certificates| std::path::absolute(certificates.path()));
    let path = path.transpose().map_err(|error| ServeError::Listen(error.to_string()))?;
    let serving = Serving { url: format!("{scheme}://{address}"), token: hex::encode(token), certificate: path };
    write_json(&serving_path, &serving, true).map_err(OwnerError::from)?;
    let genesis = gateway.ledger().genesis().clone();
    let mut background = Vec::new();
    let keys = gateway.clone();
    background.push(tokio::spawn(look_after(move || keys.forget_changed_keys())));
    if !witnesses.is_empty() {
        let gateway = gateway.clone();
        background.push(tokio::spawn(async move { gateway.cosigned().report(gateway.ledger(), witnesses).await }));
    }
    if !gateway.owner().config().sync.is_empty() {
        background.push(tokio::spawn(keep_in_sync(gateway.clone())));
    }
    if let Some(schedule) = gateway.owner().config().rehash {
        let gateway = gateway.clone();
        background
            .push(tokio::spawn(async move { rehash_by_schedule(gateway.owner(), gateway.ledger(), schedule).await }));
    }
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let names = Names::of(address, &config.serve.names);
    let console = Arc::new(Console::of_gateway(gateway.clone(), names)?);
    let (sessions, account) = (console.sessions.clone(), gateway.owner().account().public().clone());
    let certificate = certificates.as_ref().map(|certificates| certificates.fingerprint());
    let tls_at_proxy = config.serve.tls == Tls::Proxy;
    let public = config.serve.names.first().filter(|_| tls_at_proxy).map(|name| format!("https://{name}"));
    let reached = api::Serving { listener, certificates, tls_at_proxy, limits: config.limits };
    let served = api::serve(reached, gateway, console, serving.token, async {
        let _ = stopped.await;
    });
    Ok(Running {
        certificate,
        public: public.unwrap_or_else(|| serving.url.clone()),
        url: serving.url,
        genesis,
        sessions,
        account,
        stop,
        done: tokio::spawn(served),
        background,
        serving_path,
    })
}

impl Running {
    /// A link that signs a browser in as the owner, once, within two minutes.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn link(&self) -> Result<String, SessionError> {
        Ok(format!("{}/console/enter?code={}", self.public, self.sessions.code(&self.account)?))
    }

    /// Stops taking requests, finishes those under way and closes the ledger.
    ///
    /// # Errors
    /// [`FileError`] when the notice of serving cannot be removed.
    pub async fn stop(self) -> Result<(), FileError> {
        let _ = self.stop.send(());
        let _ = self.done.await;
        for work in self.background {
            work.abort();
            let _ = work.await;
        }
        std::fs::remove_file(&self.serving_path).map_err(FileError::io(&self.serving_path))
    }
}

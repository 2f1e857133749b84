//! A console of one's own: a requester's or auditor's, on their own machine.

use std::net::SocketAddr;
use std::sync::Arc;

use super::auditor::LastCheck;
use super::jobs::Jobs;
use super::{Console, HomePlace, Names, Place};
use crate::api;
use crate::cli::Failure;
use crate::client::Client;
use crate::home::Home;
use crate::sessions::Sessions;

/// One that serves.
pub struct OwnConsole {
    /// Its address, `http://host:port`.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// A link that signs a browser in as the home's account, once, within two minutes.
    pub link: String,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl OwnConsole {
    /// Serves the pages of `home`, whose ledger is reached through `client`.
    ///
    /// # Errors
    /// [`Failure`]: the home has no account or does not trust the gateway's ledger, the gateway cannot
    /// be reached, or the address cannot be listened on.
    pub async fn start(home: Home, client: Client, listen: &str) -> Result<OwnConsole, Failure> {
        let account = home.account()?.public().clone();
        let genesis = client.genesis().await?;
        home.admit(&genesis)?;
        let auditor = client.governance().await?.policy.auditor;
        let is_auditor = auditor.is_some_and(|auditor| auditor.address() == account.address());
        let (listener, address) = api::bind(listen).await.map_err(Failure::new)?;
        let sessions = Arc::new(Sessions::new(genesis.chain_id())?);
        let url = format!("http://{address}");
        let link = format!("{url}/console/enter?code={}", sessions.code(&account)?);
        let console = Arc::new(Console {
            place: Place::Home(Box::new(HomePlace {
                home,
                account,
                client,
                is_auditor,
                follower: Arc::default(),
                last_check: LastCheck::default(),
            })),
            genesis,
            sessions,
            jobs: Jobs::default(),
            names: Names::of(address, &[]),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let done = tokio::spawn(api::serve_console(listener, console, async {
            let _ = stopped.await;
        }));
        Ok(OwnConsole { url, address, link, stop, done })
    }

    /// Stops taking visits and finishes those under way.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.done.await;
    }
}

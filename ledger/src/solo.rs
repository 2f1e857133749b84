//! The embedded engine: one process orders, executes and keeps the ledger.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::account::{AccountSecret, NodeSecret};
use crate::chain::{Chain, Ledger, Opening};
use crate::engine::{Engine, Submission};
use crate::error::{LedgerError, SubmitError};
use crate::genesis::Genesis;

mod committer;

use committer::Committer;

/// What can be set without changing what the ledger is.
#[derive(Debug, Clone, Copy)]
pub struct SoloConfig {
    /// How often an empty block is made while a granted request waits for its answer, so that
    /// its deadline passes.
    pub tick: Duration,
    /// How many submissions may wait before [`SubmitError::Busy`].
    pub queue: usize,
}

impl Default for SoloConfig {
    fn default() -> Self {
        SoloConfig { tick: Duration::from_secs(2), queue: 8192 }
    }
}

impl Ledger {
    /// Makes an embedded ledger in the folder `dir` and opens it.
    ///
    /// # Errors
    /// [`LedgerError::Exists`], [`LedgerError::Genesis`], [`LedgerError::WrongOperator`],
    /// [`LedgerError::InUse`], [`LedgerError::Io`].
    pub fn create(dir: &Path, genesis: Genesis, operator: AccountSecret) -> Result<Ledger, LedgerError> {
        Ledger::create_with(dir, genesis, operator, SoloConfig::default())
    }

    /// [`Ledger::create`] with settings.
    ///
    /// # Errors
    /// As there.
    pub fn create_with(
        dir: &Path,
        genesis: Genesis,
        operator: AccountSecret,
        config: SoloConfig,
    ) -> Result<Ledger, LedgerError> {
        genesis.validate()?;
        check_operator(&genesis, &operator)?;
        Opening::create(dir, genesis)?.with(|chain| Solo::start(chain, &operator, config))
    }

    /// Opens the embedded ledger in `dir`: checks the whole log, cuts a torn tail that was never
    /// acknowledged, brings the index up to it or rebuilds it.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::InUse`], [`LedgerError::WrongOperator`],
    /// [`LedgerError::Damaged`] naming file, offset and block, [`LedgerError::Io`].
    pub fn open(dir: &Path, operator: AccountSecret) -> Result<Ledger, LedgerError> {
        Ledger::open_with(dir, operator, SoloConfig::default())
    }

    /// [`Ledger::open`] with settings.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(dir: &Path, operator: AccountSecret, config: SoloConfig) -> Result<Ledger, LedgerError> {
        let opening = Opening::open(dir)?;
        check_operator(opening.genesis(), &operator)?;
        opening.with(|chain| Solo::start(chain, &operator, config))
    }
}

fn check_operator(genesis: &Genesis, operator: &AccountSecret) -> Result<(), LedgerError> {
    let (expected, found) = (genesis.operator.address(), operator.address());
    if genesis.network.is_some() {
        return Err(LedgerError::NotEmbedded);
    }
    if expected == found { Ok(()) } else { Err(LedgerError::WrongOperator { expected, found }) }
}

/// The engine: a queue and the one thread that empties it.
struct Solo {
    queue: Option<SyncSender<Submission>>,
    committer: Option<JoinHandle<()>>,
}

impl Solo {
    fn start(chain: Chain, operator: &AccountSecret, config: SoloConfig) -> Result<Box<dyn Engine>, LedgerError> {
        let dir = chain.core().dir.clone();
        let (queue, submissions) = sync_channel(config.queue.max(1));
        let committer = Committer::new(chain, NodeSecret::of(operator), config.tick);
        let committer = std::thread::Builder::new()
            .name("sealgate-ledger".into())
            .spawn(move || committer.run(&submissions))
            .map_err(|error| LedgerError::io("start the committer of", &dir, &error))?;
        Ok(Box::new(Solo { queue: Some(queue), committer: Some(committer) }))
    }
}

impl Engine for Solo {
    fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let stopped = || SubmitError::Stopped("its committer ended".into());
        match self.queue.as_ref().ok_or_else(stopped)?.try_send(submission) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the ledger's committer had panicked");
        }
    }
}

#[cfg(test)]
mod tests;

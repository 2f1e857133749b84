//! The seam between the ledger and whoever orders its transactions.

use tokio::sync::mpsc;

use crate::block::Receipt;
use crate::error::SubmitError;
use crate::state::verify::VerifiedTx;

/// What a sender gets.
pub(crate) type Reply = Result<Receipt, SubmitError>;

/// A transaction whose signature and bounds have been checked, and where its sender waits.
pub(crate) struct Submission {
    pub(crate) tx: VerifiedTx,
    pub(crate) reply: mpsc::Sender<Reply>,
}

/// An ordering engine: it decides which transactions come next, and has them executed by the
/// [`Chain`](crate::chain::Chain) it was given.
///
/// A reply of `Ok` means: the transaction is in a block, the block is durable on this machine,
/// and the ledger's checkpoint covers it. Any other reply, or none, leaves it open whether the
/// transaction is still to come; the sender submits the same one again and gets its receipt if it
/// is. Dropping the engine finishes or refuses what waits, and ends its threads.
pub(crate) trait Engine: Send + Sync {
    /// Takes a transaction without waiting.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] when too many wait, [`SubmitError::Stopped`].
    fn submit(&self, submission: Submission) -> Result<(), SubmitError>;
}

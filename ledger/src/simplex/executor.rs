//! The thread that executes: final batches, and blocks that others made.

use std::sync::Arc;

use commonware_cryptography::ed25519::PublicKey;
use tokio::sync::mpsc;

use super::batch::Batch;
use crate::block::{Block, Header};
use crate::chain::{AdoptError, Chain};
use crate::checkpoint::SignedCheckpoint;
use crate::engine::Reply;
use crate::error::SubmitError;
use crate::ids::{Digest, TxHash};
use crate::member::MemberSet;
use crate::state::query;
use crate::state::replay::ReplayError;
use crate::state::verify::{VerifiedTx, verify_new};

/// What is to be done next.
pub(crate) enum Job {
    /// Executes a final batch; `verified` has those of its transactions that were checked before.
    Execute { digest: Digest, batch: Arc<Batch>, verified: Vec<Option<VerifiedTx>> },
    /// Executes blocks of one epoch that `from` sent, up to one whose checkpoint a quorum signed.
    Adopt { from: PublicKey, blocks: Vec<Block>, checkpoint: SignedCheckpoint },
}

/// What came of it.
pub(crate) enum Done {
    /// A batch became a block.
    Executed { header: Header, members: MemberSet, results: Vec<(TxHash, Reply)> },
    /// Blocks were adopted.
    Adopted { header: Header, members: MemberSet, checkpoint: SignedCheckpoint },
    /// This peer sent true headers over entries that are not theirs; nothing has changed.
    Forged(PublicKey),
    /// The batch does not follow the head: the epoch has ended, or it is executed already.
    Void,
    /// The block could not be written and was undone: there is no room on the disk.
    Later(String),
    /// The node cannot go on.
    Failed(String),
}

/// Works off jobs until their sender is gone.
pub(crate) async fn run(mut chain: Chain, mut jobs: mpsc::UnboundedReceiver<Job>, done: mpsc::UnboundedSender<Done>) {
    while let Some(job) = jobs.recv().await {
        let result = match job {
            Job::Execute { digest, batch, verified } => execute(&mut chain, digest, &batch, verified),
            Job::Adopt { from, blocks, checkpoint } => adopt(&mut chain, from, &blocks, checkpoint),
        };
        let result = match result {
            Ok(done) => done,
            Err(SubmitError::Undone(what)) => Done::Later(what),
            Err(error) => Done::Failed(error.to_string()),
        };
        let failed = matches!(result, Done::Failed(_));
        if done.send(result).is_err() || failed {
            return;
        }
    }
}

fn members(chain: &Chain) -> Result<MemberSet, SubmitError> {
    query::members(&chain.core().index).map_err(|error| chain.core().stop(&error))
}

fn execute(
    chain: &mut Chain,
    digest: Digest,
    batch: &Batch,
    verified: Vec<Option<VerifiedTx>>,
) -> Result<Done, SubmitError> {
    let core = chain.core().clone();
    let head = core.head();
    if batch.parent != head.batch || batch.height != head.height.next() || batch.epoch != members(chain)?.epoch {
        return Ok(Done::Void);
    }
    let mut builder = chain.begin(&core, &head, batch.time_ms)?.of_batch(digest);
    let mut results = Vec::with_capacity(batch.txs.len());
    let unseen = batch.txs.iter().zip(&verified).filter(|(_, verified)| verified.is_none());
    let mut unseen = verify_new(&head.chain, unseen.map(|(signed, _)| signed.clone()), &core.index).into_iter();
    for (signed, verified) in batch.txs.iter().zip(verified) {
        let Some(checked) = verified.map(Ok).or_else(|| unseen.next()) else { break };
        let result = checked.and_then(|tx| match builder.receipt(&tx.hash())? {
            Some(receipt) => Ok(receipt),
            None => builder.add(&tx),
        });
        // What the rules refuse is in no block; a failure of the index stops the ledger.
        results.push((signed.hash(), result.map_err(|error| core.refuse(error))));
        core.check_running()?;
    }
    let header = chain.commit(builder)?;
    Ok(Done::Executed { header, members: members(chain)?, results })
}

fn adopt(
    chain: &mut Chain,
    from: PublicKey,
    blocks: &[Block],
    checkpoint: SignedCheckpoint,
) -> Result<Done, SubmitError> {
    // The members signed the headers. Whether the entries are theirs only the tree can tell.
    if !chain.covers(blocks).map_err(|error| chain.core().stop(&error))? {
        return Ok(Done::Forged(from));
    }
    for block in blocks {
        chain.adopt(block).map_err(|error| match error {
            AdoptError::Submit(error) => error,
            AdoptError::Replay(ReplayError::Index(error)) => chain.core().stop(&error),
            AdoptError::Replay(error) => chain.core().stop_for(format!(
                "the members signed a block that this node's rules refuse ({error}): install their version of the software"
            )),
        })?;
    }
    let header = (*chain.core().head()).clone();
    Ok(Done::Adopted { header, members: members(chain)?, checkpoint })
}

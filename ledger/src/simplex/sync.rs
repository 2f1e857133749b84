//! Catching up: blocks that others made, adopted up to a checkpoint that a quorum signed
//! (docs/spec/network.md#catching-up).

use std::collections::BTreeMap;

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};

use super::core::{Core, Stage};
use super::executor::Job;
use super::frame::MESSAGE_BYTES_MAX;
use super::message::{BLOCKS_BYTES, BLOCKS_MAX, Message};
use crate::block::Block;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::encode;
use crate::ids::BlockHeight;

/// A node whose head has not moved for so long while others are ahead asks for their blocks.
const STUCK_MS: u64 = 1_500;
/// A node that is so many blocks behind does not wait.
const FAR: u64 = 64;
/// How long an answer is awaited before another peer is asked.
const ANSWER_MS: u64 = 5_000;
/// Blocks that wait for the checkpoint behind them: at most so many bytes.
const PENDING_BYTES: usize = 64 * 1024 * 1024;
/// A peer that has not said where it stands for so long is not asked.
const FRESH_MS: u64 = 10_000;

#[derive(Default)]
pub(crate) struct Catchup {
    /// Where peers say they stand: epoch, height, when they said it.
    peers: BTreeMap<PublicKey, (u64, BlockHeight, u64)>,
    asked: Option<(PublicKey, BlockHeight, u64)>,
    /// Blocks behind the head whose checkpoint has not come yet, and their size.
    pending: Vec<Block>,
    pending_bytes: usize,
    turns: usize,
    has_moved: bool,
    moved_ms: u64,
}

impl Catchup {
    pub(super) fn moved(&mut self) {
        self.has_moved = true;
    }
}

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    pub(super) fn status(
        &mut self,
        from: &PublicKey,
        epoch: u64,
        height: BlockHeight,
        checkpoint: Option<&SignedCheckpoint>,
    ) {
        let now = self.now_ms();
        self.catchup.peers.insert(from.clone(), (epoch, height, now));
        self.catchup.peers.retain(|_, (.., at)| now.saturating_sub(*at) < FRESH_MS);
        if let Some(note) = checkpoint {
            self.certified(note.clone());
        }
    }

    /// Asks a peer that is ahead for its blocks, if they do not come by agreement.
    pub(super) fn catch_up(&mut self, now: u64) {
        if std::mem::take(&mut self.catchup.has_moved) {
            self.catchup.moved_ms = now;
        }
        let waits = self.catchup.asked.as_ref().is_some_and(|(.., at)| now.saturating_sub(*at) < ANSWER_MS);
        if self.busy || waits {
            return;
        }
        let (epoch, height) = (self.members.epoch, self.head.height);
        let stuck = now.saturating_sub(self.catchup.moved_ms) >= STUCK_MS;
        let ahead: Vec<PublicKey> = self
            .catchup
            .peers
            .iter()
            .filter(|(_, (of, at, _))| {
                *of > epoch || *at > height && (stuck || self.agreeing.is_none() || at.0 - height.0 >= FAR)
            })
            .map(|(peer, _)| peer.clone())
            .collect();
        self.catchup.turns = self.catchup.turns.wrapping_add(1);
        let Some(peer) = ahead.get(self.catchup.turns % ahead.len().max(1)).cloned() else { return };
        self.catchup.pending.clear();
        self.catchup.pending_bytes = 0;
        self.ask_blocks(peer, height.next(), now);
    }

    fn ask_blocks(&mut self, peer: PublicKey, from: BlockHeight, now: u64) {
        self.catchup.asked = Some((peer.clone(), from, now));
        self.send(Recipients::One(peer), &Message::WantBlocks(from), false);
    }

    /// Sends blocks from `height` on up to the last with a checkpoint, within the bounds of one
    /// message and one epoch.
    pub(super) fn serve_blocks(&mut self, to: &PublicKey, height: BlockHeight) {
        let (mut blocks, mut bytes, mut last) = (Vec::new(), 0usize, None);
        let (mut at, mut epoch) = (height, None);
        let Some(certain) = self.notary.certain() else { return };
        while at <= certain && blocks.len() < BLOCKS_MAX && bytes < BLOCKS_BYTES {
            let block = match self.ledger.block(at) {
                Ok(block) => block,
                Err(error) => {
                    tracing::error!(%error, "a block could not be read for a peer");
                    return;
                }
            };
            let encoded = encode(&block);
            let large = bytes + encoded.len() + 128 * 1024 > MESSAGE_BYTES_MAX;
            if *epoch.get_or_insert(block.header.epoch) != block.header.epoch || large && !blocks.is_empty() {
                break;
            }
            bytes += encoded.len();
            blocks.push(encoded);
            if self.notary.has(at) {
                last = Some((blocks.len(), at));
            }
            at = at.next();
        }
        let checkpoint = last.and_then(|(_, at)| self.notary.checkpoint(at));
        if let (Some((count, _)), Some(_)) = (last, &checkpoint) {
            blocks.truncate(count);
        }
        if !blocks.is_empty() {
            self.send(Recipients::One(to.clone()), &Message::Blocks { blocks, checkpoint }, false);
        }
    }

    /// Checks blocks that were asked for, and has them executed once their checkpoint is there.
    pub(super) fn take_blocks(
        &mut self,
        from: &PublicKey,
        blocks: Vec<Block>,
        checkpoint: Option<SignedCheckpoint>,
        bytes: usize,
    ) {
        if blocks.is_empty() {
            return checkpoint.into_iter().for_each(|note| self.certified(note));
        }
        let pending = u64::try_from(self.catchup.pending.len()).unwrap_or(u64::MAX);
        let next = BlockHeight(self.head.height.0.saturating_add(pending)).next();
        if self.busy || self.catchup.asked.as_ref().is_none_or(|(peer, height, _)| peer != from || *height != next) {
            return;
        }
        self.catchup.asked = None;
        self.catchup.pending.extend(blocks);
        self.catchup.pending_bytes += bytes;
        if !self.is_chained() || self.catchup.pending_bytes > PENDING_BYTES {
            tracing::warn!(peer = %from, "blocks are refused: they do not follow the head, or no checkpoint covers them");
            return self.catchup.pending.clear();
        }
        let Some(note) = checkpoint else {
            let behind = u64::try_from(self.catchup.pending.len()).unwrap_or(u64::MAX);
            let (now, next) = (self.now_ms(), BlockHeight(self.head.height.0.saturating_add(behind)).next());
            return self.ask_blocks(from.clone(), next, now);
        };
        let blocks = std::mem::take(&mut self.catchup.pending);
        self.catchup.pending_bytes = 0;
        let last = blocks.last().map(|block| Checkpoint::of(&block.header));
        match note.verify(&self.head.chain, &self.members) {
            Ok(signed) if Some(signed) == last => {
                self.busy = true;
                let _ = self.jobs.send(Job::Adopt { from: from.clone(), blocks, checkpoint: note });
            }
            Ok(_) => tracing::warn!(peer = %from, "blocks are refused: the checkpoint is another block's"),
            Err(error) => tracing::warn!(peer = %from, %error, "blocks are refused"),
        }
    }

    /// Shuts out a peer that sent entries which the members did not sign, so that it is not asked
    /// again; another is asked at once.
    pub(super) fn forged(&mut self, from: PublicKey) {
        tracing::error!(peer = %from, "the peer sent blocks with other entries than the members signed");
        self.catchup.peers.remove(&from);
        let _ = self.stage.send(Stage::ShutOut(from));
    }

    /// Whether the pending blocks follow the head and each other, in its epoch.
    fn is_chained(&self) -> bool {
        let mut previous = &self.head;
        self.catchup.pending.iter().all(|block| {
            let (header, before) = (&block.header, previous);
            previous = header;
            header.previous == before.hash()
                && header.height == before.height.next()
                && header.epoch == self.members.epoch
        })
    }
}

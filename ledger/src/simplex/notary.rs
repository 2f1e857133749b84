//! Checkpoints: each member signs what it has executed, and a quorum's signatures make it certain
//! (docs/spec/network.md#checkpoints).

use std::collections::BTreeMap;
use std::path::Path;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};
use commonware_runtime::Clock;

use super::core::{Core, answer};
use super::journal::{Journal, Place};
use super::message::Message;
use crate::account::{Signature, VerifyKey};
use crate::block::Header;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::{decode, encode};
use crate::ids::BlockHeight;

/// Signatures are kept for blocks at most so far past the head.
const AHEAD: u64 = 512;
/// Of older checkpoints every so many-th is served; of newer ones each.
const SPARSE: u64 = 16;
const DENSE: u64 = 512;
/// How often a node says where it stands, and repeats its signature while it lacks a quorum.
const SPEAK_MS: u64 = 1_000;

type Votes = BTreeMap<[u8; 32], (VerifyKey, Checkpoint, Signature)>;

/// Signatures that are being gathered, and the checkpoints made of them.
pub(crate) struct Notary {
    journal: Journal,
    places: BTreeMap<BlockHeight, Place>,
    /// Blocks executed here whose checkpoint is not certain yet.
    open: BTreeMap<BlockHeight, Header>,
    votes: BTreeMap<BlockHeight, Votes>,
    certain: Option<BlockHeight>,
    /// The block that ended the epoch, until its checkpoint is certain.
    pub(super) boundary: Option<BlockHeight>,
    spoke_ms: u64,
}

impl Notary {
    /// Opens the checkpoints that were kept.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(path: &Path) -> std::io::Result<Notary> {
        let mut places = BTreeMap::new();
        let journal = Journal::open(path, |bytes, place| {
            if let Ok((height, _)) = decode::<(BlockHeight, SignedCheckpoint)>("checkpoint", bytes) {
                places.insert(height, place);
            }
        })?;
        let (open, votes) = (BTreeMap::new(), BTreeMap::new());
        Ok(Notary { journal, places, open, votes, certain: None, boundary: None, spoke_ms: 0 })
    }

    /// The last checkpoint at or below `height` that was kept.
    pub(crate) fn last(&mut self, height: BlockHeight) -> Option<(BlockHeight, SignedCheckpoint)> {
        let height = self.places.range(..=height).next_back().map(|(height, _)| *height)?;
        Some((height, self.checkpoint(height)?))
    }

    /// The checkpoint of this block, if it was kept.
    pub(crate) fn checkpoint(&mut self, height: BlockHeight) -> Option<SignedCheckpoint> {
        let place = *self.places.get(&height)?;
        let bytes = self.journal.read(place).inspect_err(|error| tracing::error!(%error, "a checkpoint")).ok()?;
        decode::<(BlockHeight, SignedCheckpoint)>("checkpoint", &bytes).ok().map(|(_, note)| note)
    }

    pub(crate) fn has(&self, height: BlockHeight) -> bool {
        self.places.contains_key(&height)
    }

    /// Says that the checkpoint of this block is certain, from before a restart.
    pub(crate) fn resume(&mut self, height: BlockHeight) {
        self.certain = Some(height);
    }

    fn keep(&mut self, height: BlockHeight, note: &SignedCheckpoint, durable: bool) {
        let kept = self.journal.append(&encode(&(height, note))).and_then(|place| {
            self.places.insert(height, place);
            if durable { self.journal.sync() } else { Ok(()) }
        });
        if let Err(error) = kept {
            tracing::error!(%error, "a checkpoint could not be kept");
        }
        if let Some(old) = height.0.checked_sub(DENSE).map(BlockHeight).filter(|old| old.0 % SPARSE != 0)
            && self.boundary != Some(old)
        {
            self.places.remove(&old);
        }
    }
}

impl<E: Clock, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    /// Signs the head's checkpoint and spreads the signature.
    pub(super) fn sign_head(&mut self, again: bool) {
        let header = self.head.clone();
        if self.notary.certain.is_some_and(|certain| certain >= header.height) {
            return;
        }
        let (checkpoint, key) = (Checkpoint::of(&header), self.secret.verify_key());
        let height = header.height;
        if self.epochs.members(header.epoch).is_some_and(|set| set.node(&key).is_some()) {
            let signature = checkpoint.signature(&header.chain, &self.secret);
            self.notary.votes.entry(height).or_default().insert(key.0, (key, checkpoint, signature));
            self.send(Recipients::All, &Message::Signature { checkpoint, signature, again }, true);
        }
        self.notary.open.insert(height, header);
        self.count(height);
    }

    /// Takes a peer's signature.
    pub(super) fn signature(
        &mut self,
        from: &PublicKey,
        key: VerifyKey,
        checkpoint: Checkpoint,
        signature: Signature,
        again: bool,
    ) {
        let height = checkpoint.height;
        if self.notary.certain.is_some_and(|certain| certain >= height) {
            // The peer lacks what this node has.
            if again && let Some(note) = self.notary.checkpoint(height) {
                let blocks = Message::Blocks { blocks: Vec::new(), checkpoint: note };
                self.send(Recipients::One(from.clone()), &blocks, false);
            }
            return;
        }
        let epoch = self.notary.open.get(&height).map_or(self.members.epoch, |header| header.epoch);
        let member = self.epochs.members(epoch).is_some_and(|set| set.node(&key).is_some());
        if !member || height.0 > self.head.height.0.saturating_add(AHEAD) {
            return;
        }
        if !checkpoint.is_signed(&self.head.chain, &key, &signature) {
            tracing::warn!(peer = %from, "a signature of a checkpoint is not the peer's");
            return;
        }
        self.notary.votes.entry(height).or_default().insert(key.0, (key, checkpoint, signature));
        self.count(height);
    }

    /// Counts the signatures of a block's checkpoint.
    fn count(&mut self, height: BlockHeight) {
        let Some(header) = self.notary.open.get(&height).cloned() else { return };
        let (Some(set), Some(votes)) = (self.epochs.members(header.epoch), self.notary.votes.get(&height)) else {
            return;
        };
        let (ours, quorum, members) = (Checkpoint::of(&header), set.quorum(), set.members.len());
        let valid = votes.values().filter(|(key, ..)| set.node(key).is_some());
        let mut others: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        let mut signatures = Vec::new();
        for (key, checkpoint, signature) in valid {
            if *checkpoint == ours {
                signatures.push((*key, *signature));
            } else {
                *others.entry(checkpoint.block.0).or_default() += 1;
            }
        }
        let against = others.values().copied().max().unwrap_or_default();
        if against >= quorum {
            self.stop(&format!(
                "{against} of {members} members executed block {height} with another result than this node"
            ));
        } else if against * 3 > members {
            tracing::error!(height = height.0, against, "members executed a block with another result than this node");
        }
        if signatures.len() >= quorum {
            let note = ours.with(&header.chain, &signatures);
            self.make_certain(header, note);
        }
    }

    /// Takes a checkpoint that a peer has, or that came with blocks.
    pub(super) fn certified(&mut self, note: SignedCheckpoint) {
        let chain = self.head.chain;
        let Some(checkpoint) = self.epochs.latest().find_map(|set| note.verify(&chain, set).ok()) else { return };
        let Some(header) = self.notary.open.get(&checkpoint.height).cloned() else { return };
        if Checkpoint::of(&header) == checkpoint {
            self.make_certain(header, note);
        } else {
            self.stop(&format!(
                "a quorum of members signed another block {} than this node executed",
                checkpoint.height
            ));
        }
    }

    fn make_certain(&mut self, header: Header, note: SignedCheckpoint) {
        let height = header.height;
        let ends = self.notary.boundary.is_some_and(|boundary| boundary <= height);
        self.notary.certain = Some(height);
        self.notary.open.retain(|of, _| *of > height);
        self.notary.votes.retain(|of, _| *of > height);
        self.notary.keep(height, &note, ends || height.0 % SPARSE == 0);
        self.ledger.certify(header, note);
        let later = self.receipts.split_off(&height.next());
        for (to, reply) in std::mem::replace(&mut self.receipts, later).into_values().flatten() {
            answer(&to, reply);
        }
        if ends {
            self.notary.boundary = None;
            self.begin_epoch();
        }
    }

    /// Says where this node stands, once a second.
    pub(super) fn speak(&mut self, now: u64) {
        if now.saturating_sub(self.notary.spoke_ms) < SPEAK_MS {
            return;
        }
        self.notary.spoke_ms = now;
        let checkpoint = self.notary.certain.and_then(|height| self.notary.checkpoint(height));
        let status = Message::Status { epoch: self.members.epoch, height: self.head.height, checkpoint };
        self.send(Recipients::All, &status, false);
        self.sign_head(true);
    }
}

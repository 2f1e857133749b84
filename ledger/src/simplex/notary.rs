//! Checkpoints: each member signs what it has executed, and a quorum's signatures make it certain
//! (docs/spec/network.md#checkpoints).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};

use super::core::Core;
use super::journal::{Journal, Place};
use super::message::Message;
use crate::account::{Signature, VerifyKey};
use crate::block::Header;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::{decode, encode};
use crate::ids::BlockHeight;
use crate::log::Disk;
use crate::member::MemberSet;
use crate::state::query;

/// Signatures are kept for blocks at most so far past the head.
const AHEAD: u64 = 512;
/// Of newer checkpoints so many are kept in memory. Of older ones at least one in so many blocks,
/// and one in so many bytes of blocks, is kept in the file, for those who catch up.
const RECENT: usize = 512;
const SPARSE_BLOCKS: u64 = 16;
const SPARSE_BYTES: u64 = 1024 * 1024;
/// How often a node says where it stands, and repeats its signature while it lacks a quorum.
const SPEAK_MS: u64 = 1_000;

type Votes = BTreeMap<[u8; 32], (VerifyKey, Checkpoint, Signature)>;

/// Signatures that are being gathered, and the checkpoints made of them.
pub(crate) struct Notary {
    journal: Journal,
    places: BTreeMap<BlockHeight, Place>,
    recent: BTreeMap<BlockHeight, SignedCheckpoint>,
    /// The last checkpoint in the file: its height, and where its block begins in the log.
    kept: (BlockHeight, u64),
    /// The file that has the very last checkpoint.
    last: PathBuf,
    /// Blocks executed here whose checkpoint is not certain yet.
    open: BTreeMap<BlockHeight, Header>,
    votes: BTreeMap<BlockHeight, Votes>,
    certain: Option<BlockHeight>,
    /// The block that ended the epoch, until its checkpoint is certain.
    pub(super) boundary: Option<BlockHeight>,
    spoke_ms: u64,
}

fn read(bytes: &[u8]) -> Option<(BlockHeight, SignedCheckpoint)> {
    decode("checkpoint", bytes).inspect_err(|error| tracing::warn!(%error, "a kept checkpoint cannot be read")).ok()
}

impl Notary {
    /// Opens the checkpoints that were kept in the folder `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(dir: &Path, disk: &Disk) -> std::io::Result<Notary> {
        let (mut places, last) = (BTreeMap::new(), dir.join("checkpoint"));
        let journal = Journal::open(&dir.join("checkpoints"), disk, |bytes, place| {
            if let Some((height, _)) = read(bytes) {
                places.insert(height, place);
            }
        })?;
        let recent = std::fs::read(&last).ok().and_then(|bytes| read(&bytes)).into_iter().collect();
        let (open, votes, kept) = (BTreeMap::new(), BTreeMap::new(), (BlockHeight(0), 0));
        Ok(Notary { journal, places, recent, kept, last, open, votes, certain: None, boundary: None, spoke_ms: 0 })
    }

    /// The last checkpoint at or below `height` that was kept.
    pub(crate) fn last(&mut self, height: BlockHeight) -> Option<(BlockHeight, SignedCheckpoint)> {
        let place = self.places.range(..=height).next_back().map(|(height, _)| *height);
        let recent = self.recent.range(..=height).next_back().map(|(height, _)| *height);
        let height = place.max(recent)?;
        Some((height, self.checkpoint(height)?))
    }

    /// The checkpoint of this block, if it was kept.
    pub(crate) fn checkpoint(&mut self, height: BlockHeight) -> Option<SignedCheckpoint> {
        if let Some(note) = self.recent.get(&height) {
            return Some(note.clone());
        }
        let place = *self.places.get(&height)?;
        let bytes = self.journal.read(place).inspect_err(|error| tracing::error!(%error, "a checkpoint")).ok()?;
        read(&bytes).map(|(_, note)| note)
    }

    pub(crate) fn has(&self, height: BlockHeight) -> bool {
        self.recent.contains_key(&height) || self.places.contains_key(&height)
    }

    /// The last block whose checkpoint is certain.
    pub(crate) fn certain(&self) -> Option<BlockHeight> {
        self.certain
    }

    /// Says that the checkpoint of this block is certain, from before a restart.
    pub(crate) fn resume(&mut self, height: BlockHeight) {
        self.certain = Some(height);
    }

    /// Keeps a checkpoint of a block that begins at `offset` of the log. The very last survives a
    /// killed process; `ends`, the one that ends an epoch, also a lost machine.
    fn keep(&mut self, height: BlockHeight, note: &SignedCheckpoint, offset: u64, ends: bool) -> std::io::Result<()> {
        let record = encode(&(height, note));
        self.recent.insert(height, note.clone());
        while self.recent.len() > RECENT {
            self.recent.pop_first();
        }
        let (before, from) = self.kept;
        let far = height.0.saturating_sub(before.0) >= SPARSE_BLOCKS || offset.saturating_sub(from) >= SPARSE_BYTES;
        if far || ends {
            self.kept = (height, offset);
            let place = self.journal.append(&record)?;
            self.places.insert(height, place);
        }
        if ends {
            self.journal.sync()?;
        }
        let fresh = self.last.with_extension("new");
        std::fs::write(&fresh, &record)?;
        std::fs::rename(&fresh, &self.last)
    }
}

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
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
                let blocks = Message::Blocks { blocks: Vec::new(), checkpoint: Some(note) };
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
        // A block is certain by the members of its own epoch; fewer are a quorum of others.
        let signed = |set: &MemberSet| {
            let checkpoint = note.verify(&self.head.chain, set).ok()?;
            let header = self.notary.open.get(&checkpoint.height)?;
            (header.epoch == set.epoch).then(|| (header.clone(), checkpoint))
        };
        let Some((header, checkpoint)) = self.epochs.latest().find_map(signed) else { return };
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
        let place = query::place(&self.ledger.index, height).ok().flatten();
        if let Err(error) = self.notary.keep(height, &note, place.map_or(0, |place| place.offset), ends) {
            tracing::error!(%error, "a checkpoint could not be kept");
        }
        self.ledger.certify(header, note);
        let later = self.receipts.split_off(&height.next());
        for (to, reply) in std::mem::replace(&mut self.receipts, later).into_values().flatten() {
            to.answer(reply);
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

//! From one set of members to the next (docs/spec/network.md#epochs).

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;

use super::core::{Core, Stage};
use super::epochs::EpochStart;
use crate::member::Member;

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    /// Takes up the work where it was left.
    pub(super) fn begin(&mut self) {
        let ended = self.head.epoch != self.members.epoch;
        if self.epochs.start(self.members.epoch).is_none() && !self.record_epoch() {
            return;
        }
        let certified = self.ledger.certified().header.height >= self.head.height;
        if ended && !certified {
            // Peers may still need this node's votes to learn that the epoch has ended.
            self.notary.boundary = Some(self.head.height);
            self.connect();
            self.agree(self.head.epoch);
        } else {
            self.begin_epoch();
        }
        self.sign_head(true);
    }

    /// The block just executed changed the members.
    pub(super) fn members_changed(&mut self) {
        tracing::info!(epoch = self.members.epoch, height = self.head.height.0, "the members have changed");
        if self.record_epoch() {
            self.notary.boundary = Some(self.head.height);
            self.connect();
        }
    }

    fn record_epoch(&mut self) -> bool {
        let start = EpochStart { members: self.members.clone(), batch: self.head.batch, height: self.head.height };
        if let Err(error) = self.epochs.begin(start) {
            self.stop(&format!("the members' change could not be recorded: {error}"));
            return false;
        }
        true
    }

    /// The last block of the epoch before is certain: the agreement goes on among the new members.
    pub(super) fn begin_epoch(&mut self) {
        if self.agreeing.take().is_some() {
            let _ = self.stage.send(Stage::End);
        }
        self.connect();
        self.agree(self.members.epoch);
    }

    fn agree(&mut self, epoch: u64) {
        let me = self.secret.verify_key();
        if let Some(start) = self.epochs.start(epoch).filter(|start| start.members.node(&me).is_some()) {
            self.agreeing = Some(epoch);
            let _ = self.stage.send(Stage::Agree(start.clone()));
        } else {
            tracing::info!(epoch, "this node is no member and follows the ledger without voting");
        }
    }

    /// Connects to the members; to those before as well until the change is certain.
    fn connect(&mut self) {
        let sets = if self.notary.boundary.is_some() { 2 } else { 1 };
        let mut members: Vec<Member> = Vec::new();
        for member in self.epochs.latest().take(sets).flat_map(|set| &set.members) {
            if !members.iter().any(|known| known.node_key == member.node_key) {
                members.push(member.clone());
            }
        }
        let _ = self.stage.send(Stage::Peers(members));
    }
}

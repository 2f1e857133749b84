//! The sets of members that a home has followed from the genesis on, so that it knows whose
//! signatures count in which block (docs/spec/receipt.md#handovers).

use sealgate_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{BlockHeight, ChainId};
use sealgate_ledger::member::MemberSet;
use sealgate_ledger::standing::Handover;

use crate::asking::AskFailure;
use crate::client::Client;
use crate::files::{FileError, read_bounded, write_json};
use crate::home::{Home, HomeError};

/// In a ledger's folder: the handovers followed, from the genesis on.
const HANDOVERS_FILE: &str = "handovers.json";
/// Largest such file that is read, in bytes.
const HANDOVERS_BYTES_MAX: u64 = 64 << 20;

/// A set of members and the last block that they sign, if another follows.
struct Epoch {
    members: MemberSet,
    last: Option<BlockHeight>,
}

impl Home {
    /// The handovers this home has followed.
    ///
    /// # Errors
    /// [`HomeError::File`] when the file is damaged.
    pub fn handovers(&self, chain: &ChainId) -> Result<Vec<Handover>, HomeError> {
        let path = self.ledger_folder(chain).join(HANDOVERS_FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let damaged = |error| FileError::content(&path, format!("damaged: {error}; remove it"));
        Ok(serde_json::from_slice(&read_bounded(&path, HANDOVERS_BYTES_MAX)?).map_err(damaged)?)
    }

    /// The handovers that lead to the members who signed a checkpoint.
    ///
    /// # Errors
    /// As [`Home::signers`].
    pub fn handovers_to(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<Vec<Handover>, HomeError> {
        let (_, members) = self.signers(genesis, signed)?;
        let mut handovers = self.handovers(&genesis.chain_id())?;
        handovers.retain(|handover| handover.members.epoch <= members.epoch);
        Ok(handovers)
    }

    /// The members of a ledger, as far as this home has followed their changes.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn members(&self, genesis: &Genesis) -> Result<MemberSet, HomeError> {
        let epochs = self.epochs(genesis)?;
        Ok(epochs.into_iter().last().map_or_else(|| genesis.members(), |epoch| epoch.members))
    }

    /// Every epoch known, in order; the first is the genesis's.
    fn epochs(&self, genesis: &Genesis) -> Result<Vec<Epoch>, HomeError> {
        let chain = genesis.chain_id();
        let mut epochs = vec![Epoch { members: genesis.members(), last: None }];
        for handover in self.handovers(&chain)? {
            let Some(current) = epochs.last_mut() else { break };
            handover.verify(&chain, &current.members).map_err(|error| {
                let path = self.ledger_folder(&chain).join(HANDOVERS_FILE);
                FileError::content(&path, format!("damaged: {error}; remove it"))
            })?;
            current.last = Some(handover.head.header.height);
            epochs.push(Epoch { members: handover.members, last: None });
        }
        Ok(epochs)
    }

    /// Follows the members over handovers from wherever, and keeps those that lead on. What is
    /// known already is passed over, but may not differ.
    ///
    /// # Errors
    /// [`HomeError::Handover`] for one that does not hold.
    pub fn follow_members(&self, genesis: &Genesis, handovers: &[Handover]) -> Result<(), HomeError> {
        if handovers.is_empty() {
            return Ok(());
        }
        let chain = self.admit(genesis)?;
        let _lock = self.lock(&chain)?;
        let mut known = self.handovers(&chain)?;
        let mut members = self.members(genesis)?;
        let before = known.len();
        for handover in handovers {
            let epoch = handover.members.epoch;
            match known.iter().find(|known| known.members.epoch == epoch) {
                Some(known) if (&known.members, &known.head.header) == (&handover.members, &handover.head.header) => {}
                Some(_) => return Err(HomeError::TwoSuccessions { epoch, home: self.folder().to_owned() }),
                None => {
                    handover.verify(&chain, &members)?;
                    members = handover.members.clone();
                    known.push(handover.clone());
                }
            }
        }
        if known.len() > before {
            write_json(&self.ledger_folder(&chain).join(HANDOVERS_FILE), &known, true)?;
        }
        Ok(())
    }

    /// A checkpoint whose signatures hold, and the members whose they are: those of its block's
    /// epoch. Members of before or after do not count.
    ///
    /// # Errors
    /// [`HomeError::Checkpoint`].
    pub fn signers(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<(Checkpoint, MemberSet), HomeError> {
        let chain = genesis.chain_id();
        let mut error = None;
        let mut first = Some(BlockHeight(0));
        let mut found = None;
        for Epoch { members, last } in self.epochs(genesis)? {
            match signed.verify(&chain, &members) {
                Ok(checkpoint)
                    if first.is_some_and(|first| checkpoint.height >= first)
                        && last.is_none_or(|last| checkpoint.height <= last) =>
                {
                    found = Some((checkpoint, members));
                }
                Ok(checkpoint) => error = Some(HomeError::WrongEpoch { height: checkpoint.height }),
                Err(other) => error = Some(other.into()),
            }
            first = last.map(BlockHeight::next);
        }
        match (found, error) {
            (Some(found), _) => Ok(found),
            (None, Some(error)) => Err(error),
            (None, None) => Err(HomeError::WrongEpoch { height: BlockHeight(0) }),
        }
    }
}

/// Follows the members of a gateway's ledger as far as it shows how they changed.
///
/// # Errors
/// [`AskFailure::Home`] for a handover that does not hold, [`AskFailure::Client`].
pub async fn follow(home: &Home, client: &Client, genesis: &Genesis) -> Result<(), AskFailure> {
    // The one member of an embedded ledger stays.
    if genesis.network.is_none() {
        return Ok(());
    }
    loop {
        let known = home.members(genesis)?.epoch;
        let handovers = client.handovers(known).await?;
        if handovers.is_empty() {
            return Ok(());
        }
        home.follow_members(genesis, &handovers)?;
        if home.members(genesis)?.epoch == known {
            return Err(AskFailure::Refused("it shows no handover to the members of the next epoch".into()));
        }
    }
}

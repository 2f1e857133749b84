//! What stands on a ledger now, without replaying it: an asset's contract and its whole
//! authorization list, proven by the state root of a head that is not older than any seen
//! (docs/spec/receipt.md#lists).

use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId};
use sealgate_ledger::light::LightError;
use sealgate_ledger::standing::{AssetStanding, SignedHead, Standing, StandingError};
use sealgate_ledger::state::{AccountView, GrantView, SUCCESSIONS_MAX};
use sealgate_ledger::trie::{LeafDigest, StateKey};
use serde::Serialize;

use crate::answer_file::unwitnessed;
use crate::asking::{AskFailure, Session, connect};
use crate::home::HomeError;
use crate::witness::pins::{Witnessed, time};

/// What was proven of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AsOf {
    /// The ledger.
    pub fingerprint: ChainId,
    /// The block.
    pub block: BlockHeight,
    /// Its time, RFC 3339.
    pub time: String,
    /// Entries of the ledger up to it.
    pub size: u64,
    /// What the pinned witnesses say of it.
    #[serde(flatten)]
    pub witnessed: Witnessed,
    /// The note where no witness is pinned.
    #[serde(skip)]
    unwitnessed: &'static str,
}

impl AsOf {
    /// Each check that was made and held.
    pub fn checks(&self) -> Vec<String> {
        let mut checks =
            vec![format!("state: proven under block {} of {}, which the members signed", self.block, self.time)];
        checks.push("head: not older than any that this home has seen, and it extends them".into());
        checks.extend(self.witnessed.checks());
        checks
    }

    /// What is not shown.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.witnessed.notes();
        if self.witnessed.is_unpinned() {
            notes.push(self.unwitnessed.into());
        }
        notes.push(format!(
            "changes after {} are not shown: a gateway can hold back newer blocks, not alter these",
            self.time
        ));
        notes
    }
}

impl Session<'_> {
    /// An asset's contract and its whole authorization list, or that there is no such asset.
    ///
    /// # Errors
    /// [`AskFailure::Refused`] when it is not proven, [`AskFailure::Home`] when it is older than what
    /// was seen.
    pub async fn list(&self, asset: &AssetId) -> Result<(AssetStanding, AsOf), AskFailure> {
        let standing = self.client.prove_asset(asset).await?;
        let as_of = self.accept(&standing.head).await?;
        standing.verify(asset).map_err(refused)?;
        Ok((standing, as_of))
    }

    /// What one address was granted on an asset, or that it was granted nothing.
    ///
    /// # Errors
    /// As [`Session::list`].
    pub async fn granted(&self, asset: &AssetId, to: &Address) -> Result<(Standing<GrantView>, AsOf), AskFailure> {
        let standing = self.client.prove_grant(asset, to).await?;
        let as_of = self.accept(&standing.head).await?;
        let leaf = |grant: &GrantView| grant.leaf();
        if standing.value.as_ref().is_some_and(|grant| (grant.asset, grant.to, grant.used) != (*asset, *to, 0)) {
            return Err(refused(StandingError::Other("the grant is another's, or says what is not proven")));
        }
        standing.verify(&StateKey::grant(asset, to), leaf).map_err(refused)?;
        Ok((standing, as_of))
    }

    /// What holds for an account on an asset, by the contract's rule: what it was granted itself, or else
    /// the first of its [predecessors](Session::predecessors); or that nothing does.
    ///
    /// # Errors
    /// As [`Session::list`].
    pub async fn holding(
        &self,
        asset: &AssetId,
        account: &Address,
        predecessors: &[Address],
    ) -> Result<(Option<GrantView>, AsOf), AskFailure> {
        let (mut standing, mut as_of) = self.granted(asset, account).await?;
        for before in predecessors {
            if standing.value.is_some() {
                break;
            }
            (standing, as_of) = self.granted(asset, before).await?;
        }
        Ok((standing.value, as_of))
    }

    /// The accounts that this one succeeds, the nearest first: what each was granted holds for it.
    ///
    /// # Errors
    /// As [`Session::list`].
    pub async fn predecessors(&self, account: &Address) -> Result<Vec<Address>, AskFailure> {
        let (mut found, mut last) = (Vec::new(), *account);
        while found.len() < SUCCESSIONS_MAX {
            let (standing, _) = self.proven_account(&last).await?;
            let Some(before) = standing.value.and_then(|view| view.succeeds) else { break };
            found.push(before);
            last = before;
        }
        Ok(found)
    }

    /// The account with that address, or that there is none.
    ///
    /// # Errors
    /// As [`Session::list`].
    pub async fn proven_account(&self, address: &Address) -> Result<(Standing<AccountView>, AsOf), AskFailure> {
        let standing = self.client.prove_account(address).await?;
        let as_of = self.accept(&standing.head).await?;
        let leaf = |account: &AccountView| LeafDigest::of(account);
        standing.verify(&StateKey::account(address), leaf).map_err(refused)?;
        Ok((standing, as_of))
    }

    /// Accepts a head that the gateway proves something under: signed by the members, no older than
    /// the session's own, of one history with all that the home has seen.
    async fn accept(&self, head: &SignedHead) -> Result<AsOf, AskFailure> {
        let (home, genesis) = (self.home, &self.genesis);
        let (checkpoint, members) = home.signers(genesis, &head.checkpoint)?;
        if Checkpoint::of(&head.header) != checkpoint || head.header.epoch != members.epoch {
            return Err(refused(StandingError::Head));
        }
        let contradiction =
            |source| AskFailure::from(HomeError::Contradiction { home: home.folder().to_owned(), source });
        if checkpoint.size < self.checkpoint.size || checkpoint.height < self.checkpoint.height {
            return Err(contradiction(LightError::Older { old: self.checkpoint.size, new: checkpoint.size }));
        }
        let highest = home.highest(genesis)?;
        for known in highest.iter().chain([&self.checkpoint]) {
            if known.height == checkpoint.height && known.block != checkpoint.block {
                return Err(contradiction(LightError::Contradiction { size: checkpoint.size }));
            }
        }
        connect(home, self.client, genesis, &head.checkpoint).await?;
        Ok(AsOf {
            fingerprint: genesis.chain_id(),
            block: checkpoint.height,
            time: time(head.header.time_ms / 1000),
            size: checkpoint.size,
            witnessed: home.require_witnessed(genesis, &head.checkpoint)?,
            unwitnessed: unwitnessed(genesis),
        })
    }
}

fn refused(error: StandingError) -> AskFailure {
    AskFailure::Refused(error.to_string())
}

//! What transactions do to accounts and members (docs/spec/members.md).

use super::execute::BlockBuilder;
use super::keys;
use super::query;
use super::rejection::{ExecuteError, REPLACED_MAX, Rejection};
use super::views::AccountView;
use crate::account::AccountPublic;
use crate::block::Outcome;
use crate::ids::{Address, AssetId, TxHash};
use crate::index::{Index, IndexError};
use crate::member::{Change, PROPOSAL_BLOCKS, ProposalStatus, ProposalView};

impl<I: Index + ?Sized> BlockBuilder<'_, I> {
    /// Refuses a sender whose account is closed. One that is not enrolled yet may open itself.
    pub(super) fn check_open(&self, sender: &Address) -> Result<(), ExecuteError> {
        match query::account(&self.overlay, sender)? {
            Some(account) => Ok(account.check_open()?),
            None => Ok(()),
        }
    }

    pub(super) fn open_account(
        &mut self,
        sender: Address,
        account: &AccountPublic,
        identity: &[u8],
    ) -> Result<Outcome, ExecuteError> {
        let address = account.address();
        let by_member = self.members.member(&sender).is_some();
        if !by_member && sender != address {
            return Err(Rejection::NotOwnAccount { sender, account: address }.into());
        }
        if !by_member && !self.policy.open_enrolment {
            return Err(Rejection::EnrolmentClosed.into());
        }
        if query::account(&self.overlay, &address)?.is_some() {
            return Err(Rejection::AlreadyEnrolled(address).into());
        }
        let view = AccountView::enrolled(account, self.height(), sender);
        self.overlay.put(keys::account(&address), &AccountView { identity: identity.to_vec(), ..view });
        Ok(Outcome::Accepted)
    }

    pub(super) fn replace_account(
        &mut self,
        sender: Address,
        successor: &AccountPublic,
    ) -> Result<Outcome, ExecuteError> {
        let mut old = self.ordinary(sender)?;
        let to = successor.address();
        if query::account(&self.overlay, &to)?.is_some() {
            return Err(Rejection::AlreadyEnrolled(to).into());
        }
        // Whoever enrolled the first of them may close the last: a stolen key does not escape by this.
        let new = AccountView::enrolled(successor, self.height(), old.enrolled_by);
        self.overlay.put(keys::account(&to), &AccountView { identity: old.identity.clone(), ..new });
        let owned = self.assets_under(&keys::owned(&sender))?;
        let granted = self.assets_under(&keys::granted(&sender))?;
        if owned.len().max(granted.len()) > REPLACED_MAX {
            return Err(Rejection::TooMuchToReplace(sender).into());
        }
        for id in owned {
            let asset = query::asset(&self.overlay, &id)?.ok_or(Rejection::UnknownAsset(id))?;
            self.give(asset, to)?;
        }
        for id in granted {
            let Some(mut grant) = query::grant(&self.overlay, &id, &sender)? else { continue };
            grant.to = to;
            self.overlay.delete(keys::grant(&id, &sender));
            self.overlay.delete(keys::granted_asset(&sender, &id));
            self.overlay.put(keys::grant(&id, &to), &grant);
            self.overlay.put(keys::granted_asset(&to, &id), &());
        }
        old.closed = Some(self.height());
        old.successor = Some(to);
        self.overlay.put(keys::account(&sender), &old);
        Ok(Outcome::Accepted)
    }

    /// Assets that end the keys under `prefix`, one more than may move at most.
    fn assets_under(&self, prefix: &[u8]) -> Result<Vec<AssetId>, ExecuteError> {
        let found = self.overlay.keys(prefix, REPLACED_MAX + 1)?;
        let asset = |key: &Vec<u8>| keys::last_asset(key).ok_or_else(|| IndexError::value(key, "no asset id").into());
        found.iter().map(asset).collect()
    }

    pub(super) fn close_account(&mut self, sender: Address, account: &Address) -> Result<Outcome, ExecuteError> {
        let mut view = self.ordinary(*account)?;
        view.check_open()?;
        let enroller = view.enrolled_by == sender && self.members.member(&sender).is_some();
        if sender != *account && !enroller {
            return Err(Rejection::NotOwnAccount { sender, account: *account }.into());
        }
        view.closed = Some(self.height());
        self.overlay.put(keys::account(account), &view);
        Ok(Outcome::Accepted)
    }

    /// An account that speaks for no member.
    fn ordinary(&self, account: Address) -> Result<AccountView, ExecuteError> {
        if self.members.member(&account).is_some() {
            return Err(Rejection::MemberAccount(account).into());
        }
        Ok(query::account(&self.overlay, &account)?.ok_or(Rejection::UnknownSender(account))?)
    }

    pub(super) fn propose(&mut self, hash: TxHash, sender: Address, change: &Change) -> Result<Outcome, ExecuteError> {
        self.check_member(&sender)?;
        if let Change::Join(_) | Change::Leave { .. } | Change::Replace { .. } = change
            && self.genesis.network.is_none()
        {
            return Err(Rejection::Embedded.into());
        }
        let (height, change) = (self.height(), change.clone());
        let endorsed = vec![sender];
        self.adopt(ProposalView { hash, change, endorsed, height, status: ProposalStatus::Open })
    }

    pub(super) fn endorse(&mut self, sender: Address, hash: &TxHash) -> Result<Outcome, ExecuteError> {
        self.check_member(&sender)?;
        let mut proposal = query::proposal(&self.overlay, hash)?
            .filter(|proposal| proposal.status == ProposalStatus::Open)
            .filter(|proposal| self.height() <= proposal.height.plus(PROPOSAL_BLOCKS))
            .ok_or(Rejection::NoOpenProposal(*hash))?;
        if proposal.endorsed.contains(&sender) {
            return Err(Rejection::Endorsed { proposal: *hash, member: sender }.into());
        }
        proposal.endorsed.push(sender);
        self.adopt(proposal)
    }

    fn check_member(&self, sender: &Address) -> Result<(), ExecuteError> {
        match self.members.member(sender) {
            Some(_) => Ok(()),
            None => Err(Rejection::NotMember(*sender).into()),
        }
    }

    /// Records a proposal, and does it if enough of today's members stand behind it. A change that
    /// no longer fits is refused.
    fn adopt(&mut self, mut proposal: ProposalView) -> Result<Outcome, ExecuteError> {
        let next = self.members.after(&proposal.change).map_err(Rejection::Change)?;
        let withdrawn = match &proposal.change {
            Change::Withdraw { asset } => {
                let asset = query::asset(&self.overlay, asset)?.ok_or(Rejection::UnknownAsset(*asset))?;
                Some(asset)
            }
            _ => None,
        };
        let behind = proposal.endorsed.iter().filter(|by| self.members.member(by).is_some()).count();
        if behind >= self.members.quorum() {
            proposal.status = ProposalStatus::Done { height: self.height() };
            if let Some(next) = next {
                self.check_same_epoch()?;
                for member in &next.members {
                    self.enrol_member(&member.account)?;
                }
                self.overlay.put(keys::MEMBERS.to_vec(), &next);
            }
            if let Change::Policy(policy) = &proposal.change {
                self.overlay.put(keys::POLICY.to_vec(), policy);
            }
            if let Some(asset) = withdrawn.filter(|asset| asset.withdrawn.is_none()) {
                self.end(asset);
            }
        }
        self.overlay.put(keys::proposal(&proposal.hash), &proposal);
        Ok(Outcome::Accepted)
    }

    /// Refuses another change of members in a block that holds one: nobody signs for the epoch
    /// between, so no handover would lead across it.
    fn check_same_epoch(&self) -> Result<(), ExecuteError> {
        if self.members.epoch == self.epoch { Ok(()) } else { Err(Rejection::MembersChanged(self.height()).into()) }
    }

    fn enrol_member(&mut self, account: &AccountPublic) -> Result<(), ExecuteError> {
        let address = account.address();
        match query::account(&self.overlay, &address)? {
            Some(view) => Ok(view.check_open()?),
            None => {
                let view = AccountView::enrolled(account, self.height(), address);
                self.overlay.put(keys::account(&address), &view);
                Ok(())
            }
        }
    }
}

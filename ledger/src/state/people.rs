//! What transactions do to accounts and members (docs/spec/members.md).

use super::execute::BlockBuilder;
use super::keys;
use super::query;
use super::rejection::{ExecuteError, Rejection};
use super::views::AccountView;
use crate::account::AccountPublic;
use crate::block::Outcome;
use crate::ids::{Address, TxHash};
use crate::index::Index;
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
        let new = AccountView { identity: old.identity.clone(), succeeds: Some(sender), ..new };
        self.overlay.put(keys::account(&to), &new);
        self.end_account(&mut old, Some(to));
        Ok(Outcome::Accepted)
    }

    /// Closes an account. Nothing that is its moves, so that nobody can make this too much work: what it
    /// was granted is found from its successor, and what it owns the successor takes over.
    fn end_account(&mut self, account: &mut AccountView, successor: Option<Address>) {
        account.closed = Some(self.height());
        account.successor = successor;
        self.overlay.put(keys::account(&account.address), account);
    }

    pub(super) fn close_account(&mut self, sender: Address, account: &Address) -> Result<Outcome, ExecuteError> {
        let mut view = self.ordinary(*account)?;
        view.check_open()?;
        let by = view.enrolled_by;
        let enroller =
            self.members.member(&sender).is_some() && (by == sender || query::succeeds(&self.overlay, &sender, &by)?);
        if sender != *account && !enroller {
            return Err(Rejection::NotOwnAccount { sender, account: *account }.into());
        }
        self.end_account(&mut view, None);
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
            if let Change::Replace { account, member } = &proposal.change
                && member.address() != *account
            {
                // Whoever has its keys may be the reason.
                let mut old = query::account(&self.overlay, account)?.ok_or(Rejection::UnknownSender(*account))?;
                self.end_account(&mut old, Some(member.address()));
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

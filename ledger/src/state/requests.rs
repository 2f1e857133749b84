//! Requests and what ends them: answers, deliveries, refusals, deadlines
//! (docs/spec/ledger.md#contract-rules).

use super::contract::{decide, is_over};
use super::execute::BlockBuilder;
use super::keys;
use super::query;
use super::rejection::{ExecuteError, Rejection};
use super::views::{Asked, AssetView, GrantView, RequestStatus, RequestView, SampleCheck};
use crate::block::{DenyReason, Outcome};
use crate::ids::{Address, AssetId, BlockHeight, Digest, TxHash};
use crate::index::{Index, IndexError, load};
use crate::tx::{DeclineReason, FILE, SampleOutcome, TABLE, TxBody, TxError, check_columns};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// For so many keys of a request the owner has another answer window.
const ANSWER_WINDOW_KEYS: u64 = 50;

impl<I: Index + ?Sized> BlockBuilder<'_, I> {
    /// A question, or whole columns: decided under the sender's grant, and recorded either way.
    pub(super) fn request(&mut self, hash: TxHash, sender: Address, body: &TxBody) -> Result<Outcome, ExecuteError> {
        let (asset, asked, purpose, consent) = match body {
            TxBody::Request { asset, shape, purpose, commitment, consent } => {
                let asked = Asked::Question { shape: shape.clone(), commitment: *commitment };
                (asset, asked, purpose, consent)
            }
            TxBody::RequestWhole { asset, columns, purpose, consent } => {
                (asset, Asked::Whole { columns: columns.clone() }, purpose, consent)
            }
            _ => return Ok(Outcome::Accepted),
        };
        let view = query::asset(&self.overlay, asset)?.ok_or(Rejection::UnknownAsset(*asset))?;
        check_fits(&asked, &view)?;
        let grant = query::holding(&self.overlay, asset, &sender)?;
        let decision = match view.withdrawn {
            Some(_) => Err(DenyReason::Withdrawn),
            None => decide(grant.as_ref(), &asked, purpose, self.time_ms),
        };
        let (status, outcome) = match decision {
            Ok(grant) => {
                let used = GrantView { used: grant.used.saturating_add(asked.counts()), ..grant.clone() };
                self.overlay.put(keys::grant(asset, &grant.to), &used);
                self.await_answer(&view, &asked)?
            }
            Err(reason) => {
                self.count_denial(sender)?;
                (RequestStatus::Denied { reason }, Outcome::Denied { reason })
            }
        };
        let request = RequestView {
            hash,
            asset: *asset,
            sender,
            asked,
            purpose: purpose.clone(),
            consent: *consent,
            grant: grant.map(|grant| grant.granted_by),
            height: self.height(),
            time_ms: self.time_ms,
            entry_index: self.next_entry(),
            status,
            checked: None,
        };
        self.overlay.put(keys::request(request.entry_index), &request);
        Ok(outcome)
    }

    /// A sample for the auditor, who needs no grant.
    pub(super) fn request_sample(
        &mut self,
        hash: TxHash,
        sender: Address,
        asset: &AssetId,
        asked: Asked,
    ) -> Result<Outcome, ExecuteError> {
        if !self.is_auditor(&sender) {
            return Err(Rejection::NotAuditor(sender).into());
        }
        let view = query::asset(&self.overlay, asset)?.ok_or(Rejection::UnknownAsset(*asset))?;
        if let Some(height) = view.withdrawn {
            return Err(Rejection::Withdrawn { asset: *asset, height }.into());
        }
        check_fits(&asked, &view)?;
        let (status, outcome) = self.await_answer(&view, &asked)?;
        let request = RequestView {
            hash,
            asset: *asset,
            sender,
            asked,
            purpose: String::new(),
            consent: None,
            grant: None,
            height: self.height(),
            time_ms: self.time_ms,
            entry_index: self.next_entry(),
            status,
            checked: None,
        };
        self.overlay.put(keys::request(request.entry_index), &request);
        Ok(outcome)
    }

    fn is_auditor(&self, account: &Address) -> bool {
        self.policy.auditor.as_ref().is_some_and(|auditor| auditor.address() == *account)
    }

    /// Binds a request to the current version and counts it among those that are open.
    fn await_answer(&mut self, asset: &AssetView, asked: &Asked) -> Result<(RequestStatus, Outcome), ExecuteError> {
        let (version, deadline) = (asset.current, self.height().plus(self.answer_window(asked)));
        self.open(deadline)?;
        Ok((RequestStatus::Granted { version, deadline }, Outcome::Granted { version, deadline }))
    }

    /// Counts a denied request of the account's, and refuses it when there were too many today.
    fn count_denial(&mut self, account: Address) -> Result<(), ExecuteError> {
        let (today, limit) = (self.time_ms / DAY_MS, self.policy.denials_a_day);
        let key = keys::denials(&account);
        let (day, count): (u64, u32) = load(&self.overlay, &key)?.unwrap_or((today, 0));
        let before = if day == today { count } else { 0 };
        if before >= limit {
            return Err(Rejection::TooManyDenials { account, limit }.into());
        }
        self.overlay.put(key, &(today, before + 1));
        Ok(())
    }

    pub(super) fn answer(&mut self, hash: TxHash, sender: Address, body: &TxBody) -> Result<Outcome, ExecuteError> {
        let TxBody::Answer { request: asked, version, binding, sealed, bytes, charges: _ } = body else {
            return Ok(Outcome::Accepted);
        };
        let (request, bound, deadline) = self.releasable(sender, asked, *version)?;
        if !matches!(request.asked, Asked::Question { .. }) {
            return Err(Rejection::OtherKind { request: *asked, asked: "a delivery", needs: "Deliver" }.into());
        }
        let status = RequestStatus::Answered {
            version: bound,
            answer: hash,
            height: self.height(),
            binding: *binding,
            sealed: *sealed,
            bytes: *bytes,
            entry_index: self.next_entry(),
        };
        self.end_request(deadline, request, status)
    }

    pub(super) fn deliver(&mut self, hash: TxHash, sender: Address, body: &TxBody) -> Result<Outcome, ExecuteError> {
        let TxBody::Deliver { request: asked, version, sealed, bytes } = body else {
            return Ok(Outcome::Accepted);
        };
        let (request, bound, deadline) = self.releasable(sender, asked, *version)?;
        if matches!(request.asked, Asked::Question { .. }) {
            return Err(Rejection::OtherKind { request: *asked, asked: "an answer", needs: "Answer" }.into());
        }
        let status = RequestStatus::Delivered {
            version: bound,
            delivery: hash,
            height: self.height(),
            sealed: *sealed,
            bytes: *bytes,
            entry_index: self.next_entry(),
        };
        self.end_request(deadline, request, status)
    }

    pub(super) fn decline(
        &mut self,
        sender: Address,
        asked: &TxHash,
        reason: DeclineReason,
    ) -> Result<Outcome, ExecuteError> {
        let (request, _, deadline) = self.awaiting(sender, asked)?;
        self.return_quota(&request)?;
        let status = RequestStatus::Declined { reason, height: self.height(), entry_index: self.next_entry() };
        self.end_request(deadline, request, status)
    }

    fn end_request(
        &mut self,
        deadline: BlockHeight,
        request: RequestView,
        status: RequestStatus,
    ) -> Result<Outcome, ExecuteError> {
        self.close(deadline, &request)?;
        self.overlay.put(keys::request(request.entry_index), &RequestView { status, ..request });
        Ok(Outcome::Accepted)
    }

    /// What the auditor found in a sample.
    pub(super) fn sample_result(
        &mut self,
        hash: TxHash,
        sender: Address,
        asked: &TxHash,
        outcome: SampleOutcome,
        report: Digest,
    ) -> Result<Outcome, ExecuteError> {
        let mut request = query::request(&self.overlay, asked)?.ok_or(Rejection::UnknownRequest(*asked))?;
        let awaits = matches!(request.asked, Asked::Sample { .. })
            && matches!(request.status, RequestStatus::Delivered { .. })
            && request.sender == sender
            && request.checked.is_none();
        if !awaits {
            return Err(Rejection::NoSample(*asked).into());
        }
        let (height, entry_index) = (self.height(), self.next_entry());
        request.checked = Some(SampleCheck { outcome, report, result: hash, height, entry_index });
        self.overlay.put(keys::request(request.entry_index), &request);
        Ok(Outcome::Accepted)
    }

    /// How many blocks the owner has to answer: more for more keys.
    fn answer_window(&self, asked: &Asked) -> u64 {
        self.policy.answer_window_blocks.saturating_mul(1 + u64::from(asked.keys()) / ANSWER_WINDOW_KEYS)
    }

    /// A request that may be answered or delivered from `version`: see [`Self::awaiting`].
    fn releasable(
        &self,
        sender: Address,
        asked: &TxHash,
        version: u32,
    ) -> Result<(RequestView, u32, BlockHeight), ExecuteError> {
        let (request, bound, deadline) = self.awaiting(sender, asked)?;
        if version != bound {
            return Err(Rejection::WrongVersion { request: *asked, bound, found: version }.into());
        }
        self.check_grant_stands(&request)?;
        Ok((request, bound, deadline))
    }

    /// A request of the sender's asset that awaits its answer: with the version it is bound to and
    /// its deadline.
    fn awaiting(&self, sender: Address, asked: &TxHash) -> Result<(RequestView, u32, BlockHeight), ExecuteError> {
        let request = query::request(&self.overlay, asked)?.ok_or(Rejection::UnknownRequest(*asked))?;
        self.owned(sender, &request.asset)?;
        let (bound, deadline) = match request.status {
            RequestStatus::Granted { version, deadline } => (version, deadline),
            RequestStatus::Denied { .. } => return Err(Rejection::NotGranted(*asked).into()),
            RequestStatus::Declined { reason, .. } => {
                return Err(Rejection::Declined { request: *asked, reason }.into());
            }
            RequestStatus::Answered { answer, .. } | RequestStatus::Delivered { delivery: answer, .. } => {
                return Err(Rejection::AlreadyAnswered { request: *asked, answer }.into());
            }
            RequestStatus::Unanswered { .. } => {
                let deadline = request.height.plus(self.answer_window(&request.asked));
                return Err(Rejection::Unanswered { request: *asked, deadline }.into());
            }
        };
        if deadline < self.height() {
            return Err(Rejection::Unanswered { request: *asked, deadline }.into());
        }
        Ok((request, bound, deadline))
    }

    /// That what was granted may still be given: to whom it was granted, under the very grant.
    fn check_grant_stands(&self, request: &RequestView) -> Result<(), ExecuteError> {
        let gone = |what| Err(Rejection::GrantGone { request: request.hash, what }.into());
        // Whoever closed it may have lost its keys to somebody else.
        if query::account(&self.overlay, &request.sender)?.is_some_and(|account| account.closed.is_some()) {
            return gone("is of an account that was closed");
        }
        if let Asked::Sample { .. } = request.asked {
            let stands = self.is_auditor(&request.sender);
            return if stands { Ok(()) } else { gone("is no longer the auditor's") };
        }
        match self.standing_grant(request)? {
            Standing::Revoked => gone("was revoked"),
            Standing::Replaced => gone("was replaced"),
            Standing::Listed(grant) if is_over(&grant, self.time_ms) => gone("is over"),
            Standing::Listed(_) => Ok(()),
        }
    }

    /// Counts a request among those that are open.
    fn open(&mut self, deadline: BlockHeight) -> Result<(), IndexError> {
        let key = keys::open(deadline, self.height());
        let count: u64 = load(&self.overlay, &key)?.unwrap_or_default();
        self.overlay.put(key, &(count + 1));
        Ok(())
    }

    /// Counts a request no longer among those that are open.
    pub(super) fn close(&mut self, deadline: BlockHeight, request: &RequestView) -> Result<(), IndexError> {
        let key = keys::open(deadline, request.height);
        match load::<u64, _>(&self.overlay, &key)? {
            Some(1) => self.overlay.delete(key),
            Some(count) => self.overlay.put(key, &count.saturating_sub(1)),
            None => return Err(IndexError::value(&key, "an open request is not counted")),
        }
        Ok(())
    }

    /// Gives a request's keys back to the grant under which it was asked, if that still stands.
    pub(super) fn return_quota(&mut self, request: &RequestView) -> Result<(), IndexError> {
        if let Standing::Listed(mut grant) = self.standing_grant(request)? {
            grant.used = grant.used.saturating_sub(request.asked.counts());
            self.overlay.put(keys::grant(&grant.asset, &grant.to), &*grant);
        }
        Ok(())
    }

    /// What became of the grant under which the request was asked.
    fn standing_grant(&self, request: &RequestView) -> Result<Standing, IndexError> {
        Ok(match query::holding(&self.overlay, &request.asset, &request.sender)? {
            None => Standing::Revoked,
            Some(grant) if Some(grant.granted_by) != request.grant => Standing::Replaced,
            Some(grant) => Standing::Listed(Box::new(grant)),
        })
    }
}

/// What became of a grant.
enum Standing {
    Revoked,
    Replaced,
    Listed(Box<GrantView>),
}

/// Checks what is asked for against what the asset is.
fn check_fits(asked: &Asked, asset: &AssetView) -> Result<(), TxError> {
    match asked {
        Asked::Question { shape, .. } if asset.data_type == TABLE => Ok(shape.validate(&asset.schema)?),
        Asked::Whole { columns } => check_columns(columns, &asset.schema),
        Asked::Sample { .. } if asset.data_type != FILE => Ok(()),
        Asked::Question { .. } | Asked::Sample { .. } => Err(TxError::NoRecords),
    }
}

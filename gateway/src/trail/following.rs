//! A ledger that is followed: every block is replayed once, and what the replay says is at hand until
//! the next one (docs/spec/console.md#auditor). Nothing here believes a gateway.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::audit::{AuditError, Replay, Summary};
use sealgate_ledger::block::{Block, EntryBody, Header, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use sealgate_ledger::member::Policy;
use sealgate_ledger::state::{AccountView, AssetView, GrantView, RequestView};
use sealgate_ledger::tx::TxBody;

use super::{Ended, Filter, Line, State, Trail, TrailFailure, note_ends};
use crate::asking::{AskFailure, Session};
use crate::auditing::AuditFailure;
use crate::budget::{Book, Checked, Reader, Spent};
use crate::journal::{Anchor, anchors_in};
use crate::witness::pins::Witnessed;

/// A line of an asset's list, and from which block to which it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stint {
    /// What was granted; what was used of it is left out.
    pub grant: GrantView,
    /// The block since which it stands.
    pub from: BlockHeight,
    /// The block since which it does not; none if it still does.
    pub until: Option<BlockHeight>,
}

impl Stint {
    /// Whether it stood when this block was the last.
    pub fn stood(&self, at: BlockHeight) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What a replay says as of its last block.
pub struct Followed {
    /// The ledger.
    pub chain: ChainId,
    /// The last block's header.
    pub head: Header,
    /// Size and root of the tree.
    pub checkpoint: Checkpoint,
    /// What the pinned witnesses say of it.
    pub witnessed: Witnessed,
    /// What the ledger holds, counted.
    pub summary: Summary,
    /// The rules.
    pub policy: Policy,
    /// All accounts.
    pub accounts: BTreeMap<Address, AccountView>,
    /// All lines of the trail, in the order of entries.
    pub lines: Vec<Line>,
    /// Every line that ever stood on a list.
    pub stints: Vec<Stint>,
    /// Who owned which asset since which block.
    pub owners: Vec<(AssetId, BlockHeight, Address)>,
    /// What answers have told.
    pub spent: Vec<Spent>,
    /// How many answers' charges are right, and which are not.
    pub charges: (u64, Vec<(AssetId, String)>),
    /// The anchors of this account's journal.
    pub anchors: Vec<Anchor>,
    times: Vec<u64>,
    state: State,
    ends: HashMap<TxHash, Ended>,
}

impl Followed {
    /// All assets.
    pub fn assets(&self) -> &[AssetView] {
        &self.state.assets
    }

    /// An asset.
    pub fn asset(&self, id: &AssetId) -> Option<&AssetView> {
        self.state.assets.iter().find(|asset| asset.id == *id)
    }

    /// A request as the ledger keeps it, and its line.
    pub fn request(&self, hash: &TxHash) -> Option<(&RequestView, &Line)> {
        let at = self.lines.iter().position(|line| line.request == *hash)?;
        self.state.requests.get(at).zip(self.lines.get(at))
    }

    /// The line of this entry.
    pub fn line(&self, entry: u64) -> Option<&Line> {
        self.lines.binary_search_by_key(&entry, |line| line.entry).ok().and_then(|at| self.lines.get(at))
    }

    /// The lines that a filter keeps.
    ///
    /// # Errors
    /// [`TrailFailure::NoAsset`], [`TrailFailure::NoAccount`].
    pub fn find(&self, filter: &Filter) -> Result<Vec<&Line>, TrailFailure> {
        let assets = self.state.assets(filter)?;
        self.state.knows(filter)?;
        let kept = |(request, line): &(&RequestView, &Line)| {
            assets.contains_key(&line.asset) && filter.keeps(request, self.state.accounts.get(&request.sender))
        };
        Ok(self.state.requests.iter().zip(&self.lines).filter(kept).map(|(_, line)| line).collect())
    }

    /// The same as a trail that can be signed.
    ///
    /// # Errors
    /// As [`Followed::find`].
    pub fn trail(&self, filter: &Filter) -> Result<Trail, TrailFailure> {
        Ok(Trail {
            chain: self.chain,
            height: self.head.height,
            time_ms: self.head.time_ms,
            checkpoint: self.checkpoint,
            lines: self.state.lines(filter, &self.ends)?,
        })
    }

    /// Time of a block.
    pub fn time_of(&self, height: BlockHeight) -> Option<u64> {
        usize::try_from(height.0).ok().and_then(|at| self.times.get(at)).copied()
    }

    /// The last block that is not younger than a time; block 0 if all are.
    pub fn block_at(&self, time_ms: u64) -> BlockHeight {
        let until = self.times.partition_point(|time| *time <= time_ms);
        BlockHeight(until.saturating_sub(1) as u64)
    }

    /// Whose an asset was when this block was the last; none before it was registered.
    pub fn owner_at(&self, asset: &AssetId, height: BlockHeight) -> Option<Address> {
        let mut until = self.owners.iter().filter(|(id, since, _)| id == asset && *since <= height);
        until.next_back().map(|(_, _, owner)| *owner)
    }
}

/// A replay that goes on, and what is noted beside it.
struct Held {
    replay: Replay,
    ends: HashMap<TxHash, Ended>,
    book: Book,
    checked: Checked,
    stints: Vec<Stint>,
    owners: Vec<(AssetId, BlockHeight, Address)>,
    anchors: Vec<Anchor>,
    times: Vec<u64>,
    /// Checkpoints that the home has seen and the replay contains.
    contained: usize,
}

/// Who follows a ledger, and with which keys what is sealed to it opens.
pub struct Eyes {
    /// The account.
    pub account: AccountSecret,
    /// Those before it.
    pub earlier: Vec<AccountSecret>,
}

impl Eyes {
    /// Those of the session's home.
    ///
    /// # Errors
    /// [`AskFailure::Home`].
    pub fn of(session: &Session<'_>) -> Result<Eyes, AskFailure> {
        Ok(Eyes { account: session.home.account()?, earlier: session.home.earlier_accounts()? })
    }

    /// Their accounts, today's first.
    pub fn all(&self) -> impl Iterator<Item = &AccountSecret> {
        std::iter::once(&self.account).chain(&self.earlier)
    }
}

impl Held {
    fn new(session: &Session<'_>) -> Result<Held, AuditError> {
        let replay = Replay::new(session.genesis.clone())?;
        Ok(Held {
            times: vec![replay.head().time_ms],
            replay,
            ends: HashMap::new(),
            book: Book::default(),
            checked: Checked::default(),
            stints: Vec::new(),
            owners: Vec::new(),
            anchors: Vec::new(),
            contained: 0,
        })
    }

    fn apply(&mut self, session: &Session<'_>, eyes: &Eyes, block: &Block) -> Result<(), AuditError> {
        self.replay.apply(block)?;
        self.times.push(block.header.time_ms);
        note_ends(block, &mut self.ends);
        let reader = Reader { account: &eyes.account, earlier: &eyes.earlier, auditor: true };
        self.checked.add(self.book.read(&session.genesis, &reader, block));
        let own: Vec<Address> = eyes.all().map(AccountSecret::address).collect();
        self.anchors.extend(anchors_in(block, &own));
        self.note_lists(&session.genesis.chain_id(), block)
    }

    /// What a block changed of the assets' lists and owners.
    fn note_lists(&mut self, chain: &ChainId, block: &Block) -> Result<(), AuditError> {
        let (height, mut changed) = (block.header.height, Vec::new());
        for entry in &block.entries {
            let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &entry.body else { continue };
            match &tx.tx.body {
                TxBody::Grant { asset, .. } | TxBody::Revoke { asset, .. } | TxBody::Transfer { asset, .. } => {
                    changed.push(*asset);
                }
                TxBody::RegisterAsset { name, .. } => changed.push(AssetId::of(chain, &tx.tx.sender, name)),
                _ => {}
            }
        }
        changed.sort_unstable();
        changed.dedup();
        for asset in changed {
            let now: Vec<GrantView> = self.replay.grants(&asset)?.into_iter().map(unused).collect();
            let standing = |stint: &&mut Stint| stint.until.is_none() && stint.grant.asset == asset;
            for stint in self.stints.iter_mut().filter(standing).filter(|stint| !now.contains(&stint.grant)) {
                stint.until = Some(height);
            }
            for grant in now {
                let stands = |stint: &Stint| stint.until.is_none() && stint.grant == grant;
                if !self.stints.iter().any(stands) {
                    self.stints.push(Stint { grant, from: height, until: None });
                }
            }
            let owner = self.replay.asset(&asset)?.map(|view| view.owner);
            let before = self.owners.iter().rfind(|(id, ..)| *id == asset).map(|(.., owner)| *owner);
            self.owners.extend(owner.filter(|owner| before != Some(*owner)).map(|owner| (asset, height, owner)));
        }
        Ok(())
    }

    /// That the replay leads to what is signed, and contains all that the home has seen.
    fn check(&mut self, session: &Session<'_>) -> Result<(), AuditFailure> {
        let (target, now) = (session.checkpoint.size, self.replay.checkpoint());
        // Blocks without entries leave the size as it is, and are others all the same.
        if now.height == session.checkpoint.height && now != session.checkpoint {
            return Err(AuditError::Checkpoint { size: target }.into());
        }
        self.replay.check_root(target, &session.checkpoint.root)?;
        let seen = session.home.seen_checkpoints(&session.genesis).map_err(AskFailure::from)?;
        for (size, root) in seen.iter().skip(self.contained).filter(|(size, _)| *size <= target) {
            self.replay.check_root(*size, root)?;
        }
        // One that is ahead of this replay is compared the next time.
        self.contained = seen.iter().position(|(size, _)| *size > target).unwrap_or(seen.len());
        Ok(())
    }

    fn shown(&self, session: &Session<'_>) -> Result<Followed, AuditFailure> {
        let state = State::take(&self.replay)?;
        let wrong = |(asset, error): &(AssetId, crate::budget::BudgetError)| (*asset, error.to_string());
        let accounts = self.replay.accounts()?.into_iter().map(|view| (view.address, view)).collect();
        // Without a filter nothing is left out.
        let lines = state.lines(&Filter::default(), &self.ends).unwrap_or_default();
        Ok(Followed {
            chain: session.genesis.chain_id(),
            head: self.replay.head().clone(),
            checkpoint: self.replay.checkpoint(),
            witnessed: session.witnessed.clone(),
            summary: self.replay.summary(),
            policy: self.replay.policy()?,
            accounts,
            lines,
            stints: self.stints.clone(),
            owners: self.owners.clone(),
            spent: self.book.spent(),
            charges: (self.checked.answers, self.checked.wrong.iter().map(wrong).collect()),
            anchors: self.anchors.clone(),
            times: self.times.clone(),
            state,
            ends: self.ends.clone(),
        })
    }
}

/// The grant itself: what is used of it changes without anybody granting anything.
fn unused(grant: GrantView) -> GrantView {
    GrantView { used: 0, ..grant }
}

/// Follows one ledger for one home.
#[derive(Default)]
pub struct Follower {
    held: tokio::sync::Mutex<Option<Held>>,
    shown: RwLock<Option<Arc<Followed>>>,
}

impl Follower {
    /// How many blocks are still to be replayed up to the session's head.
    pub fn behind(&self, session: &Session<'_>) -> u64 {
        let at = self.last().map_or(0, |followed| followed.head.height.0);
        session.head.0.saturating_sub(at)
    }

    /// What was replayed last.
    pub fn last(&self) -> Option<Arc<Followed>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replays what is new up to the session's head, and holds it against all that the home knows.
    /// After a failure that is the ledger's the next call begins anew.
    ///
    /// # Errors
    /// [`AuditFailure`], naming the block.
    pub async fn follow(
        &self,
        session: &Session<'_>,
        progress: impl Fn(u64, u64),
    ) -> Result<Arc<Followed>, AuditFailure> {
        let mut held = self.held.lock().await;
        if let Some(last) = self.last().filter(|last| last.checkpoint.height >= session.checkpoint.height)
            && let Some(held) = held.as_mut()
        {
            held.check(session)?;
            return Ok(last);
        }
        let mut at = match held.take() {
            Some(at) => at,
            None => Held::new(session)?,
        };
        match advance(&mut at, session, progress).await {
            Ok(()) => {}
            Err(error @ AuditFailure::Client(_)) => {
                *held = Some(at);
                return Err(error);
            }
            Err(error) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error);
            }
        }
        let followed = Arc::new(tokio::task::block_in_place(|| at.shown(session))?);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(followed.clone());
        *held = Some(at);
        Ok(followed)
    }
}

async fn advance(held: &mut Held, session: &Session<'_>, progress: impl Fn(u64, u64)) -> Result<(), AuditFailure> {
    let (eyes, target) = (Eyes::of(session)?, session.checkpoint);
    while held.replay.head().height < target.height {
        let blocks = session.client.blocks(held.replay.head().height.next()).await?;
        if blocks.is_empty() {
            return Err(AuditFailure::Short { shown: held.replay.checkpoint().size, expected: target.size });
        }
        let wanted = blocks.iter().take_while(|block| block.header.height <= target.height);
        tokio::task::block_in_place(|| wanted.into_iter().try_for_each(|block| held.apply(session, &eyes, block)))?;
        progress(held.replay.checkpoint().size, target.size);
    }
    if held.replay.checkpoint().size > target.size {
        return Err(AuditFailure::Unsigned { shown: held.replay.checkpoint().size, expected: target.size });
    }
    held.check(session)
}

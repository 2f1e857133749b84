//! Building a block: the sweep that opens it, the execution of each transaction, the seal.

use std::collections::BTreeMap;

use sealgate_circuits::schema::Schema;

use super::keys;
use super::query;
use super::rejection::{ExecuteError, HANDED_MAX, OWNERS_MAX, Rejection};
use super::tree::settle;
use super::verify::VerifiedTx;
use super::views::{AccountView, Asked, AssetView, GrantView, RequestStatus, TextView, VersionView};
use crate::block::{
    BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX, BLOCK_UNANSWERED_MAX, Block, Entry, EntryBody, Header, Outcome, Receipt,
};
use crate::genesis::Genesis;
use crate::ids::{Address, AssetId, BlockHash, BlockHeight, ChainId, Digest, TxHash};
use crate::index::{Batch, Index, IndexError, MemoryIndex, Overlay, load};
use crate::log;
use crate::member::{MemberSet, Policy};
use crate::merkle::{self, NodeHash, Tiles, TilesMut};
use crate::trie;
use crate::tx::{
    Consent, EXPIRY_BLOCKS_MAX, GrantTerms, Handing, TextContent, TxBody, VersionInfo, check_terms, check_version,
};

/// Where a block lies in the log and in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub(crate) struct BlockPlace {
    pub(crate) offset: u64,
    pub(crate) first_entry: u64,
}

/// The first batch of a ledger: block 0, its members, their accounts and the first rules.
pub(crate) fn genesis_batch(genesis: &Genesis) -> Batch {
    let empty = MemoryIndex::default();
    let mut overlay = Overlay::new(&empty);
    let (place, members) = (BlockPlace { offset: log::FIRST_RECORD, first_entry: 0 }, genesis.members());
    overlay.put(keys::place(BlockHeight(0)), &place);
    overlay.put(keys::MEMBERS.to_vec(), &members);
    overlay.put(keys::POLICY.to_vec(), &genesis.policy);
    for member in &members.members {
        let view = AccountView::enrolled(&member.account, BlockHeight(0), member.address());
        overlay.put(keys::account(&view.address), &view);
    }
    overlay.keep();
    // A state in memory does not fail to be read.
    let state_root = settle(&mut overlay).unwrap_or_else(|_| trie::empty_root());
    let head = Header {
        chain: genesis.chain_id(),
        height: BlockHeight(0),
        time_ms: genesis.created_ms,
        previous: BlockHash([0; 32]),
        first_entry: 0,
        tree_size: 0,
        log_root: merkle::empty_root(),
        epoch: 0,
        batch: Digest([0; 32]),
        state_root,
    };
    Batch { head, writes: overlay.into_writes() }
}

/// A block in the making, on top of an index that stands at the block before.
pub(crate) struct BlockBuilder<'a, I: Index + ?Sized> {
    pub(super) genesis: &'a Genesis,
    chain: ChainId,
    previous: &'a Header,
    pub(super) time_ms: u64,
    batch: Digest,
    pub(super) members: MemberSet,
    pub(super) policy: Policy,
    /// Of the members before this block.
    pub(super) epoch: u64,
    pub(super) overlay: Overlay<'a, I>,
    entries: Vec<Entry>,
    /// The requests among them.
    asked: BTreeMap<AssetId, Vec<u64>>,
    txs: usize,
    tx_bytes: usize,
}

impl<'a, I: Index + ?Sized> BlockBuilder<'a, I> {
    /// Begins the block after `previous` at `time_ms`, and marks the requests that waited too
    /// long.
    pub(crate) fn begin(
        genesis: &'a Genesis,
        index: &'a I,
        previous: &'a Header,
        time_ms: u64,
    ) -> Result<Self, IndexError> {
        let members = query::members(index)?;
        let mut builder = BlockBuilder {
            genesis,
            chain: previous.chain,
            previous,
            time_ms,
            batch: Digest([0; 32]),
            epoch: members.epoch,
            members,
            policy: query::policy(index)?,
            overlay: Overlay::new(index),
            entries: Vec::new(),
            asked: BTreeMap::new(),
            txs: 0,
            tx_bytes: 0,
        };
        builder.sweep()?;
        Ok(builder)
    }

    /// Names the ordered transactions that this block executes.
    pub(crate) fn of_batch(mut self, digest: Digest) -> Self {
        self.batch = digest;
        self
    }

    pub(crate) fn height(&self) -> BlockHeight {
        self.previous.height.next()
    }

    /// Whether another transaction fits.
    pub(crate) fn has_room(&self) -> bool {
        self.txs < BLOCK_TXS_MAX && self.tx_bytes < BLOCK_TX_BYTES_MAX
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The receipt of a transaction that is in this block so far or in one before.
    pub(crate) fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, IndexError> {
        load(&self.overlay, &keys::receipt(hash))
    }

    /// Executes one transaction. On an error nothing of it remains.
    pub(crate) fn add(&mut self, tx: &VerifiedTx) -> Result<Receipt, ExecuteError> {
        let entry_index = self.next_entry();
        let outcome = match self.execute(tx) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.overlay.forget();
                return Err(error);
            }
        };
        if let TxBody::Propose { .. } | TxBody::Endorse { .. } = tx.signed.tx.body {
            self.members = query::members(&self.overlay)?;
            self.policy = query::policy(&self.overlay)?;
        }
        if let TxBody::Request { asset, .. }
        | TxBody::RequestWhole { asset, .. }
        | TxBody::RequestSample { asset, .. } = &tx.signed.tx.body
        {
            self.asked.entry(*asset).or_default().push(entry_index);
        }
        let receipt = Receipt { hash: tx.hash, height: self.height(), entry_index, outcome };
        self.overlay.put(keys::receipt(&tx.hash), &receipt);
        self.push(EntryBody::Transaction { tx: Box::new(tx.signed.clone()), outcome });
        self.txs += 1;
        self.tx_bytes += tx.bytes;
        Ok(receipt)
    }

    /// Seals the block, to be written at `offset` of the log: the block and what it does to the
    /// index.
    pub(crate) fn seal(mut self, offset: u64) -> Result<(Block, Batch), IndexError> {
        let first_entry = self.previous.tree_size;
        let mut tree_size = first_entry;
        for entry in &self.entries {
            merkle::append(&mut self.overlay, tree_size, entry.leaf())?;
            tree_size += 1;
        }
        let height = self.height();
        self.overlay.put(keys::place(height), &BlockPlace { offset, first_entry });
        for (asset, entries) in &self.asked {
            self.overlay.put(keys::requests_in(asset, height), entries);
        }
        self.overlay.keep();
        let state_root = settle(&mut self.overlay)?;
        let header = Header {
            chain: self.chain,
            height,
            time_ms: self.time_ms,
            previous: self.previous.hash(),
            first_entry,
            tree_size,
            log_root: merkle::root(&self.overlay, tree_size)?,
            epoch: self.epoch,
            batch: self.batch,
            state_root,
        };
        let batch = Batch { head: header.clone(), writes: self.overlay.into_writes() };
        Ok((Block { header, entries: self.entries }, batch))
    }

    pub(super) fn next_entry(&self) -> u64 {
        self.previous.tree_size + self.entries.len() as u64
    }

    fn push(&mut self, body: EntryBody) {
        self.overlay.keep();
        self.entries.push(Entry { height: self.height(), body });
    }

    /// Marks granted requests whose deadline is past as unanswered and gives their quota back.
    fn sweep(&mut self) -> Result<(), IndexError> {
        let mut after: Option<Vec<u8>> = None;
        while self.entries.len() < BLOCK_UNANSWERED_MAX {
            // Mostly there is none, or the first one says that none is due.
            let Some((key, _)) = self.overlay.base().scan(keys::OPEN, after.as_deref(), 1)?.pop() else { break };
            let (deadline, granted) =
                keys::open_parts(&key).ok_or_else(|| IndexError::value(&key, "no deadline and height"))?;
            if deadline >= self.height() {
                break;
            }
            self.sweep_block(deadline, granted)?;
            after = Some(key);
        }
        Ok(())
    }

    /// Marks the requests that the block `granted` granted until `deadline` and that are still open.
    fn sweep_block(&mut self, deadline: BlockHeight, granted: BlockHeight) -> Result<(), IndexError> {
        let height = self.height();
        let first_entry = |height: BlockHeight| {
            let place = query::place(self.overlay.base(), height)?;
            place
                .map(|place| place.first_entry)
                .ok_or_else(|| IndexError::value(&keys::place(height), "the place of a block is missing"))
        };
        let first = first_entry(granted)?;
        let end = if granted == self.previous.height { self.previous.tree_size } else { first_entry(granted.next())? };
        for entry_index in first..end {
            if self.entries.len() >= BLOCK_UNANSWERED_MAX {
                break;
            }
            let Some(mut request) = query::request_at(&self.overlay, entry_index)? else { continue };
            if !matches!(request.status, RequestStatus::Granted { deadline: until, .. } if until == deadline) {
                continue;
            }
            request.status = RequestStatus::Unanswered { height };
            self.return_quota(&request)?;
            self.close(deadline, &request)?;
            self.overlay.put(keys::request(entry_index), &request);
            self.push(EntryBody::Unanswered { request: request.hash });
        }
        Ok(())
    }

    fn execute(&mut self, verified: &VerifiedTx) -> Result<Outcome, ExecuteError> {
        let (hash, tx) = (verified.hash, &verified.signed.tx);
        if self.receipt(&hash)?.is_some() {
            return Err(Rejection::Replayed(hash).into());
        }
        let (height, head) = (self.height(), self.previous.height);
        if tx.expiry < height {
            return Err(Rejection::Expired { expiry: tx.expiry, height }.into());
        }
        if tx.expiry > head.plus(EXPIRY_BLOCKS_MAX) {
            return Err(Rejection::ExpiryTooFar { expiry: tx.expiry, head }.into());
        }
        let sender = tx.sender;
        self.check_open(&sender)?;
        match &tx.body {
            TxBody::OpenAccount { account, identity } => self.open_account(sender, account, identity),
            TxBody::RegisterAsset { .. } => self.register(sender, &tx.body),
            TxBody::PublishVersion { asset, version } => self.publish(sender, asset, version),
            TxBody::Grant { asset, to, terms } => self.grant(hash, sender, asset, to, terms),
            TxBody::Revoke { asset, to } => self.revoke(sender, asset, to),
            TxBody::Request { .. } => self.request(hash, sender, &tx.body),
            TxBody::Answer { .. } => self.answer(hash, sender, &tx.body),
            TxBody::Decline { request, reason } => self.decline(sender, request, *reason),
            TxBody::Transfer { asset, to, consent } => self.transfer(sender, asset, to, consent),
            TxBody::Withdraw { asset } => self.withdraw(sender, asset),
            TxBody::ReplaceAccount { successor } => self.replace_account(sender, successor),
            TxBody::CloseAccount { account } => self.close_account(sender, account),
            TxBody::Propose { change } => self.propose(hash, sender, change),
            TxBody::Endorse { proposal } => self.endorse(sender, proposal),
            TxBody::PutText { name, title, content } => self.put_text(sender, name, title, content),
            TxBody::RequestWhole { .. } => self.request(hash, sender, &tx.body),
            TxBody::RequestSample { asset, seed, records } => {
                self.request_sample(hash, sender, asset, Asked::Sample { seed: *seed, records: *records })
            }
            TxBody::Deliver { .. } => self.deliver(hash, sender, &tx.body),
            TxBody::SampleResult { request, outcome, report } => {
                self.sample_result(hash, sender, request, *outcome, *report)
            }
        }
    }

    fn register(&mut self, owner: Address, body: &TxBody) -> Result<Outcome, ExecuteError> {
        let TxBody::RegisterAsset { name, title, description, data_type, schema, place_key, budgets, version } = body
        else {
            return Ok(Outcome::Accepted);
        };
        let id = AssetId::of(&self.chain, &owner, name);
        self.check_no_asset(&owner, name, id)?;
        if query::text(&self.overlay, &id)?.is_some() {
            return Err(Rejection::AssetExists { name: name.clone(), asset: id }.into());
        }
        if version.number != 1 {
            return Err(Rejection::VersionNumber { asset: id, expected: 1, found: version.number }.into());
        }
        let view = AssetView {
            id,
            owner,
            name: name.clone(),
            title: title.clone(),
            description: description.clone(),
            data_type: data_type.clone(),
            schema: schema.clone(),
            place_key: *place_key,
            budgets: budgets.clone(),
            current: 1,
            withdrawn: None,
            handed: Vec::new(),
            height: self.height(),
            entry_index: self.next_entry(),
        };
        self.overlay.put(keys::asset_name(name, &id), &());
        self.overlay.put(keys::owned(&owner, name), &id);
        self.overlay.put(keys::asset(&id), &view);
        self.put_version(id, version, schema)
    }

    /// Refuses a name that an asset of its owner's has, or under which the owner registered one that is
    /// another's now: its id, `id`, is taken.
    fn check_no_asset(&self, owner: &Address, name: &str, id: AssetId) -> Result<(), ExecuteError> {
        let taken = match query::owned(&self.overlay, owner, name)? {
            Some(asset) => Some(asset),
            None => query::asset(&self.overlay, &id)?.map(|asset| asset.id),
        };
        match taken {
            Some(asset) => Err(Rejection::AssetExists { name: name.to_owned(), asset }.into()),
            None => Ok(()),
        }
    }

    fn put_text(
        &mut self,
        owner: Address,
        name: &str,
        title: &str,
        content: &TextContent,
    ) -> Result<Outcome, ExecuteError> {
        let id = AssetId::of(&self.chain, &owner, name);
        self.check_no_asset(&owner, name, id)?;
        let view = TextView {
            id,
            owner,
            name: name.to_owned(),
            title: title.to_owned(),
            content: content.clone(),
            height: self.height(),
            entry_index: self.next_entry(),
        };
        self.overlay.put(keys::text(&id), &view);
        Ok(Outcome::Accepted)
    }

    fn put_version(&mut self, asset: AssetId, info: &VersionInfo, schema: &Schema) -> Result<Outcome, ExecuteError> {
        check_version(info, schema)?;
        let view = VersionView { asset, info: info.clone(), height: self.height(), entry_index: self.next_entry() };
        self.overlay.put(keys::version(&asset, info.number), &view);
        Ok(Outcome::Accepted)
    }

    /// An asset of the sender's that has not been withdrawn.
    pub(super) fn owned(&self, sender: Address, asset: &AssetId) -> Result<AssetView, ExecuteError> {
        let view = query::asset(&self.overlay, asset)?.ok_or(Rejection::UnknownAsset(*asset))?;
        if view.owner != sender {
            return Err(Rejection::NotOwner { asset: *asset, owner: view.owner, sender }.into());
        }
        view.check_stands()?;
        Ok(view)
    }

    /// Makes `to` the owner of an asset: by its owner, or by `to` itself where it succeeds an owner whose
    /// account was closed.
    fn transfer(
        &mut self,
        sender: Address,
        asset: &AssetId,
        to: &Address,
        consent: &Consent,
    ) -> Result<Outcome, ExecuteError> {
        let mut view = query::asset(&self.overlay, asset)?.ok_or(Rejection::UnknownAsset(*asset))?;
        let handed_max = if view.owner == sender {
            OWNERS_MAX
        } else if *to == sender && query::succeeds(&self.overlay, to, &view.owner)? {
            HANDED_MAX
        } else {
            return Err(Rejection::NotOwner { asset: *asset, owner: view.owner, sender }.into());
        };
        view.check_stands()?;
        let handed = view.handed.len();
        if handed >= handed_max {
            return Err(Rejection::TooManyOwners { asset: *asset, handed }.into());
        }
        self.check_consent(&view, to, consent)?;
        let texts = AssetId::of(&self.chain, to, &view.name);
        if query::owned(&self.overlay, to, &view.name)?.is_some() || query::text(&self.overlay, &texts)?.is_some() {
            return Err(Rejection::NameTaken { name: view.name, to: *to }.into());
        }
        view.handed.push(self.next_entry());
        self.overlay.delete(keys::owned(&view.owner, &view.name));
        self.overlay.put(keys::owned(to, &view.name), asset);
        view.owner = *to;
        self.overlay.put(keys::asset(asset), &view);
        Ok(Outcome::Accepted)
    }

    /// That an open account has agreed to be given this asset now.
    fn check_consent(&self, asset: &AssetView, to: &Address, consent: &Consent) -> Result<(), ExecuteError> {
        let receiver = query::account(&self.overlay, to)?.ok_or(Rejection::UnknownSender(*to))?;
        receiver.check_open()?;
        let (height, expiry) = (self.height(), consent.expiry);
        if expiry < height {
            return Err(Rejection::ConsentExpired { expiry, height }.into());
        }
        let handing = asset.handing(self.chain, *to, expiry);
        handing.verify(&receiver.account, &consent.signature).map_err(|_| {
            let Handing { asset, from, to, handed, .. } = handing;
            Rejection::NoConsent { asset, from, to, handed }.into()
        })
    }

    fn withdraw(&mut self, sender: Address, asset: &AssetId) -> Result<Outcome, ExecuteError> {
        let view = self.owned(sender, asset)?;
        self.end(view);
        Ok(Outcome::Accepted)
    }

    /// Marks an asset as withdrawn.
    pub(super) fn end(&mut self, mut view: AssetView) {
        view.withdrawn = Some(self.height());
        self.overlay.put(keys::asset(&view.id), &view);
    }

    fn publish(&mut self, sender: Address, asset: &AssetId, version: &VersionInfo) -> Result<Outcome, ExecuteError> {
        let mut view = self.owned(sender, asset)?;
        let expected = view.current.saturating_add(1);
        if version.number != expected || version.number == view.current {
            return Err(Rejection::VersionNumber { asset: *asset, expected, found: version.number }.into());
        }
        view.current = expected;
        self.overlay.put(keys::asset(asset), &view);
        self.put_version(*asset, version, &view.schema)
    }

    fn grant(
        &mut self,
        hash: TxHash,
        sender: Address,
        asset: &AssetId,
        to: &Address,
        terms: &GrantTerms,
    ) -> Result<Outcome, ExecuteError> {
        let view = self.owned(sender, asset)?;
        check_terms(terms, &view.data_type, &view.schema)?;
        let grant = GrantView {
            asset: *asset,
            to: *to,
            terms: terms.clone(),
            used: 0,
            granted_by: hash,
            height: self.height(),
        };
        self.take_back(asset, to)?;
        self.overlay.put(keys::grant(asset, to), &grant);
        Ok(Outcome::Accepted)
    }

    fn revoke(&mut self, sender: Address, asset: &AssetId, to: &Address) -> Result<Outcome, ExecuteError> {
        self.owned(sender, asset)?;
        match self.take_back(asset, to)? {
            true => Ok(Outcome::Accepted),
            false => Err(Rejection::NoSuchGrant { asset: *asset, to: *to }.into()),
        }
    }

    /// Removes all that holds for an account on an asset, also as a successor, and says whether anything
    /// did: what is older never comes to light again.
    fn take_back(&mut self, asset: &AssetId, to: &Address) -> Result<bool, ExecuteError> {
        let mut any = false;
        for holder in std::iter::once(*to).chain(query::predecessors(&self.overlay, to)?) {
            if query::grant(&self.overlay, asset, &holder)?.is_some() {
                self.overlay.delete(keys::grant(asset, &holder));
                any = true;
            }
        }
        Ok(any)
    }
}

impl<I: Index + ?Sized> Tiles for Overlay<'_, I> {
    type Error = IndexError;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, IndexError> {
        query::tile(self, level, index)
    }

    fn missing(&self, level: u8, index: u64) -> IndexError {
        IndexError::value(&keys::tile(level, index), "a part of the tree is missing")
    }
}

impl<I: Index + ?Sized> TilesMut for Overlay<'_, I> {
    fn put_tile(&mut self, level: u8, index: u64, hashes: &[NodeHash]) {
        self.put(keys::tile(level, index), &hashes);
    }
}

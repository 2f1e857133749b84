//! The owner's side of deliveries: what was granted is sealed, stored and recorded before it is
//! released, and ciphertext is given to whoever shows the delivery's token while the grant stands.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use sealgate_ledger::block::Outcome;
use sealgate_ledger::ids::{Digest, SampleSeed, TxHash};
use sealgate_ledger::state::{Asked, AssetView, RequestStatus, RequestView};
use sealgate_ledger::tx::{Damage, DeclineReason, SignedTx, TxBody};
use sealgate_ods::file::SealedFile;
use sealgate_ods::{AttemptId, KeyError};
use subtle::ConstantTimeEq as _;

use super::whole::let_go_of;
use super::{
    Delivered, DeliveredColumn, FetchRequest, RANGE_BYTES_MAX, SealedKey, SecretDelivery, Token, delivery_digest,
    delivery_purpose, rounded,
};
use crate::envelope::{self, EnvelopeError};
use crate::files::{FileError, read_bounded, write_private};
use crate::gateway::{AskError, Gateway, internal, malformed};
use crate::messages::AskResponse;
use crate::opened::Opened;
use crate::owner::OwnerError;
use crate::relay::{self, RelayError};
use crate::sampling::{SampleDelivery, damage, sample_of_nothing, sample_table};

/// Deliveries kept in memory.
pub(super) const KNOWN_MAX: usize = 16;

/// A sealed delivery as it lies on disk; its token's digest lies within the first [`HEAD_BYTES`].
#[derive(BorshSerialize, BorshDeserialize)]
struct StoredDelivery {
    version: u32,
    /// Bytes of ciphertext that it opens, rounded.
    bytes: u64,
    /// Digest of the token that it holds.
    token: Digest,
    /// Columns of which ciphertext is given, with the lengths of their objects; 0 for those that are not.
    objects: Vec<(u8, Vec<u64>)>,
    sealed: Vec<u8>,
}

/// Bytes of a stored delivery up to the end of its token's digest.
const HEAD_BYTES: usize = 4 + 8 + 32;

/// The deliveries of a running gateway.
pub(crate) struct Deliveries {
    /// For each request that is being delivered a lock, so that its delivery is made once.
    making: Mutex<HashMap<TxHash, Weak<tokio::sync::Mutex<()>>>>,
    /// Those that ciphertext was asked of lately, so that not every part of it reads the file.
    known: Mutex<HashMap<TxHash, Arc<KnownDelivery>>>,
    /// Files that are open.
    pub(crate) files: Opened<SealedFile>,
}

/// What is asked of a delivery with every part of its ciphertext.
struct KnownDelivery {
    token: Digest,
    objects: Vec<(u8, Vec<u64>)>,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { making: Mutex::default(), known: Mutex::default(), files: Opened::new(KNOWN_MAX) }
    }
}

impl Deliveries {
    /// The lock under which a request is delivered.
    fn making(&self, request: &TxHash) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = making.get(request).and_then(Weak::upgrade) {
            return lock;
        }
        making.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        making.insert(*request, Arc::downgrade(&lock));
        lock
    }
}

/// A part of a stored object.
#[derive(Debug)]
pub struct Part {
    /// Its bytes.
    pub content: Bytes,
    /// Where it begins.
    pub start: u64,
    /// Length of the whole object.
    pub total: u64,
}

/// Which part of which object of a delivery is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The request.
    pub request: TxHash,
    /// The column.
    pub column: u8,
    /// Position of the segment in the version's order.
    pub position: usize,
    /// First byte.
    pub start: u64,
    /// How many.
    pub length: u64,
    /// The delivery's token.
    pub token: &'a str,
}

impl Gateway {
    /// Delivers whole columns: records the request, and if it is granted the delivery, then releases
    /// it. Sending the same request again gives the same delivery, while the grant stands.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn deliver(&self, request: FetchRequest, passed_on: bool) -> Result<AskResponse, AskError> {
        let (tx, _place) = self.place_for(&request.transaction, request.seen).await?;
        let asset = self.admit_fetch(&request, &tx)?;
        if asset.owner != self.owner().account().address() {
            return match (relay::is_shared(self.ledger()), passed_on) {
                (false, _) => Err(AskError::NotServed(asset.id)),
                (true, true) => Err(RelayError::Passed(asset.id).into()),
                (true, false) => {
                    let owner = relay::gateway_of(self.ledger(), &asset.id, &asset.owner)?;
                    Ok(owner.deliver(&request).await.map_err(RelayError::Owner)?)
                }
            };
        }
        let hash = tx.hash();
        let receipt = self.submit(tx).await?;
        let Outcome::Granted { version, .. } = receipt.outcome else {
            self.cosigned().wait(self.ledger()).await;
            return Ok(AskResponse { proofs: self.proofs(request.seen, &[receipt.entry_index])?, sealed: None });
        };
        let (last, sealed) = {
            let making = self.deliveries().making(&hash);
            let _one = making.lock().await;
            self.deliver_once(&hash, &asset, version).await?
        };
        self.cosigned().wait(self.ledger()).await;
        let Some(sealed) = sealed else {
            let entries = [receipt.entry_index, last];
            return Ok(AskResponse { proofs: self.proofs(request.seen, &entries)?, sealed: None });
        };
        let published = self.ledger().version(&asset.id, version).map_err(internal)?.map(|view| view.entry_index);
        let entries = [asset.entry_index, published.unwrap_or(asset.entry_index), receipt.entry_index, last];
        Ok(AskResponse { proofs: self.proofs(request.seen, &entries)?, sealed: Some(BASE64.encode(sealed)) })
    }

    /// Everything that can be refused from the request alone. Nothing has been recorded.
    fn admit_fetch(&self, request: &FetchRequest, tx: &SignedTx) -> Result<AssetView, AskError> {
        let (TxBody::RequestWhole { asset, .. } | TxBody::RequestSample { asset, .. }) = &tx.tx.body else {
            return Err(malformed("the transaction asks for no whole columns, file or sample"));
        };
        let view = self.ledger().asset(asset).map_err(internal)?.ok_or(AskError::NotServed(*asset))?;
        self.check_seen(request.seen)?;
        Ok(view)
    }

    /// The stored delivery of a granted request, made now if there is none, and the entry that ends
    /// the request. The caller holds the request's lock.
    async fn deliver_once(
        &self,
        request: &TxHash,
        asset: &AssetView,
        version: u32,
    ) -> Result<(u64, Option<Vec<u8>>), AskError> {
        let view = self.ledger().request(request).map_err(internal)?;
        let view = view.ok_or_else(|| internal("the request has vanished"))?;
        match view.status {
            RequestStatus::Declined { entry_index, .. } => return Ok((entry_index, None)),
            RequestStatus::Unanswered { height } => {
                let why =
                    format!("nothing was delivered in time, says block {height}; the quota has returned: ask again");
                return Err(AskError::TooLate(why));
            }
            RequestStatus::Denied { .. } | RequestStatus::Answered { .. } => {
                return Err(internal("a request that is denied or answered came to be delivered"));
            }
            RequestStatus::Granted { .. } | RequestStatus::Delivered { .. } => {}
        }
        if !self.stands(&view)? {
            return Err(nothing_released());
        }
        if let RequestStatus::Delivered { entry_index, .. } = view.status {
            return Ok((entry_index, Some(self.stored_delivery(request)?.sealed)));
        }
        let path = self.delivery_path(request);
        let stored = if path.exists() {
            self.stored_delivery(request)?
        } else {
            match self.make_delivery(&view, asset, version).await? {
                Ok(stored) => {
                    write_private(&path, &sealgate_ledger::codec::encode(&stored), false)
                        .map_err(FileError::io(&path))
                        .map_err(internal)?;
                    stored
                }
                Err(reason) => {
                    let receipt = self.record(TxBody::Decline { request: *request, reason }).await?;
                    return Ok((receipt.entry_index, None));
                }
            }
        };
        let sealed = delivery_digest(&stored.sealed);
        let body = TxBody::Deliver { request: *request, version, sealed, bytes: stored.bytes };
        let receipt = self.record(body).await?;
        Ok((receipt.entry_index, Some(stored.sealed)))
    }

    /// Whether what was granted may still be released.
    fn stands(&self, view: &RequestView) -> Result<bool, AskError> {
        let asset = self.ledger().asset(&view.asset).map_err(internal)?;
        if asset.is_none_or(|asset| asset.withdrawn.is_some()) {
            return Ok(false);
        }
        if !self.is_open(&view.sender)? {
            return Ok(false);
        }
        if let Asked::Sample { .. } = view.asked {
            let auditor = self.ledger().policy().map_err(internal)?.auditor;
            return Ok(auditor.is_some_and(|auditor| auditor.address() == view.sender));
        }
        let grant = self.ledger().grant(&view.asset, &view.sender).map_err(internal)?;
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(u64::MAX);
        Ok(grant.is_some_and(|grant| {
            Some(grant.granted_by) == view.grant && grant.terms.until_ms.is_none_or(|until| now_ms <= until)
        }))
    }

    /// Seals what was granted to the requester. The inner error says why it is to be declined.
    async fn make_delivery(
        &self,
        view: &RequestView,
        asset: &AssetView,
        version: u32,
    ) -> Result<Result<StoredDelivery, DeclineReason>, AskError> {
        let token = Token::generate().map_err(internal)?;
        let columns = match &view.asked {
            Asked::Whole { columns } => columns,
            Asked::Sample { seed, records } => {
                let sample = self.make_sample(view, asset, version, (seed, *records), token.clone()).await?;
                let objects = sample.objects();
                return self.seal_delivery(view, &sample, &token, objects);
            }
            Asked::Question { .. } => return Err(internal("a question came to be delivered")),
        };
        let whole = match self.whole(asset, version).await {
            Ok(whole) => whole,
            Err(error) => return Err(self.not_given(asset, version, error).await),
        };
        let mut delivered = Vec::new();
        for column in columns {
            let (segments, keys) = whole.column(*column).map_err(internal)?;
            let keys = keys.iter().map(|key| SealedKey(*key.expose())).collect();
            delivered.push(DeliveredColumn { column: *column, segments, keys });
        }
        let delivery = SecretDelivery {
            request: view.hash,
            version,
            attempt: whole.attempt(),
            token: token.clone(),
            columns: delivered,
        };
        let lengths = |one: &DeliveredColumn| one.segments.iter().map(|segment| segment.bytes).collect();
        let objects = delivery.columns.iter().map(|one| (one.column, lengths(one))).collect();
        self.seal_delivery(view, &delivery, &token, objects)
    }

    /// What chance chose, damage and all: an owner that gave no answer because its store is damaged would leave
    /// nothing on the ledger that says so.
    async fn make_sample(
        &self,
        view: &RequestView,
        asset: &AssetView,
        version: u32,
        (seed, records): (&SampleSeed, u16),
        token: Token,
    ) -> Result<SampleDelivery, AskError> {
        let of = (view.hash, version);
        let sample = match self.table(asset, version).await {
            Ok(table) => sample_table(&table, of, (seed, records), token).await.map_err(internal)?,
            Err(OwnerError::Store(error)) => {
                let damage = damage(&error).ok_or(error).map_err(internal)?;
                let (_, version_ref) = self.keys_and_ref(asset, version).map_err(internal)?;
                sample_of_nothing(version_ref.attempt, of, records, token, damage)
            }
            // Without its keys the owner does not know under which attempt the version lies.
            Err(OwnerError::Keys(KeyError::Missing { .. })) => {
                return Ok(sample_of_nothing(AttemptId([0; 16]), of, records, token, Damage::Key));
            }
            Err(error) => return Err(internal(error)),
        };
        // What was let go of is missing, and not damaged.
        match sample.samples.iter().any(Result::is_err) {
            true if !self.is_kept(asset, version).await.map_err(internal)? => Err(let_go_of(asset, version)),
            _ => Ok(sample),
        }
    }

    fn seal_delivery<D: Delivered>(
        &self,
        view: &RequestView,
        delivery: &D,
        token: &Token,
        objects: Vec<(u8, Vec<u64>)>,
    ) -> Result<Result<StoredDelivery, DeclineReason>, AskError> {
        let requester = self.ledger().account(&view.sender).map_err(internal)?;
        let requester = requester.ok_or_else(|| internal("the requester has vanished"))?;
        let message = zeroize::Zeroizing::new(sealgate_ledger::codec::encode(delivery));
        let sealed = envelope::seal(&requester.account.encryption_key, delivery_purpose(&view.hash), &message);
        let sealed = match sealed {
            Err(EnvelopeError::TooLong(_)) => return Ok(Err(DeclineReason::TooLarge)),
            other => other.map_err(internal)?,
        };
        let (bytes, token) = (rounded(delivery.bytes()), Token::digest(&token.text()));
        Ok(Ok(StoredDelivery { version: delivery.of().1, bytes, token, objects, sealed }))
    }

    /// A part of the ciphertext of a delivery, for whoever has its token.
    ///
    /// # Errors
    /// [`AskError::TooLate`] when the grant no longer stands or the version has been let go of, [`AskError::Malformed`] for a range that
    /// the object does not have; `Ok(None)` when there is nothing there, which is also what a wrong
    /// token is told.
    pub async fn delivered(&self, wanted: Wanted<'_>, passed_on: bool) -> Result<Option<Part>, AskError> {
        let Some(view) = self.ledger().request(&wanted.request).map_err(internal)? else { return Ok(None) };
        let RequestStatus::Delivered { version, .. } = view.status else { return Ok(None) };
        let Some(asset) = self.ledger().asset(&view.asset).map_err(internal)? else { return Ok(None) };
        if asset.owner != self.owner().account().address() {
            if passed_on || !relay::is_shared(self.ledger()) {
                return Ok(None);
            }
            let owner = relay::gateway_of(self.ledger(), &asset.id, &asset.owner)?;
            return Ok(owner.segment(&wanted).await.map_err(RelayError::Owner)?);
        }
        let shown = Token::digest(wanted.token);
        let Some(stored) = self.known_delivery(&wanted.request, &shown)? else { return Ok(None) };
        let objects = stored.objects.iter().find(|(column, _)| *column == wanted.column);
        let total = objects.and_then(|(_, lengths)| lengths.get(wanted.position).copied());
        let Some(total) = total.filter(|total| *total > 0) else {
            return Ok(None);
        };
        if !self.stands(&view)? {
            return Err(nothing_released());
        }
        let Wanted { start, length, .. } = wanted;
        let inside = start.checked_add(length).is_some_and(|end| end <= total);
        if length == 0 || length > RANGE_BYTES_MAX || !inside {
            return Err(AskError::Malformed(format!(
                "the object has {total} bytes, and at most {RANGE_BYTES_MAX} of them are given at once: name such a range"
            )));
        }
        match self.read_whole(&asset, version, wanted).await {
            Ok(content) => Ok(Some(Part { content, start, total })),
            // An auditor records it against the owner; whoever fetches comes again when it has been repaired.
            Err(OwnerError::Store(error))
                if matches!(view.asked, Asked::Sample { .. })
                    && damage(&error).is_some()
                    && self.is_kept(&asset, version).await.map_err(internal)? =>
            {
                tracing::error!(%error, "a stored object that an auditor asks for is not what was written");
                Ok(None)
            }
            Err(error) => Err(self.not_given(&asset, version, error).await),
        }
    }

    async fn read_whole(&self, asset: &AssetView, version: u32, wanted: Wanted<'_>) -> Result<Bytes, OwnerError> {
        let whole = self.whole(asset, version).await?;
        Ok(whole.read(wanted.column, wanted.position, wanted.start, wanted.length).await?)
    }

    fn delivery_path(&self, request: &TxHash) -> PathBuf {
        self.owner().folder().join("answers").join(format!("{request}.delivery"))
    }

    /// A delivery that was made, from memory if it was asked for before; only for whoever shows its token,
    /// which is compared before more than the head of the file is read.
    fn known_delivery(&self, request: &TxHash, shown: &Digest) -> Result<Option<Arc<KnownDelivery>>, AskError> {
        let matches = |token: &[u8; 32]| bool::from(shown.0.ct_eq(token));
        let known = || self.deliveries().known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = known().get(request) {
            return Ok(matches(&stored.token.0).then(|| Arc::clone(stored)));
        }
        match self.stored_token(request)? {
            Some(token) if matches(&token) => {}
            _ => return Ok(None),
        }
        let StoredDelivery { token, objects, .. } = self.stored_delivery(request)?;
        let stored = Arc::new(KnownDelivery { token, objects });
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(*request, Arc::clone(&stored));
        Ok(Some(stored))
    }

    /// The digest of a stored delivery's token; none where there is no delivery.
    fn stored_token(&self, request: &TxHash) -> Result<Option<[u8; 32]>, AskError> {
        let path = self.delivery_path(request);
        let mut head = [0; HEAD_BYTES];
        let read = File::open(&path).and_then(|mut file| file.read_exact(&mut head));
        match read {
            Ok(()) => Ok(head.last_chunk().copied()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(internal(FileError::io(&path)(error))),
        }
    }

    fn stored_delivery(&self, request: &TxHash) -> Result<StoredDelivery, AskError> {
        let path = self.delivery_path(request);
        let bytes = read_bounded(&path, 2 * envelope::ENVELOPE_BYTES_MAX as u64).map_err(internal)?;
        sealgate_ledger::codec::decode("stored delivery", &bytes)
            .map_err(|error| internal(FileError::content(&path, error)))
    }
}

/// What whoever comes too late is told.
fn nothing_released() -> AskError {
    let what = "nothing is released any more: the grant was withdrawn, replaced or is over, or the account was closed";
    AskError::TooLate(what.into())
}

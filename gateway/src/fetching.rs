//! The requester's side of whole columns: asks for them, checks the delivery against the ledger,
//! keeps the ciphertext as it comes, and writes a table file at the end (docs/spec/delivery.md).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_ledger::account::{AccountPublic, AccountSecret};
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{AssetId, BlockHeight, Digest, TxHash};
use sealgate_ledger::light::{EntryProof, verify_entry};
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::{ColumnSeal, SignedTx, TABLE, TxBody, VersionInfo};
use sealgate_ods::table::columns::{column_seal, open_segment};
use sealgate_ods::{AssetLabel, CipherSuite, HashAlgorithm, SegmentKey};
use serde::Serialize;

use crate::asking::{AskFailure, Session, decline, denial, entry_hash, is_final, kept_tx, owner_keys};
use crate::client::{AssetDetail, Client, ClientError};
use crate::delivery::{
    Delivered, DeliveredColumn, FetchRequest, SecretDelivery, delivery_digest, delivery_purpose, rounded,
};
use crate::envelope;
use crate::files::FileError;
use crate::handed::{Handed, owner_after};
use crate::home::{Asked, Home};
use crate::messages::{AskResponse, Nonce};
use crate::owner::{OwnerError, label, signed};
use crate::witness::pins::Witnessed;

pub mod file;
pub mod spool;
pub mod table_file;

use spool::Spool;
pub use table_file::Format;

/// Largest object that an honest owner makes: 32 MiB of values, padding and a long text more.
pub(crate) const OBJECT_BYTES_MAX: u64 = 64 << 20;

/// What is fetched, and where to.
pub struct Fetching<'a> {
    /// The asset: its id, or its name as in a question's FROM.
    pub asset: &'a str,
    /// Names of columns, in the order in which the file has them.
    pub columns: &'a [String],
    /// The stated purpose.
    pub purpose: &'a str,
    /// The file.
    pub out: &'a Path,
    /// Its format.
    pub format: Format,
    /// Told how far which work is.
    pub progress: &'a (dyn Fn(&'static str, u64, u64) + Sync),
}

/// What was fetched and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The request.
    pub request: TxHash,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// The version that the columns are of.
    pub version: u32,
    /// The columns.
    pub columns: Vec<String>,
    /// How many rows each has.
    pub rows: u64,
    /// How many bytes of ciphertext were opened.
    pub bytes: u64,
    /// The block that records the delivery.
    pub block: BlockHeight,
    /// What the witnesses that the home pins say of the ledger.
    pub witnessed: Witnessed,
}

/// A delivery, checked against the ledger.
pub struct Obtained<D = SecretDelivery> {
    /// The request.
    pub request: TxHash,
    /// The version it is from, as registered.
    pub version: VersionInfo,
    /// What the owner sealed.
    pub delivery: D,
    /// The block that records it.
    pub block: BlockHeight,
    /// What the pinned witnesses say of the checkpoint that proves it.
    pub witnessed: Witnessed,
    /// The request as it was sent.
    pub(crate) tx: SignedTx,
    asked: Asked,
}

impl<D> Obtained<D> {
    /// Notes in the home that what was asked for is here; until then the same words take the same
    /// request up again.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn kept(&self, home: &Home) -> Result<(), FileError> {
        home.keep_asked(&self.request, &Asked { done: true, ..self.asked.clone() })
    }
}

/// Fetches whole columns into a file. What was interrupted goes on where it stopped.
///
/// # Errors
/// [`AskFailure`]; a denial is one of them and stands on the ledger.
pub async fn fetch(home: &Home, client: &Client, fetching: &Fetching<'_>) -> Result<Fetched, AskFailure> {
    let account = home.account()?;
    let session = Session::open(home, client).await?;
    let detail = session.asset(fetching.asset).await?;
    let asset = &detail.asset;
    if asset.data_type != TABLE {
        return Err(AskFailure::Table(format!("'{}' is a {}, not a table with columns", asset.name, asset.data_type)));
    }
    let wanted = positions(asset, fetching.columns)?;
    let mut columns = wanted.clone();
    columns.sort_unstable();
    session.enrol(&account).await?;
    let words = format!("fetch columns {columns:?}");
    let body = TxBody::RequestWhole {
        asset: asset.id,
        columns: columns.clone(),
        purpose: fetching.purpose.to_owned(),
        consent: None,
    };
    let obtained = obtain(&session, &account, &detail, (&words, fetching.purpose), body).await?;
    let opening = Opening::check(&obtained, asset, &columns)?;
    let mut spool = Spool::open(fetching.out, &obtained.request)?;
    let progress = |done, total| (fetching.progress)("fetching ciphertext", done, total);
    if let Err(error) = spool.fill(&session, &obtained, opening.hash, &progress).await {
        if is_final(&error) {
            obtained.kept(home)?;
        }
        return Err(error);
    }
    let rows = opening.write(&obtained, &mut spool, (&wanted, asset), fetching)?;
    obtained.kept(home)?;
    Ok(Fetched {
        request: obtained.request,
        asset: asset.id,
        name: asset.name.clone(),
        version: obtained.version.number,
        columns: fetching.columns.to_vec(),
        rows,
        bytes: obtained.delivery.bytes(),
        block: obtained.block,
        witnessed: obtained.witnessed,
    })
}

fn positions(asset: &AssetView, names: &[String]) -> Result<Vec<u8>, AskFailure> {
    let mut positions = Vec::new();
    for name in names {
        let (position, _) = asset.schema.column(name).ok_or_else(|| {
            let known: Vec<&str> = asset.schema.columns.iter().map(|column| column.name.as_str()).collect();
            AskFailure::Key(format!("'{}' has no column '{name}'; it has {}", asset.name, known.join(", ")))
        })?;
        if positions.contains(&position) {
            return Err(AskFailure::Key(format!("--columns names '{name}' twice")));
        }
        positions.push(position);
    }
    if positions.is_empty() {
        return Err(AskFailure::Key("--columns names no column".into()));
    }
    Ok(positions)
}

/// Asks for something whole, or takes up again what was asked for in the same words, and checks what
/// comes back against the ledger.
///
/// # Errors
/// [`AskFailure`].
pub async fn obtain<D: Delivered>(
    session: &Session<'_>,
    account: &AccountSecret,
    detail: &AssetDetail,
    (words, purpose): (&str, &str),
    body: TxBody,
) -> Result<Obtained<D>, AskFailure> {
    let (asked, tx) = match session.home.unfinished(&detail.asset.id, words, purpose)? {
        Some(asked) => {
            let tx = kept_tx(&asked)?;
            (asked, tx)
        }
        None => {
            let tx = signed(&session.genesis, session.head, account, body)?;
            let mut nonce = Nonce([0; 32]);
            getrandom::fill(&mut nonce.0).map_err(|error| OwnerError::Randomness(error.to_string()))?;
            let asked = Asked {
                sql: words.to_owned(),
                purpose: purpose.to_owned(),
                asset: detail.asset.id,
                nonce,
                transaction: BASE64.encode(tx.encode()),
                done: false,
            };
            session.home.keep_asked(&tx.hash(), &asked)?;
            (asked, tx)
        }
    };
    let request = FetchRequest { transaction: asked.transaction.clone(), seen: session.checkpoint.size };
    let result = match session.client.deliver(&request).await.map_err(AskFailure::NotTaken) {
        Ok(response) => conclude(session, account, detail, &tx, response).await,
        Err(error) => Err(error),
    };
    match result {
        Ok((version, delivery, block, witnessed)) => {
            Ok(Obtained { request: tx.hash(), version, delivery, block, witnessed, tx, asked })
        }
        Err(error) => {
            if is_final(&error) {
                session.home.keep_asked(&tx.hash(), &Asked { done: true, ..asked })?;
            }
            Err(error)
        }
    }
}

type Concluded<D> = (VersionInfo, D, BlockHeight, Witnessed);

/// Checks what came back, down to the sealed delivery.
async fn conclude<D: Delivered>(
    session: &Session<'_>,
    account: &AccountSecret,
    detail: &AssetDetail,
    tx: &SignedTx,
    response: AskResponse,
) -> Result<Concluded<D>, AskFailure> {
    let refused = |what: &str| AskFailure::Refused(what.into());
    let proofs = response.proofs;
    let (checkpoint, witnessed) = session.connected(&proofs).await?;
    let (hash, owner) = (tx.hash(), owner_keys(session, detail).await?);
    let Some(sealed) = response.sealed else {
        return Err(match proofs.entries.as_slice() {
            [request] => denial(request, &checkpoint, &hash, &detail.asset.schema),
            [_, declined] => decline(declined, &checkpoint, &hash, &owner),
            _ => refused("it says neither granted nor denied"),
        });
    };
    let Ok([registration, publication, request, record]) = <[EntryProof; 4]>::try_from(proofs.entries) else {
        return Err(refused("it does not prove registration, version, request and delivery"));
    };
    let chain = session.genesis.chain_id();
    let handed = session.handed(&detail.asset, &checkpoint).await?;
    let entries = Entries { chain: &chain, asset: &detail.asset.id, checkpoint: &checkpoint, handed: &handed, owner };
    let version = entries.version(&registration, &publication)?;
    entries.granted(&request, &hash, version.number)?;
    let sealed = BASE64.decode(sealed).map_err(|_| refused("the sealed delivery is not base64"))?;
    let bytes = entries.recorded(&record, &hash, version.number, &delivery_digest(&sealed))?;
    if !(publication.entry_index < request.entry_index && request.entry_index < record.entry_index) {
        return Err(refused("version, request and delivery are not on the ledger in this order"));
    }
    session.home.same_version(&chain, &detail.asset.id, version.number, &version.root)?;
    let opened = envelope::open(account, delivery_purpose(&hash), &sealed)?;
    let delivery: D =
        sealgate_ledger::codec::decode("delivery", &opened).map_err(|error| AskFailure::Refused(error.to_string()))?;
    if delivery.of() != (hash, version.number) {
        return Err(refused("the sealed delivery is of another request or version"));
    }
    if rounded(delivery.bytes()) != bytes {
        return Err(refused("the ledger records another number of bytes than the delivery opens"));
    }
    Ok((version, delivery, record.entry.height, witnessed))
}

/// Entries under one checkpoint, and whose they must be.
struct Entries<'a> {
    chain: &'a sealgate_ledger::ids::ChainId,
    asset: &'a AssetId,
    checkpoint: &'a Checkpoint,
    handed: &'a [Handed],
    owner: AccountPublic,
}

impl Entries<'_> {
    /// A transaction that the ledger accepted, signed by whoever owned the asset then.
    fn by_owner<'p>(&self, what: &str, proof: &'p EntryProof, registrant: bool) -> Result<&'p SignedTx, AskFailure> {
        let refused = |why: String| AskFailure::Refused(format!("the {what}: {why}"));
        verify_entry(proof, self.checkpoint).map_err(|error| refused(error.to_string()))?;
        let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &proof.entry.body else {
            return Err(refused("the ledger did not accept it".into()));
        };
        let next = self.handed.iter().find(|step| registrant || proof.entry_index <= step.entry.entry_index);
        let by = next.map_or_else(|| self.owner.clone(), |step| step.by.account());
        if tx.tx.chain != *self.chain || tx.validate().is_err() || tx.verify(&by).is_err() {
            return Err(refused("it is not by the asset's owner".into()));
        }
        Ok(tx)
    }

    /// The version as registered.
    fn version(&self, registration: &EntryProof, publication: &EntryProof) -> Result<VersionInfo, AskFailure> {
        let refused = |what: &str| AskFailure::Refused(what.into());
        let tx = self.by_owner("registration", registration, true)?;
        let TxBody::RegisterAsset { name, version, .. } = &tx.tx.body else {
            return Err(refused("the registration is none"));
        };
        if AssetId::of(self.chain, &tx.tx.sender, name) != *self.asset {
            return Err(refused("the registration is of another asset"));
        }
        let owner = owner_after(self.chain, self.asset, tx.tx.sender, self.handed, &self.owner, self.checkpoint);
        if owner.map_err(|error| AskFailure::Refused(error.to_string()))? != self.owner.address() {
            return Err(refused("the asset is not the one's who delivered"));
        }
        if publication == registration {
            return Ok(version.clone());
        }
        match &self.by_owner("publication", publication, false)?.tx.body {
            TxBody::PublishVersion { asset, version } if asset == self.asset => Ok(version.clone()),
            _ => Err(refused("the publication is of no version of this asset")),
        }
    }

    /// That our request was granted and bound to the version.
    fn granted(&self, request: &EntryProof, hash: &TxHash, version: u32) -> Result<(), AskFailure> {
        verify_entry(request, self.checkpoint).map_err(|error| AskFailure::Refused(format!("the request: {error}")))?;
        match &request.entry.body {
            EntryBody::Transaction { outcome: Outcome::Granted { version: bound, .. }, .. }
                if *bound == version && entry_hash(request) == Some(*hash) =>
            {
                Ok(())
            }
            _ => Err(AskFailure::Refused("the request was not granted for this version".into())),
        }
    }

    /// What the owner recorded of the delivery: how many bytes it opens.
    fn recorded(&self, record: &EntryProof, hash: &TxHash, from: u32, digest: &Digest) -> Result<u64, AskFailure> {
        match &self.by_owner("delivery", record, false)?.tx.body {
            TxBody::Deliver { request, version, sealed, bytes }
                if (request, *version, sealed) == (hash, from, digest) =>
            {
                Ok(*bytes)
            }
            _ => Err(AskFailure::Refused("the sealed delivery is not the one recorded on the ledger".into())),
        }
    }
}

/// What it takes to open the columns of a delivery that has been checked.
pub(crate) struct Opening {
    pub(crate) label: AssetLabel,
    pub(crate) suite: CipherSuite,
    pub(crate) hash: HashAlgorithm,
}

impl Opening {
    /// Checks that a delivery holds exactly these columns as they were registered, with the keys that
    /// were committed to.
    fn check(obtained: &Obtained, asset: &AssetView, columns: &[u8]) -> Result<Opening, AskFailure> {
        let refused = |what: String| AskFailure::Refused(what);
        let Obtained { version, delivery, .. } = obtained;
        let suite = version.cipher_suite.parse().map_err(|error| refused(format!("{error}: update this software")))?;
        let hash = version.hash_algorithm.parse().map_err(|error| refused(format!("{error}: update this software")))?;
        let delivered: Vec<u8> = delivery.columns.iter().map(|one| one.column).collect();
        if delivered != columns {
            return Err(refused("it delivers other columns than were asked for".into()));
        }
        let mut rows = None;
        for one in &delivery.columns {
            let name = asset.schema.at(one.column).map(|column| column.name.as_str()).unwrap_or_default();
            let seal = column_seal(delivery.attempt, &one.segments);
            let seal = ColumnSeal {
                ciphertext: Digest(seal.ciphertext_digest),
                key_commitment: Digest(seal.key_commitment.0),
            };
            if version.columns.get(usize::from(one.column)) != Some(&seal) {
                return Err(refused(format!("column '{name}' is not the one registered on the ledger")));
            }
            if one.keys.len() != one.segments.len() {
                return Err(refused(format!("column '{name}' has not one key for each of its segments")));
            }
            for (segment, key) in one.segments.iter().zip(&one.keys) {
                if segment.bytes > OBJECT_BYTES_MAX {
                    return Err(refused(format!("column '{name}' has an object of {} bytes", segment.bytes)));
                }
                let key = SegmentKey::from_bytes(key.0);
                key.check(&segment.key_commitment)
                    .map_err(|error| refused(format!("a key of column '{name}': {error}")))?;
            }
            let count: u64 = one.segments.iter().map(|segment| u64::from(segment.rows)).sum();
            if *rows.get_or_insert(count) != count {
                return Err(refused("the columns have different numbers of rows".into()));
            }
        }
        let rows = rows.unwrap_or_default();
        if asset.data_type == TABLE && rows.max(1).checked_next_power_of_two() != Some(version.records_rounded) {
            return Err(refused(format!("it has {rows} rows, and the ledger says up to {}", version.records_rounded)));
        }
        Ok(Opening { label: label(&asset.id).map_err(|error| refused(error.to_string()))?, suite, hash })
    }

    /// Decrypts what the spool holds and writes the file, whole or not at all. Gives the number of
    /// rows.
    fn write(
        &self,
        obtained: &Obtained,
        spool: &mut Spool,
        (wanted, asset): (&[u8], &AssetView),
        fetching: &Fetching<'_>,
    ) -> Result<u64, AskFailure> {
        let mut cursors = Vec::new();
        let mut fields = Vec::new();
        for column in wanted {
            let known =
                asset.schema.at(*column).zip(obtained.delivery.columns.iter().find(|one| one.column == *column));
            let (field, one) = known.ok_or_else(|| AskFailure::Refused("a column has vanished".into()))?;
            fields.push((field.name.clone(), field.kind));
            cursors.push(Cursor { one, kind: field.kind, next: 0, offset: 0, values: Vec::new().into_iter() });
        }
        let total =
            obtained.delivery.columns.first().map_or(0, |one| one.segments.iter().map(|s| u64::from(s.rows)).sum());
        let mut file = table_file::create(&spool.result(), fetching.format, &fields)?;
        let mut rows = 0;
        loop {
            for cursor in &mut cursors {
                cursor.refill(self, spool)?;
            }
            let count = cursors.iter().map(|cursor| cursor.values.len()).min().unwrap_or(0);
            if count == 0 {
                break;
            }
            let batch: Vec<Vec<Value>> =
                cursors.iter_mut().map(|cursor| cursor.values.by_ref().take(count).collect()).collect();
            file.write(&batch)?;
            rows += count as u64;
            (fetching.progress)("decrypting and writing", rows, total);
        }
        file.finish()?;
        spool.finish(fetching.out)?;
        Ok(rows)
    }
}

/// A place in a delivered column.
struct Cursor<'a> {
    one: &'a DeliveredColumn,
    kind: ColumnType,
    next: usize,
    offset: u64,
    values: std::vec::IntoIter<Value>,
}

impl Cursor<'_> {
    /// Opens the next segment if the last one is used up.
    fn refill(&mut self, opening: &Opening, spool: &Spool) -> Result<(), AskFailure> {
        while self.values.len() == 0 {
            let Some((segment, key)) = self.one.segments.get(self.next).zip(self.one.keys.get(self.next)) else {
                return Ok(());
            };
            let object = spool.read(self.one.column, self.offset, segment.bytes)?;
            let (key, Opening { label, suite, hash }) = (SegmentKey::from_bytes(key.0), opening);
            let values = open_segment(label, *suite, *hash, self.one.column, self.kind, segment, &key, &object)
                .map_err(|error| AskFailure::Refused(format!("the ciphertext: {error}")))?;
            self.next += 1;
            self.offset += segment.bytes;
            self.values = values.into_iter();
        }
        Ok(())
    }
}

/// A problem of the gateway's that going on later may solve.
pub(crate) fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Problem(problem) => problem.status == 503,
        _ => false,
    }
}

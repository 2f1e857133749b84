//! Samples: an auditor has records shown to it that chance chooses, with ciphertext, openings and paths,
//! checks them against the ledger, and records what it found (docs/spec/samples.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Place, PlaceKey, tagged_hash};
use sealgate_circuits::place::verify_place;
use sealgate_circuits::record::RecordHasher;
use sealgate_circuits::schema::Schema;
use sealgate_circuits::tree::PathEnd;
use sealgate_circuits::value::Value;
use sealgate_ledger::ids::{AssetId, BlockHeight, Digest, SampleSeed, TxHash};
use sealgate_ledger::tx::{Damage, FILE, SampleOutcome, SignedTx, TxBody, VersionInfo};
use sealgate_ods::seal::{AttemptId, ChunkKey};
use sealgate_ods::table::{
    CellOpening, ColumnSegment, Sample, SampledLeaf, SampledRecord, SealedTable, chosen, column_seal, open_cell,
};
use sealgate_ods::{AssetLabel, CipherSuite, HashAlgorithm, StoreError};
use serde::{Deserialize, Serialize};

use crate::asking::{AskFailure, Session};
use crate::client::Client;
use crate::delivery::{Delivered, Token};
use crate::fetching::spool::download;
use crate::fetching::{OBJECT_BYTES_MAX, Obtained, obtain};
use crate::files::{FileError, create_private_dir, write_json, write_private};
use crate::home::Home;
use crate::owner::{OwnerError, label, signed};
use crate::witness::pins::Witnessed;

/// What the owner seals to the auditor.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SampleDelivery {
    /// The request it answers.
    pub request: TxHash,
    /// The version it is from.
    pub version: u32,
    /// The version's own attempt, which the registered digests cover.
    pub attempt: AttemptId,
    /// What the gateway gives ciphertext for.
    pub token: Token,
    /// Every segment of every column, in the schema's and the version's order.
    pub columns: Vec<Vec<ColumnSegment>>,
    /// What stands where chance pointed, one for each target; or why the owner cannot show it.
    pub samples: Vec<Result<Sample, Damage>>,
}

impl SampleDelivery {
    /// Positions of the segments that hold a sampled record; of each, every column's object is shown.
    pub(crate) fn segments(&self) -> BTreeSet<u32> {
        self.records().map(|record| record.segment).collect()
    }

    /// The records that are shown.
    fn records(&self) -> impl Iterator<Item = &SampledRecord> {
        self.samples.iter().flatten().filter_map(record)
    }

    /// Of each column the lengths of its objects in order; 0 for those that are not shown.
    pub(crate) fn objects(&self) -> Vec<(u8, Vec<u64>)> {
        let shown = self.segments();
        let lengths = |segments: &Vec<ColumnSegment>| {
            let length = |(at, segment): (u32, &ColumnSegment)| if shown.contains(&at) { segment.bytes } else { 0 };
            (0u32..).zip(segments).map(length).collect()
        };
        (0u8..).zip(self.columns.iter().map(lengths)).collect()
    }
}

impl Delivered for SampleDelivery {
    fn of(&self) -> (TxHash, u32) {
        (self.request, self.version)
    }

    fn bytes(&self) -> u64 {
        let shown = self.segments();
        let bytes = |segments: &Vec<ColumnSegment>| -> u64 {
            (0u32..).zip(segments).filter(|(at, _)| shown.contains(at)).map(|(_, segment)| segment.bytes).sum()
        };
        self.columns.iter().map(bytes).sum()
    }
}

fn record(sample: &Sample) -> Option<&SampledRecord> {
    match &sample.leaf {
        SampledLeaf::Record(record) => Some(record),
        _ => None,
    }
}

fn blinding(sample: &Sample) -> Option<[u8; 32]> {
    match &sample.leaf {
        SampledLeaf::Blinding(seed) => Some(seed.0),
        _ => None,
    }
}

/// Where chance points: nobody can say beforehand, as the seed is the auditor's and the request's hash
/// covers it.
pub fn targets(seed: &SampleSeed, request: &TxHash, records: u16) -> Vec<Place> {
    let target = |number: u16| {
        Place(tagged_hash("sealgate/sample-target/1", &[seed.as_bytes(), request.as_bytes(), &number.to_le_bytes()]))
    };
    (0..records).map(target).collect()
}

/// The owner's side: what stands at each target. What is stored there and damaged is shown as that, so that it
/// is recorded and not asked for again until it is whole.
pub(crate) async fn sample_table(
    table: &SealedTable,
    (request, version): (TxHash, u32),
    (seed, records): (&SampleSeed, u16),
    token: Token,
) -> Result<SampleDelivery, StoreError> {
    let mut samples = Vec::with_capacity(records.into());
    for target in targets(seed, &request, records) {
        samples.push(match table.sample(&target).await {
            Ok(sample) => Ok(sample),
            Err(error) => Err(damage(&error).ok_or(error)?),
        });
    }
    let columns = (0u8..).take(table.schema().columns.len()).map(|column| table.column_segments(column));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(SampleDelivery { request, version, attempt: table.attempt(), token, columns, samples })
}

/// The owner's side where not even the version's manifest can be read, or its keys are gone: nothing can be
/// shown.
pub(crate) fn sample_of_nothing(
    attempt: AttemptId,
    (request, version): (TxHash, u32),
    records: u16,
    token: Token,
    damage: Damage,
) -> SampleDelivery {
    let samples = vec![Err(damage); records.into()];
    SampleDelivery { request, version, attempt, token, columns: Vec::new(), samples }
}

/// What the ledger calls it when the store does not give what was put there; none where the error says
/// nothing of what is stored: the store may answer in a moment.
pub(crate) fn damage(error: &StoreError) -> Option<Damage> {
    match error {
        StoreError::Missing { .. } => Some(Damage::Missing),
        StoreError::Damaged { .. } => Some(Damage::Ciphertext),
        _ => None,
    }
}

/// The auditor's report, kept in its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleReport {
    /// The request.
    pub request: TxHash,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// How many records were asked for.
    pub records: u16,
    /// How many different ones chance chose; the leaf of no record, which every version has, is none.
    pub distinct: u64,
    /// Bytes of ciphertext that were read and compared.
    pub bytes: u64,
    /// What was found.
    pub outcome: SampleOutcome,
    /// The first thing that is wrong.
    pub finding: Option<String>,
}

/// What was sampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sampled {
    /// The report.
    #[serde(flatten)]
    pub report: SampleReport,
    /// Where it is kept.
    pub path: PathBuf,
    /// The block that records the result.
    pub block: BlockHeight,
    /// What the witnesses that the home pins say of the ledger.
    pub witnessed: Witnessed,
}

/// Has records of an asset shown, checks them, keeps a report and records its outcome on the ledger.
///
/// # Errors
/// [`AskFailure`] when nothing was delivered that could be checked; damage is an outcome.
pub async fn sample(
    home: &Home,
    client: &Client,
    asset: &str,
    records: u16,
    progress: &(dyn Fn(&'static str, u64, u64) + Sync),
) -> Result<Sampled, AskFailure> {
    let account = home.account()?;
    let session = Session::open(home, client).await?;
    let detail = session.asset(asset).await?;
    let asset = &detail.asset;
    if asset.data_type == FILE {
        return Err(AskFailure::Table(format!("'{}' is a file and has no records", asset.name)));
    }
    session.enrol(&account).await?;
    let mut seed = SampleSeed([0; 32]);
    getrandom::fill(&mut seed.0).map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let body = TxBody::RequestSample { asset: asset.id, seed, records };
    let words = format!("sample {records} records");
    let obtained: Obtained<SampleDelivery> = obtain(&session, &account, &detail, (&words, ""), body).await?;
    // What was asked for earlier and interrupted is taken up with its own seed.
    let TxBody::RequestSample { seed, records, .. } = &obtained.tx.tx.body else {
        return Err(AskFailure::Refused("the request that was kept is of another kind".into()));
    };
    let refused = |error: String| AskFailure::Refused(error);
    let check = Check {
        delivery: &obtained.delivery,
        version: &obtained.version,
        schema: &asset.schema,
        place_key: &asset.place_key,
        label: label(&asset.id).map_err(|error| refused(error.to_string()))?,
        suite: obtained.version.cipher_suite.parse().map_err(|error| refused(format!("{error}")))?,
        hash: obtained.version.hash_algorithm.parse().map_err(|error| refused(format!("{error}")))?,
    };
    let finding = match check.openings(&targets(seed, &obtained.request, *records)) {
        Ok(()) => check.ciphertext(&session, &obtained, progress).await?,
        Err(finding) => Some(finding),
    };
    let report = SampleReport {
        request: obtained.request,
        asset: asset.id,
        name: asset.name.clone(),
        version: obtained.version.number,
        records: *records,
        distinct: check.distinct(),
        bytes: obtained.delivery.bytes(),
        outcome: finding.as_ref().map_or(SampleOutcome::Whole, |(what, _)| SampleOutcome::Damaged { what: *what }),
        finding: finding.map(|(_, text)| text),
    };
    let (path, tx) = keep(&session, &account, &report)?;
    let receipt = session.client.submit(&tx).await?;
    obtained.kept(home)?;
    Ok(Sampled { report, path, block: receipt.height, witnessed: obtained.witnessed })
}

/// Writes the report, and the transaction that records it, to the home before anything is recorded: the
/// same one is sent again after a crash.
fn keep(
    session: &Session<'_>,
    account: &sealgate_ledger::account::AccountSecret,
    report: &SampleReport,
) -> Result<(PathBuf, SignedTx), AskFailure> {
    let folder = session.home.folder().join("samples");
    create_private_dir(&folder).map_err(FileError::io(&folder))?;
    let path = folder.join(format!("{}.json", report.request));
    let sent = folder.join(format!("{}.transaction", report.request));
    if let Ok(text) = std::fs::read_to_string(&sent) {
        let bytes = BASE64.decode(text.trim()).map_err(|error| FileError::content(&sent, error))?;
        let tx = SignedTx::decode(&bytes).map_err(|error| FileError::content(&sent, error))?;
        // One that has expired was not taken, and will not be: the same result is signed anew.
        if tx.tx.expiry >= session.head {
            return Ok((path, tx));
        }
        let tx = signed(&session.genesis, session.head, account, tx.tx.body)?;
        write_private(&sent, BASE64.encode(tx.encode()).as_bytes(), true).map_err(FileError::io(&sent))?;
        return Ok((path, tx));
    }
    write_json(&path, report, true)?;
    let written = std::fs::read(&path).map_err(FileError::io(&path))?;
    let digest = Digest(tagged_hash("sealgate/sample-report/1", &[&written]));
    let body = TxBody::SampleResult { request: report.request, outcome: report.outcome, report: digest };
    let tx = signed(&session.genesis, session.head, account, body)?;
    write_private(&sent, BASE64.encode(tx.encode()).as_bytes(), false).map_err(FileError::io(&sent))?;
    Ok((path, tx))
}

/// The first thing that is wrong, as the ledger calls it and in words.
type Finding = (Damage, String);

/// What a delivered sample is held against.
struct Check<'a> {
    delivery: &'a SampleDelivery,
    version: &'a VersionInfo,
    schema: &'a Schema,
    place_key: &'a PlaceKey,
    label: AssetLabel,
    suite: CipherSuite,
    hash: HashAlgorithm,
}

impl Check<'_> {
    fn distinct(&self) -> u64 {
        let places: BTreeSet<(u32, u32)> = self.delivery.records().map(|record| (record.segment, record.row)).collect();
        places.len() as u64
    }

    /// Everything that takes no ciphertext: nothing that the owner itself cannot read, segments as registered,
    /// each sample the one that chance chose, its path, place and opening.
    fn openings(&self, targets: &[Place]) -> Result<(), Finding> {
        for (number, sample) in self.delivery.samples.iter().enumerate() {
            if let Err(damage) = sample {
                let why = match damage {
                    Damage::Key => "its owner no longer has the keys that open it",
                    _ => "its owner cannot read it either",
                };
                return Err((*damage, format!("sample {}: {why}", number + 1)));
            }
        }
        self.segments()?;
        if targets.len() != self.delivery.samples.len() {
            let shown = self.delivery.samples.len();
            return Err((Damage::Missing, format!("{shown} records are shown of {}", targets.len())));
        }
        // A version has one leaf of no record: more of them would be a tree to hide behind.
        let blind: BTreeSet<[u8; 32]> = self.delivery.samples.iter().flatten().filter_map(blinding).collect();
        if blind.len() > 1 {
            return Err((Damage::Path, "several leaves are shown to be of no record; a version has one".into()));
        }
        let hasher = RecordHasher::new(self.schema);
        for (number, (target, sample)) in targets.iter().zip(self.delivery.samples.iter().flatten()).enumerate() {
            self.opening(&hasher, target, sample)
                .map_err(|(what, text)| (what, format!("sample {}: {text}", number + 1)))?;
        }
        Ok(())
    }

    fn segments(&self) -> Result<(), Finding> {
        let SampleDelivery { attempt, columns, .. } = self.delivery;
        if columns.len() != self.version.columns.len() {
            return Err((Damage::Missing, "not all columns are described".into()));
        }
        let mut rows: Option<Vec<u32>> = None;
        for (segments, registered) in columns.iter().zip(&self.version.columns) {
            let seal = column_seal(*attempt, segments);
            if seal.ciphertext_digest != registered.ciphertext.0 {
                return Err((Damage::Ciphertext, "a column's objects are not the registered ones".into()));
            }
            if seal.key_commitment.0 != registered.key_commitment.0 {
                return Err((Damage::Key, "a column's keys are not the registered ones".into()));
            }
            let here: Vec<u32> = segments.iter().map(|segment| segment.rows).collect();
            if *rows.get_or_insert_with(|| here.clone()) != here {
                return Err((Damage::Record, "the columns have different numbers of rows".into()));
            }
        }
        let records: u64 = rows.unwrap_or_default().iter().map(|rows| u64::from(*rows)).sum();
        if records.max(1).checked_next_power_of_two() != Some(self.version.records_rounded) {
            return Err((Damage::Record, format!("{records} rows are stored, which the ledger does not say")));
        }
        Ok(())
    }

    fn opening(&self, hasher: &RecordHasher, target: &Place, sample: &Sample) -> Result<(), Finding> {
        let place =
            chosen(&sample.path, &self.version.root, target).map_err(|error| (Damage::Path, error.to_string()))?;
        let leaf = match &sample.path.end {
            PathEnd::Leaf(leaf) => Some(*leaf),
            PathEnd::Empty => None,
        };
        let record = match (&sample.leaf, leaf) {
            // Every version has a leaf, if only that of no record.
            (SampledLeaf::Empty, None) => return Err((Damage::Path, "the version's tree has no leaf at all".into())),
            (SampledLeaf::Blinding(seed), Some(leaf)) if seed.leaf() == leaf => return Ok(()),
            (SampledLeaf::Record(record), Some(_)) => record,
            _ => return Err((Damage::Path, "what is shown is not what stands at the leaf".into())),
        };
        let key: Vec<Value> =
            self.schema.key.iter().filter_map(|at| record.values.get(usize::from(*at)).cloned()).collect();
        let wrong = |error: String| (Damage::Record, error);
        let key = self.schema.key_bytes(&key).map_err(|error| wrong(error.to_string()))?;
        let proven = verify_place(self.place_key, &key, &record.place_proof);
        if proven.map_err(|error| (Damage::Path, error.to_string())).map(Some)? != place {
            return Err((Damage::Path, "the record's key has another place".into()));
        }
        let commitment = hasher.commit(&record.values, &record.salt).map_err(|error| wrong(error.to_string()))?;
        match leaf.is_some_and(|leaf| leaf.commitment == commitment) {
            true => Ok(()),
            false => Err(wrong("values and salt do not open the record's commitment".into())),
        }
    }

    /// Every object that holds a sampled cell, read whole and compared with its registered digest, and every
    /// sampled cell opened from it.
    async fn ciphertext(
        &self,
        session: &Session<'_>,
        obtained: &Obtained<SampleDelivery>,
        progress: &(dyn Fn(&'static str, u64, u64) + Sync),
    ) -> Result<Option<Finding>, AskFailure> {
        let mut by_segment: BTreeMap<u32, Vec<&SampledRecord>> = BTreeMap::new();
        for record in self.delivery.records() {
            by_segment.entry(record.segment).or_default().push(record);
        }
        let (token, total, mut done) = (self.delivery.token.text(), self.delivery.bytes(), 0);
        for (position, records) in by_segment {
            for (column, segments) in (0u8..).zip(&self.delivery.columns) {
                let at = usize::try_from(position).unwrap_or(usize::MAX);
                let Some(segment) = segments.get(at).filter(|segment| segment.bytes <= OBJECT_BYTES_MAX) else {
                    return Ok(Some((
                        Damage::Record,
                        format!("segment {position} of a sampled record does not exist"),
                    )));
                };
                let object = match download(session, (obtained.request, &token), (column, at), segment).await {
                    Ok(object) => object,
                    Err(AskFailure::Refused(why)) => return Ok(Some((Damage::Missing, why))),
                    Err(error) => return Err(error),
                };
                if self.hash.digest(&object) != segment.digest {
                    let what = format!("object {position} of column {column} is not the registered one");
                    return Ok(Some((Damage::Ciphertext, what)));
                }
                if let Some(finding) = records.iter().find_map(|record| self.cell(column, segment, record, &object)) {
                    return Ok(Some(finding));
                }
                done += segment.bytes;
                progress("reading ciphertext", done, total);
            }
        }
        Ok(None)
    }

    /// What is wrong with one cell of a sampled record.
    fn cell(&self, column: u8, segment: &ColumnSegment, record: &SampledRecord, object: &[u8]) -> Option<Finding> {
        let at = usize::from(column);
        let known = self.schema.at(column).zip(record.chunk_keys.get(at)).zip(record.values.get(at));
        let Some(((field, key), value)) = known else {
            return Some((Damage::Missing, format!("no key is shown for column {column}")));
        };
        let opening = CellOpening {
            label: &self.label,
            suite: self.suite,
            hash: self.hash,
            column,
            kind: field.kind,
            segment,
            row: record.row,
            key: &ChunkKey::from_bytes(*key),
        };
        match open_cell(&opening, object) {
            Ok(stored) if stored == *value => None,
            Ok(_) => {
                Some((Damage::Record, format!("column '{}' is stored with another value than committed", field.name)))
            }
            Err(error) => Some((Damage::Key, error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_follow_from_seed_and_request() {
        let (seed, request) = (SampleSeed([1; 32]), TxHash([2; 32]));
        let all = targets(&seed, &request, 50);
        assert_eq!(all, targets(&seed, &request, 50));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 50);
        assert!(all.iter().all(|place| !targets(&SampleSeed([3; 32]), &request, 50).contains(place)));
        assert!(all.iter().all(|place| !targets(&seed, &TxHash([3; 32]), 50).contains(place)));
    }
}

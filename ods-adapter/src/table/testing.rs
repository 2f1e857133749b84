//! What the tests of sealed tables share: rows from memory, a store in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::value::{ColumnType, Value};

use super::{
    Lookup, Report, SealError, SealRequest, SealedTable, SealedVersion, VerifyRequest, seal_table, verify_objects,
};
use crate::keys::{AssetKeys, AssetLabel};
use crate::progress::silent;
use crate::source::{Read, Row, Source, SourceError};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};

/// Rows that are already here.
pub(crate) struct Rows {
    pub(crate) rows: std::vec::IntoIter<Vec<Value>>,
    pub(crate) number: u64,
}

impl Source for Rows {
    fn next(&mut self) -> Result<Option<Read>, SourceError> {
        self.number += 1;
        Ok(self.rows.next().map(|values| Read::Row(Row { number: self.number, line: None, values })))
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        None
    }

    fn name(&self) -> String {
        "memory".into()
    }
}

pub(crate) fn source(rows: &[Vec<Value>]) -> Box<dyn Source> {
    let rows = rows.to_vec();
    Box::new(Rows { rows: rows.into_iter(), number: 0 })
}

pub(crate) fn schema(kinds: &[ColumnType], key: &[u8]) -> Schema {
    let column = |(index, kind): (usize, &ColumnType)| Column {
        name: format!("c{index}"),
        kind: *kind,
        allowed: ColumnUse { disclose: true, prove: true },
    };
    Schema { columns: kinds.iter().enumerate().map(column).collect(), key: key.to_vec() }
}

/// `n` rows of (int key, text).
pub(crate) fn numbered(n: i64) -> Vec<Vec<Value>> {
    (0..n)
        .map(|i| vec![Value::Int(i), if i % 7 == 3 { Value::Null } else { Value::Text(format!("row {i}")) }])
        .collect()
}

pub(crate) fn int_and_text() -> Schema {
    schema(&[ColumnType::Int, ColumnType::Text], &[0])
}

/// A store, an asset's keys and a schema in a temporary folder.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) keys: Arc<AssetKeys>,
    pub(crate) schema: Schema,
}

impl Bench {
    pub(crate) fn new(schema: Schema) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::local(&dir.path().join("store")).unwrap();
        let keys = Arc::new(AssetKeys::generate(AssetLabel::new("licences").unwrap()).unwrap());
        Self { dir, store, keys, schema }
    }

    pub(crate) fn spill(&self) -> PathBuf {
        self.dir.path().join("spill")
    }

    pub(crate) fn request(&self, source: Box<dyn Source>) -> SealRequest {
        SealRequest {
            source: Some(source),
            previous: None,
            suite: CipherSuite::default(),
            hash: HashAlgorithm::default(),
            rejected: None,
            schema: self.schema.clone(),
            keys: Arc::clone(&self.keys),
            store: self.store.clone(),
            spill_dir: self.spill(),
            version: 1,
            progress: silent(),
        }
    }

    pub(crate) async fn seal(&self, rows: &[Vec<Value>]) -> Result<SealedVersion, SealError> {
        seal_table(self.request(source(rows))).await
    }

    /// The next version after `last` with these rows.
    pub(crate) async fn sync(&self, last: &SealedVersion, rows: &[Vec<Value>]) -> Result<SealedVersion, SealError> {
        let request =
            SealRequest { previous: Some(last.reference), version: last.version + 1, ..self.request(source(rows)) };
        seal_table(request).await
    }

    pub(crate) async fn open(&self, version: &SealedVersion) -> Result<SealedTable, StoreError> {
        let (store, keys, schema) = (self.store.clone(), Arc::clone(&self.keys), self.schema.clone());
        SealedTable::open(store, keys, schema, &version.reference).await
    }

    pub(crate) async fn verify(&self, version: &SealedVersion, recompute: bool) -> Result<Report, StoreError> {
        verify_objects(VerifyRequest {
            store: self.store.clone(),
            keys: Arc::clone(&self.keys),
            schema: self.schema.clone(),
            version: version.reference,
            recompute_in: recompute.then(|| self.spill()),
            progress: silent(),
        })
        .await
    }

    /// Every stored file.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        gather(&self.dir.path().join("store"), &mut files);
        files.sort();
        files
    }
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { gather(&path, files) } else { files.push(path) }
    }
}

/// Checks a lookup as a requester would.
pub(crate) fn check(table: &SealedTable, schema: &Schema, key: &[Value], lookup: &Lookup, expected: Option<&[Value]>) {
    use sealgate_circuits::{place::verify_place, record::RecordHasher};
    let key_bytes = schema.key_bytes(key).unwrap();
    assert_eq!(verify_place(&table.place_key(), &key_bytes, &lookup.place_proof).unwrap(), lookup.place);
    let commitment = lookup.path.verify(&table.root(), &lookup.place).unwrap();
    assert_eq!(lookup.record.as_ref().map(|r| r.values.as_slice()), expected);
    assert_eq!(lookup.record.as_ref().map(|r| r.commitment), commitment);
    if let Some(record) = &lookup.record {
        assert_eq!(Some(RecordHasher::new(schema).commit(&record.values, &record.salt).unwrap()), commitment);
    }
}

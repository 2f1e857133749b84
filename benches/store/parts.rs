//! What a sealed table is made of, each part alone and on all cores.

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use rayon::prelude::*;
use sealgate_benches::{Cost, Fault};
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use sealgate_ods::{AssetKeys, Read, Source};

/// Rows in a sealed chunk (docs/spec/store.md).
pub(crate) const CHUNK_ROWS: usize = 64;

/// A row with what the parts need of it.
pub(crate) struct Prepared {
    pub(crate) values: Vec<Value>,
    pub(crate) key_bytes: Vec<u8>,
    pub(crate) salt: Salt,
}

/// The first `most` rows of a source.
pub(crate) fn rows_of(source: &mut dyn Source, most: usize) -> Result<Vec<Vec<Value>>, Fault> {
    let mut rows = Vec::new();
    while rows.len() < most
        && let Some(Read::Row(row)) = source.next()?
    {
        rows.push(row.values);
    }
    Ok(rows)
}

pub(crate) fn prepare(rows: Vec<Vec<Value>>, schema: &Schema, keys: &AssetKeys) -> Result<Vec<Prepared>, Fault> {
    let prepare = |values: Vec<Value>| {
        let key: Vec<Value> = schema.key.iter().filter_map(|at| values.get(usize::from(*at)).cloned()).collect();
        let key_bytes = schema.key_bytes(&key)?;
        let salt = Salt::derive(keys.commitment_key(), &key_bytes, 1);
        Ok(Prepared { values, key_bytes, salt })
    };
    rows.into_iter().map(prepare).collect()
}

/// Committing to the rows: permutations and what leads to them.
pub(crate) fn commitments(rows: &[Prepared], hasher: &RecordHasher) -> Result<Cost, Fault> {
    let commit = |row: &Prepared| black_box(hasher.commit(&row.values, &row.salt)).map(|_| ());
    Cost::of(|| Ok(rows.par_iter().try_for_each(commit)?))
}

/// The places of their keys.
pub(crate) fn places(rows: &[Prepared], secret: &PlaceSecret) -> Result<Cost, Fault> {
    let place = |row: &Prepared| {
        black_box(secret.place(&row.key_bytes));
    };
    Cost::of(|| {
        rows.par_iter().for_each(place);
        Ok(())
    })
}

/// AES-256-GCM over so many chunks.
pub(crate) fn gcm(chunks: usize, chunk_bytes: usize) -> Result<Cost, Fault> {
    Cost::of(|| {
        let cipher = Aes256Gcm::new(&[7; 32].into());
        let seal = |buffer: &mut Vec<u8>, chunk: usize| {
            let mut nonce = [0u8; 12];
            nonce.iter_mut().zip(chunk.to_be_bytes()).for_each(|(to, from)| *to = from);
            let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), b"place", buffer.as_mut_slice().into());
            black_box(tag).map(|_| ()).map_err(|error| error.to_string())
        };
        let sealed = (0..chunks).into_par_iter().map_init(|| vec![0u8; chunk_bytes], seal);
        Ok(sealed.collect::<Result<(), String>>()?)
    })
}

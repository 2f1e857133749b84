//! The index: the state as keys and values, always rebuildable from the block log
//! (docs/spec/ledger.md#index).

use std::collections::BTreeMap;
use std::ops::Bound;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::block::Header;
use crate::codec::encode;

mod filter;
mod memory;
mod sled;
mod trailing;

pub use memory::MemoryIndex;
pub use sled::SledIndex;
pub use trailing::TrailingIndex;

/// Key of the header up to which the index has followed the log.
pub(crate) const HEAD_KEY: &[u8] = b"!head";

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why the index could not be read or written. The log is never harmed by it: the next opening
/// rebuilds the index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The storage failed.
    #[error("the index could not be used ({0}); restart to rebuild it from the block log")]
    Storage(String),
    /// A value is not what the key should hold, or one is missing.
    #[error("the index holds something else at {key}: {what}; restart to rebuild it from the block log")]
    Value {
        /// The key, readable.
        key: String,
        /// What is wrong.
        what: String,
    },
}

impl IndexError {
    pub(crate) fn value(key: &[u8], what: impl Into<String>) -> IndexError {
        IndexError::Value { key: key.escape_ascii().to_string(), what: what.into() }
    }
}

/// Anything state can be read from.
pub trait Read {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;
}

/// Anything state can be read from and written to.
pub trait Write: Read {
    /// Puts `value` under `key`, or removes the key.
    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>);
}

/// A store of the state. What it guarantees: a batch is visible whole or not at all, also after
/// a crash; it need not be durable when [`Index::apply`] returns, since the log is.
pub trait Index: Read + Send + Sync {
    /// Up to `limit` pairs whose keys begin with `prefix`, in ascending order, only keys greater
    /// than `after` if given.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError>;

    /// Applies one block's writes and records its header.
    ///
    /// # Errors
    /// [`IndexError::Storage`]; then nothing more may be applied.
    fn apply(&self, batch: &Batch) -> Result<(), IndexError>;
}

/// The writes of one block: a value, or `None` to delete.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The block's header; becomes the index's head.
    pub head: Header,
    /// The writes.
    pub writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// All writes, the head's included.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + '_ {
        let head = (HEAD_KEY.to_vec(), Some(encode(&self.head)));
        self.writes.iter().map(|(k, v)| (k.clone(), v.clone())).chain(std::iter::once(head))
    }
}

/// Reads a typed value.
///
/// # Errors
/// [`IndexError`].
pub(crate) fn load<T, R>(from: &R, key: &[u8]) -> Result<Option<T>, IndexError>
where
    T: BorshDeserialize,
    R: Read + ?Sized,
{
    from.read(key)?.map(|bytes| parse(key, &bytes)).transpose()
}

/// Reads the bytes found under `key`.
pub(crate) fn parse<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, IndexError> {
    // One spelling is no matter here: what the index holds was written by this program, and its sum
    // is checked.
    borsh::from_slice(bytes).map_err(|error| IndexError::value(key, error.to_string()))
}

/// The header up to which the index has followed.
///
/// # Errors
/// [`IndexError`].
pub(crate) fn head<R: Read + ?Sized>(index: &R) -> Result<Option<Header>, IndexError> {
    load(index, HEAD_KEY)
}

/// An index with writes on top that are not applied yet, in two layers: those of the block so
/// far, and those of the transaction being executed.
pub(crate) struct Overlay<'a, I: Index + ?Sized> {
    base: &'a I,
    block: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    scratch: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a, I: Index + ?Sized> Overlay<'a, I> {
    pub(crate) fn new(base: &'a I) -> Self {
        Overlay { base, block: BTreeMap::new(), scratch: BTreeMap::new() }
    }

    pub(crate) fn base(&self) -> &'a I {
        self.base
    }

    /// What the block so far writes to keys that begin with `prefix`, but for the transaction being
    /// executed.
    pub(crate) fn written(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let range = self.block.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        let under = range.take_while(|(key, _)| key.starts_with(prefix));
        under.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn put<T: BorshSerialize>(&mut self, key: Vec<u8>, value: &T) {
        self.scratch.insert(key, Some(encode(value)));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.scratch.insert(key, None);
    }

    /// Keeps the writes of the transaction.
    pub(crate) fn keep(&mut self) {
        // Not `append`, which rebuilds the whole map each time.
        self.block.extend(std::mem::take(&mut self.scratch));
    }

    /// Forgets the writes of the transaction.
    pub(crate) fn forget(&mut self) {
        self.scratch.clear();
    }

    pub(crate) fn into_writes(mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.keep();
        self.block
    }
}

impl<I: Index + ?Sized> Write for Overlay<'_, I> {
    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.scratch.insert(key, value);
    }
}

impl<I: Index + ?Sized> Read for Overlay<'_, I> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.scratch.get(key).or_else(|| self.block.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.base.read(key),
        }
    }
}

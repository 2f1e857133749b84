//! The permissioned ledger of Sealgate: accounts, contracts, blocks, the access trail, and the
//! proofs by which others check it. The block log is the truth, the index follows it; see
//! docs/spec/ledger.md.

pub mod account;
pub mod audit;
pub mod block;
pub mod chain;
pub mod checkpoint;
pub mod codec;
pub mod cosign;
mod engine;
pub mod error;
pub mod genesis;
pub mod ids;
pub mod index;
pub mod inspect;
pub mod light;
pub mod log;
pub mod member;
pub mod merkle;
mod signature;
#[cfg(feature = "simplex")]
pub mod simplex;
pub mod solo;
pub mod standing;
pub mod state;
pub mod trie;
pub mod tx;
mod verifier;
pub mod witness;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

pub use chain::{Ledger, Pending};
pub use error::{LedgerError, SubmitError};
pub use solo::SoloConfig;

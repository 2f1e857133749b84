//! The ground floor of Sealgate: records, questions about records, commitments, proofs and their
//! verification. Knows nothing of ledgers, stores or networks; see ARCHITECTURE.md.

pub mod bytes;
#[cfg(feature = "prover")]
pub mod ceremony;
mod circuit;
pub mod evidence;
pub mod place;
mod poseidon;
#[cfg(feature = "prover")]
pub mod prover;
pub mod question;
mod r1cs;
pub mod record;
pub mod schema;
pub mod snarkjs;
pub mod statement;
pub mod tree;
pub mod value;
pub mod verifier;

// For what [`byte_newtype`] writes elsewhere.
#[doc(hidden)]
pub use schemars;

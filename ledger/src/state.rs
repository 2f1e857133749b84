//! The state machine: what transactions do. Deterministic; reads and writes an
//! [`Index`](crate::index::Index), and knows neither files nor clocks
//! (docs/spec/ledger.md#contract-rules).

pub(crate) mod contract;
pub(crate) mod execute;
pub(crate) mod keys;
mod people;
pub(crate) mod query;
mod rejection;
pub(crate) mod replay;
mod requests;
pub(crate) mod tree;
pub(crate) mod verify;
mod views;

pub use rejection::{ExecuteError, HANDED_MAX, OWNERS_MAX, Rejection, SUCCESSIONS_MAX};
pub use tree::ContractView;
#[cfg(test)]
mod tests;

pub use views::{
    AccountView, Asked, AssetView, GrantView, RequestStatus, RequestView, SampleCheck, TextView, VersionView,
};

//! The gateway of Sealgate: the owner's and requester's use cases, the HTTP API, and the command
//! line. A party runs it in its role and trusts its own copy; see ARCHITECTURE.md.

pub mod account_file;
pub mod answer_file;
pub mod api;
pub mod asking;
pub mod auditing;
pub mod budget;
pub mod catalogue;
pub mod ceremony;
pub mod cli;
pub mod client;
pub mod demo;
pub mod envelope;
pub mod epochs;
pub mod files;
pub mod filing;
pub mod gateway;
pub mod handed;
pub mod home;
pub mod identity;
pub mod messages;
pub mod naming;
#[cfg(feature = "simplex")]
pub mod network;
pub mod owner;
pub mod parameters;
pub mod publishing;
pub mod receipt;
pub mod rehashing;
pub mod relay;
pub mod serving;
pub mod set_aside;
pub mod standing;
pub mod trail;
pub mod witness;

//! The ordering engine of several organisations: Byzantine agreement on batches, executed by every
//! member (docs/spec/network.md). The agreement itself is the library `commonware-consensus`
//! (Simplex); connections, batches, execution, checkpoints and catching up are here.

mod agreement;
pub mod authority;
pub mod batch;
mod connection;
mod core;
mod epochs;
mod events;
mod executor;
mod frame;
mod gate;
mod gossip;
mod holdings;
mod journal;
mod keys;
mod link;
mod message;
mod node;
mod notary;
mod offers;
mod pool;
mod progress;
mod running;
mod store;
mod sync;
mod time;
mod tls;
mod transport;
mod turnover;
mod turns;
mod verdicts;

pub use agreement::Timeouts;
pub use authority::{Authority, AuthorityError};
pub use node::{CONSENSUS_FOLDER, NodeConfig, NodeError, NodeStatus, create, open, open_watched};
pub use pool::Rate;

#[cfg(test)]
mod tests;

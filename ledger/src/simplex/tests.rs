//! Networks of nodes in this process, over real connections.

mod agreement;
mod alone;
mod conformance;
mod crashes;
mod faults;
mod harness;
mod load;
mod lying;
mod members;
mod simulated;
mod transport;

//! Networks of nodes in this process, over real connections.

mod agreement;
mod conformance;
mod faults;
mod harness;
mod load;
mod lying;
mod members;
mod simulated;
mod transport;

//! The suite of all engines, for four members.

use super::harness::World;
use crate::account::AccountSecret;
use crate::chain::Ledger;
use crate::conformance::{Stand, suite};
use crate::genesis::Genesis;

struct Four(World);

impl Stand for Four {
    fn new() -> Self {
        Four(World::running(4))
    }

    fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    fn account(&self) -> AccountSecret {
        self.0.parties[0].account.clone()
    }

    fn ledger(&self) -> Ledger {
        self.0.node(0).clone()
    }

    fn elsewhere(&self) -> Ledger {
        self.0.node(2).clone()
    }

    fn restart(&mut self) {
        (0..4).for_each(|at| self.0.stop(at));
        (0..4).for_each(|at| self.0.start(at));
    }
}

suite!(Four);

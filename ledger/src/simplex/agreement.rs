//! The agreement of one epoch: the library's engine, configured.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::{Config, Engine, Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::types::{Epoch, ViewDelta};
use commonware_cryptography::Sha256;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_utils::NZDuration;
use commonware_utils::ordered::Set;

use super::epochs::EpochStart;
use super::events::Mailbox;
use super::keys::{payload, public_key};

/// Views behind the last final one that are remembered.
const VIEWS_KEPT: u64 = 64;
/// Bytes of a page of the journal's cache, and how many are held.
const PAGE_BYTES: u16 = 4096;
const PAGES: usize = 64;
const BUFFER_BYTES: usize = 256 * 1024;
const MAILBOX: usize = 1024;

/// How long the agreement waits. Nodes of one network should have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a view's leader may take to propose.
    pub leader: Duration,
    /// How long a view may take; more than `leader`.
    pub view: Duration,
    /// How often a node repeats that it gives a view up.
    pub retry: Duration,
    /// After so long without a vote of a leader its views are given up at once; more than `view`
    /// and `retry`.
    pub skip: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            leader: Duration::from_secs(2),
            view: Duration::from_secs(4),
            retry: Duration::from_secs(5),
            skip: Duration::from_secs(10),
        }
    }
}

impl Timeouts {
    /// The same with each wait above what the library demands of the others.
    pub(crate) fn ordered(self) -> Timeouts {
        let (least, step) = (Duration::from_millis(50), Duration::from_millis(10));
        let leader = self.leader.max(least);
        let view = self.view.max(leader + step);
        let retry = self.retry.max(least);
        Timeouts { leader, view, retry, skip: self.skip.max(view.max(retry) + step) }
    }
}

/// A channel's two ends.
pub(crate) type Ends<S, R> = (S, R);

/// Starts the agreement. Its journal is in the partition `epoch-N` of the runtime's storage, and is
/// kept over restarts: a node that forgot its votes could contradict them.
#[expect(clippy::too_many_arguments, reason = "each is one thing the library asks for")]
pub(crate) fn start<E, S, R, B>(
    context: E,
    start: &EpochStart,
    key: PrivateKey,
    namespace: &[u8],
    timeouts: Timeouts,
    mailbox: Mailbox,
    blocker: B,
    [votes, certificates, resolver]: [Ends<S, R>; 3],
    partition: String,
) -> Option<Handle<()>>
where
    E: Clock + Spawner + Storage + Metrics + rand_core::CryptoRng,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
{
    let members = start.members.members.iter().filter_map(|member| public_key(&member.node_key));
    let scheme = Scheme::signer(namespace, Set::from_iter_dedup(members), key)?;
    let timeouts = timeouts.ordered();
    let size = |bytes| NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN);
    let config = Config {
        scheme,
        elector: RoundRobin::<Sha256>::default(),
        blocker,
        automaton: mailbox.clone(),
        relay: mailbox.clone(),
        reporter: mailbox,
        track_historical_votes: false,
        strategy: Sequential,
        partition,
        mailbox_size: size(MAILBOX),
        epoch: Epoch::new(start.members.epoch),
        floor: Floor::Genesis(payload(&start.batch)),
        replay_buffer: size(BUFFER_BYTES),
        write_buffer: size(BUFFER_BYTES),
        page_cache: CacheRef::new(NonZeroU16::new(PAGE_BYTES).unwrap_or(NonZeroU16::MIN), size(PAGES)),
        leader_timeout: timeouts.leader,
        certification_timeout: timeouts.view,
        timeout_retry: timeouts.retry,
        view_retention: ViewDelta::new(VIEWS_KEPT),
        skip: SkipPolicy::Enabled { timeout: timeouts.skip, budget: SkipBudget::Participants },
        fetch_timeout: NZDuration!(Duration::from_secs(1)),
        fetch_retry_delay: Duration::from_millis(100),
        forward: ForwardPolicy::SilentLeader,
    };
    Some(Engine::new(context, config).start(votes, certificates, resolver))
}

//! A node at work: its tasks, the agreement and the connections, as the core says.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use commonware_cryptography::ed25519::PrivateKey;
use commonware_p2p::Blocker;
use commonware_runtime::{Handle, Spawner, Supervisor, tokio as runtime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::agreement;
use super::core::{Core, Parts, Queues, Stage};
use super::events::{Event, Mailbox};
use super::executor;
use super::frame::Channel;
use super::gate::Gate;
use super::gossip::Gossip;
use super::keys::namespace;
use super::link::{self, Guard};
use super::node::{NodeConfig, Opened};
use super::time::Machine;
use super::transport::{PeerAddress, Transport};
use crate::chain;
use crate::engine::Submission;
use crate::error::SubmitError;
use crate::member::Member;
use crate::state::query;

/// Messages of peers that may wait for the core.
const ARRIVALS: usize = 32;

/// Runs the node until nobody can submit any more, or it stops; `shown` gets its connections.
pub(super) async fn run(
    opened: Opened,
    context: runtime::Context,
    submissions: mpsc::Receiver<Submission>,
    shown: Arc<OnceLock<Transport>>,
) {
    let ledger = opened.chain.core().clone();
    match Running::start(opened, &context, submissions, &shown) {
        Ok(running) => running.follow(&ledger).await,
        Err(error) => tracing::error!(%error, "the node does not run"),
    }
}

struct Running {
    stages: mpsc::UnboundedReceiver<Stage>,
    stagehand: Stagehand,
    core: Handle<()>,
    executor: Handle<()>,
    doors: [Handle<()>; 2],
}

impl Running {
    fn start(
        opened: Opened,
        context: &runtime::Context,
        submissions: mpsc::Receiver<Submission>,
        shown: &OnceLock<Transport>,
    ) -> Result<Running, SubmitError> {
        let ledger = opened.chain.core().clone();
        let listener = TcpListener::from_std(opened.listener)
            .map_err(|error| ledger.stop_for(format!("the node cannot listen: {error}")))?;
        let members = query::members(&ledger.index).map_err(|error| ledger.stop(&error))?;
        let (time, chain, chain_id, config) = (Machine::new(), opened.chain, ledger.head().chain, opened.config);
        let me = config.secret.verify_key();
        let transport = Transport::start(chain_id, me, opened.tls, opened.allowed, listener);
        let _ = shown.set(transport.clone());
        let guard = Guard::new(transport.clone());
        let (net, told) = link::open(&transport, Channel::Ledger, 0);
        let (gossip, heard) = link::open(&transport, Channel::Gossip, 0);
        let (jobs, work) = mpsc::unbounded_channel();
        let (finished, done) = mpsc::unbounded_channel();
        let (events, asked) = mpsc::unbounded_channel();
        let (stage, stages) = mpsc::unbounded_channel();
        let (to_core, arrivals) = mpsc::channel(ARRIVALS);
        let (to_pool, transactions) = mpsc::channel(ARRIVALS);
        let gate = Gate::new(time, ledger.clone());
        let passed_on = Gossip::new(time, ledger.clone(), guard.clone(), config.rates());
        let core = Core::new(Parts {
            clock: time,
            net,
            gossip,
            ledger,
            idle_ms: u64::try_from(config.timeouts.ordered().leader.as_millis() / 2).unwrap_or(u64::MAX),
            secret: config.secret.clone(),
            members,
            epochs: opened.epochs,
            store: opened.store,
            notary: opened.notary,
            jobs,
            stage,
        });
        let queues = Queues { events: asked, submissions, arrivals, transactions, done };
        let spawn = |name| context.child(name).dedicated();
        Ok(Running {
            executor: spawn("executor").spawn(move |_| executor::run(chain, work, finished)),
            doors: [
                spawn("gate").spawn(move |_| gate.run(told, to_core)),
                spawn("gossip").spawn(move |_| passed_on.run(heard, to_pool)),
            ],
            core: spawn("core").spawn(move |_| core.run(queues)),
            stages,
            stagehand: Stagehand {
                context: context.child("agreement"),
                guard,
                transport,
                namespace: namespace(&chain_id),
                key: opened.key,
                config,
                dir: opened.dir,
                events,
                running: None,
            },
        })
    }

    /// Does what the core says until it has ended.
    async fn follow(mut self, ledger: &chain::Core) {
        let failed = loop {
            tokio::select! {
                stage = self.stages.recv() => match stage {
                    None | Some(Stage::Stopped) => break false,
                    Some(stage) => self.stagehand.set(stage),
                },
                () = self.stagehand.ended() => {
                    let _ = ledger.stop_for("the agreement has ended by itself: see the log".into());
                    break true;
                }
            }
        };
        self.stagehand.end();
        self.stagehand.transport.close();
        if failed {
            self.core.abort();
        }
        let _ = self.core.await;
        // The executor ends when the core, which sends it work, is gone: what it has begun is done.
        let _ = self.executor.await;
        self.doors.iter().for_each(Handle::abort);
    }
}

/// Folder of an agreement's journal.
fn partition(epoch: u64) -> String {
    format!("epoch-{epoch}")
}

/// Runs the agreement and the connections as the core says.
struct Stagehand {
    context: runtime::Context,
    transport: Transport,
    guard: Guard,
    namespace: Vec<u8>,
    key: PrivateKey,
    config: NodeConfig,
    dir: PathBuf,
    events: mpsc::UnboundedSender<Event>,
    running: Option<(u64, Handle<()>)>,
}

impl Stagehand {
    fn set(&mut self, stage: Stage) {
        match stage {
            Stage::Peers(members) => self.transport.set_peers(&self.addresses(&members)),
            Stage::Agree(start) => {
                self.end();
                let epoch = start.members.epoch;
                let open = |channel| link::open(&self.transport, channel, epoch);
                let channels = [open(Channel::Votes), open(Channel::Certificates), open(Channel::Resolver)];
                let handle = agreement::start(
                    self.context.child("epoch").with_attribute("epoch", epoch),
                    &start,
                    self.key.clone(),
                    &self.namespace,
                    self.config.timeouts,
                    Mailbox { epoch, events: self.events.clone() },
                    self.guard.clone(),
                    channels,
                    partition(epoch),
                );
                self.running = handle.map(|handle| (epoch, handle));
                self.forget(epoch);
            }
            Stage::End => self.end(),
            Stage::ShutOut(peer) => {
                let _ = self.guard.block(peer);
            }
            Stage::Stopped => {}
        }
    }

    fn end(&mut self) {
        if let Some((epoch, handle)) = self.running.take() {
            handle.abort();
            self.transport.shut(epoch);
        }
    }

    /// Removes the journals of agreements that ended before the last.
    fn forget(&self, epoch: u64) {
        for old in (0..epoch.saturating_sub(1)).rev() {
            let path = self.dir.join(partition(old));
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(epoch = old, "the journal of an epoch that is over was removed"),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(error) => return tracing::warn!(%error, path = %path.display(), "an old journal was not removed"),
            }
        }
    }

    /// Returns when the agreement that runs ends without having been told.
    async fn ended(&mut self) {
        match &mut self.running {
            Some((_, handle)) => drop(handle.await),
            None => std::future::pending().await,
        }
    }

    fn addresses(&self, members: &[Member]) -> Vec<PeerAddress> {
        let known = members.iter().map(|member| (member.node_key, member.peer.clone()));
        let mut peers: Vec<PeerAddress> = Vec::new();
        for (key, address) in known.chain(self.config.others.iter().cloned()) {
            if !peers.iter().any(|peer| peer.key == key) {
                let other = self.config.addresses.iter().find(|(of, _)| *of == key);
                let address = other.map_or(address, |(_, other)| other.clone());
                peers.push(PeerAddress { key, address });
            }
        }
        peers
    }
}

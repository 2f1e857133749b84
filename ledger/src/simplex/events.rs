//! How the agreement's library talks to the node: it asks for proposals and verdicts, and reports
//! what has become final.

use commonware_actor::Feedback;
use commonware_consensus::simplex::Plan;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::types::Round;
use commonware_consensus::{Automaton, CertifiableAutomaton, Epochable, Relay, Reporter, Viewable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256;
use commonware_p2p::Recipients;
use tokio::sync::{mpsc, oneshot};

use super::keys::digest;
use crate::ids::Digest;

/// What the agreement of one epoch asks or says.
pub(crate) enum Event {
    /// Asks for a batch on `parent`.
    Propose { epoch: u64, parent: Digest, response: oneshot::Sender<sha256::Digest> },
    /// Asks whether `batch` may follow `parent`.
    Verify { epoch: u64, parent: Digest, batch: Digest, response: oneshot::Sender<bool> },
    /// Asks whether this node holds `batch`, which a quorum has accepted.
    Certify { batch: Digest, response: oneshot::Sender<bool> },
    /// Sends a batch to peers.
    Spread { batch: Digest, to: Recipients<PublicKey> },
    /// A quorum has decided that `batch` and all before it are final.
    Final { epoch: u64, view: u64, batch: Digest },
    /// A member has signed two contradicting votes; not yet checked.
    Fault { epoch: u64, what: &'static str },
}

/// The agreement's end of the queue. Its requests are bounded by the views it works on.
#[derive(Clone)]
pub(crate) struct Mailbox {
    pub(crate) epoch: u64,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Mailbox {
    fn tell(&self, event: Event) -> Feedback {
        if self.events.send(event).is_ok() { Feedback::Ok } else { Feedback::Closed }
    }
}

impl Automaton for Mailbox {
    type Context = Context<sha256::Digest, PublicKey>;
    type Digest = sha256::Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<sha256::Digest> {
        let (response, receiver) = oneshot::channel();
        self.tell(Event::Propose { epoch: self.epoch, parent: digest(&context.parent.1), response });
        receiver
    }

    async fn verify(&mut self, context: Self::Context, payload: sha256::Digest) -> oneshot::Receiver<bool> {
        let (response, receiver) = oneshot::channel();
        let (parent, batch) = (digest(&context.parent.1), digest(&payload));
        self.tell(Event::Verify { epoch: self.epoch, parent, batch, response });
        receiver
    }
}

impl CertifiableAutomaton for Mailbox {
    async fn certify(&mut self, _round: Round, payload: sha256::Digest) -> oneshot::Receiver<bool> {
        let (response, receiver) = oneshot::channel();
        self.tell(Event::Certify { batch: digest(&payload), response });
        receiver
    }
}

impl Relay for Mailbox {
    type Digest = sha256::Digest;
    type PublicKey = PublicKey;
    type Plan = Plan<PublicKey>;

    fn broadcast(&mut self, payload: sha256::Digest, plan: Plan<PublicKey>) -> Feedback {
        let to = match plan {
            Plan::Prepare { .. } => return Feedback::Ok,
            Plan::Propose { .. } => Recipients::All,
            Plan::Forward { recipients, .. } => recipients,
        };
        self.tell(Event::Spread { batch: digest(&payload), to })
    }
}

impl Reporter for Mailbox {
    type Activity = Activity<Scheme, sha256::Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let fault = |what| Event::Fault { epoch: self.epoch, what };
        self.tell(match activity {
            Activity::Finalization(is) => {
                Event::Final { epoch: is.epoch().get(), view: is.view().get(), batch: digest(&is.proposal.payload) }
            }
            Activity::ConflictingNotarize(_) => fault("accepted two batches in one view"),
            Activity::ConflictingFinalize(_) => fault("finished two batches in one view"),
            Activity::NullifyFinalize(_) => fault("finished a view that it had given up"),
            _ => return Feedback::Ok,
        })
    }
}

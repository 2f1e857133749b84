//! An owner that keeps the account wrongly: holds valid keys, signs valid transactions, and writes
//! into its answers' charges what it likes. The ledger cannot read them.

use std::sync::Arc;

use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::value::Value;
use sealgate_gateway::budget::{ColumnCharge, ItemCharge, KeyCharge, Subject, seal};
use sealgate_gateway::console::{Console, Names};
use sealgate_gateway::gateway::Gateway;
use sealgate_gateway::messages::{Nonce, SecretQuestion};
use sealgate_gateway::owner::{Owner, signed};
use sealgate_gateway::{account_file, api};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::block::Outcome;
use sealgate_ledger::ids::{Digest, TxHash};
use sealgate_ledger::tx::TxBody;
use sealgate_tests::{World, text};

/// What the owner writes.
pub(crate) enum Charges {
    /// These, sealed as they should be.
    Sealed(Vec<KeyCharge>),
    /// These, without a copy for the auditor.
    OwnersOnly(Vec<KeyCharge>),
    /// These, with the auditor's copy sealed to somebody else.
    ToAnother(Vec<KeyCharge>),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// One or more answers to `fee >= ?` about record 1, of which 1.585 bits have been told before.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// One for each answer; the last is the one to be found.
    pub(crate) answers: Vec<fn(Subject) -> Charges>,
    /// The requester's share, in bits, if it has one.
    pub(crate) share: Option<&'static str>,
    /// Words of the finding, or `None` if nobody can find it.
    pub(crate) found: Option<&'static str>,
}

/// A charge of one key, one item, one field.
fn charge(subject: Subject, asked: u64, column: u8, pool: u16, own: u16, total: u32) -> Vec<KeyCharge> {
    let columns = vec![ColumnCharge { column, pool, own, total }];
    vec![KeyCharge { subject, items: vec![ItemCharge { asked, columns }] }]
}

fn honest(subject: Subject) -> Charges {
    Charges::Sealed(charge(subject, 77, 2, 1585, 1585, 3170))
}

pub(crate) fn cases() -> Vec<Case> {
    let found = |name, answer: fn(Subject) -> Charges, words| Case {
        name,
        answers: vec![answer],
        share: None,
        found: Some(words),
    };
    let cost = "not what the question costs";
    vec![
        Case { name: "honest", answers: vec![honest], share: None, found: None },
        Case { name: "honest, in its share", answers: vec![honest], share: Some("4"), found: None },
        Case {
            name: "charged rightly, over the share",
            answers: vec![honest],
            share: Some("3"),
            found: Some("more was told than the requester's grant allows"),
        },
        found("none", |_| Charges::Bytes(vec![]), "not of as many keys"),
        found("garbage", |_| Charges::Bytes(vec![7; 200]), "do not open"),
        found("cut short", |_| Charges::Bytes(vec![0; 3]), "do not open"),
        found(
            "no copy for the auditor",
            |s| Charges::OwnersOnly(charge(s, 77, 2, 1585, 1585, 3170)),
            "no copy for the auditor",
        ),
        found(
            "the auditor's copy sealed to another",
            |s| Charges::ToAnother(charge(s, 77, 2, 1585, 1585, 3170)),
            "do not open",
        ),
        found("too few bits", |s| Charges::Sealed(charge(s, 77, 2, 500, 500, 2085)), cost),
        found("too few for the requester", |s| Charges::Sealed(charge(s, 77, 2, 1585, 0, 3170)), cost),
        found("too many bits", |s| Charges::Sealed(charge(s, 77, 2, 3000, 3000, 4585)), cost),
        found("wrong total", |s| Charges::Sealed(charge(s, 77, 2, 1585, 1585, 1585)), cost),
        found("for free, and never asked", |s| Charges::Sealed(charge(s, 77, 2, 0, 0, 1585)), cost),
        found("another field", |s| Charges::Sealed(charge(s, 77, 3, 1585, 1585, 1585)), cost),
        found("nothing for the key", |subject| Charges::Sealed(vec![KeyCharge { subject, items: vec![] }]), "keys"),
        found(
            "two items for one",
            |s| {
                let mut charges = charge(s, 77, 2, 1585, 1585, 3170);
                let item = charges[0].items[0].clone();
                charges[0].items.push(item);
                Charges::Sealed(charges)
            },
            "not of as many predicates",
        ),
        found(
            "two keys for one",
            |s| {
                let charges = charge(s, 77, 2, 1585, 1585, 3170);
                Charges::Sealed(vec![charges[0].clone(), charges[0].clone()])
            },
            "not of as many keys",
        ),
        Case {
            name: "charged rightly, over the budget",
            answers: vec![honest, |s| Charges::Sealed(charge(s, 78, 2, 1585, 1585, 4755))],
            share: None,
            found: Some("more was told than the field's budget allows"),
        },
        // Which record and constants a question was about stands nowhere on the ledger: a charge
        // that names an earlier question cannot be told from an honest one.
        Case {
            name: "said to be the question before",
            answers: vec![honest, |s| Charges::Sealed(charge(s, 77, 2, 0, 0, 3170))],
            share: None,
            found: None,
        },
    ]
}

/// A gateway in this process whose keys the test holds.
pub(crate) struct Forged {
    _runtime: tokio::runtime::Runtime,
    gateway: Arc<Gateway>,
    requester: AccountSecret,
    subject: Subject,
    pub(crate) url: String,
}

impl Forged {
    pub(crate) fn open(world: &World) -> Forged {
        let spent = world.budget_owner().ok()["spent"][0].clone();
        let subject = text(&spent["subject"]);
        let byte = |i: usize| u8::from_str_radix(&subject[2 * i..2 * i + 2], 16).unwrap();
        let requester = account_file::load(world.path("requester").as_ref()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let owner = Owner::open(world.path("owner").as_ref()).unwrap();
        let gateway = Arc::new(Gateway::open(owner).unwrap());
        let (listener, address) = runtime.block_on(api::bind("127.0.0.1:0")).unwrap();
        let console = Console::of_gateway(gateway.clone(), Names::of(address, &[])).unwrap();
        let serving = api::Serving::plain(listener, gateway.owner().config().limits.clone());
        runtime.spawn(api::serve(serving, gateway.clone(), console.into(), "token".into(), std::future::pending()));
        let url = format!("http://{address}");
        Forged { _runtime: runtime, gateway, requester, subject: Subject(std::array::from_fn(byte)), url }
    }

    /// Puts the case's requests and answers on the ledger; the last request.
    pub(crate) fn answer(&self, case: &Case) -> String {
        let requests = case.answers.iter().enumerate().map(|(index, charges)| {
            let request = self.request(u8::try_from(index).unwrap());
            self.record(&request, charges(self.subject));
            request.to_string()
        });
        requests.last().unwrap()
    }

    fn submit(&self, account: &AccountSecret, body: TxBody) -> sealgate_ledger::block::Receipt {
        let ledger = self.gateway.ledger();
        ledger.submit(signed(ledger.genesis(), ledger.head().height, account, body).unwrap()).unwrap()
    }

    fn request(&self, index: u8) -> TxHash {
        let asset = self.gateway.ledger().assets().unwrap().remove(0);
        let terms = self.gateway.ledger().grant(&asset.id, &self.requester.address()).unwrap().unwrap().terms;
        let sql = format!("SELECT fee >= {} FROM pay WHERE id = 1", 1000 + i64::from(index));
        let question = parse_question(&sql, &asset.schema, vec![]).unwrap().shaped_for(&terms.prove);
        assert_eq!(question.constants.len(), 1);
        assert_eq!(question.keys, [[Value::Int(1)]]);
        let secret = SecretQuestion { nonce: Nonce([index; 32]), question };
        let (shape, commitment) = (secret.question.shape.clone(), secret.commitment());
        let body = TxBody::Request { asset: asset.id, shape, purpose: "study".into(), commitment, consent: None };
        let receipt = self.submit(&self.requester, body);
        assert!(matches!(receipt.outcome, Outcome::Granted { .. }));
        receipt.hash
    }

    fn record(&self, request: &TxHash, charges: Charges) {
        let owner = self.gateway.owner().account();
        let own = &owner.public().encryption_key;
        let auditor = self.gateway.ledger().genesis().policy.auditor.clone().unwrap();
        let charges = match charges {
            Charges::Bytes(bytes) => bytes,
            Charges::Sealed(charges) => seal(&charges, request, own, Some(&auditor.encryption_key)).unwrap(),
            Charges::OwnersOnly(charges) => seal(&charges, request, own, None).unwrap(),
            Charges::ToAnother(charges) => seal(&charges, request, own, Some(own)).unwrap(),
        };
        let digest = Digest([1; 32]);
        let body =
            TxBody::Answer { request: *request, version: 1, binding: digest, sealed: digest, bytes: 8240, charges };
        self.submit(owner, body);
    }
}

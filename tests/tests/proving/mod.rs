//! Tables that are published in memory alone, and evidence about them: what a gateway makes,
//! without ledger, store and network.

use std::sync::LazyLock;

use sealgate_circuits::bytes::{Context, Place, PlaceKey, TreeRoot};
use sealgate_circuits::evidence::{Evidence, Present, Published, Shown};
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::{Form, Question};
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::statement::{Circuit, Statement, answers};
use sealgate_circuits::tree::{Leaf, Path, build, path_within};
use sealgate_circuits::value::Value;
use sealgate_circuits::verifier::VerifyingKey;

/// A circuit's parameters, for development.
pub struct Keys {
    pub proving: ProvingKey,
    pub verifying: VerifyingKey,
}

/// The parameters of a circuit, made once a process.
pub fn keys(circuit: Circuit) -> &'static Keys {
    static KEYS: [LazyLock<Keys>; 4] = [
        LazyLock::new(|| generate(Circuit::Record15Slots4)),
        LazyLock::new(|| generate(Circuit::Record31Slots4)),
        LazyLock::new(|| generate(Circuit::Record15Terms8)),
        LazyLock::new(|| generate(Circuit::Record31Terms8)),
    ];
    &KEYS[Circuit::ALL.iter().position(|known| *known == circuit).unwrap()]
}

fn generate(circuit: Circuit) -> Keys {
    let proving = ProvingKey::generate_development(circuit).unwrap();
    let verifying = VerifyingKey::from_bytes(circuit, &proving.verifying_key_bytes().unwrap()).unwrap();
    Keys { proving, verifying }
}

/// A published table.
pub struct Sealed {
    pub schema: Schema,
    pub records: Vec<Vec<Value>>,
    pub version: u32,
    places: PlaceSecret,
    place_key: PlaceKey,
    leaves: Vec<Leaf>,
    root: TreeRoot,
}

impl Sealed {
    /// Publishes records, whose keys are distinct, as a version of a table.
    pub fn new(schema: &Schema, records: Vec<Vec<Value>>, version: u32) -> Sealed {
        schema.validate().unwrap();
        let places = PlaceSecret::from_seed([3; 32]);
        let hasher = RecordHasher::new(schema);
        let leaf = |record: &Vec<Value>| Leaf {
            place: places.place(&schema.key_bytes(&key_of(schema, record)).unwrap()),
            commitment: hasher.commit(record, &salt_of(schema, record, version)).unwrap(),
        };
        let mut leaves: Vec<Leaf> = records.iter().map(leaf).collect();
        leaves.sort();
        let root = build(&leaves, 0).root();
        let place_key = places.public();
        Sealed { schema: schema.clone(), records, version, places, place_key, leaves, root }
    }

    /// What the ledger says of it.
    pub fn published(&self) -> Published<'_> {
        Published { schema: &self.schema, place_key: &self.place_key, root: &self.root }
    }

    /// The record with a key.
    pub fn record(&self, key: &[Value]) -> Option<&Vec<Value>> {
        self.records.iter().find(|record| key_of(&self.schema, record) == key)
    }

    /// The circuit of a question about it.
    pub fn circuit(&self, question: &Question) -> Option<Circuit> {
        let form = question.shape.form(&self.schema).unwrap();
        assert!(form != Form::Opening || question.shape.items.len() == self.schema.columns.len());
        Circuit::for_question(&self.schema, form)
    }

    /// The path to a key's place.
    pub fn path(&self, place: &Place) -> Path {
        let (siblings, end) = path_within(&self.leaves, 0, place);
        Path { siblings, end }
    }

    /// The whole answer to a question.
    pub fn evidence(&self, question: &Question, context: &Context) -> Vec<Evidence> {
        question.keys.iter().map(|key| self.evidence_about(question, key, context)).collect()
    }

    fn evidence_about(&self, question: &Question, key: &[Value], context: &Context) -> Evidence {
        let (place, place_proof) = self.places.prove(&self.schema.key_bytes(key).unwrap());
        let present = self.record(key).map(|record| self.present(question, record, context));
        Evidence { place_proof, path: self.path(&place), present }
    }

    fn present(&self, question: &Question, record: &[Value], context: &Context) -> Present {
        let items = question.items().unwrap();
        let answers = answers(&items, record).unwrap();
        let salt = salt_of(&self.schema, record, self.version);
        let Some(circuit) = self.circuit(question) else {
            return Present { answers, shown: Shown::Opening(salt) };
        };
        let commitment = RecordHasher::new(&self.schema).commit(record, &salt).unwrap();
        let statement = Statement::new(circuit, &self.schema, &items, &answers, &commitment, context).unwrap();
        let proof = keys(circuit).proving.prove(&self.schema, &statement, record, &salt).unwrap();
        Present { answers, shown: Shown::Proof(proof) }
    }
}

/// A record's key.
pub fn key_of(schema: &Schema, record: &[Value]) -> Vec<Value> {
    schema.key.iter().map(|position| record[usize::from(*position)].clone()).collect()
}

/// A record's salt.
pub fn salt_of(schema: &Schema, record: &[Value], version: u32) -> Salt {
    Salt::derive(&[7; 32], &schema.key_bytes(&key_of(schema, record)).unwrap(), version)
}

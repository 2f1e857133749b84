//! The witness's memory, its refusals and its evidence; and what a home makes of cosignatures.

use sealgate_ledger::account::{AccountSecret, NodeSecret};
use sealgate_ledger::ids::{BlockHash, BlockHeight, LogRoot};
use sealgate_ledger::member::Policy;
use sealgate_ledger::merkle::{NodeHash, empty_root};
use tempfile::TempDir;

use super::pins::Pins;
use super::*;

struct World {
    dir: TempDir,
    genesis: Genesis,
    operator: AccountSecret,
}

impl World {
    /// A witness that follows a ledger, and a requester's home that trusts it.
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let operator = AccountSecret::generate("operator").unwrap();
        let genesis = Genesis {
            name: "test".into(),
            operator: operator.public().clone(),
            network: None,
            development: true,
            ceremony: None,
            circuits: vec![],
            policy: Policy { open_enrolment: true, answer_window_blocks: 3, denials_a_day: 10, auditor: None },
            created_ms: 1_000,
        };
        let world = World { dir, genesis, operator };
        create(world.witness().folder(), "witness.example/1").unwrap();
        for home in [world.witness(), world.requester()] {
            home.trust(&world.chain()).unwrap();
        }
        follow(&world.witness(), &world.genesis).unwrap();
        world
    }

    fn witness(&self) -> Home {
        Home::at(&self.dir.path().join("witness"))
    }

    fn requester(&self) -> Home {
        Home::at(&self.dir.path().join("requester"))
    }

    fn chain(&self) -> ChainId {
        self.genesis.chain_id()
    }

    fn cosigned(&self) -> PathBuf {
        self.witness().ledger_folder(&self.chain()).join(COSIGNED_FILE)
    }

    fn note(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        checkpoint.sign(&self.chain(), &NodeSecret::of(&self.operator))
    }

    fn body(&self, old: u64, proof: &[NodeHash], checkpoint: Checkpoint) -> Vec<u8> {
        AddCheckpoint { old, proof: proof.to_vec(), checkpoint: self.note(checkpoint) }.to_text().into_bytes()
    }
}

fn refusal(result: Result<String, WitnessError>) -> Refusal {
    match result {
        Err(WitnessError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// A checkpoint of a ledger with one entry a block.
fn at(size: u64, root: [u8; 32]) -> Checkpoint {
    Checkpoint { size, root: LogRoot(root), height: BlockHeight(size), block: BlockHash(root) }
}

/// A tree of one leaf, and one of two that extends it.
fn trees() -> (Checkpoint, Checkpoint, Vec<NodeHash>) {
    let (one, two) = (NodeHash([1; 32]), NodeHash([2; 32]));
    let root = Sha256::new().chain_update([1]).chain_update(one.0).chain_update(two.0).finalize();
    (at(1, one.0), at(2, root.into()), vec![two])
}

#[test]
fn the_memory_survives_and_is_written_before_anything_is_cosigned() {
    let world = World::new();
    let (first, second, proof) = trees();
    let witness = Witness::open(&world.witness()).unwrap();
    assert_eq!(witness.status()[0].size, None);
    let line = witness.add_checkpoint(&world.body(0, &[], first), 1_700_000_000).unwrap();
    let note = attach(&world.note(first), [line.as_str()]);
    assert_eq!(witness.key().cosigned(&note).unwrap(), Some(1_700_000_000));
    assert_eq!(std::fs::read_to_string(world.cosigned()).unwrap(), note.0);
    let origin = origin(&world.chain());
    assert_eq!(witness.checkpoint(&hex::encode(Sha256::digest(origin.as_bytes()))), Some(note));
    assert_eq!(witness.checkpoint("00"), None);

    assert!(matches!(Witness::open(&world.witness()), Err(WitnessError::InUse(_))));
    // Who only looks cosigns nothing.
    let looking = Witness::look(&world.witness()).unwrap();
    refusal(looking.add_checkpoint(&world.body(1, &proof, second), 1_700_000_001));
    drop(witness);
    let witness = Witness::open(&world.witness()).unwrap();
    assert_eq!((witness.status()[0].size, witness.status()[0].time_s), (Some(1), Some(1_700_000_000)));
    let again = refusal(witness.add_checkpoint(&world.body(0, &[], second), 1_700_000_001));
    assert_eq!(again, Refusal::Conflict { size: 1 });
    // A clock that was set back.
    let line = witness.add_checkpoint(&world.body(1, &proof, second), 5).unwrap();
    let note = attach(&world.note(second), [line.as_str()]);
    assert_eq!(witness.key().cosigned(&note).unwrap(), Some(1_700_000_000));

    // Where the memory cannot be written nothing is cosigned, and nothing forgotten.
    let aside = world.cosigned().with_extension("aside");
    std::fs::rename(world.cosigned(), &aside).unwrap();
    std::fs::create_dir(world.cosigned()).unwrap();
    let failed = witness.add_checkpoint(&world.body(2, &[], second), 1_700_000_009);
    assert!(matches!(failed, Err(WitnessError::File(_))), "{failed:?}");
    std::fs::remove_dir(world.cosigned()).unwrap();
    std::fs::rename(&aside, world.cosigned()).unwrap();
    assert_eq!(witness.status()[0].time_s, Some(1_700_000_000));
    witness.add_checkpoint(&world.body(2, &[], second), 1_700_000_009).unwrap();
    assert_eq!(witness.status()[0].size, Some(2));
}

#[test]
fn two_histories_are_refused_and_kept_as_evidence() {
    let world = World::new();
    let (first, second, proof) = trees();
    let witness = Witness::open(&world.witness()).unwrap();
    witness.add_checkpoint(&world.body(0, &[], first), 1).unwrap();
    let other = at(1, [9; 32]);
    for old in [1, 0] {
        let refused = refusal(witness.add_checkpoint(&world.body(old, &[], other), 2));
        assert!(matches!(
            (old, refused),
            (1, Refusal::NotExtended { size: 1, .. }) | (0, Refusal::Conflict { size: 1 })
        ));
    }
    let evidence = witness.status()[0].evidence.clone();
    assert_eq!(evidence.len(), 1);
    let pair: HashMap<String, SignedCheckpoint> = read_json(&evidence[0]).unwrap();
    assert_eq!(world.requester().read(&world.genesis, &pair["cosigned"]).unwrap(), first);
    assert_eq!(world.requester().read(&world.genesis, &pair["other"]).unwrap(), other);
    // Bounded, however many are shown.
    for byte in 10..60 {
        let other = at(1, [byte; 32]);
        refusal(witness.add_checkpoint(&world.body(1, &[], other), 2));
    }
    assert_eq!(witness.status()[0].evidence.len(), EVIDENCE_MAX);
    // What was cosigned stays extended.
    witness.add_checkpoint(&world.body(1, &proof, second), 3).unwrap();
}

#[test]
fn only_followed_ledgers_and_their_own_signatures_count() {
    let world = World::new();
    let (first, ..) = trees();
    let witness = Witness::open(&world.witness()).unwrap();
    let stranger = AccountSecret::generate("stranger").unwrap();
    let unsigned =
        AddCheckpoint { old: 0, proof: vec![], checkpoint: first.sign(&world.chain(), &NodeSecret::of(&stranger)) };
    assert_eq!(refusal(witness.add_checkpoint(unsigned.to_text().as_bytes(), 1)), Refusal::Unsigned);
    let elsewhere = AddCheckpoint {
        old: 0,
        proof: vec![],
        checkpoint: first.sign(&ChainId([1; 32]), &NodeSecret::of(&world.operator)),
    };
    assert_eq!(refusal(witness.add_checkpoint(elsewhere.to_text().as_bytes(), 1)), Refusal::Unknown);
    assert!(matches!(refusal(witness.add_checkpoint(b"old 0\n", 1)), Refusal::Malformed(_)));
    let other = Genesis { name: "other".into(), ..world.genesis.clone() };
    assert!(matches!(follow(&world.witness(), &other), Err(WitnessError::Home(HomeError::NotTrusted { .. }))));
    // Lines that others add are not kept.
    let junk = attach(&world.note(first), ["\u{2014} junk AAAAAAAA"]);
    let request = AddCheckpoint { old: 0, proof: vec![], checkpoint: junk };
    witness.add_checkpoint(request.to_text().as_bytes(), 1).unwrap();
    assert!(!std::fs::read_to_string(world.cosigned()).unwrap().contains("junk"));
    assert_eq!(empty_root(), LogRoot(Sha256::digest([]).into()));
}

#[test]
fn a_damaged_or_missing_memory_stops_the_witness() {
    let world = World::new();
    let (first, ..) = trees();
    Witness::open(&world.witness()).unwrap().add_checkpoint(&world.body(0, &[], first), 1_700_000_000).unwrap();
    let whole = std::fs::read(world.cosigned()).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(world.cosigned(), &damaged).unwrap();
        assert!(Witness::open(&world.witness()).is_err(), "byte {at}");
    }
    for short in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(world.cosigned(), &whole[..short]).unwrap();
        assert!(Witness::open(&world.witness()).is_err(), "{short} bytes");
    }
    std::fs::remove_file(world.cosigned()).unwrap();
    let error = Witness::open(&world.witness()).err().unwrap().to_string();
    assert!(error.contains("forgets"), "{error}");
    // Following it again does not paper over that.
    follow(&world.witness(), &world.genesis).unwrap();
    assert!(Witness::open(&world.witness()).is_err());
    std::fs::write(world.cosigned(), &whole).unwrap();
    assert_eq!(Witness::open(&world.witness()).unwrap().status()[0].size, Some(1));
    // A damaged key.
    let path = world.witness().folder().join(KEY_FILE);
    let key = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, key.replacen("\"seed\": \"", "\"seed\": \"00", 1)).unwrap();
    assert!(Witness::open(&world.witness()).is_err());
    assert!(create(world.witness().folder(), "again").is_err());
    assert!(create(&world.dir.path().join("blank"), "two words").is_err());
}

#[test]
fn a_home_counts_the_witnesses_it_pins() {
    let world = World::new();
    let (first, second, proof) = trees();
    let witness = Witness::open(&world.witness()).unwrap();
    let home = world.requester();
    let bare = world.note(first);
    home.accept(&world.genesis, &bare, 0, &[]).unwrap();
    assert!(home.witnessed(&world.genesis, &bare).unwrap().is_unpinned());

    let other = WitnessSecret::from_seed("other.example", [7; 32]).unwrap().public().clone();
    let pins = |required| Pins { required, witnesses: vec![witness.key().clone(), other.clone()] };
    home.pin_witnesses(&world.chain(), &pins(0)).unwrap();
    let said = home.witnessed(&world.genesis, &bare).unwrap();
    assert_eq!((said.by.len(), said.missing.len()), (0, 2));
    assert!(said.notes().iter().all(|note| note.starts_with("owner-operated ledger: not witnessed by ")));

    let line = witness.add_checkpoint(&world.body(0, &[], first), 1_700_000_000).unwrap();
    witness.add_checkpoint(&world.body(1, &proof, second), 1_700_000_060).unwrap();
    let later = SignedCheckpoint(std::fs::read_to_string(world.cosigned()).unwrap());
    let said = home.witnessed(&world.genesis, &attach(&bare, [line.as_str()])).unwrap();
    assert_eq!(said.checks(), ["witnessed by witness.example/1 at 2023-11-14T22:13:20Z"]);
    assert_eq!(said.missing, ["other.example"]);
    assert!(said.notes()[0].starts_with("not witnessed by other.example"));

    // A later checkpoint speaks for an older one once both are accepted.
    assert!(home.accept(&world.genesis, &later, 1, &proof).unwrap());
    home.witnessed(&world.genesis, &later).unwrap();
    let said = home.witnessed(&world.genesis, &bare).unwrap();
    assert_eq!((said.by[0].size, said.by[0].time.as_str()), (2, "2023-11-14T22:14:20Z"));
    assert!(said.checks()[0].ends_with("in a later checkpoint of 2 entries that extends this one"));

    home.pin_witnesses(&world.chain(), &pins(1)).unwrap();
    home.require_witnessed(&world.genesis, &bare).unwrap();
    home.pin_witnesses(&world.chain(), &pins(2)).unwrap();
    let error = home.require_witnessed(&world.genesis, &later).unwrap_err().to_string();
    assert!(error.contains("1 of the 2 witnesses") && error.contains("other.example"), "{error}");

    // One cosignature that does not hold spoils the checkpoint, required or not.
    home.pin_witnesses(&world.chain(), &pins(0)).unwrap();
    let wrong = attach(&world.note(second), [line.as_str()]);
    assert!(matches!(
        home.witnessed(&world.genesis, &wrong),
        Err(HomeError::Checkpoint(CheckpointError::Cosignature(_)))
    ));
    assert!(home.pin_witnesses(&world.chain(), &pins(3)).is_err());
    let twice = Pins { required: 0, witnesses: vec![other.clone(), other.clone()] };
    assert!(home.pin_witnesses(&world.chain(), &twice).is_err());
}

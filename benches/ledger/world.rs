//! What the benchmarks of ledgers share: one asset, accounts that may ask it, and their requests,
//! submitted many at a time; and what only verifies their signatures or writes their bytes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use ed25519_dalek::{Signature, VerifyingKey};
use ed25519_zebra::{VerificationKeyBytes, batch};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rayon::prelude::*;
use sealgate_benches::sample::schema;
use sealgate_benches::{Cost, Fault};
use sealgate_circuits::bytes::{PlaceKey, TreeRoot};
use sealgate_circuits::question::{Item, Operand, Operator, Predicate, Shape};
use sealgate_circuits::value::Value;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{AssetId, ChainId, Digest};
use sealgate_ledger::member::Policy;
use sealgate_ledger::tx::{ColumnSeal, EXPIRY_BLOCKS_MAX, GrantTerms, SignedTx, Tx, TxBody, VersionInfo};
use sealgate_ledger::{Ledger, Pending, SubmitError};

/// Signatures checked together.
const TOGETHER: usize = 256;
/// Columns of the asset.
const COLUMNS: u8 = 15;

/// A ledger with one asset and accounts that may ask it.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    chain: ChainId,
    asset: AssetId,
    pub(crate) requesters: Vec<AccountSecret>,
    nonce: Cell<u64>,
}

impl World {
    /// On an embedded ledger in that folder.
    pub(crate) fn new(folder: &Path, requesters: usize) -> Result<World, Fault> {
        let owner = AccountSecret::generate("Owner")?;
        let genesis = genesis(&owner);
        let ledger = Ledger::create(folder, genesis.clone(), owner.clone())?;
        World::on(ledger, &genesis, &owner, requesters)
    }

    /// On a ledger whose first member is `owner`.
    pub(crate) fn on(
        ledger: Ledger,
        genesis: &Genesis,
        owner: &AccountSecret,
        requesters: usize,
    ) -> Result<World, Fault> {
        let chain = genesis.chain_id();
        let asset = AssetId::of(&chain, &owner.address(), "asset");
        let requesters = (0..requesters).map(|i| AccountSecret::generate(&format!("Requester {i}")));
        let requesters = requesters.collect::<Result<_, _>>()?;
        let world = World { ledger, chain, asset, requesters, nonce: Cell::new(1) };
        world.ledger.submit(world.sign(owner, 0, register()))?;
        for requester in &world.requesters {
            let account = requester.public().clone();
            world.ledger.submit(world.sign(owner, 0, TxBody::OpenAccount { account, identity: vec![] }))?;
            let grant = TxBody::Grant { asset, to: requester.address(), terms: terms() };
            world.ledger.submit(world.sign(owner, 0, grant))?;
        }
        Ok(world)
    }

    fn sign(&self, sender: &AccountSecret, nonce: u64, body: TxBody) -> SignedTx {
        let expiry = self.ledger.head().height.plus(EXPIRY_BLOCKS_MAX);
        Tx { chain: self.chain, sender: sender.address(), nonce, expiry, body }.sign(sender)
    }

    /// Granted requests of the requesters in turn.
    pub(crate) fn requests(&self, count: usize) -> Vec<SignedTx> {
        let first = self.nonce.replace(self.nonce.get() + count as u64);
        let senders = self.requesters.iter().cycle();
        (first..)
            .zip(senders)
            .take(count)
            .map(|(nonce, sender)| self.sign(sender, nonce, request(self.asset)))
            .collect()
    }
}

/// An embedded ledger's genesis.
pub(crate) fn genesis(owner: &AccountSecret) -> Genesis {
    Genesis {
        name: "bench".into(),
        operator: owner.public().clone(),
        development: true,
        ceremony: None,
        network: None,
        circuits: vec![],
        policy: Policy {
            open_enrolment: true,
            answer_window_blocks: EXPIRY_BLOCKS_MAX,
            denials_a_day: 1_000,
            auditor: None,
        },
        created_ms: 1_000,
    }
}

fn register() -> TxBody {
    let seal = ColumnSeal { ciphertext: Digest([1; 32]), key_commitment: Digest([2; 32]) };
    let version = VersionInfo {
        number: 1,
        root: TreeRoot([1; 32]),
        records_rounded: 1024,
        cipher_suite: "AES-256-GCM".into(),
        hash_algorithm: "BLAKE3".into(),
        columns: vec![seal; usize::from(COLUMNS)],
        manifest: Digest([3; 32]),
        access: vec![],
    };
    TxBody::RegisterAsset {
        name: "asset".into(),
        title: "Asset".into(),
        description: String::new(),
        data_type: "table".into(),
        schema: schema(COLUMNS),
        place_key: PlaceKey([9; 32]),
        budgets: vec![8; usize::from(COLUMNS)],
        version,
    }
}

fn predicate() -> Predicate {
    Predicate::compare(2, Operator::Ge, vec![Operand::Fixed(Value::Int(500))])
}

fn terms() -> GrantTerms {
    GrantTerms {
        whole: vec![],
        disclose: vec![1],
        prove: vec![predicate()],
        existence: false,
        purpose: String::new(),
        not_before_ms: None,
        until_ms: None,
        quota: None,
        bits: None,
    }
}

fn request(asset: AssetId) -> TxBody {
    let items = vec![Item::Disclose(1), Item::Prove(predicate())];
    TxBody::Request {
        asset,
        shape: Shape { items, keys: 1 },
        purpose: "checking licences".into(),
        commitment: Digest([5; 32]),
        consent: None,
    }
}

/// Clients that submit at the same time; each waits for many receipts.
const CLIENTS: usize = 8;

/// Each client submits its share to one of the ledgers, in order, and waits for every receipt; of all
/// clients together no more than `waiting` are outstanding.
pub(crate) fn submit_all(ledgers: &[Ledger], txs: &[SignedTx], waiting: usize) -> Result<Cost, Fault> {
    let clients = CLIENTS.min(waiting);
    let shares: Vec<Vec<SignedTx>> = txs.chunks(txs.len().div_ceil(clients)).map(<[_]>::to_vec).collect();
    Cost::of(|| {
        std::thread::scope(|scope| {
            let submit = |(share, ledger): (Vec<SignedTx>, _)| {
                let ledger: &Ledger = ledger;
                scope.spawn(move || submit(ledger, share, waiting / clients))
            };
            let running: Vec<_> = shares.into_iter().zip(ledgers.iter().cycle()).map(submit).collect();
            running
                .into_iter()
                .try_for_each(|thread| Ok(thread.join().map_err(|_| "a submitting thread panicked")??))
        })
    })
}

fn submit(ledger: &Ledger, txs: Vec<SignedTx>, waiting: usize) -> Result<(), SubmitError> {
    let mut outstanding = VecDeque::new();
    for tx in txs {
        if outstanding.len() >= waiting
            && let Some(oldest) = outstanding.pop_front().map(Pending::wait)
        {
            oldest?;
        }
        outstanding.push_back(ledger.begin(tx)?);
    }
    outstanding.into_iter().try_for_each(|pending| pending.wait().map(drop))
}

/// `verify_strict` of each signature over the transaction's hash, which is what is signed.
pub(crate) fn verify_all(txs: &[SignedTx], senders: &[AccountSecret]) -> Result<Cost, Fault> {
    let keys = senders.iter().map(|sender| VerifyingKey::from_bytes(&sender.public().verify_key.0));
    let keys: Vec<VerifyingKey> = keys.collect::<Result<_, _>>()?;
    let prepared = txs.iter().zip(keys.iter().cycle());
    let prepared: Vec<_> =
        prepared.map(|(tx, key)| (key, tx.hash().0, Signature::from_bytes(&tx.signature.0))).collect();
    Cost::of(|| Ok(prepared.par_iter().try_for_each(|(key, hash, signature)| key.verify_strict(hash, signature))?))
}

/// The rule of the ledger over the same signatures, in batches.
pub(crate) fn verify_together(txs: &[SignedTx], senders: &[AccountSecret]) -> Result<Cost, Fault> {
    let keys = senders.iter().map(|sender| VerificationKeyBytes::from(sender.public().verify_key.0));
    let keys: Vec<VerificationKeyBytes> = keys.collect();
    let prepared: Vec<_> =
        txs.iter().zip(keys.iter().cycle()).map(|(tx, key)| (*key, tx.hash().0, tx.signature.0)).collect();
    Cost::of(|| {
        Ok(prepared.par_chunks(TOGETHER).try_for_each(|batch| {
            let mut verifier = batch::Verifier::new();
            for (key, hash, signature) in batch {
                verifier.queue((*key, ed25519_zebra::Signature::from_bytes(signature), hash));
            }
            verifier.verify(UnwrapErr(SysRng)).map_err(|error| format!("{error:?}"))
        })?)
    })
}

/// The same bytes in a log that is fdatasynced after each `batch` transactions, and nothing else.
pub(crate) fn append_all(path: &Path, txs: &[SignedTx], batch: usize) -> Result<Cost, Fault> {
    let bytes: Vec<Vec<u8>> = txs.iter().map(SignedTx::encode).collect();
    let mut file = File::create(path)?;
    Cost::of(|| {
        for batch in bytes.chunks(batch) {
            file.write_all(&batch.concat())?;
            file.sync_data()?;
        }
        Ok(())
    })
}

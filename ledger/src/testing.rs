//! What the tests of this crate share.

use sealgate_circuits::bytes::{PlaceKey, TreeRoot};
use sealgate_circuits::question::{Item, Operand, Operator, Predicate, Shape};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::value::{ColumnType, Value};

use crate::account::{AccountSecret, EncryptionKey};
use crate::genesis::Genesis;
use crate::ids::{Address, AssetId, BlockHeight, Digest, TxHash};
use crate::member::Policy;
use crate::tx::{ColumnSeal, FILE, GrantTerms, SignedTx, Tx, TxBody, VersionInfo, file_schema};

pub(crate) fn secret(name: &str, seed: u8) -> AccountSecret {
    AccountSecret::from_parts(name, [seed; 32], [seed; 32], EncryptionKey([seed; 32])).unwrap()
}

pub(crate) fn genesis() -> (Genesis, AccountSecret) {
    let operator = secret("Licences", 1);
    let genesis = Genesis {
        name: "test".into(),
        operator: operator.public().clone(),
        network: None,
        development: true,
        ceremony: None,
        circuits: vec![],
        policy: Policy { open_enrolment: true, answer_window_blocks: 3, denials_a_day: 1_000, auditor: None },
        created_ms: 1_000,
    };
    (genesis, operator)
}

pub(crate) fn schema() -> Schema {
    let column =
        |name: &str, kind, disclose, prove| Column { name: name.into(), kind, allowed: ColumnUse { disclose, prove } };
    Schema {
        columns: vec![
            column("id", ColumnType::Int, true, true),
            column("status", ColumnType::Text, true, true),
            column("fee", ColumnType::Int, false, true),
            column("owner", ColumnType::Text, true, false),
        ],
        key: vec![0],
    }
}

pub(crate) fn version(number: u32) -> VersionInfo {
    let seal = ColumnSeal { ciphertext: Digest([1; 32]), key_commitment: Digest([2; 32]) };
    VersionInfo {
        number,
        root: TreeRoot([number as u8; 32]),
        records_rounded: 1024,
        cipher_suite: "AES-256-GCM".into(),
        hash_algorithm: "BLAKE3".into(),
        columns: vec![seal; 4],
        manifest: Digest([3; 32]),
        access: vec![1, 2, 3],
    }
}

pub(crate) fn fee_at_least(constant: Option<i64>) -> Predicate {
    let operand = constant.map_or(Operand::Free, |c| Operand::Fixed(Value::Int(c)));
    Predicate::compare(2, Operator::Ge, vec![operand])
}

pub(crate) fn terms() -> GrantTerms {
    GrantTerms {
        disclose: vec![1],
        whole: vec![],
        prove: vec![fee_at_least(Some(500))],
        existence: false,
        purpose: String::new(),
        not_before_ms: None,
        until_ms: None,
        quota: None,
        bits: None,
    }
}

pub(crate) fn register(name: &str) -> TxBody {
    TxBody::RegisterAsset {
        name: name.into(),
        title: "Business licences".into(),
        description: "All of them.\nEvery one.".into(),
        data_type: "table".into(),
        schema: schema(),
        place_key: PlaceKey([9; 32]),
        budgets: vec![8; 4],
        version: version(1),
    }
}

pub(crate) fn request(asset: AssetId, items: Vec<Item>) -> TxBody {
    TxBody::Request {
        asset,
        shape: Shape { items, keys: 1 },
        purpose: "test".into(),
        commitment: Digest([5; 32]),
        consent: None,
    }
}

pub(crate) fn request_whole(asset: AssetId, columns: Vec<u8>) -> TxBody {
    TxBody::RequestWhole { asset, columns, purpose: "test".into(), consent: None }
}

pub(crate) fn deliver(request: TxHash, version: u32) -> TxBody {
    TxBody::Deliver { request, version, sealed: Digest([7; 32]), bytes: 1 << 20 }
}

pub(crate) fn register_file(name: &str) -> TxBody {
    let TxBody::RegisterAsset { title, description, mut version, .. } = register(name) else { panic!() };
    version.columns.truncate(1);
    TxBody::RegisterAsset {
        name: name.into(),
        title,
        description,
        data_type: FILE.into(),
        schema: file_schema(),
        place_key: PlaceKey([0; 32]),
        budgets: vec![0],
        version,
    }
}

pub(crate) fn answer(request: TxHash, version: u32) -> TxBody {
    let (binding, sealed) = (Digest([6; 32]), Digest([7; 32]));
    TxBody::Answer { request, version, binding, sealed, bytes: 8240, charges: vec![8; 40] }
}

pub(crate) fn sign(genesis: &Genesis, secret: &AccountSecret, nonce: u64, expiry: u64, body: TxBody) -> SignedTx {
    Tx { chain: genesis.chain_id(), sender: secret.address(), nonce, expiry: BlockHeight(expiry), body }.sign(secret)
}

pub(crate) fn asset_id(genesis: &Genesis, owner: &Address, name: &str) -> AssetId {
    AssetId::of(&genesis.chain_id(), owner, name)
}

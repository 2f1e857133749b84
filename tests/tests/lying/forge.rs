//! Altered blocks, and whole histories that an operator forged and signed anew.

use std::collections::HashMap;
use std::convert::Infallible;

use sealgate_circuits::question::Shape;
use sealgate_gateway::client::HeadResponse;
use sealgate_gateway::owner::signed;
use sealgate_ledger::account::{AccountSecret, NodeSecret};
use sealgate_ledger::block::{Block, DenyReason, Entry, EntryBody, Outcome};
use sealgate_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{BlockHeight, Digest, LogRoot};
use sealgate_ledger::merkle::{self, NodeHash, Tiles, TilesMut};
use sealgate_ledger::tx::{SignedTx, TxBody};

use crate::wire::{Call, Reply, Sent, Upstream};

pub fn decode(bytes: &[u8]) -> Vec<Block> {
    sealgate_ledger::codec::decode("blocks", bytes).unwrap()
}

/// The first block with an entry that fits, and that entry.
fn find(blocks: &mut [Block], fits: impl Fn(&TxBody, &Outcome) -> bool) -> Option<(usize, usize)> {
    blocks.iter().enumerate().find_map(|(at, block)| {
        let fits =
            |entry: &Entry| matches!(&entry.body, EntryBody::Transaction { tx, outcome } if fits(&tx.tx.body, outcome));
        block.entries.iter().position(fits).map(|entry| (at, entry))
    })
}

fn change(blocks: &mut [Block], fits: impl Fn(&TxBody, &Outcome) -> bool, f: impl Fn(&mut SignedTx, &mut Outcome)) {
    if let Some((block, entry)) = find(blocks, fits)
        && let EntryBody::Transaction { tx, outcome } = &mut blocks[block].entries[entry].body
    {
        f(tx, outcome);
    }
}

fn granted(_: &TxBody, outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Granted { .. })
}

fn denied(_: &TxBody, outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Denied { .. })
}

fn deny(_: &mut SignedTx, outcome: &mut Outcome) {
    *outcome = Outcome::Denied { reason: DenyReason::NoGrant };
}

fn grant(_: &mut SignedTx, outcome: &mut Outcome) {
    *outcome = Outcome::Granted { version: 1, deadline: BlockHeight(1000) };
}

type BlockLie = (&'static str, fn(&mut Vec<Block>), &'static str);

/// What a gateway without the operator's key can do to the blocks it passes on.
pub const BLOCK_LIES: [BlockLie; 16] = [
    ("a grant said to be a denial", |blocks| change(blocks, granted, deny), "another outcome"),
    ("a denial said to be a grant", |blocks| change(blocks, denied, grant), "another outcome"),
    ("another reason", |blocks| change(blocks, denied, deny), "another outcome"),
    ("a block missing", |blocks| drop_if(blocks, 2), "says it is block"),
    ("the first missing", |blocks| drop_if(blocks, 0), "says it is block"),
    (
        "two swapped",
        |blocks| {
            if blocks.len() > 3 {
                blocks.swap(1, 2)
            }
        },
        "says it is block",
    ),
    (
        "one twice",
        |blocks| {
            if blocks.len() > 1 {
                blocks.insert(1, blocks[0].clone())
            }
        },
        "says it is block",
    ),
    ("none", |blocks| blocks.clear(), "entries that its checkpoint covers"),
    (
        "an entry missing",
        |blocks| {
            if let Some(block) = blocks.first_mut() {
                block.entries.clear()
            }
        },
        "block",
    ),
    (
        "an entry twice",
        |blocks| {
            if let Some(block) = blocks.first_mut() {
                block.entries.push(block.entries[0].clone())
            }
        },
        "block",
    ),
    ("a signature", |blocks| change(blocks, |_, _| true, |tx, _| tx.signature.0[10] ^= 1), "signature"),
    (
        "a purpose",
        |blocks| {
            change(blocks, granted, |tx, _| {
                if let TxBody::Request { purpose, .. } = &mut tx.tx.body {
                    purpose.push('x')
                }
            })
        },
        "signature",
    ),
    ("a sender", |blocks| change(blocks, granted, |tx, _| tx.tx.sender.0[0] ^= 1), "block"),
    (
        "a time",
        |blocks| {
            if let Some(block) = blocks.first_mut() {
                block.header.time_ms += 1
            }
        },
        "block",
    ),
    (
        "a root",
        |blocks| {
            if let Some(block) = blocks.first_mut() {
                block.header.log_root = LogRoot([1; 32])
            }
        },
        "root",
    ),
    (
        "a link",
        |blocks| {
            if let Some(block) = blocks.first_mut() {
                block.header.previous.0[0] ^= 1
            }
        },
        "follows",
    ),
];

fn drop_if(blocks: &mut Vec<Block>, at: usize) {
    if blocks.len() > at {
        blocks.remove(at);
    }
}

/// What an operator holds when it forges.
pub struct Forger<'a> {
    genesis: &'a Genesis,
    operator: &'a AccountSecret,
    requester: &'a AccountSecret,
}

impl Forger<'_> {
    fn append(&self, blocks: &mut Vec<Block>, tx: SignedTx, outcome: Outcome) {
        self.entry(blocks, EntryBody::Transaction { tx: Box::new(tx), outcome });
    }

    fn entry(&self, blocks: &mut Vec<Block>, body: EntryBody) {
        let mut header = blocks.last().unwrap().header.clone();
        header.height = header.height.next();
        header.time_ms += 1000;
        blocks.push(Block { entries: vec![Entry { height: header.height, body }], header });
    }

    fn sign(&self, blocks: &[Block], who: &AccountSecret, body: TxBody) -> SignedTx {
        signed(self.genesis, blocks.last().unwrap().header.height, who, body).unwrap()
    }

    fn request(&self, blocks: &[Block], who: &AccountSecret) -> SignedTx {
        let asset = blocks.iter().flat_map(|block| &block.entries).find_map(|entry| match &entry.body {
            EntryBody::Transaction { tx, .. } => match &tx.tx.body {
                TxBody::Request { asset, .. } => Some(*asset),
                _ => None,
            },
            EntryBody::Unanswered { .. } => None,
        });
        let shape = Shape { items: vec![], keys: 1 };
        let body = TxBody::Request {
            asset: asset.unwrap(),
            shape,
            purpose: "spite".into(),
            commitment: Digest([3; 32]),
            consent: None,
        };
        self.sign(blocks, who, body)
    }
}

type OperatorLie = (&'static str, fn(&Forger<'_>, &mut Vec<Block>), &'static str);

/// What an operator could write into a ledger with headers, roots and checkpoint in order.
pub const OPERATOR_LIES: [OperatorLie; 11] = [
    ("a denial turned into a grant", |_, blocks| change(blocks, denied, grant), "another outcome"),
    ("a grant turned into a denial", |_, blocks| change(blocks, granted, deny), "another outcome"),
    (
        "a request nobody signed",
        |f, blocks| {
            let mut tx = f.request(blocks, f.requester);
            tx.signature.0 = [1; 64];
            f.append(blocks, tx, Outcome::Granted { version: 1, deadline: BlockHeight(500) });
        },
        "signature",
    ),
    (
        "a request that somebody else signed",
        |f, blocks| {
            let mut tx = f.request(blocks, f.operator);
            tx.tx.sender = f.requester.address();
            f.append(blocks, tx, Outcome::Granted { version: 1, deadline: BlockHeight(500) });
        },
        "signature",
    ),
    (
        "a request of a stranger",
        |f, blocks| {
            let tx = f.request(blocks, &AccountSecret::generate("stranger").unwrap());
            f.append(blocks, tx, Outcome::Granted { version: 1, deadline: BlockHeight(500) });
        },
        "no account",
    ),
    (
        "a deadline of its own",
        |_, blocks| {
            change(blocks, granted, |_, outcome| {
                if let Outcome::Granted { deadline, .. } = outcome {
                    deadline.0 += 1
                }
            })
        },
        "another outcome",
    ),
    (
        "a second answer",
        |f, blocks| {
            let (block, entry) = find(blocks, |body, _| matches!(body, TxBody::Answer { .. })).unwrap();
            let EntryBody::Transaction { tx, .. } = blocks[block].entries[entry].body.clone() else { panic!() };
            let tx = f.sign(blocks, f.operator, tx.tx.body);
            f.append(blocks, tx, Outcome::Accepted);
        },
        "answered already",
    ),
    (
        "a transaction twice",
        |f, blocks| {
            let (block, entry) = find(blocks, granted).unwrap();
            let EntryBody::Transaction { tx, outcome } = blocks[block].entries[entry].body.clone() else { panic!() };
            f.append(blocks, *tx, outcome);
        },
        "on the ledger already",
    ),
    (
        "an answered request said to be unanswered",
        |f, blocks| {
            let (block, entry) = find(blocks, granted).unwrap();
            let EntryBody::Transaction { tx, .. } = blocks[block].entries[entry].body.clone() else { panic!() };
            f.entry(blocks, EntryBody::Unanswered { request: tx.hash() });
        },
        "unanswered",
    ),
    (
        "a revocation by somebody else",
        |f, blocks| {
            let TxBody::Request { asset, .. } = f.request(blocks, f.requester).tx.body else { panic!() };
            let tx = f.sign(blocks, f.requester, TxBody::Revoke { asset, to: f.requester.address() });
            f.append(blocks, tx, Outcome::Accepted);
        },
        "belongs to",
    ),
    (
        "time that runs backwards",
        |f, blocks| {
            let tx = f.request(blocks, f.requester);
            f.append(blocks, tx, Outcome::Denied { reason: DenyReason::Existence });
            blocks.last_mut().unwrap().header.time_ms = 1;
        },
        "is not after",
    ),
];

/// A request that its sender signed and no operator took up, in the last block.
pub fn slip_in(f: &Forger<'_>, blocks: &mut [Block]) {
    let tx = f.request(blocks, f.requester);
    let last = blocks.last_mut().unwrap();
    let outcome = Outcome::Granted { version: 1, deadline: last.header.height.plus(1000) };
    let body = EntryBody::Transaction { tx: Box::new(tx), outcome };
    last.entries.push(Entry { height: last.header.height, body });
}

/// A forged history with its signed head.
pub struct History {
    blocks: Vec<Block>,
    head: SignedCheckpoint,
}

/// Applies the lie and puts headers, roots and checkpoint in order behind it.
pub fn history(
    genesis: &Genesis,
    operator: &AccountSecret,
    requester: &AccountSecret,
    mut blocks: Vec<Block>,
    lie: fn(&Forger<'_>, &mut Vec<Block>),
) -> History {
    lie(&Forger { genesis, operator, requester }, &mut blocks);
    let (mut tiles, mut size, mut previous) = (Memory::default(), 0, None);
    for block in &mut blocks {
        block.header.first_entry = size;
        for entry in &block.entries {
            merkle::append(&mut tiles, size, entry.leaf()).unwrap();
            size += 1;
        }
        block.header.tree_size = size;
        block.header.log_root = merkle::root(&tiles, size).unwrap();
        if let Some(previous) = previous {
            block.header.previous = previous;
        }
        previous = Some(block.header.hash());
    }
    let header = &blocks.last().unwrap().header;
    let head = Checkpoint::of(header).sign(&genesis.chain_id(), &NodeSecret::of(operator));
    History { blocks, head }
}

impl History {
    pub fn reply(&self, call: &Call, upstream: &Upstream) -> Sent {
        if call.is("GET", "/v1/checkpoint") {
            let header = self.blocks.last().unwrap().header.clone();
            let head = HeadResponse { header, checkpoint: self.head.clone() };
            return Reply::of(&serde_json::to_value(head).unwrap()).into();
        }
        self.blocks(call, upstream)
    }

    /// Its blocks, and all else as it is.
    pub fn blocks(&self, call: &Call, upstream: &Upstream) -> Sent {
        match call.path.strip_prefix("/v1/blocks?from=") {
            Some(from) => {
                let blocks: Vec<Block> = self.blocks.iter().skip(from.parse().unwrap()).cloned().collect();
                Reply { status: 200, body: sealgate_ledger::codec::encode(&blocks) }.into()
            }
            None => upstream.forward(call).into(),
        }
    }
}

#[derive(Default)]
struct Memory(HashMap<(u8, u64), Vec<NodeHash>>);

impl Tiles for Memory {
    type Error = Infallible;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Infallible> {
        Ok(self.0.get(&(level, index)).cloned().unwrap_or_default())
    }

    fn missing(&self, level: u8, index: u64) -> Infallible {
        panic!("no tile {level}/{index}")
    }
}

impl TilesMut for Memory {
    fn put_tile(&mut self, level: u8, index: u64, hashes: &[NodeHash]) {
        self.0.insert((level, index), hashes.to_vec());
    }
}

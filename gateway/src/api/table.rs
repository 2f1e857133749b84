//! Every call of the gateway's API, once: by this table requests find their answers, and from it the
//! document is made. Where a route can be read in two ways, the first that fits is meant.

use std::collections::BTreeMap;

use sealgate_ledger::block::{Block, Receipt};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::light::EntryProof;
use sealgate_ledger::member::{MemberSet, Policy};
use sealgate_ledger::merkle::NodeHash;
use sealgate_ledger::standing::{AssetStanding, Handover, Standing};
use sealgate_ledger::state::{AccountView, GrantView, RequestView, TextView, VersionView};
use sealgate_ledger::tx::TX_BYTES_MAX;

use super::problem::Code;
use super::route::{Header, Route, Who};
use super::{ASK_BYTES_MAX, acts, metrics, reads, ready};
use crate::catalogue::Page;
use crate::client::{AssetDetail, Governance, HeadResponse, PASSED_ON};
use crate::delivery::FetchRequest;
use crate::messages::{AskProgress, AskRequest, AskResponse};

/// Largest body of a transaction, in bytes, and of a request for whole columns.
const TRANSACTION_BYTES_MAX: u64 = TX_BYTES_MAX as u64 + 128;
const FETCH_BYTES_MAX: u64 = 2 * TX_BYTES_MAX as u64;
const BYTES: &str = "application/octet-stream";

const PASSING: Header = Header {
    name: PASSED_ON,
    about: "Sent by another member's gateway, which passes the call on: it is not passed on again.",
    pattern: "^1$",
    is_required: false,
};
const PART: Header = Header {
    name: acts::RANGE,
    about: "The bytes that are wanted: the first and the last, of one range.",
    pattern: "^bytes=[0-9]+-[0-9]+$",
    is_required: true,
};

pub(super) static ROUTES: &[Route] = &[
    Route::act("GET", "/health", "health", "That the gateway answers, its height and version.", acts::health)
        .gives::<acts::Health>(),
    Route::act("GET", "/ready", "ready", "Whether it can do its work, and what of it was looked at.", acts::ready)
        .gives::<ready::Ready>()
        .or(&[Code::NotReady]),
    Route::act("GET", "/metrics", "metrics", "What is counted, as Prometheus reads it.", acts::metrics_text)
        .gives_bytes(metrics::MEDIA_TYPE)
        .to(Who::Local),
    Route::act("GET", "/v1/openapi.json", "openapi", "This document.", acts::document)
        .gives::<BTreeMap<String, serde_json::Value>>(),
    Route::get("/v1/genesis", "genesis", "The genesis; its digest is the ledger's fingerprint.", reads::genesis)
        .gives::<Genesis>(),
    Route::get("/v1/parameters/{circuit}", "parameters", "The circuit's verifying key.", reads::verifying_key)
        .gives_bytes(BYTES),
    Route::get(
        "/v1/governance",
        "governance",
        "The members, the rules, and a page of the proposals.",
        reads::governance,
    )
    .query::<reads::ListQuery>()
    .gives::<Governance>(),
    Route::get("/v1/checkpoint", "checkpoint", "The head's header and signed checkpoint.", reads::checkpoint)
        .gives::<HeadResponse>(),
    Route::act(
        "GET",
        "/v1/checkpoint/witnessed",
        "witnessed",
        "The same of a head that has been before the ledger's witnesses.",
        acts::witnessed,
    )
    .gives::<HeadResponse>(),
    Route::get("/v1/handovers", "handovers", "How the members changed after an epoch.", reads::handovers)
        .query::<reads::AfterEpoch>()
        .gives::<Vec<Handover>>(),
    Route::get(
        "/v1/state/assets/{asset}",
        "state_asset",
        "An asset's contract and whole list, proven, or that there is none.",
        reads::state_asset,
    )
    .gives::<AssetStanding>(),
    Route::get(
        "/v1/state/assets/{asset}/grants/{address}",
        "state_grant",
        "One line of an asset's list, proven, or that there is none.",
        reads::state_grant,
    )
    .gives::<Standing<GrantView>>(),
    Route::get(
        "/v1/state/accounts/{address}",
        "state_account",
        "An account, proven, or that there is none.",
        reads::state_account,
    )
    .gives::<Standing<AccountView>>(),
    Route::get("/v1/state/members", "state_members", "The members, proven.", reads::state_members)
        .gives::<Standing<MemberSet>>(),
    Route::get("/v1/state/policy", "state_policy", "The rules, proven.", reads::state_policy)
        .gives::<Standing<Policy>>(),
    Route::get("/v1/consistency", "consistency", "Proof that one tree extends another (RFC 6962).", reads::consistency)
        .query::<reads::Consistency>()
        .gives::<Vec<NodeHash>>(),
    Route::get("/v1/catalogue", "catalogue", "A page of the assets that match.", reads::catalogue)
        .query::<reads::CatalogueQuery>()
        .gives::<Page>(),
    Route::get("/v1/assets/{asset}", "asset", "An asset with its current version.", reads::asset)
        .gives::<AssetDetail>(),
    Route::get("/v1/assets/{asset}/versions/{n}", "version", "A version of an asset.", reads::version)
        .gives::<VersionView>(),
    Route::get("/v1/assets/{asset}/grants", "grants", "A page of an asset's list.", reads::grants)
        .query::<reads::ListQuery>()
        .gives::<reads::GrantsPage>(),
    Route::get("/v1/assets/{asset}/grants/{address}", "grant", "One line of an asset's list.", reads::grant)
        .gives::<GrantView>(),
    Route::get("/v1/texts", "texts", "A page of the small texts.", reads::texts)
        .query::<reads::ListQuery>()
        .gives::<reads::TextsPage>(),
    Route::get("/v1/texts/{text}", "text", "A small text.", reads::text).gives::<TextView>(),
    Route::get("/v1/accounts", "accounts", "A page of the accounts.", reads::accounts)
        .query::<reads::ListQuery>()
        .gives::<reads::AccountsPage>(),
    Route::get("/v1/accounts/{address}", "account", "An account and its public keys.", reads::account)
        .gives::<AccountView>(),
    Route::get("/v1/transactions/{hash}", "receipt", "A transaction's receipt.", reads::receipt).gives::<Receipt>(),
    Route::get("/v1/requests/{hash}", "request", "A request and what became of it.", reads::request)
        .gives::<RequestView>(),
    Route::act(
        "GET",
        "/v1/requests/{hash}/progress",
        "progress",
        "How far an answer is that is being made just now.",
        acts::progress,
    )
    .gives::<AskProgress>()
    .to(Who::Requester),
    Route::get("/v1/trail", "trail", "A page of the requests.", reads::trail)
        .query::<reads::TrailQuery>()
        .gives::<reads::TrailPage>(),
    Route::get("/v1/entries/{index}", "entry", "An entry with its inclusion proof.", reads::entry)
        .query::<reads::InTree>()
        .gives::<EntryProof>(),
    Route::get("/v1/blocks/{height}", "block", "A block.", reads::block).gives::<Block>(),
    Route::get("/v1/blocks", "blocks", "Blocks from a height on, borsh, as many as fit.", reads::blocks)
        .query::<reads::FromHeight>()
        .gives_bytes(BYTES),
    Route::act("POST", "/v1/transactions", "submit", "Submits a signed transaction, borsh.", acts::submit)
        .takes_bytes(TRANSACTION_BYTES_MAX)
        .gives::<Receipt>()
        .to(Who::Signer)
        .or(&[Code::Refused]),
    Route::act("POST", "/v1/asks", "ask", "Submits a request with its sealed question.", acts::ask)
        .takes::<AskRequest>(ASK_BYTES_MAX)
        .reads(&[PASSING])
        .gives::<AskResponse>()
        .to(Who::Signer)
        .or(&[Code::Refused, Code::TooLate, Code::Unreachable]),
    Route::get("/v1/answers/{request}", "answer", "The sealed answer of an answered request again.", reads::answer)
        .query::<reads::SeenSoFar>()
        .gives::<AskResponse>(),
    Route::act("POST", "/v1/deliveries", "deliver", "Submits a request for whole columns.", acts::deliver)
        .takes::<FetchRequest>(FETCH_BYTES_MAX)
        .reads(&[PASSING])
        .gives::<AskResponse>()
        .to(Who::Signer)
        .or(&[Code::Refused, Code::TooLate, Code::Unreachable]),
    Route::act(
        "GET",
        "/v1/deliveries/{request}/columns/{column}/segments/{position}",
        "segment",
        "A range of a delivered object's ciphertext.",
        acts::segment,
    )
    .gives_part(BYTES)
    .reads(&[PART, PASSING])
    .to(Who::Delivery)
    .or(&[Code::Malformed, Code::TooLate, Code::Unreachable]),
    Route::act("GET", "/v1/index-audit", "index_audit", "Compares the index with the log.", acts::index_audit)
        .gives::<u64>()
        .to(Who::Owner)
        .or(&[Code::Damaged]),
];

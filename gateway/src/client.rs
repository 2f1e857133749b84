//! The HTTP client of a gateway: bounded, with errors that name the gateway and the way out.
//! Nothing it returns is believed before the caller has checked it.

use std::time::Duration;

use schemars::JsonSchema;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::block::{Block, Header, Receipt};
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::light::EntryProof;
use sealgate_ledger::member::{MemberSet, Policy, ProposalView};
use sealgate_ledger::merkle::NodeHash;
use sealgate_ledger::standing::{AssetStanding, Handover, Standing};
use sealgate_ledger::state::{AccountView, AssetView, GrantView, TextView, VersionView};
use sealgate_ledger::tx::SignedTx;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub mod health;
mod listing;
pub mod trust;
pub mod witness;

use crate::catalogue::{Listed, Page, Search, sort};
use crate::delivery::FetchRequest;
use crate::delivery::release::{Part, Wanted};
use crate::messages::{AskProgress, AskRequest, AskResponse};
use crate::sessions::{Challenge, Claim, Opened};

/// Largest response that is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// Header of a question that one gateway passes on to another.
pub const PASSED_ON: &str = "sealgate-passed-on";

/// How long a call may take, and how much longer for each key that is asked about.
const TIMEOUT: Duration = Duration::from_secs(120);
const KEY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle connection is kept: shorter than gateways keep it.
const POOLED: Duration = Duration::from_secs(5);
/// Most pages of a catalogue that are asked for.
const PAGES_MAX: usize = 10_000;

/// Why the gateway gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an address.
    #[error("'{0}' is no gateway's address: write http://host:port, or https:// where it serves under a certificate")]
    Address(String),
    /// Its certificate cannot be checked.
    #[error(transparent)]
    Trust(#[from] trust::TrustError),
    /// Nobody answers there.
    #[error("the gateway at {url} cannot be reached: {why}; {hint}", why = root(cause), hint = hint(cause))]
    Unreachable {
        /// Its address.
        url: String,
        /// What the network says.
        cause: reqwest::Error,
    },
    /// It refused.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// It answered something that is no answer.
    #[error("the gateway at {url} gave an answer that cannot be read: {what}")]
    Unreadable {
        /// Its address.
        url: String,
        /// What is wrong.
        what: String,
    },
}

/// What is behind all that a network says: "connection refused", below three layers that name themselves.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What to look at when nobody answers.
fn hint(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("certificate") {
            return "its certificate is not one that this machine trusts: give the gateway's own with --gateway-ca";
        }
        if text.contains("InvalidContentType") {
            return "it speaks no TLS: write http:// instead of https://";
        }
        cause = error.source();
    }
    "is it running ('sealgate serve'), and is the address right?"
}

/// Problem details (RFC 9457), as the gateway sends them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:sealgate:problem:` and a stable code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and the way out.
    pub detail: String,
}

impl Problem {
    /// Whether the same call may succeed a little later.
    pub fn is_busy(&self) -> bool {
        self.status == 503 || self.status == 429
    }
}

/// An asset with its current version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetDetail {
    /// The asset.
    pub asset: AssetView,
    /// Its current version.
    pub version: VersionView,
}

/// The head of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadResponse {
    /// The last block's header.
    pub header: Header,
    /// The checkpoint over it.
    pub checkpoint: SignedCheckpoint,
}

/// Who shares the ledger, by which rules, and what they are deciding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Governance {
    /// The members.
    pub members: MemberSet,
    /// The rules.
    pub policy: Policy,
    /// Proposals, by hash.
    pub proposals: Vec<ProposalView>,
    /// Behind which the next page of them begins; none after the last.
    #[serde(default)]
    pub next: Option<TxHash>,
}

/// A client of one gateway.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    passing_on: bool,
    http: reqwest::Client,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the gateway at `url` (`http://host:port` or `https://host:port`), whose certificate must
    /// be one that this process [trusts](trust::choose).
    ///
    /// # Errors
    /// [`ClientError::Address`] when that is no such address.
    pub fn new(url: &str) -> Result<Client, ClientError> {
        Self::made(url, |builder, is_https| Ok(trust::believing(builder, is_https)))
    }

    /// A client of the gateway at `url` that believes the very certificate in a file.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Trust`].
    pub fn pinned(url: &str, certificate: &std::path::Path) -> Result<Client, ClientError> {
        Self::made(url, |builder, _| Ok(trust::believing_only(builder, certificate)?))
    }

    fn made(
        url: &str,
        believing: impl Fn(reqwest::ClientBuilder, bool) -> Result<reqwest::ClientBuilder, ClientError>,
    ) -> Result<Client, ClientError> {
        let bad = || ClientError::Address(url.chars().take(100).collect());
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        if !["http", "https"].contains(&parsed.scheme()) || parsed.host_str().is_none() {
            return Err(bad());
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(POOLED)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let unchecked = |error: reqwest::Error| trust::TrustError::Library(error.to_string());
        let http = believing(builder, parsed.scheme() == "https")?.build().map_err(unchecked)?;
        Ok(Client { base: url.trim_end_matches('/').to_owned(), token: None, passing_on: false, http })
    }

    /// The same client with the token that the owner's own commands carry.
    #[must_use]
    pub fn with_token(mut self, token: String) -> Client {
        self.token = Some(token);
        self
    }

    /// The same client, which says that its questions are passed on for others.
    #[must_use]
    pub fn passing_on(mut self) -> Client {
        self.passing_on = true;
        self
    }

    /// The gateway's address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The address' `host:port` as it was given; the port is left out where the scheme implies it.
    pub fn authority(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        rest.split_once('/').map_or(rest, |(authority, _)| authority)
    }

    /// A challenge to sign, for the account with this address.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn challenge(&self, address: &Address) -> Result<Challenge, ClientError> {
        let wanted = serde_json::json!({ "address": address });
        self.parsed(self.http.post(format!("{}/v1/challenges", self.base)).json(&wanted)).await
    }

    /// A session for a signed challenge.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_session(&self, claim: &Claim) -> Result<Opened, ClientError> {
        self.parsed(self.http.post(format!("{}/v1/sessions", self.base)).json(claim)).await
    }

    /// The same client with a session of this account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn signed_in(&self, account: &AccountSecret) -> Result<Client, ClientError> {
        let challenge = self.challenge(&account.address()).await?;
        let opened = self.open_session(&Claim::sign(account, &challenge, self.authority())).await?;
        Ok(self.clone().with_token(opened.token))
    }

    async fn parsed<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let body = self.send(request).await?.ok_or_else(|| self.unreadable("nothing there"))?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error.to_string()))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Option<Vec<u8>>, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.read_body(request.send().await.map_err(unreachable)?).await
    }

    /// The body of a success; nothing where there is nothing.
    async fn read_body(&self, mut response: reqwest::Response) -> Result<Option<Vec<u8>>, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err(self.unreadable(format!("more than {RESPONSE_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Some(body));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.kind == "urn:sealgate:problem:not-found" => Ok(None),
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(self.unreadable(format!("HTTP status {status}"))),
        }
    }

    fn unreadable(&self, what: impl ToString) -> ClientError {
        ClientError::Unreadable { url: self.base.clone(), what: what.to_string() }
    }

    async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ClientError> {
        let body = self.send(self.http.get(format!("{}{path}", self.base))).await?;
        body.map(|body| serde_json::from_slice(&body).map_err(|error| self.unreadable(error))).transpose()
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.find(path).await?.ok_or_else(|| self.unreadable(format!("it knows nothing at {path}")))
    }

    /// The ledger's genesis.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        self.get("/v1/genesis").await
    }

    /// The ledger's head.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn head(&self) -> Result<HeadResponse, ClientError> {
        self.get("/v1/checkpoint").await
    }

    /// A small text on the ledger.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, id: &AssetId) -> Result<Option<TextView>, ClientError> {
        self.find(&format!("/v1/texts/{id}")).await
    }

    /// Members, rules and all proposals.
    ///
    /// # Errors
    /// [`ClientError`]; also when the pages do not go on.
    pub async fn governance(&self) -> Result<Governance, ClientError> {
        let mut all: Governance = self.get("/v1/governance").await?;
        for _ in 0..PAGES_MAX {
            let Some(after) = all.next else { return Ok(all) };
            let page: Governance = self.get(&format!("/v1/governance?after={after}")).await?;
            if page.next.is_some_and(|next| next <= after) {
                return Err(self.unreadable("its proposals go in circles"));
            }
            all.proposals.extend(page.proposals);
            all.next = page.next;
        }
        Err(self.unreadable(format!("its proposals have more than {PAGES_MAX} pages")))
    }

    /// The newest head that its witnesses have cosigned; the plain head where they do not answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn witnessed_head(&self) -> Result<HeadResponse, ClientError> {
        self.get("/v1/checkpoint/witnessed").await
    }

    /// Proof that a tree of `new` entries extends one of `old`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<NodeHash>, ClientError> {
        self.get(&format!("/v1/consistency?old={old}&new={new}")).await
    }

    /// How the members changed after an epoch.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn handovers(&self, epoch: u64) -> Result<Vec<Handover>, ClientError> {
        self.get(&format!("/v1/handovers?epoch={epoch}")).await
    }

    /// An asset's contract and its whole list, with their proof.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prove_asset(&self, asset: &AssetId) -> Result<AssetStanding, ClientError> {
        self.get(&format!("/v1/state/assets/{asset}")).await
    }

    /// What an account may ask of an asset, with its proof.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prove_grant(&self, asset: &AssetId, to: &Address) -> Result<Standing<GrantView>, ClientError> {
        self.get(&format!("/v1/state/assets/{asset}/grants/{to}")).await
    }

    /// An account, with its proof.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prove_account(&self, address: &Address) -> Result<Standing<AccountView>, ClientError> {
        self.get(&format!("/v1/state/accounts/{address}")).await
    }

    /// A circuit's verifying key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verifying_key(&self, circuit: &str) -> Result<Vec<u8>, ClientError> {
        let path = format!("{}/v1/parameters/{circuit}", self.base);
        let body = self.send(self.http.get(path)).await?;
        body.ok_or_else(|| self.unreadable(format!("it has no parameters for circuit '{circuit}'")))
    }

    /// Every asset that is searched for, by name, and how many were looked at: page after page.
    ///
    /// # Errors
    /// [`ClientError`]; also when the pages do not go on.
    pub async fn catalogue(&self, search: &Search) -> Result<(Vec<Listed>, u64), ClientError> {
        let (mut found, mut seen, mut after) = (Vec::new(), 0u64, None);
        let query = [
            ("search", search.search.clone()),
            ("owner", search.owner.as_ref().map(ToString::to_string)),
            ("column", search.column.clone()),
            ("type", search.kind.clone()),
            ("data_type", search.data_type.clone()),
        ];
        for _ in 0..PAGES_MAX {
            let after_text = after.map(|id: AssetId| id.to_string());
            let query: Vec<_> =
                query.iter().cloned().chain([("after", after_text)]).filter_map(|(k, v)| Some((k, v?))).collect();
            let text = serde_urlencoded::to_string(&query).map_err(|error| self.unreadable(error))?;
            let path = if text.is_empty() { "/v1/catalogue".into() } else { format!("/v1/catalogue?{text}") };
            let page: Page = self.get(&path).await?;
            if page.assets.iter().any(|listed| listed.owner.address() != listed.asset.owner) {
                return Err(self.unreadable("it shows an asset with the keys of another than its owner"));
            }
            let ids = || after.into_iter().chain(page.assets.iter().map(|listed| listed.asset.id));
            let onward = page.next.is_none_or(|next| Some(next) > after && Some(next) >= ids().last());
            if !onward || !ids().is_sorted_by(|a, b| a < b) {
                return Err(self.unreadable("its catalogue goes in circles"));
            }
            seen = seen.saturating_add(page.seen);
            found.extend(page.assets.into_iter().filter(|listed| search.finds(listed)));
            match page.next {
                None => {
                    sort(&mut found);
                    return Ok((found, seen));
                }
                next => after = next,
            }
        }
        Err(self.unreadable(format!("its catalogue has more than {PAGES_MAX} pages")))
    }

    /// One asset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn asset(&self, id: &AssetId) -> Result<Option<AssetDetail>, ClientError> {
        self.find(&format!("/v1/assets/{id}")).await
    }

    /// One version of an asset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self, asset: &AssetId, number: u32) -> Result<Option<VersionView>, ClientError> {
        self.find(&format!("/v1/assets/{asset}/versions/{number}")).await
    }

    /// An entry with its proof in the tree of `size` entries.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn entry(&self, index: u64, size: u64) -> Result<EntryProof, ClientError> {
        self.get(&format!("/v1/entries/{index}?size={size}")).await
    }

    /// What an account may ask of an asset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grant(&self, asset: &AssetId, to: &Address) -> Result<Option<GrantView>, ClientError> {
        self.find(&format!("/v1/assets/{asset}/grants/{to}")).await
    }

    /// An account and its public keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account(&self, address: &Address) -> Result<Option<AccountView>, ClientError> {
        self.find(&format!("/v1/accounts/{address}")).await
    }

    /// The receipt of a transaction, if it is on the ledger.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, ClientError> {
        self.find(&format!("/v1/transactions/{hash}")).await
    }

    /// Submits a transaction and waits until it is durable.
    ///
    /// # Errors
    /// [`ClientError::Problem`] when the ledger refuses it.
    pub async fn submit(&self, tx: &SignedTx) -> Result<Receipt, ClientError> {
        let url = format!("{}/v1/transactions", self.base);
        let body = self.send(self.http.post(url).body(tx.encode())).await?;
        let body = body.ok_or_else(|| self.unreadable("it does not take transactions"))?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error))
    }

    /// Asks a question.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(&self, request: &AskRequest, keys: usize) -> Result<AskResponse, ClientError> {
        let url = format!("{}/v1/asks", self.base);
        let patience = TIMEOUT + KEY_TIMEOUT * u32::try_from(keys).unwrap_or(u32::MAX);
        let mut call = self.http.post(url).json(request).timeout(patience);
        if self.passing_on {
            call = call.header(PASSED_ON, "1");
        }
        let body = self.send(call).await?;
        let body = body.ok_or_else(|| self.unreadable("it does not take questions"))?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error))
    }

    /// Asks for whole columns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deliver(&self, request: &FetchRequest) -> Result<AskResponse, ClientError> {
        let mut call = self.http.post(format!("{}/v1/deliveries", self.base)).json(request);
        if self.passing_on {
            call = call.header(PASSED_ON, "1");
        }
        let body = self.send(call).await?;
        let body = body.ok_or_else(|| self.unreadable("it delivers no columns"))?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error))
    }

    /// A part of the ciphertext of a delivery; `None` when there is nothing there for this token.
    ///
    /// # Errors
    /// [`ClientError`]; also when it is not the part that was asked for.
    pub async fn segment(&self, wanted: &Wanted<'_>) -> Result<Option<Part>, ClientError> {
        let Wanted { request, column, position, start, length, token } = wanted;
        let last = start.saturating_add(length.saturating_sub(1));
        let url = format!("{}/v1/deliveries/{request}/columns/{column}/segments/{position}", self.base);
        let mut call = self.http.get(url).bearer_auth(token).header("range", format!("bytes={start}-{last}"));
        if self.passing_on {
            call = call.header(PASSED_ON, "1");
        }
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let response = call.send().await.map_err(unreachable)?;
        let status = response.status();
        let range = response.headers().get("content-range").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Some(content) = self.read_body(response).await? else { return Ok(None) };
        let total = range.as_deref().and_then(|text| text.strip_prefix(&format!("bytes {start}-{last}/")));
        match total.and_then(|total| total.parse().ok()) {
            Some(total) if status.as_u16() == 206 && content.len() as u64 == *length => {
                Ok(Some(Part { content: content.into(), start: *start, total }))
            }
            _ => Err(self.unreadable("it gives another part than the one asked for")),
        }
    }

    /// How far the answer to a request is; `None` when it is not being made just now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn progress(&self, request: &TxHash) -> Result<Option<AskProgress>, ClientError> {
        self.find(&format!("/v1/requests/{request}/progress")).await
    }

    /// Blocks from a height on, as many as the gateway gives at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn blocks(&self, from: BlockHeight) -> Result<Vec<Block>, ClientError> {
        let url = format!("{}/v1/blocks?from={}", self.base, from.0);
        let body = self.send(self.http.get(url)).await?.unwrap_or_default();
        sealgate_ledger::codec::decode("blocks", &body).map_err(|error| self.unreadable(error))
    }

    /// One block.
    ///
    /// # Errors
    /// [`ClientError`], also when there is no such block.
    pub async fn block(&self, height: BlockHeight) -> Result<Block, ClientError> {
        self.get(&format!("/v1/blocks/{height}")).await
    }

    /// Has the running gateway compare its index with the log.
    ///
    /// # Errors
    /// [`ClientError::Problem`] naming the first difference.
    pub async fn audit_index(&self) -> Result<u64, ClientError> {
        self.get("/v1/index-audit").await
    }
}

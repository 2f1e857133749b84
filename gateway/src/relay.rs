//! Passing a question on to the gateway of the member that owns the asset, so that a requester
//! needs to reach its own organisation's gateway only (docs/spec/members.md#questions-between-members).
//! The question is sealed to the owner; who passes it on learns what the ledger shows anyway.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_ledger::Ledger;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::tx::{SignedTx, TxBody};

use crate::client::{Client, ClientError};
use crate::messages::{AskRequest, AskResponse};
use crate::turns::{NoPlace, Places};

/// How long a node may lag behind the one that a requester has read from.
const LAG: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Why a question could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The owner is no member of this ledger.
    #[error(
        "no gateway of this ledger answers for {0}: its owner is no member of the ledger; ask the owner's own gateway"
    )]
    NotAMember(AssetId),
    /// It came from another gateway already.
    #[error(
        "{0} is not served here, though a gateway passed the question on to this one: its owner's entry among the members names a wrong gateway"
    )]
    Passed(AssetId),
    /// The owner's gateway gave no answer.
    #[error("passed on to the asset's owner: {0}")]
    Owner(#[from] ClientError),
}

/// Whether this ledger has several nodes.
pub fn is_shared(ledger: &Ledger) -> bool {
    ledger.genesis().network.is_some()
}

/// Asks the gateway of the member that owns `asset`.
///
/// # Errors
/// [`RelayError`].
pub async fn pass_on(
    ledger: &Ledger,
    asset: &AssetId,
    owner: &Address,
    request: &AskRequest,
) -> Result<AskResponse, RelayError> {
    let keys = read(&request.transaction).map_or(1, |tx| match tx.tx.body {
        TxBody::Request { shape, .. } => usize::from(shape.keys),
        _ => 1,
    });
    Ok(gateway_of(ledger, asset, owner)?.ask(request, keys).await?)
}

/// The gateway of the member that owns `asset`, as one to which calls are passed on.
///
/// # Errors
/// [`RelayError::NotAMember`].
pub fn gateway_of(ledger: &Ledger, asset: &AssetId, owner: &Address) -> Result<Client, RelayError> {
    let members = ledger.members().map_err(|_| RelayError::NotAMember(*asset))?;
    let url = members.member(owner).map(|member| member.gateway.clone()).filter(|url| !url.is_empty());
    let url = url.ok_or(RelayError::NotAMember(*asset))?;
    Ok(Client::new(&url)?.passing_on())
}

/// On a shared ledger, waits until this node knows what the sender of a request saw on another: the
/// checkpoint of `seen` entries, its account, the asset. What is still unknown then is refused by whoever looks
/// it up. The signature of an account that is known has been checked before; those whose account is not, whoever
/// they are, share what one account may have waiting.
///
/// # Errors
/// [`NoPlace`] when too many wait already.
pub async fn catch_up(ledger: &Ledger, waiting: &Places, tx: &SignedTx, seen: u64) -> Result<(), NoPlace> {
    let (TxBody::Request { asset, .. } | TxBody::RequestWhole { asset, .. } | TxBody::RequestSample { asset, .. }) =
        &tx.tx.body
    else {
        return Ok(());
    };
    let is_known = || ledger.account(&tx.tx.sender).is_ok_and(|account| account.is_some());
    let knows =
        || ledger.head().tree_size >= seen && is_known() && ledger.asset(asset).is_ok_and(|asset| asset.is_some());
    if !is_shared(ledger) || knows() {
        return Ok(());
    }
    let _place = waiting.take(is_known().then_some(tx.tx.sender))?;
    let begun = Instant::now();
    while !knows() && begun.elapsed() < LAG {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn read(transaction: &str) -> Option<SignedTx> {
    SignedTx::decode(&BASE64.decode(transaction).ok()?).ok()
}

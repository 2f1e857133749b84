//! What the other calls do: those that change the ledger, wait, or need to know who asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::JsonSchema;
use sealgate_ledger::ids::{BlockHeight, TxHash};
use sealgate_ledger::standing::SignedHead;
use sealgate_ledger::tx::SignedTx;
use serde::Serialize;
use warp::Reply as _;
use warp::http::header::{CONTENT_RANGE, CONTENT_TYPE};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::problem::ApiError;
use super::route::Call;
use super::{Api, Visitor, in_turn, json, metrics, openapi};
use crate::client::{HeadResponse, PASSED_ON};
use crate::delivery::FetchRequest;
use crate::delivery::release::Wanted;
use crate::gateway::AskError;
use crate::messages::{AskRequest, AskResponse};

/// The header that names a part of a delivery.
pub(super) const RANGE: &str = "range";

type Act = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// How the gateway is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    status: &'static str,
    height: BlockHeight,
    version: &'static str,
}

/// A transaction; the same bytes again give the same receipt.
pub(super) fn submit(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let tx = SignedTx::decode(&call.body).map_err(|error| ApiError::Malformed(error.to_string()))?;
        Ok(json(&api.gateway()?.submit(tx).await?))
    })
}

/// A question. Runs to its end also when the caller hangs up: what was granted gets its answer.
pub(super) fn ask(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let (request, gateway): (AskRequest, _) = (call.json()?, api.gateway()?);
        let (passed_on, granted) = (call.header(PASSED_ON).is_some(), api.granted.clone().read_owned().await);
        drop(call);
        let asked = tokio::spawn(async move {
            let _granted = granted;
            gateway.ask(request, passed_on).await
        });
        told(&api, asked.await.map_err(ApiError::internal)?)
    })
}

/// Whole columns. Runs to its end also when the caller hangs up.
pub(super) fn deliver(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let (request, gateway): (FetchRequest, _) = (call.json()?, api.gateway()?);
        let (passed_on, granted) = (call.header(PASSED_ON).is_some(), api.granted.clone().read_owned().await);
        let delivered = tokio::spawn(async move {
            let _granted = granted;
            gateway.deliver(request, passed_on).await
        });
        told(&api, delivered.await.map_err(ApiError::internal)?)
    })
}

/// What became of a question or a delivery; one that found no room is counted.
fn told(api: &Api, answered: Result<AskResponse, AskError>) -> Result<Response, ApiError> {
    if matches!(answered, Err(AskError::Busy | AskError::Share)) {
        api.metrics.refused("questions");
    }
    Ok(json(&answered?))
}

/// A part of a delivery's ciphertext. Without its token there is nothing here.
pub(super) fn segment(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let request: TxHash = call.part("request")?;
        let (column, position) = (call.part("column")?, call.part("position")?);
        let token = call.bearer().ok_or(ApiError::NotFound)?;
        let (start, length) = call.header(RANGE).and_then(range).unwrap_or_default();
        let wanted = Wanted { request, column, position, start, length, token };
        let part = api.gateway()?.delivered(wanted, call.header(PASSED_ON).is_some()).await?;
        let part = part.ok_or(ApiError::NotFound)?;
        let last = part.start.saturating_add(part.content.len() as u64).saturating_sub(1);
        let response = warp::http::Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(CONTENT_RANGE, format!("bytes {}-{last}/{}", part.start, part.total))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(part.content);
        Ok(response.map_err(ApiError::internal)?.into_response())
    })
}

/// First byte and length of the one range that is named, `bytes=a-b`.
fn range(header: &str) -> Option<(u64, u64)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// A head that has been before the witnesses and covers all there was when the call came, if they
/// answer in time; otherwise the ledger's own.
pub(super) fn witnessed(api: Arc<Api>, _: Call) -> Act {
    Box::pin(async move {
        let gateway = api.gateway()?;
        let least = gateway.ledger().head().tree_size;
        gateway.cosigned().wait(gateway.ledger()).await;
        let SignedHead { header, checkpoint } = gateway.cosigned().head(gateway.ledger(), least);
        Ok(json(&HeadResponse { header, checkpoint }))
    })
}

/// How far an answer is, for who asked and the owner. To anybody else there is nothing, as where there is
/// no such request.
pub(super) fn progress(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let (request, gateway): (TxHash, _) = (call.part("hash")?, api.gateway()?);
        let visitor = api.visitor(&call);
        let read = move || {
            // First what is the same for everybody.
            let progress = gateway.progress(&request).ok_or(ApiError::NotFound)?;
            let may = match visitor {
                Visitor::Nobody => false,
                Visitor::Owner => true,
                Visitor::Account(address) => {
                    gateway.ledger().request(&request)?.is_some_and(|view| view.sender == address)
                }
            };
            if may { Ok(json(&progress)) } else { Err(ApiError::NotFound) }
        };
        in_turn(&api, read).await
    })
}

/// Compares the index with the log, for the owner.
pub(super) fn index_audit(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let gateway = api.gateway()?;
        if !matches!(api.visitor(&call), Visitor::Owner) {
            return Err(ApiError::NotFound);
        }
        let audit = move || {
            let audit = gateway.ledger().audit().map_err(|error| ApiError::Damaged(error.to_string()))?;
            Ok(json(&audit.replay.head().height.0))
        };
        in_turn(&api, audit).await
    })
}

/// What is counted, for the owner and programs on this machine.
pub(super) fn metrics_text(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let gateway = api.gateway()?;
        if !call.caller.is_some_and(|caller| caller.local) && !matches!(api.visitor(&call), Visitor::Owner) {
            return Err(ApiError::NotFound);
        }
        // Without a turn: it is under load that somebody looks.
        let counted = api.metrics.clone();
        let text = tokio::task::spawn_blocking(move || counted.text(&gateway)).await.map_err(ApiError::internal)?;
        let text = text.map_err(ApiError::internal)?;
        Ok(typed(text, metrics::MEDIA_TYPE))
    })
}

/// That the process answers: from memory and without a turn, as whoever watches it starts it anew otherwise.
pub(super) fn health(api: Arc<Api>, _: Call) -> Act {
    Box::pin(async move {
        let height = api.gateway()?.ledger().head().height;
        Ok(json(&Health { status: "ok", height, version: env!("CARGO_PKG_VERSION") }))
    })
}

/// Whether the gateway can do its work.
pub(super) fn ready(api: Arc<Api>, _: Call) -> Act {
    Box::pin(async move {
        let gateway = api.gateway()?;
        Ok(json(&api.ready.check(&gateway).await?))
    })
}

/// This API's document.
pub(super) fn document(_: Arc<Api>, _: Call) -> Act {
    Box::pin(async move { Ok(typed(openapi::text().to_owned(), "application/json")) })
}

fn typed(text: String, kind: &'static str) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! The witness's HTTP interface, as C2SP's tlog-witness has it (docs/spec/witness.md#protocol).

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use sealgate_ledger::witness::{REQUEST_BYTES_MAX, Refusal};
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::edge::Edge;
use super::{problem, server};
use crate::config::Limits;
use crate::owner::clock_ms;
use crate::witness::{Witness, WitnessError};

/// Content type of a conflict's body: the size that the witness has.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// Serves a witness on a bound listener until `stop` resolves.
pub async fn serve(
    listener: tokio::net::TcpListener,
    witness: Arc<Witness>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let edge = Arc::new(Edge::new(Limits::default(), false, Arc::default()));
    server::serve(listener, routes(witness), edge, None, stop).await;
}

fn routes(witness: Arc<Witness>) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let state = witness.clone();
    let add = warp::path!("add-checkpoint")
        .and(warp::post())
        .and(warp::body::content_length_limit(REQUEST_BYTES_MAX as u64))
        .and(warp::body::bytes())
        .then(move |body: warp::hyper::body::Bytes| add(state.clone(), body));
    let checkpoint = warp::path!(String / "checkpoint").and(warp::get()).map(move |origin_hash: String| match witness
        .checkpoint(&origin_hash)
    {
        Some(note) => text(StatusCode::OK, "text/plain; charset=utf-8", note.0),
        None => problem::ApiError::NotFound.into_response(),
    });
    add.or(checkpoint).unify().recover(problem::recover)
}

/// Judging writes and syncs a file: off the async threads.
async fn add(witness: Arc<Witness>, body: warp::hyper::body::Bytes) -> Response {
    let judged = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, clock_ms() / 1000)).await;
    let plain = |status, what: String| text(status, "text/plain; charset=utf-8", what + "\n");
    match judged {
        Ok(Ok(line)) => plain(StatusCode::OK, line),
        Ok(Err(WitnessError::Refused(refusal))) => match refusal {
            Refusal::Conflict { size } => text(StatusCode::CONFLICT, SIZE_TYPE, format!("{size}\n")),
            Refusal::Malformed(_) | Refusal::Backwards { .. } => plain(StatusCode::BAD_REQUEST, refusal.to_string()),
            Refusal::Unknown => plain(StatusCode::NOT_FOUND, refusal.to_string()),
            Refusal::Unsigned => plain(StatusCode::FORBIDDEN, refusal.to_string()),
            Refusal::NotExtended { .. } | Refusal::Block { .. } => {
                plain(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string())
            }
        },
        Ok(Err(error)) => problem::ApiError::internal(error).into_response(),
        Err(error) => problem::ApiError::internal(error).into_response(),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = warp::reply::with_status(body, status).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! Sessions over HTTP (docs/spec/api.md#signing-in): the same calls at a gateway and at a console of
//! one's own.

use std::sync::Arc;

use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::Address;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::http::header::HeaderMap;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::problem::ApiError;
use super::{bearer, finish, json};
use crate::console::Names;
use crate::sessions::{Claim, SessionError, Sessions};

/// Largest body of these calls, in bytes.
const BODY_BYTES_MAX: u64 = 4096;

/// Who asks for a challenge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    address: Address,
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Randomness => ApiError::internal(error),
            refused => ApiError::NotSignedIn(refused.to_string()),
        }
    }
}

/// `POST /v1/challenges`, `POST /v1/sessions` and `DELETE /v1/sessions/current`; `account` looks up
/// the open account with an address.
pub(crate) fn routes(
    sessions: Arc<Sessions>,
    names: Names,
    account: impl Fn(&Address) -> Option<AccountPublic> + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let body = || warp::post().and(warp::body::content_length_limit(BODY_BYTES_MAX));
    let state = sessions.clone();
    let challenges = warp::path!("v1" / "challenges").and(body()).and(warp::body::json()).map(move |wanted: Wanted| {
        finish(state.challenge(&wanted.address).map(|challenge| json(&challenge)).map_err(ApiError::from))
    });
    let state = sessions.clone();
    let opened = warp::path!("v1" / "sessions").and(body()).and(warp::body::json()).map(move |claim: Claim| {
        let opened = state.open(&claim, account(&claim.address).as_ref(), |name| names.contains(name));
        finish(opened.map(|opened| json(&opened)).map_err(ApiError::from))
    });
    let closed = warp::path!("v1" / "sessions" / "current")
        .and(warp::delete())
        .and(warp::header::headers_cloned())
        .map(move |headers: HeaderMap| {
            if let Some(token) = bearer(&headers) {
                sessions.close(token);
            }
            StatusCode::NO_CONTENT.into_response()
        });
    challenges.or(opened).unify().or(closed).unify()
}

//! Sessions over HTTP (docs/spec/api.md#signing-in): the same calls at a gateway and at a console of
//! one's own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::JsonSchema;
use sealgate_ledger::ids::Address;
use serde::Deserialize;
use warp::Reply as _;
use warp::http::StatusCode;
use warp::reply::Response;

use super::problem::{ApiError, Code};
use super::route::{Call, Route, Who};
use super::{Api, json};
use crate::sessions::{Challenge, Claim, Opened, SessionError};

/// Largest body of these calls, in bytes.
const BODY_BYTES_MAX: u64 = 4096;

/// Who asks for a challenge.
#[derive(Deserialize, JsonSchema)]
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

/// The calls for signing in.
pub(super) static ROUTES: &[Route] = &[
    Route::act("POST", "/v1/challenges", "challenge", "A challenge for an account to sign.", challenge)
        .takes::<Wanted>(BODY_BYTES_MAX)
        .gives::<Challenge>(),
    Route::act("POST", "/v1/sessions", "open_session", "A session for a signed challenge.", open)
        .takes::<Claim>(BODY_BYTES_MAX)
        .gives::<Opened>()
        .to(Who::Signer)
        .or(&[Code::NotSignedIn]),
    Route::act("DELETE", "/v1/sessions/current", "close_session", "Ends the session whose token is shown.", close)
        .to(Who::Session),
];

type Act = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// The same for every address, known or not.
fn challenge(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let wanted: Wanted = call.json()?;
        Ok(json(&api.console.sessions.challenge(&wanted.address)?))
    })
}

fn open(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        let claim: Claim = call.json()?;
        let console = api.console.clone();
        let opened = move || {
            let account = console.account(&claim.address);
            let opened = console.sessions.open(&claim, account.as_ref(), |name| console.names.contains(name))?;
            Ok(json(&opened))
        };
        super::in_turn(&api, opened).await
    })
}

/// Says the same whether or not there was one.
fn close(api: Arc<Api>, call: Call) -> Act {
    Box::pin(async move {
        if let Some(token) = call.bearer() {
            api.console.sessions.close(token);
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

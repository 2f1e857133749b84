//! Every error the API can give, and its HTTP status, in one place: problem details (RFC 9457).
//! Internal texts are logged and never leave.

use std::convert::Infallible;

use sealgate_ledger::{LedgerError, SubmitError};
use warp::http::{HeaderValue, StatusCode, header};
use warp::reject::Rejection;
use warp::reply::Response;
use warp::{Reply, reject};

use crate::client::{ClientError, Problem};
use crate::gateway::AskError;
use crate::relay::RelayError;

/// Why a call fails.
#[derive(Debug)]
pub enum ApiError {
    /// The caller's input.
    Malformed(String),
    /// Nothing there.
    NotFound,
    /// The signature that was to show who somebody is does not.
    NotSignedIn(String),
    /// The method does not fit.
    Method,
    /// The body is too large.
    TooLarge,
    /// The body has no length.
    LengthRequired,
    /// The ledger's rules refuse a transaction.
    Refused(String),
    /// It is too late for what was asked.
    Conflict(String),
    /// Try again later.
    Busy(String),
    /// Stored data is damaged; only the owner is told where.
    Damaged(String),
    /// What the gateway said to which a question was passed on.
    PassedOn(Box<Problem>),
    /// The gateway to which a question was passed on gives no answer.
    Unreachable(String),
    /// A fault of ours; the text is logged, not sent.
    Internal(String),
}

impl ApiError {
    /// A fault of ours.
    pub fn internal(error: impl std::fmt::Display) -> ApiError {
        ApiError::Internal(error.to_string())
    }

    /// The response.
    pub fn into_response(self) -> Response {
        let (status, code, title, detail) = match self {
            ApiError::PassedOn(problem) => return respond(&problem),
            ApiError::Unreachable(detail) => {
                (StatusCode::BAD_GATEWAY, "unreachable", "Another member's gateway gives no answer", detail)
            }
            ApiError::Malformed(detail) => (StatusCode::BAD_REQUEST, "malformed", "The request is malformed", detail),
            ApiError::NotFound => {
                (StatusCode::NOT_FOUND, "not-found", "Nothing there", "there is nothing at this address".into())
            }
            ApiError::NotSignedIn(detail) => (StatusCode::UNAUTHORIZED, "not-signed-in", "Nobody is signed in", detail),
            ApiError::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "The method does not fit",
                "this address takes another method".into(),
            ),
            ApiError::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", "send less".into())
            }
            ApiError::LengthRequired => (
                StatusCode::LENGTH_REQUIRED,
                "length-required",
                "The body has no length",
                "send a Content-Length".into(),
            ),
            ApiError::Refused(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "refused", "The ledger refused the transaction", detail)
            }
            ApiError::Conflict(detail) => (StatusCode::CONFLICT, "too-late", "It is too late for this", detail),
            ApiError::Busy(detail) => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too much is waiting", detail),
            ApiError::Damaged(detail) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "damaged", "Stored data is damaged", detail)
            }
            ApiError::Internal(what) => {
                tracing::error!(error = %what, "a call failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "The gateway failed",
                    "the gateway could not do this; its log says why. What was recorded stays recorded, and the call may be made again".into(),
                )
            }
        };
        let problem = Problem {
            kind: format!("urn:sealgate:problem:{code}"),
            title: title.into(),
            status: status.as_u16(),
            detail,
        };
        respond(&problem)
    }
}

fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = warp::reply::with_status(warp::reply::json(problem), status).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3"));
    }
    response
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Rejected(why) => ApiError::Refused(why.to_string()),
            SubmitError::Busy | SubmitError::TooFast(_) | SubmitError::Undecided => ApiError::Busy(error.to_string()),
            SubmitError::Undone(_) | SubmitError::Stopped(_) => ApiError::internal(error),
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Malformed(detail) => ApiError::Malformed(detail),
            AskError::Refused(submit) => submit.into(),
            AskError::NotServed(_) | AskError::Relay(RelayError::NotAMember(_) | RelayError::Passed(_)) => {
                ApiError::Malformed(error.to_string())
            }
            AskError::Relay(RelayError::Owner(ClientError::Problem(problem))) => ApiError::PassedOn(problem),
            AskError::Relay(RelayError::Owner(other)) => {
                ApiError::Unreachable(format!("{other}; send the same question again"))
            }
            AskError::Busy => ApiError::Busy(error.to_string()),
            AskError::TooLate(detail) => ApiError::Conflict(detail),
            AskError::Internal(what) => ApiError::Internal(what),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::OutOfRange { .. } => ApiError::NotFound,
            LedgerError::Changing => ApiError::Busy(error.to_string()),
            other => ApiError::internal(other),
        }
    }
}

/// What warp itself refuses, in the same form.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let error = if rejection.is_not_found() {
        ApiError::NotFound
    } else if rejection.find::<reject::PayloadTooLarge>().is_some() {
        ApiError::TooLarge
    } else if rejection.find::<reject::LengthRequired>().is_some() {
        ApiError::LengthRequired
    } else if let Some(error) = rejection.find::<warp::filters::body::BodyDeserializeError>() {
        ApiError::Malformed(error.to_string())
    } else if rejection.find::<reject::MethodNotAllowed>().is_some() {
        ApiError::Method
    } else {
        ApiError::Malformed("the request cannot be read".into())
    };
    Ok(error.into_response())
}

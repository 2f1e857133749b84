//! Every error the API can give, its code and its HTTP status, in one place: problem details (RFC 9457,
//! docs/spec/api.md#problems). Internal texts are logged and never leave.

use std::convert::Infallible;

use sealgate_ledger::state::Rejection as Rejected;
use sealgate_ledger::{LedgerError, SubmitError};
use warp::http::{HeaderValue, StatusCode, header};
use warp::reject::Rejection;
use warp::reply::Response;
use warp::{Reply, reject};

use crate::client::{ClientError, Problem};
use crate::gateway::AskError;
use crate::relay::RelayError;
use crate::turns::NoTurn;

/// How the `type` of every problem begins.
pub(super) const PROBLEM: &str = "urn:sealgate:problem:";
/// When to come back after a refusal for want of room, in seconds.
pub(crate) const RETRY_S: u32 = 3;

/// What kind of problem it is: stable, whatever the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The request cannot be read.
    Malformed,
    /// The signature that was to show who somebody is does not.
    NotSignedIn,
    /// Nothing is there, or nothing that the caller may know of.
    NotFound,
    /// The address takes another method.
    Method,
    /// The body did not come in time.
    TooSlow,
    /// It is too late for what was asked.
    TooLate,
    /// The body has no length.
    LengthRequired,
    /// The body is too large.
    TooLarge,
    /// The address is too long.
    AddressTooLong,
    /// The body is encoded, or of another type.
    Media,
    /// The ledger's rules refuse the transaction.
    Refused,
    /// The client sends, or the account asks, too much.
    TooMany,
    /// A fault of ours.
    Internal,
    /// Stored data is damaged.
    Damaged,
    /// Another gateway gives no answer.
    Unreachable,
    /// Too much is waiting.
    Busy,
    /// The gateway cannot do its work.
    NotReady,
}

impl Code {
    /// All of them, by status.
    pub const ALL: [Code; 17] = [
        Code::Malformed,
        Code::NotSignedIn,
        Code::NotFound,
        Code::Method,
        Code::TooSlow,
        Code::TooLate,
        Code::LengthRequired,
        Code::TooLarge,
        Code::AddressTooLong,
        Code::Media,
        Code::Refused,
        Code::TooMany,
        Code::Internal,
        Code::Damaged,
        Code::Unreachable,
        Code::Busy,
        Code::NotReady,
    ];

    /// Its name, status, and what it means in few words.
    pub const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Code::Malformed => ("malformed", StatusCode::BAD_REQUEST, "The request is malformed"),
            Code::NotSignedIn => ("not-signed-in", StatusCode::UNAUTHORIZED, "Nobody is signed in"),
            Code::NotFound => ("not-found", StatusCode::NOT_FOUND, "Nothing there"),
            Code::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "The method does not fit"),
            Code::TooSlow => ("too-slow", StatusCode::REQUEST_TIMEOUT, "The body did not come in time"),
            Code::TooLate => ("too-late", StatusCode::CONFLICT, "It is too late for this"),
            Code::LengthRequired => ("length-required", StatusCode::LENGTH_REQUIRED, "The body has no length"),
            Code::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Code::AddressTooLong => ("address-too-long", StatusCode::URI_TOO_LONG, "The address is too long"),
            Code::Media => ("media", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is in a form that is not taken"),
            Code::Refused => ("refused", StatusCode::UNPROCESSABLE_ENTITY, "The ledger refused the transaction"),
            Code::TooMany => ("too-many", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed"),
            Code::Damaged => ("damaged", StatusCode::INTERNAL_SERVER_ERROR, "Stored data is damaged"),
            Code::Unreachable => ("unreachable", StatusCode::BAD_GATEWAY, "Another member's gateway gives no answer"),
            Code::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "The gateway cannot do its work"),
            Code::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "Too much is waiting"),
        }
    }

    /// Its HTTP status.
    pub const fn status(self) -> StatusCode {
        self.parts().1
    }
}

/// Why a call fails.
#[derive(Debug)]
pub enum ApiError {
    /// The caller's input.
    Malformed(String),
    /// Nothing there.
    NotFound,
    /// The signature that was to show who somebody is does not.
    NotSignedIn(String),
    /// The method does not fit; what does.
    Method(String),
    /// The body did not come in time.
    TooSlow,
    /// The body is too large.
    TooLarge,
    /// The body has no length.
    LengthRequired,
    /// The address is too long.
    AddressTooLong,
    /// The body is in a form that is not taken.
    Media(String),
    /// The ledger's rules refuse a transaction.
    Refused(String),
    /// It is too late for what was asked.
    Conflict(String),
    /// The client sends too much.
    TooMany {
        /// When it may come again.
        seconds: u32,
    },
    /// The account has as much waiting as one may.
    Share(String),
    /// Try again later.
    Busy(String),
    /// The gateway cannot do its work.
    NotReady(String),
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
        let mut retry = RETRY_S;
        let (code, detail) = match self {
            ApiError::PassedOn(problem) => return respond(&problem, RETRY_S),
            ApiError::Unreachable(detail) => (Code::Unreachable, detail),
            ApiError::Malformed(detail) => (Code::Malformed, detail),
            ApiError::NotFound => (Code::NotFound, "there is nothing at this address".into()),
            ApiError::NotSignedIn(detail) => (Code::NotSignedIn, detail),
            ApiError::Method(allowed) => return method(&allowed),
            ApiError::TooSlow => (Code::TooSlow, "send the body faster".into()),
            ApiError::TooLarge => (Code::TooLarge, "send less".into()),
            ApiError::LengthRequired => (Code::LengthRequired, "send a Content-Length".into()),
            ApiError::AddressTooLong => (Code::AddressTooLong, "ask for less, or for what is shorter".into()),
            ApiError::Media(detail) => (Code::Media, detail),
            ApiError::Refused(detail) => (Code::Refused, detail),
            ApiError::Conflict(detail) => (Code::TooLate, detail),
            ApiError::TooMany { seconds } => {
                retry = seconds;
                (
                    Code::TooMany,
                    "you send more than one client may: come back a little later, and then more slowly".into(),
                )
            }
            ApiError::Share(detail) => (Code::TooMany, detail),
            ApiError::Busy(detail) => (Code::Busy, detail),
            ApiError::NotReady(detail) => (Code::NotReady, detail),
            ApiError::Damaged(detail) => (Code::Damaged, detail),
            ApiError::Internal(what) => {
                tracing::error!(error = %what, "a call failed");
                (
                    Code::Internal,
                    "the gateway could not do this; its log says why. What was recorded stays recorded, and the call may be made again".into(),
                )
            }
        };
        respond(&problem(code, detail), retry)
    }
}

fn problem(code: Code, detail: String) -> Problem {
    let (name, status, title) = code.parts();
    Problem { kind: format!("{PROBLEM}{name}"), title: title.into(), status: status.as_u16(), detail }
}

fn method(allowed: &str) -> Response {
    let mut response = respond(&problem(Code::Method, "this address takes another method".into()), RETRY_S);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn respond(problem: &Problem, retry_s: u32) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = warp::reply::with_status(warp::reply::json(problem), status).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, retry_s.into());
    }
    response
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            // The next block takes it.
            SubmitError::Rejected(why @ Rejected::MembersChanged(_)) => ApiError::Busy(why.to_string()),
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
            AskError::Share => ApiError::Share(error.to_string()),
            AskError::TooLate(detail) => ApiError::Conflict(detail),
            AskError::Internal(what) => ApiError::Internal(what),
        }
    }
}

impl From<NoTurn> for ApiError {
    fn from(error: NoTurn) -> Self {
        match error {
            NoTurn::Full => ApiError::Busy(error.to_string()),
            NoTurn::Broken(what) => ApiError::Internal(what),
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
    } else if rejection.find::<reject::UnsupportedMediaType>().is_some() {
        ApiError::Media("send what this address takes".into())
    } else if let Some(error) = rejection.find::<warp::filters::body::BodyDeserializeError>() {
        ApiError::Malformed(error.to_string())
    } else if rejection.find::<reject::MethodNotAllowed>().is_some() {
        ApiError::Method(String::new())
    } else {
        ApiError::Malformed("the request cannot be read".into())
    };
    Ok(error.into_response())
}

//! What a route of the API is: one value that the router dispatches by, the document describes, and tests
//! hold the specification against.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use warp::http::header::HeaderMap;
use warp::hyper::body::Bytes;
use warp::reply::Response;

use super::Api;
use super::problem::{ApiError, Code};
use super::server::Caller;
use crate::gateway::Gateway;

/// Largest body of any route, in bytes.
pub(super) const BODY_BYTES_MAX: u64 = super::ASK_BYTES_MAX;

/// One call of the API.
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with what varies as `{name}`.
    pub path: &'static str,
    /// Its name in the document.
    pub name: &'static str,
    /// What it gives, in one sentence.
    pub about: &'static str,
    /// Who is given something.
    pub who: Who,
    /// The parameters behind `?`, as the fields of a type.
    pub(super) query: Option<SchemaFn>,
    /// The headers that it reads, besides the token of whoever it is for.
    pub(super) headers: &'static [Header],
    pub(super) body: Option<Taken>,
    pub(super) gives: Given,
    /// Problems besides those that any route may have.
    pub(super) problems: &'static [Code],
    pub(super) answer: Answer,
}

/// Who gets something from a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the gateway.
    Anybody,
    /// Whoever has signed what is sent.
    Signer,
    /// Whoever shows the token of a delivery.
    Delivery,
    /// Who asked, or the owner: a session's token.
    Requester,
    /// The owner alone: a session's token, or the one in its folder.
    Owner,
    /// The owner, and programs on the same machine.
    Local,
    /// Whoever has a session.
    Session,
}

/// A header that a route reads.
pub(super) struct Header {
    pub(super) name: &'static str,
    /// What it means.
    pub(super) about: &'static str,
    /// How it is written, as a regular expression.
    pub(super) pattern: &'static str,
    pub(super) is_required: bool,
}

/// A body that a route takes.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) kind: &'static str,
    pub(super) schema: SchemaFn,
    pub(super) bytes_max: u64,
}

/// What a route gives.
#[derive(Clone, Copy)]
pub(super) enum Given {
    /// JSON of a type.
    Json(SchemaFn),
    /// Something else, by its media type.
    Bytes { status: u16, kind: &'static str },
    /// Nothing.
    Nothing,
}

/// The schema of a type.
pub(super) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;
type Work = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// How a route is answered.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// By reading the ledger, off the async threads.
    Read(fn(&Gateway, &Call) -> Result<Response, ApiError>),
    /// Otherwise.
    Act(fn(Arc<Api>, Call) -> Work),
}

/// One request for a route.
pub(super) struct Call {
    pub(super) route: &'static Route,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) caller: Option<Caller>,
    pub(super) body: Bytes,
}

/// The schema of `T`, as a reference where it has a name.
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Route {
    /// A read that anybody may make.
    pub(super) const fn get(
        path: &'static str,
        name: &'static str,
        about: &'static str,
        read: fn(&Gateway, &Call) -> Result<Response, ApiError>,
    ) -> Route {
        Route::of("GET", path, name, about, Answer::Read(read))
    }

    /// Any other call.
    pub(super) const fn act(
        method: &'static str,
        path: &'static str,
        name: &'static str,
        about: &'static str,
        act: fn(Arc<Api>, Call) -> Work,
    ) -> Route {
        Route::of(method, path, name, about, Answer::Act(act))
    }

    const fn of(
        method: &'static str,
        path: &'static str,
        name: &'static str,
        about: &'static str,
        answer: Answer,
    ) -> Route {
        Route {
            method,
            path,
            name,
            about,
            who: Who::Anybody,
            query: None,
            headers: &[],
            body: None,
            gives: Given::Nothing,
            problems: &[],
            answer,
        }
    }

    /// It gives a `T`.
    pub(super) const fn gives<T: JsonSchema>(self) -> Route {
        Route { gives: Given::Json(schema_of::<T>), ..self }
    }

    /// It gives bytes.
    pub(super) const fn gives_bytes(self, kind: &'static str) -> Route {
        Route { gives: Given::Bytes { status: 200, kind }, ..self }
    }

    /// It gives a part of something.
    pub(super) const fn gives_part(self, kind: &'static str) -> Route {
        Route { gives: Given::Bytes { status: 206, kind }, ..self }
    }

    /// It has parameters behind `?`: the fields of `T`.
    pub(super) const fn query<T: JsonSchema>(self) -> Route {
        Route { query: Some(|generator| T::json_schema(generator)), ..self }
    }

    /// It reads these headers.
    pub(super) const fn reads(self, headers: &'static [Header]) -> Route {
        Route { headers, ..self }
    }

    /// It takes JSON: a `T` of at most so many bytes.
    pub(super) const fn takes<T: JsonSchema>(self, bytes_max: u64) -> Route {
        Route { body: Some(Taken { kind: "application/json", schema: schema_of::<T>, bytes_max }), ..self }
    }

    /// It takes bytes.
    pub(super) const fn takes_bytes(self, bytes_max: u64) -> Route {
        let body = Taken { kind: "application/octet-stream", schema: schema_of::<super::openapi::Binary>, bytes_max };
        Route { body: Some(body), ..self }
    }

    /// It gives something to these.
    pub(super) const fn to(self, who: Who) -> Route {
        Route { who, ..self }
    }

    /// What may be wrong besides.
    pub(super) const fn or(self, problems: &'static [Code]) -> Route {
        Route { problems, ..self }
    }

    /// The problems that it may have.
    pub(super) fn codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::TooMany, Code::AddressTooLong, Code::Media, Code::Internal, Code::Busy];
        if self.path.contains('{') || self.who != Who::Anybody && self.who != Who::Signer {
            codes.push(Code::NotFound);
        }
        if self.query.is_some() {
            // What is named there may not be there.
            codes.extend([Code::Malformed, Code::NotFound]);
        }
        if self.body.is_some() {
            codes.extend([Code::Malformed, Code::TooSlow, Code::LengthRequired, Code::TooLarge]);
        }
        codes.extend(self.problems);
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Whether a path is one of this route's.
    pub(super) fn is_at(&self, path: &str) -> bool {
        let (mut template, mut found) = (self.path.split('/'), path.split('/'));
        loop {
            match (template.next(), found.next()) {
                (None, None) => return true,
                (Some(named), Some(part)) if named.starts_with('{') => {
                    if part.is_empty() {
                        return false;
                    }
                }
                (Some(fixed), Some(part)) if fixed == part => {}
                _ => return false,
            }
        }
    }
}

impl Call {
    /// What stands in the path where the template has `{name}`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for what cannot be one: nothing is there.
    pub(super) fn part<T: std::str::FromStr>(&self, name: &str) -> Result<T, ApiError> {
        let named = |template: &str| template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name);
        let pairs = self.route.path.split('/').zip(self.path.split('/'));
        let text = pairs.into_iter().find(|(template, _)| named(template)).map(|(_, part)| part);
        text.and_then(|text| text.parse().ok()).ok_or(ApiError::NotFound)
    }

    /// A header of those that the route reads; of any other nothing.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let known = self.route.headers.iter().find(|header| header.name == name)?;
        self.headers.get(known.name)?.to_str().ok()
    }

    /// The parameters behind `?`.
    ///
    /// # Errors
    /// [`ApiError::Malformed`].
    pub(super) fn parameters<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_urlencoded::from_str(&self.query)
            .map_err(|error| ApiError::Malformed(format!("the address's parameters: {error}")))
    }

    /// The body, as JSON.
    ///
    /// # Errors
    /// [`ApiError::Malformed`].
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError::Malformed(format!("the body: {error}")))
    }

    /// The token that it shows.
    pub(super) fn bearer(&self) -> Option<&str> {
        super::bearer(&self.headers)
    }
}

//! The console over HTTP: from a request to a [`Visit`], from its answer to a response.

use std::convert::Infallible;
use std::sync::Arc;

use warp::http::header::{ACCEPT_LANGUAGE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER};
use warp::http::{Response, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use super::words::Lang;
use super::{
    Answer, Console, Fault, Fields, Reply, STYLE, Visit, busy_page, entering, fault_page, not_found_page, page, table,
};
use crate::api::{Caller, RETRY_S, RouteName};

/// Largest form, in bytes.
const FORM_BYTES_MAX: u64 = 1 << 20;

/// Headers of every response of the console. There is no script at all, so none can be smuggled in.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

type Body = warp::hyper::body::Bytes;

/// The console's pages, all under `/console`.
pub fn routes(
    console: Arc<Console>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let state = console.clone();
    let looks = warp::get().and(asked()).then(move |asked: Asked| {
        let console = state.clone();
        async move { console.visited(asked, None).await }
    });
    let sends =
        warp::post().and(warp::body::content_length_limit(FORM_BYTES_MAX)).and(asked()).and(warp::body::bytes()).then(
            move |asked: Asked, form: Body| {
                let console = console.clone();
                async move { console.visited(asked, Some(form)).await }
            },
        );
    warp::path("console").and(looks.or(sends).unify())
}

/// What a request's head says.
struct Asked {
    path: FullPath,
    query: String,
    headers: HeaderMap,
    is_secure: bool,
}

fn asked() -> impl Filter<Extract = (Asked,), Error = Infallible> + Copy {
    warp::path::full()
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Caller>())
        .map(|path, query, headers, caller: Option<Caller>| {
            let is_secure = caller.is_some_and(|caller| caller.secure);
            Asked { path, query, headers, is_secure }
        })
}

impl Console {
    async fn visited(self: Arc<Self>, asked: Asked, form: Option<Body>) -> warp::reply::Response {
        let visit = self.visit(&asked, form.as_deref());
        let mut response = match &visit {
            Ok(visit) => match visit.parts().as_slice() {
                ["style.css"] if !visit.is_post => asset("text/css; charset=utf-8", STYLE.to_owned()),
                ["icon.svg"] if !visit.is_post => asset("image/svg+xml", page::icon()),
                _ => self.page(visit).await,
            },
            Err((status, why)) => plain(*status, why),
        };
        for (name, value) in HEADERS {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if asked.is_secure {
            let year = HeaderValue::from_static("max-age=31536000");
            response.headers_mut().insert(HeaderName::from_static("strict-transport-security"), year);
        }
        let route = visit.as_ref().ok().and_then(|visit| table::at(&visit.path, visit.is_post));
        let route = route.map_or("/console", |route| route.path);
        response.extensions_mut().insert(RouteName(route));
        response
    }

    fn respond(&self, visit: &Visit, answer: Answer) -> Response<String> {
        let (status, page) = match answer {
            Ok(Reply::Page(page)) => (StatusCode::OK, *page),
            Ok(Reply::SeeOther(to)) => return see_other(&to),
            Ok(Reply::Entered(_)) => return see_other("/console"),
            Ok(Reply::Download { .. }) => (StatusCode::INTERNAL_SERVER_ERROR, fault_page(visit, None)),
            Err(Fault::SignIn) => {
                return see_other(&format!("/console/sign-in?back={}", page::encoded(&visit.address())));
            }
            Err(Fault::NotFound) => (StatusCode::NOT_FOUND, not_found_page(visit)),
            Err(Fault::Refused(why)) => (StatusCode::UNPROCESSABLE_ENTITY, fault_page(visit, Some(&why))),
            Err(Fault::Failed(why)) => (StatusCode::BAD_GATEWAY, fault_page(visit, Some(&why))),
            Err(Fault::Busy) => (StatusCode::SERVICE_UNAVAILABLE, busy_page(visit)),
            Err(Fault::Internal(what)) => {
                tracing::error!(error = %what, "a page of the console failed");
                (StatusCode::INTERNAL_SERVER_ERROR, fault_page(visit, None))
            }
        };
        let mut response = Response::new(self.render(visit, &page));
        *response.status_mut() = status;
        if let Some(refresh) = page.refresh_s.and_then(|s| HeaderValue::from_str(&s.to_string()).ok()) {
            response.headers_mut().insert(HeaderName::from_static("refresh"), refresh);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_S));
        }
        response
    }

    async fn page(self: &Arc<Self>, visit: &Visit) -> warp::reply::Response {
        let answer = self.answer(visit).await;
        let cookies = entering::cookies(self, visit, &answer);
        let mut response = match answer {
            Ok(Reply::Download { name, kind, content }) => download(&name, kind, content),
            answer => {
                let html = self.respond(visit, answer).map(warp::hyper::body::Bytes::from);
                let mut response = warp::reply::Reply::into_response(html.map(|body| body.to_vec()));
                let kind = HeaderValue::from_static("text/html; charset=utf-8");
                response.headers_mut().insert(warp::http::header::CONTENT_TYPE, kind);
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(warp::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in cookies {
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                headers.append(warp::http::header::SET_COOKIE, cookie);
            }
        }
        response
    }

    /// Reads a request. What is not from one of our own pages, or for another name than ours, is
    /// refused before anything else is looked at.
    fn visit(&self, asked: &Asked, form: Option<&[u8]>) -> Result<Visit, (StatusCode, String)> {
        let Asked { path, query, headers, is_secure } = asked;
        let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = header(&HOST).unwrap_or_default();
        if !self.names.contains(host) {
            let host: String = host.chars().take(200).collect();
            let what = format!(
                "this console is not called '{host}': use its own address, or add the name to [serve] names in its configuration"
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, what));
        }
        if form.is_some() && !is_from_here(headers, host) {
            return Err((StatusCode::FORBIDDEN, "forms are taken from this console's own pages alone".into()));
        }
        let path = path.as_str().strip_prefix("/console").unwrap_or_default().trim_matches('/');
        let parts = path.split('/').filter(|part| !part.is_empty());
        let path = parts.map(percent_decoded).collect::<Option<Vec<String>>>();
        let path = path.ok_or((StatusCode::BAD_REQUEST, "the address cannot be read".to_owned()))?;
        let cookies = header(&COOKIE).unwrap_or_default();
        let cookie = |what: &str| {
            let name = self.names.cookie(what, *is_secure);
            let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
            pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
        };
        let token = cookie("session");
        let session = token.as_deref().and_then(|token| self.session(token));
        let lang = cookie("lang").and_then(|tag| Lang::of_tag(&tag));
        Ok(Visit {
            is_post: form.is_some(),
            path,
            query: Fields::read(query.as_bytes()),
            form: Fields::read(form.unwrap_or_default()),
            lang: lang.unwrap_or_else(|| Lang::preferred(header(&ACCEPT_LANGUAGE).unwrap_or_default())),
            theme: cookie("theme").filter(|theme| ["light", "dark"].contains(&theme.as_str())),
            session,
            is_secure: *is_secure,
            host: host.to_owned(),
            token,
        })
    }
}

/// Whether a browser says that a form was sent from a page of this very origin. Every browser that is
/// maintained says so, in one header or the other.
fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    text(&ORIGIN).is_some_and(|origin| origin.split_once("://").is_some_and(|(_, name)| name == host))
}

fn percent_decoded(part: &str) -> Option<String> {
    // Only '%' is special in a path; the form decoder also takes '+' for a blank.
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(&format!("x={}", part.replace('+', "%2B").replace('&', "%26"))).ok()?;
    pairs.into_iter().next().map(|(_, value)| value)
}

fn see_other(to: &str) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/console"));
    response.headers_mut().insert(warp::http::header::LOCATION, to);
    response
}

fn asset(kind: &'static str, content: String) -> warp::reply::Response {
    let mut response = warp::reply::Reply::into_response(content);
    let headers = response.headers_mut();
    headers.insert(warp::http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let long = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(warp::http::header::CACHE_CONTROL, long);
    response
}

fn plain(status: StatusCode, text: &str) -> warp::reply::Response {
    let mut response = warp::reply::Reply::into_response(format!("{text}\n"));
    *response.status_mut() = status;
    response
}

fn download(name: &str, kind: &'static str, content: Vec<u8>) -> warp::reply::Response {
    let mut response = warp::reply::Reply::into_response(content);
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).take(120).collect();
    let headers = response.headers_mut();
    headers.insert(warp::http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{safe}\"")) {
        headers.insert(warp::http::header::CONTENT_DISPOSITION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_come_from_the_same_origin() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            is_from_here(&headers, "localhost:8080")
        };
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(from(&[("origin", "http://localhost:8080")]) && from(&[("origin", "https://localhost:8080")]));
        for pairs in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8080")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null")],
            &[("origin", "http://localhost:8081")],
            &[("origin", "http://evil.example")],
        ] {
            assert!(!from(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(percent_decoded("a%2Fb+c%26").as_deref(), Some("a/b+c&"));
        assert_eq!(percent_decoded("x&y=1").as_deref(), Some("x&y=1"));
    }
}

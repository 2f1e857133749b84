//! The requester's desk: what can be asked, questions, and answers that were verified here
//! (docs/spec/console.md#requester).

use std::future::Future;
use std::sync::Arc;

use super::{Answer, Console, Fault, HomePlace, Reply, Visit};

mod answers;
mod asking;
mod asset;
mod catalogue;
pub(super) mod checks;
mod draft;
mod fetched;
mod form;
mod grants;
mod history;
mod verify;

pub(super) const PAGES: &[(&str, &str, &str)] = &[
    ("/console/requester", "Catalogue", "资源目录"),
    ("/console/requester/grants", "My grants", "我的授权"),
    ("/console/requester/answers", "My answers", "我的应答"),
    ("/console/requester/fetched", "Fetched files", "已获取文件"),
    ("/console/requester/verify", "Verify a file", "验证文件"),
];

pub(super) async fn answer(console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["requester"], false) => catalogue::page(place, visit).await,
        (["requester", "assets", id], false) => asset::page(place, visit, id).await,
        (["requester", "grants"], false) => grants::page(place, visit).await,
        (["requester", "ask", id], false) => asking::page(place, visit, id).await,
        (["requester", "ask", id], true) => asking::sent(console, place, visit, id).await,
        (["requester", "answers"], false) => history::page(place, visit).await,
        (["requester", "answers", request], false) => answers::page(place, visit, request).await,
        (["requester", "answers", request, file @ ..], false) => answers::file(place, visit, request, file).await,
        (["requester", "verify"], false) => Ok(verify::page(place, visit).into()),
        (["requester", "verify"], true) => verify::sent(place, visit).await,
        (["requester", "fetched"], false) => fetched::page(place, visit).await,
        (["requester", "fetched", name], false) => fetched::file(place, visit, name).await,
        // Where a refused form leads back to.
        (["requester", "fetch", id], false) => Ok(Reply::SeeOther(format!("/console/requester/assets/{id}"))),
        (["requester", "fetch", id], true) => fetched::sent(console, place, visit, id).await,
        _ => Err(Fault::NotFound),
    }
}

/// Runs what computes as much as it waits (proofs to verify, columns to decrypt) on a thread of its own.
async fn aside<T, W>(work: impl FnOnce() -> W + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
    W: Future<Output = Result<T, String>>,
{
    let here = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || here.block_on(work()));
    done.await.unwrap_or_else(|error| Err(error.to_string()))
}

//! Whether a gateway serves from the folder, and if not, whether one could.

use std::net::TcpListener;
use std::path::Path;

use sealgate_ledger::inspect::Inspection;

use super::Report;
use super::gateway::version;
use crate::client::Client;
use crate::files::read_json;
use crate::owner::Serving;

/// Where a gateway listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8080";

/// Looks for the gateway of the folder.
pub(super) async fn look(folder: &Path, listen: Option<&str>, inspection: &Inspection, report: &mut Report) {
    let path = folder.join("serving.json");
    let noted = read_json::<Serving>(&path).ok();
    match (inspection.in_use, noted) {
        (true, Some(serving)) => running(&serving, report).await,
        (true, None) => {
            let todo = "wait until it is done; if it does not end, find it with 'fuser'";
            report.warn("serving", "another command is at work on the ledger, and no gateway", todo);
        }
        (false, noted) => {
            if noted.is_some() {
                let what = "no gateway serves; the last one was not stopped in order";
                report.warn("serving", what, "start it again: it checks its ledger. Find out why it ended");
            } else {
                report.ok("serving", "no gateway serves from this folder now");
            }
            port(folder, listen, report);
        }
    }
}

async fn running(serving: &Serving, report: &mut Report) {
    let asked = match Client::new(&serving.url) {
        Ok(client) => client.health().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(health) => {
            report.ok("serving", format!("a gateway serves at {}, block {}", serving.url, health.height));
            version("serving", &health.version, report);
        }
        Err(error) => {
            let todo =
                "if another command is at work, wait until it is done; otherwise stop the gateway and start it again";
            report.fail("serving", format!("the ledger is in use, and its gateway does not answer: {error}"), todo);
        }
    }
}

/// Whether a gateway could listen.
fn port(folder: &Path, listen: Option<&str>, report: &mut Report) {
    #[cfg(feature = "simplex")]
    let configured = crate::network::http_listen(folder).ok().flatten();
    #[cfg(not(feature = "simplex"))]
    let configured: Option<String> = {
        let _ = folder;
        None
    };
    let listen = listen.or(configured.as_deref()).unwrap_or(LISTEN);
    match TcpListener::bind(listen) {
        Ok(_) => report.ok("serving", format!("{listen} is free to listen on")),
        Err(error) => {
            let todo = "stop what listens there ('ss -ltnp' shows it), or serve elsewhere with --listen";
            report.warn("serving", format!("{listen} is not free: {error}"), todo);
        }
    }
}

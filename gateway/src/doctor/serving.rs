//! Whether a gateway serves from the folder, and if not, whether one could.

use std::net::TcpListener;
use std::path::Path;

use sealgate_ledger::inspect::Inspection;

use super::Report;
use super::gateway::version;
use crate::client::Client;
use crate::config::{Config, Tls};
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

/// Whether calls are encrypted on their way, and can be told from each other.
pub(super) fn exposure(config: &Config, report: &mut Report) {
    let serve = &config.serve;
    let host = serve.listen.as_deref().unwrap_or(LISTEN).rsplit_once(':').map_or("", |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (&serve.tls, is_local) {
        (Tls::Off, false) => {
            let what = format!("{host} is reached by others, and what they say is not encrypted");
            let todo = "set [serve] tls, or listen on 127.0.0.1 behind a proxy that encrypts (tls = \"proxy\")";
            report.warn("serving", what, todo);
        }
        (Tls::Proxy, false) => {
            let what = format!("{host} is reached past the proxy, and what is said there is not encrypted");
            report.warn("serving", what, "listen on 127.0.0.1");
        }
        (Tls::Off, true) if !serve.names.is_empty() || config.limits.client_header.is_some() => {
            let what = "names or a client's header are configured, so a proxy seems to pass calls on; if it encrypts, \
                        cookies of the console do not know, and without its header all its callers are one";
            report.warn("serving", what, "set [serve] tls = \"proxy\" (docs/production.md has both configurations)");
        }
        (Tls::Proxy, true) => {
            let header = config.limits.client_header.as_deref().unwrap_or_default();
            report.ok(
                "serving",
                format!("a proxy encrypts for {}, and names clients in {header}", serve.names.join(", ")),
            );
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn found(text: &str) -> Vec<(Status, String)> {
        let mut report = Report::default();
        exposure(&Config::parse(text, Path::new("/data/sealgate.toml")).unwrap(), &mut report);
        report.checks.into_iter().map(|check| (check.status, check.found)).collect()
    }

    #[test]
    fn what_others_reach_without_encryption_is_told() {
        let names = "names = [\"gate.example\"]";
        for quiet in ["", "[serve]\nlisten = \"127.0.0.1:80\"", "[serve]\nlisten = \"0.0.0.0:80\"\ntls = \"generated\""]
        {
            assert_eq!(found(quiet), [], "{quiet}");
        }
        for warned in [
            "[serve]\nlisten = \"0.0.0.0:80\"".to_owned(),
            "[serve]\nlisten = \"[::]:80\"".to_owned(),
            format!("[serve]\n{names}"),
            "[limits]\nclient_header = \"x-real-ip\"".to_owned(),
            format!("[serve]\n{names}\nlisten = \"0.0.0.0:80\"\ntls = \"proxy\""),
        ] {
            assert_eq!(found(&warned).first().map(|found| found.0), Some(Status::Warning), "{warned}");
        }
        let proxied = found(&format!("[serve]\n{names}\nlisten = \"[::1]:80\"\ntls = \"proxy\""));
        assert_eq!(
            proxied,
            [(Status::Ok, "a proxy encrypts for gate.example, and names clients in x-forwarded-for".into())]
        );
    }
}

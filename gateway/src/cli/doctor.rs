//! The command `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::output::printable;
use super::{Failure, Output};
use crate::doctor::{self, Check, Report, Status};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["data_dir", "home", "gateway"])))]
pub(super) struct Doctor {
    /// An owner's or member's data folder; a gateway may serve from it meanwhile.
    #[arg(long, value_name = "DIR", conflicts_with = "home")]
    data_dir: Option<PathBuf>,
    /// A requester's or auditor's home folder.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Also look at this gateway, http://host:port; alone, only at it.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
}

pub(super) async fn doctor(args: Doctor, output: &Output) -> Result<(), Failure> {
    let url = args.gateway.as_deref();
    let report = match (&args.data_dir, &args.home, url) {
        (Some(folder), ..) => doctor::owner(folder, url).await,
        (None, Some(folder), _) => doctor::home(folder, url).await,
        (None, None, url) => doctor::gateway(url.unwrap_or_default()).await,
    };
    let (warnings, failures) = (report.count(Status::Warning), report.count(Status::Failure));
    if failures == 0 {
        let result = serde_json::json!({ "checks": report.checks, "warnings": warnings, "failures": 0 });
        output.result(&result, || format!("{}\n\n{}", text(&report), summary(&report)));
        return Ok(());
    }
    output.line(text(&report));
    let details = serde_json::json!({ "checks": report.checks, "warnings": warnings, "failures": failures });
    let first = report.checks.iter().find(|check| check.status == Status::Failure);
    let first = first.map(|check| check.found.clone()).unwrap_or_default();
    let what = format!("{}; the first: {first}", summary(&report));
    Err(Failure::new(printable(&what)).or_code("unhealthy").with_details(&details))
}

fn summary(report: &Report) -> String {
    let count = |count: usize, what: &str| match count {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (warnings, failures) = (report.count(Status::Warning), report.count(Status::Failure));
    let all = count(report.checks.len(), "check");
    format!("{all}: {}, {}", count(failures, "failure"), count(warnings, "warning"))
}

fn text(report: &Report) -> String {
    let line = |check: &Check| {
        let status = match check.status {
            Status::Ok => "ok     ",
            Status::Warning => "warning",
            Status::Failure => "FAILURE",
        };
        let todo = check.todo.as_ref().map_or_else(String::new, |todo| format!("\n                       → {todo}"));
        format!("{status} {:13} {}{todo}", check.area, check.found)
    };
    printable(&report.checks.iter().map(line).collect::<Vec<_>>().join("\n"))
}

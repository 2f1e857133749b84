//! A witness's commands: new, follow, serve, status.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealgate_ledger::cosign::WitnessKey;
use sealgate_ledger::genesis::Genesis;
use serde::Serialize;

use super::output::printable;
use super::{Failure, HomeArg, Output, stop_signal};
use crate::api;
use crate::client::Client;
use crate::epochs;
use crate::files::read_json;
use crate::home::Home;
use crate::witness::pins::time;
use crate::witness::{LedgerStatus, Witness, create, follow};

#[derive(Debug, Subcommand)]
pub(super) enum WitnessCommand {
    /// Make a witness's key; prints the part of it to hand out.
    New(New),
    /// Take on a ledger that this home trusts ('sealgate trust'); again, when its members have
    /// changed.
    Follow(Follow),
    /// Cosign over HTTP (C2SP tlog-witness).
    Serve(Serve),
    /// Show what was cosigned last of each ledger, and evidence of ledgers with two histories.
    Status(Status),
}

pub(super) async fn run(command: WitnessCommand, output: &Output) -> Result<(), Failure> {
    match command {
        WitnessCommand::New(args) => new(args, output),
        WitnessCommand::Follow(args) => take_on(args, output).await,
        WitnessCommand::Serve(args) => serve(args, output).await,
        WitnessCommand::Status(args) => status(&args, output),
    }
}

#[derive(Debug, Args)]
pub(super) struct New {
    #[command(flatten)]
    home: HomeArg,
    /// What the witness is called, by convention its host and a path: witness.example/1.
    #[arg(long)]
    name: String,
}

fn new(args: New, output: &Output) -> Result<(), Failure> {
    let key = create(&args.home.home, &args.name)?;
    output.result(&serde_json::json!({ "name": key.name(), "key": key }), || {
        format!(
            "witness     {}\nkey         {key}\n\n\
             Give the key to the operators whose ledgers you watch ('sealgate serve --witness URL=KEY') and, by a way\n\
             they trust, to those who rely on you ('sealgate trust --witness KEY'). The secret stays in {}.\n\
             Never restore an older copy of this folder: a witness that forgets could cosign a second history.",
            key.name(),
            args.home.home.display(),
        )
    });
    Ok(())
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["gateway", "genesis"])))]
pub(super) struct Follow {
    #[command(flatten)]
    home: HomeArg,
    /// Take the ledger's genesis from this gateway, http://host:port.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Take it from this file, the ledger's genesis.json.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

async fn take_on(args: Follow, output: &Output) -> Result<(), Failure> {
    let client = args.gateway.as_deref().map(Client::new).transpose()?;
    let genesis: Genesis = match (&client, args.genesis) {
        (Some(client), _) => client.genesis().await?,
        (None, Some(path)) => read_json(&path)?,
        (None, None) => return Err(Failure::new("name a gateway or a genesis file".into())),
    };
    genesis.validate()?;
    let home = Home::at(&args.home.home);
    let chain = follow(&home, &genesis)?;
    if let Some(client) = &client {
        epochs::follow(&home, client, &genesis).await?;
    }
    let result = serde_json::json!({ "fingerprint": chain, "name": genesis.name });
    output.result(&result, || {
        printable(&format!(
            "following   {} ({chain})\nA witness that is serving takes it on when it is started again.",
            genesis.name
        ))
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    home: HomeArg,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: String,
}

#[derive(Serialize)]
struct ServeResult {
    url: String,
    key: WitnessKey,
    ledgers: Vec<LedgerStatus>,
}

async fn serve(args: Serve, output: &Output) -> Result<(), Failure> {
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).try_init();
    let witness = Arc::new(followed(&args.home, Witness::open(&Home::at(&args.home.home))?)?);
    let (listener, address) = api::bind(&args.listen).await.map_err(Failure::new)?;
    let result =
        ServeResult { url: format!("http://{address}"), key: witness.key().clone(), ledgers: witness.status() };
    output.result(&result, || {
        let ledgers = text(&result.ledgers);
        printable(&format!("witness     {}\nat          {}\n{ledgers}\nStop with Ctrl-C.", result.key, result.url))
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(api::witness::serve(listener, witness, async {
        let _ = stopped.await;
    }));
    stop_signal().await?;
    let _ = stop.send(());
    Ok(served.await?)
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    home: HomeArg,
}

fn status(args: &Status, output: &Output) -> Result<(), Failure> {
    let witness = followed(&args.home, Witness::look(&Home::at(&args.home.home))?)?;
    let result = serde_json::json!({ "key": witness.key(), "ledgers": witness.status() });
    output.result(&result, || printable(&format!("witness     {}\n{}", witness.key(), text(&witness.status()))));
    Ok(())
}

/// A witness that follows a ledger.
fn followed(home: &HomeArg, witness: Witness) -> Result<Witness, Failure> {
    if witness.status().is_empty() {
        return Err(crate::witness::WitnessError::NoLedger(home.home.clone()).into());
    }
    Ok(witness)
}

fn text(ledgers: &[LedgerStatus]) -> String {
    let describe = |ledger: &LedgerStatus| {
        let last = match (ledger.size, ledger.time_s) {
            (Some(size), Some(time_s)) => format!("cosigned {size} entries at {}", time(time_s)),
            _ => "nothing cosigned yet".into(),
        };
        let mut lines = vec![format!("ledger      {} ({}): {last}", ledger.name, ledger.fingerprint)];
        lines.extend(ledger.evidence.iter().map(|path| format!("EVIDENCE    of two histories: {}", path.display())));
        lines.join("\n")
    };
    ledgers.iter().map(describe).collect::<Vec<_>>().join("\n")
}

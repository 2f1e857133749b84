//! An owner's commands: init, serve, publish.

use std::path::PathBuf;

use clap::Args;
use sealgate_circuits::bytes::CeremonyDigest;
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use sealgate_ods::table::Changes;
use serde::Serialize;

use super::keys::RootKind;
use super::{DataArg, Failure, Output};
use crate::ceremony::Finished;
use crate::files::read_json;
use crate::logging::{self, LogFormat};
use crate::owner::Owner;
use crate::publishing::{Published, publish as publish_table, read_manifest};
use crate::serving;
use crate::syncing::{Synced, sync_all};
use crate::witness::pushing::Peer;

#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    data: DataArg,
    /// What the owner is called; the ledger takes the same name.
    #[arg(long)]
    name: String,
    /// The auditor's account.public: who may read what answers told, and check the budgets.
    #[arg(long, value_name = "FILE")]
    auditor: Option<PathBuf>,
    /// Folder of a finished ceremony ('sealgate ceremony finish'); without it, parameters for
    /// development are drawn.
    #[arg(long, value_name = "DIR")]
    parameters: Option<PathBuf>,
    /// Where the root key comes from, under which all keys are kept.
    #[arg(long, value_enum, default_value = "file", value_name = "KIND")]
    root_key: RootKind,
}

#[derive(Serialize)]
struct InitResult {
    address: Address,
    did: String,
    fingerprint: ChainId,
    data_dir: PathBuf,
    development: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceremony: Option<CeremonyDigest>,
}

pub(super) fn init(args: Init, output: &Output) -> Result<(), Failure> {
    let auditor: Option<AccountPublic> = args.auditor.as_deref().map(read_json).transpose()?;
    let bar = output.progress();
    let progress = |what: &'static str, done: u64, total: u64| bar.count(what, done, total);
    let finished = args.parameters.as_deref().map(|folder| Finished::read(folder, &progress)).transpose();
    bar.finish();
    let (finished, root) = (finished?, args.root_key.make()?.1);
    let bar = output.busy("making keys, a ledger and parameters");
    let made = Owner::init(&args.data.data_dir, &args.name, auditor, finished, &root);
    bar.finish();
    let (owner, genesis) = made?;
    let account = owner.account().public();
    let result = InitResult {
        address: account.address(),
        did: account.did(),
        fingerprint: genesis.chain_id(),
        data_dir: args.data.data_dir,
        development: genesis.development,
        ceremony: genesis.ceremony,
    };
    output.result(&result, || {
        format!(
            "owner       {}\naddress     {}\nDID         {}\nfingerprint {}\n\n\
             Give the fingerprint to requesters and auditors by a way you both trust; they pin it with 'sealgate trust'.\n\
             Keep backups of {} ('sealgate backup'): without its keys the data cannot be opened.\n\
             {}",
            args.name,
            result.address,
            result.did,
            result.fingerprint,
            result.data_dir.display(),
            match &result.ceremony {
                None => "This ledger uses DEVELOPMENT PARAMETERS: whoever made them, this machine, could forge answers.".into(),
                Some(digest) => format!("Its parameters are from the ceremony with transcript {digest}."),
            },
        )
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    data: DataArg,
    /// Address to listen on; port 0 takes a free one. 127.0.0.1:8080 unless given, or what
    /// node.json of a member's folder says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// A witness to bring this ledger's checkpoints before: its address, '=', and its key as its
    /// operator's 'sealgate witness new' prints it. May be given several times.
    #[arg(long, value_name = "URL=KEY")]
    witness: Vec<Peer>,
    /// The form of the log's lines on the error stream; SEALGATE_LOG says from which level on they are
    /// written: error, warn, info or debug.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Serialize)]
struct ServeResult {
    url: String,
    fingerprint: ChainId,
    /// SHA-256 of the certificate, as browsers show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

pub(super) async fn serve(args: Serve, output: &Output) -> Result<(), Failure> {
    logging::start(args.log_format).map_err(Failure::new)?;
    #[cfg(feature = "simplex")]
    let configured = crate::network::http_listen(&args.data.data_dir)?;
    #[cfg(not(feature = "simplex"))]
    let configured: Option<String> = None;
    let owner = Owner::open(&args.data.data_dir)?;
    let listen = args.listen.or_else(|| owner.config().serve.listen.clone()).or(configured);
    let listen = listen.unwrap_or_else(|| "127.0.0.1:8080".into());
    // A passphrase is asked for now, not at the first question.
    owner.keys()?;
    let running = serving::start_witnessed(owner, &listen, args.witness).await?;
    let (url, certificate) = (running.url.clone(), running.certificate.clone());
    let result = ServeResult { url, fingerprint: running.genesis.chain_id(), certificate };
    output.result(&result, || {
        let certificate = result.certificate.as_ref().map(|print| format!("certificate {print} (SHA-256)\n"));
        let certificate = certificate.unwrap_or_default();
        format!("serving     {}\nfingerprint {}\n{certificate}Stop with Ctrl-C.", result.url, result.fingerprint)
    });
    stop_signal().await?;
    output.line("stopping: finishing what is under way");
    Ok(running.stop().await?)
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => Ok(result?),
        _ = terminate.recv() => Ok(()),
    }
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    data: DataArg,
    /// The share manifest (TOML): source, key, columns with types and uses.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Read this file instead of the source that the manifest names.
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Commit and seal every record as if it were new: for when stored objects of the last version are
    /// damaged or missing.
    #[arg(long)]
    anew: bool,
}

#[derive(Serialize)]
struct PublishResult {
    asset: AssetId,
    name: String,
    version: u32,
    records: u64,
    changes: ChangesResult,
    /// Unchanged records that were sealed again, because they lay in one segment with others that changed.
    moved: u64,
    /// Segments that were sealed, each of all columns.
    segments_written: u64,
    /// Bytes that were put into the store.
    bytes_written: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<PathBuf>,
    transaction: TxHash,
    block: BlockHeight,
}

/// What a version changes, as the owner is told.
#[derive(Serialize)]
pub(super) struct ChangesResult {
    unchanged: u64,
    changed: u64,
    added: u64,
    removed: u64,
    set_aside: u64,
}

impl From<Changes> for ChangesResult {
    fn from(changes: Changes) -> Self {
        let Changes { unchanged, changed, added, removed, set_aside, .. } = changes;
        ChangesResult { unchanged, changed, added, removed, set_aside }
    }
}

impl std::fmt::Display for ChangesResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ChangesResult { unchanged, changed, added, removed, .. } = self;
        write!(f, "{added} added, {changed} changed, {removed} removed, {unchanged} as they were")
    }
}

pub(super) async fn publish(args: Publish, output: &Output) -> Result<(), Failure> {
    let manifest = read_manifest(&args.manifest, args.source.as_deref())?;
    let owner = Owner::open(&args.data.data_dir)?;
    let bar = output.progress();
    let published = publish_table(&owner, &manifest, args.anew, bar.clone()).await;
    bar.finish();
    let result = PublishResult::from(published?);
    output.result(&result, || result.text());
    Ok(())
}

impl From<Published> for PublishResult {
    fn from(published: Published) -> Self {
        PublishResult {
            asset: published.asset,
            name: published.name,
            version: published.version,
            records: published.records,
            changes: published.changes.into(),
            moved: published.changes.moved,
            segments_written: published.changes.segments_written,
            bytes_written: published.bytes_written,
            set_aside: published.report,
            transaction: published.receipt.hash,
            block: published.receipt.height,
        }
    }
}

impl PublishResult {
    fn text(&self) -> String {
        let result = self;
        let mut text = format!("published   {} version {} ({} records)\n", result.name, result.version, result.records);
        if result.version > 1 {
            text.push_str(&format!("changes     {}\n", result.changes));
        }
        if let Some(report) = &result.set_aside {
            text.push_str(&format!("set aside   {} rows: {}\n", result.changes.set_aside, report.display()));
        }
        text + &format!(
            "asset       {}\ntransaction {}\nblock       {}",
            result.asset, result.transaction, result.block
        )
    }
}

#[derive(Debug, Args)]
pub(super) struct Sync {
    #[command(flatten)]
    data: DataArg,
}

#[derive(Serialize)]
struct SyncResult {
    synced: Vec<PublishResult>,
    failed: Vec<SyncFailure>,
}

#[derive(Serialize)]
struct SyncFailure {
    manifest: PathBuf,
    error: String,
}

pub(super) async fn sync(args: Sync, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    if owner.config().sync.is_empty() {
        let config = args.data.data_dir.join(crate::config::CONFIG_FILE);
        return Err(Failure::new(format!(
            "{} names no table to sync: add a [[sync]] section with its manifest, or run 'sealgate publish'",
            config.display()
        )));
    }
    let bar = output.progress();
    let all = sync_all(&owner, bar.clone()).await;
    bar.finish();
    let mut result = SyncResult { synced: Vec::new(), failed: Vec::new() };
    for Synced { manifest, outcome } in all {
        match outcome {
            Ok(published) => result.synced.push(published.into()),
            Err(error) => result.failed.push(SyncFailure { manifest, error: error.to_string() }),
        }
    }
    let text = || {
        let synced = result.synced.iter().map(PublishResult::text);
        let failed = result.failed.iter().map(|f| format!("failed      {}: {}", f.manifest.display(), f.error));
        synced.chain(failed).collect::<Vec<_>>().join("\n\n")
    };
    match result.failed.len() {
        0 => {
            output.result(&result, text);
            Ok(())
        }
        // Machines get one object, which says both what failed and what was synced.
        failed => {
            output.line(text());
            let what = format!("{failed} of {} tables were not synced", failed + result.synced.len());
            Err(Failure::new(what).with_details(&result))
        }
    }
}

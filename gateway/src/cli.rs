//! The command line: parsing, dispatch, and what people and machines see.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod access;
mod account;
mod asset;
mod backup;
mod budget;
mod catalogue;
mod ceremony;
mod codes;
mod doctor;
#[cfg(test)]
mod documented;
mod export;
mod failure;
mod fetch;
mod file;
mod help;
mod keys;
mod manifest;
mod member;
mod meter;
#[cfg(feature = "simplex")]
mod network;
mod output;
mod owner;
mod pages;
mod parse;
mod reads;
mod receipt;
pub(crate) mod requester;
mod sample;
mod sign_in;
mod standing;
mod text;
pub(crate) mod trail;
mod witness;

pub use failure::Failure;
pub use output::Output;
pub(crate) use owner::stop_signal;

/// Share data without giving it away: answers with zero-knowledge proofs, on a ledger that shows
/// who asked what.
#[derive(Debug, Parser)]
#[command(name = "sealgate", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print one JSON object for machines instead of text, also for a failure.
    #[arg(long, global = true)]
    json: bool,
    /// Certificates of gateways, or of their authorities, to trust instead of the system's (PEM); also
    /// SEALGATE_CA.
    #[arg(long, global = true, value_name = "FILE")]
    gateway_ca: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Act the whole story once, then serve: owner, requester and auditor on one machine.
    Demo(crate::demo::Args),
    /// Make an owner's data folder: keys, an embedded ledger, parameters for development or from a
    /// ceremony.
    Init(owner::Init),
    /// Make, enrol, replace and close accounts.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Trust a ledger: pin the fingerprint that its operator gave you.
    Trust(requester::Trust),
    /// Make a share manifest from what a table holds.
    #[command(subcommand)]
    Manifest(manifest::ManifestCommand),
    /// Answer questions over HTTP.
    Serve(owner::Serve),
    /// Seal a table and publish it as a new asset, or as an asset's next version.
    Publish(owner::Publish),
    /// Publish all tables of the folder's configuration now.
    Sync(owner::Sync),
    /// Seal files as assets.
    #[command(subcommand)]
    File(file::FileCommand),
    /// Let an account ask: fields it may see, predicates it may have proven, for one purpose.
    Grant(access::Grant),
    /// Take an account off an asset's list.
    Revoke(access::Revoke),
    /// Show what answers have told of which record's fields, and check it against the budgets.
    Budget(budget::Budget),
    /// List the assets of a ledger, searched and filtered.
    Catalogue(catalogue::Catalogue),
    /// Show who may ask what of an asset, from a ledger replayed on this machine.
    Grants(catalogue::Grants),
    /// Ask a question; the answer is verified before it is shown.
    Ask(requester::Ask),
    /// Fetch whole columns into a CSV or Parquet file; what was interrupted goes on where it stopped.
    Fetch(fetch::Fetch),
    /// Verify an answer file again, offline.
    Verify(requester::Verify),
    /// Verify an answer file, offline, and write its proof in the form of another program.
    Export(export::Export),
    /// Show an asset's contract and its whole authorization list as they stand now, proven.
    List(standing::List),
    /// Write the receipt of a transaction, anybody's: what shows, offline, that it stands on the ledger.
    Receipt(receipt::Fetch),
    /// Verify a receipt, offline, and say what it shows.
    VerifyReceipt(receipt::Verify),
    /// Show who asked what, from a ledger replayed on this machine; write it as a signed file, or
    /// check one.
    Trail(trail::TrailArgs),
    /// Count what each account asked and got, by purpose and asset.
    Meter(meter::Meter),
    /// Show the journal of what was read of the trail with this home, checked; or anchor it on the ledger.
    Reads(reads::Reads),
    /// Make parameters together, so that nobody has to trust one party for them.
    #[command(subcommand)]
    Ceremony(ceremony::CeremonyCommand),
    /// Decide together with the ledger's other members.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Make a ledger that several organisations share, or join one.
    #[cfg(feature = "simplex")]
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Small texts on the ledger.
    #[command(subcommand)]
    Text(text::TextCommand),
    /// Compare an asset's versions; transfer or withdraw it.
    #[command(subcommand)]
    Asset(asset::AssetCommand),
    /// Watch over ledgers that others run: cosign their checkpoints, each only if it extends the one
    /// before.
    #[command(subcommand)]
    Witness(witness::WitnessCommand),
    /// The keys of an owner's folder.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Write all of a folder that cannot be rebuilt into one file, sealed under a passphrase.
    Backup(backup::Backup),
    /// Make a folder again from a backup; what a folder has seen since is never forgotten.
    Restore(backup::Restore),
    /// Serve your own console: pages to search, ask, verify and audit with, on your own machine.
    Console(sign_in::Console),
    /// Sign in to a console with your account's key: prints a link for your browser.
    SignIn(sign_in::SignIn),
    /// Check a ledger block by block against one's own checkpoint; or an owner's own folder.
    Audit(requester::Audit),
    /// Look whether a folder, its machine and its gateway are in order, and say what to do.
    Doctor(doctor::Doctor),
    /// Print the script by which a shell completes this program's commands.
    Completions(pages::Completions),
    /// Print the manual's page of a command, or write all pages into a folder.
    Man(pages::Man),
}

/// A home folder of a requester or auditor.
#[derive(Debug, clap::Args)]
struct HomeArg {
    /// Home folder: account, trusted ledgers, what was seen and asked. SEALGATE_HOME stands for it.
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

/// A gateway's address.
#[derive(Debug, clap::Args)]
struct GatewayArg {
    /// Address of the gateway, http://host:port or https://host:port. SEALGATE_GATEWAY stands for it.
    #[arg(long, value_name = "URL")]
    gateway: String,
}

/// An owner's data folder.
#[derive(Debug, clap::Args)]
struct DataArg {
    /// The owner's data folder. SEALGATE_DATA_DIR stands for it.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Runs the command line of this process.
pub async fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse::parse(arguments.clone(), |name| std::env::var_os(name)) {
        Ok(cli) => cli,
        Err(error) => return parse::refuse(&error, &arguments),
    };
    let output = Output::new(cli.json);
    if let Err(error) = crate::client::trust::choose(cli.gateway_ca.as_deref()) {
        output.failure(&error.into());
        return ExitCode::FAILURE;
    }
    let done = match cli.command {
        Command::Demo(args) => crate::demo::run(args, &output).await,
        Command::Init(args) => owner::init(args, &output),
        Command::Account(command) => account::run(command, &output).await,
        Command::Trust(args) => requester::trust(args, &output),
        Command::Manifest(command) => manifest::run(command, &output).await,
        Command::Serve(args) => owner::serve(args, &output).await,
        Command::Publish(args) => owner::publish(args, &output).await,
        Command::Sync(args) => owner::sync(args, &output).await,
        Command::File(command) => file::run(command, &output).await,
        Command::Grant(args) => access::grant(args, &output).await,
        Command::Revoke(args) => access::revoke(args, &output).await,
        Command::Budget(args) => budget::budget(args, &output).await,
        Command::Catalogue(args) => catalogue::catalogue(args, &output).await,
        Command::Grants(args) => catalogue::grants(args, &output).await,
        Command::Ask(args) => requester::ask(args, &output).await,
        Command::Fetch(args) => fetch::fetch(args, &output).await,
        Command::Verify(args) => requester::verify(args, &output).await,
        Command::Export(args) => export::export(args, &output).await,
        Command::List(args) => standing::list(args, &output).await,
        Command::Receipt(args) => receipt::receipt(args, &output).await,
        Command::VerifyReceipt(args) => receipt::verify(args, &output).await,
        Command::Trail(args) => trail::trail(args, &output).await,
        Command::Meter(args) => meter::meter(args, &output).await,
        Command::Reads(args) => reads::reads(args, &output).await,
        Command::Ceremony(command) => ceremony::run(command, &output).await,
        Command::Member(command) => member::run(command, &output).await,
        #[cfg(feature = "simplex")]
        Command::Network(command) => network::run(command, &output),
        Command::Text(command) => text::run(command, &output).await,
        Command::Asset(command) => asset::run(command, &output).await,
        Command::Witness(command) => witness::run(command, &output).await,
        Command::Keys(command) => keys::run(command, &output).await,
        Command::Backup(args) => backup::backup(args, &output),
        Command::Restore(args) => backup::restore(args, &output),
        Command::Console(args) => sign_in::console(args, &output).await,
        Command::SignIn(args) => sign_in::sign_in(args, &output).await,
        Command::Audit(args) => requester::audit(args, &output).await,
        Command::Doctor(args) => doctor::doctor(args, &output).await,
        Command::Completions(args) => pages::completions(&args, &output),
        Command::Man(args) => pages::man(&args, &output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

//! Accounts on a ledger: enrolment, pseudonyms, other keys, the end: `sealgate account`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{Address, BlockHeight, TxHash};
use sealgate_ledger::tx::TxBody;
use serde::Serialize;

use super::{DataArg, Failure, GatewayArg, HomeArg, Output, requester};
use crate::account_file;
use crate::asking::Session;
use crate::auditing;
use crate::client::Client;
use crate::files::read_json;
use crate::handing;
use crate::home::Home;
use crate::identity;
use crate::journal::{Journal, What};
use crate::owner::{Access, Owner, signed};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account; its keys stay in the folder. A fresh home for each grant makes requests
    /// that nobody but auditor and parties can connect.
    New(requester::AccountNew),
    /// Enrol somebody's account, as a member; with --real-name the account's own name is a
    /// pseudonym, and who it is gets sealed to the auditor.
    Enrol(Enrol),
    /// Show who stands behind a pseudonym, to those it was sealed to.
    Identity(Identity),
    /// Replace a home's keys: what was granted to the account holds for its successor, which takes over
    /// what it owns.
    Replace(OnLedger),
    /// End an account: a home's own, or one that this member enrolled.
    Close(Close),
}

#[derive(Debug, Args)]
pub(super) struct Enrol {
    #[command(flatten)]
    data: DataArg,
    /// The account.public of who is to be enrolled.
    #[arg(value_name = "FILE")]
    account: PathBuf,
    /// Who it really is.
    #[arg(long, value_name = "NAME")]
    real_name: Option<String>,
    /// The account.public of somebody else who may know. May be given several times.
    #[arg(long, value_name = "FILE", requires = "real_name")]
    also: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct OnLedger {
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    gateway: GatewayArg,
}

#[derive(Debug, Args)]
pub(super) struct Identity {
    #[command(flatten)]
    on: OnLedger,
    /// The account.
    #[arg(value_name = "ADDRESS")]
    account: Address,
}

#[derive(Debug, Args)]
pub(super) struct Close {
    /// Home folder of the account that ends.
    #[arg(long, value_name = "DIR", requires = "gateway", conflicts_with = "data_dir")]
    home: Option<PathBuf>,
    /// Address of a gateway of the ledger.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// A member's data folder.
    #[arg(long, value_name = "DIR", requires = "account", required_unless_present = "home")]
    data_dir: Option<PathBuf>,
    /// The account that the member enrolled.
    #[arg(value_name = "ADDRESS")]
    account: Option<Address>,
}

pub(super) async fn run(command: AccountCommand, output: &Output) -> Result<(), Failure> {
    match command {
        AccountCommand::New(args) => requester::account_new(args, output),
        AccountCommand::Enrol(args) => enrol(args, output).await,
        AccountCommand::Identity(args) => show_identity(args, output).await,
        AccountCommand::Replace(args) => replace(args, output).await,
        AccountCommand::Close(args) => close(args, output).await,
    }
}

#[derive(Serialize)]
struct Done {
    address: Address,
    transaction: TxHash,
    block: BlockHeight,
}

fn done(what: &str, address: Address, receipt: &Receipt, output: &Output) {
    let result = Done { address, transaction: receipt.hash, block: receipt.height };
    output.result(&result, || {
        format!("{what:11} {address}\ntransaction {}\nblock       {}", receipt.hash, receipt.height)
    });
}

async fn enrol(args: Enrol, output: &Output) -> Result<(), Failure> {
    let account: AccountPublic = read_json(&args.account)?;
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let address = account.address();
    let identity = match &args.real_name {
        None => Vec::new(),
        Some(name) => {
            let mut to = args.also.iter().map(|file| read_json(file)).collect::<Result<Vec<AccountPublic>, _>>()?;
            let auditor = access.governance().await?.policy.auditor;
            to.extend(auditor);
            if to.is_empty() {
                return Err(Failure::new(
                    "the ledger names no auditor to seal the real name to: name somebody with --also, or decide on an \
                     auditor with 'sealgate member propose policy --auditor FILE'"
                        .into(),
                ));
            }
            identity::seal(name, &address, &to)?
        }
    };
    let receipt = access.submit(owner.account(), TxBody::OpenAccount { account, identity }).await?;
    done("enrolled", address, &receipt, output);
    Ok(())
}

#[derive(Serialize)]
struct IdentityResult {
    address: Address,
    name: String,
    real_name: Option<String>,
    enrolled_by: Address,
}

async fn show_identity(args: Identity, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.on.home.home);
    let client = Client::new(&args.on.gateway.gateway)?;
    let session = Session::open(&home, &client).await?;
    let bar = output.progress();
    let replayed = auditing::replay(&session, |done, total| bar.count("replaying blocks", done, total)).await;
    bar.finish();
    let accounts = replayed?.accounts()?;
    let view = accounts.iter().find(|view| view.address == args.account).cloned();
    let view = view.ok_or_else(|| Failure::new(format!("{} has no account on this ledger", args.account)))?;
    let mut readers = vec![home.account()?];
    readers.extend(account_file::load_earlier(home.folder())?);
    // Durable before the name is shown.
    Journal::of(&home, &session.genesis.chain_id()).note(What::Pseudonym, &view.address.to_string())?;
    let real_name = identity::open_with(&view, &accounts, &readers)?;
    let result =
        IdentityResult { address: view.address, name: view.account.name, real_name, enrolled_by: view.enrolled_by };
    output.result(&result, || {
        let real = result.real_name.as_deref().unwrap_or("no pseudonym: the name is its own");
        format!(
            "address     {}\nname        {}\nreal name   {real}\nenrolled by {}",
            result.address, result.name, result.enrolled_by
        )
    });
    Ok(())
}

async fn replace(args: OnLedger, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.home.home);
    let client = Client::new(&args.gateway.gateway)?;
    let session = Session::open(&home, &client).await?;
    let account = home.account()?;
    // Kept before it is sent: the keys of a successor that the ledger knows are never lost.
    let successor = account_file::prepare_successor(home.folder(), &account.public().name)?;
    let address = successor.address();
    // An account that the ledger does not know, such as an auditor's, is replaced here alone.
    let known = client.account(&account.address()).await?;
    if known.as_ref().is_none_or(|view| view.successor == Some(address)) {
        account_file::succeed(home.folder())?;
        let result = serde_json::json!({ "address": address });
        let why = if known.is_some() { "recorded before" } else { "the ledger knows neither account" };
        output.result(&result, || format!("replaced by {address} ({why}; its keys are in use now)"));
        return Ok(());
    }
    let body = TxBody::ReplaceAccount { successor: successor.public().clone() };
    let receipt = client.submit(&signed(&session.genesis, session.head, &account, body)?).await?;
    account_file::succeed(home.folder())?;
    let access = Access::Serving(client.clone());
    for asset in access.assets(Some(&account.address())).await?.iter().filter(|asset| asset.withdrawn.is_none()) {
        handing::take_over(&access, asset, &successor).await?;
    }
    done("replaced by", address, &receipt, output);
    Ok(())
}

async fn close(args: Close, output: &Output) -> Result<(), Failure> {
    if let Some(data_dir) = args.data_dir {
        let account = args.account.ok_or_else(|| Failure::new("name the account to close".into()))?;
        let owner = Owner::open(&data_dir)?;
        let receipt = owner.access().await?.submit(owner.account(), TxBody::CloseAccount { account }).await?;
        done("closed", account, &receipt, output);
        return Ok(());
    }
    let (Some(folder), Some(url)) = (args.home, args.gateway) else {
        return Err(Failure::new("name a home and a gateway, or a member's data folder and an account".into()));
    };
    let (home, client) = (Home::at(&folder), Client::new(&url)?);
    let session = Session::open(&home, &client).await?;
    let account = home.account()?;
    let body = TxBody::CloseAccount { account: account.address() };
    let receipt = client.submit(&signed(&session.genesis, session.head, &account, body)?).await?;
    done("closed", account.address(), &receipt, output);
    Ok(())
}

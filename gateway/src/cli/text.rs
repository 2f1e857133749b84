//! Small texts on the ledger: `sealgate text`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::account::{AccountPublic, AccountSecret};
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::light::verify_entry;
use sealgate_ledger::state::TextView;
use sealgate_ledger::tx::{SealedText, TEXT_BYTES_MAX, TextContent, TxBody};
use serde::Serialize;

use super::{DataArg, Failure, GatewayArg, HomeArg, Output};
use crate::asking::Session;
use crate::client::Client;
use crate::envelope::{Purpose, open, seal};
use crate::files::{read_bounded, read_json};
use crate::home::Home;
use crate::owner::Owner;

/// What a sealed text is sealed as.
const INFO: &str = "sealgate/text/1";

#[derive(Debug, Subcommand)]
pub(super) enum TextCommand {
    /// Put a text of up to 4,096 bytes on the ledger, or replace it: for everybody, or sealed to those named.
    Put(Put),
    /// Show a text, proven to stand on the ledger.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Put {
    #[command(flatten)]
    data: DataArg,
    /// Its name, in the same space as your assets' names.
    #[arg(long)]
    name: String,
    /// A title for people.
    #[arg(long)]
    title: String,
    /// The text.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Everybody may read it.
    #[arg(long, required_unless_present = "to", conflicts_with = "to")]
    public: bool,
    /// The account.public of who may read it. May be given several times.
    #[arg(long, value_name = "FILE")]
    to: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    gateway: GatewayArg,
    /// The text's id, as 'put' printed it.
    #[arg(value_name = "ID")]
    text: AssetId,
}

#[derive(Serialize)]
struct PutResult {
    text: AssetId,
    transaction: TxHash,
    block: BlockHeight,
}

#[derive(Serialize)]
struct ShowResult {
    text: AssetId,
    owner: Address,
    name: String,
    title: String,
    block: BlockHeight,
    content: String,
}

pub(super) async fn run(command: TextCommand, output: &Output) -> Result<(), Failure> {
    match command {
        TextCommand::Put(args) => put(args, output).await,
        TextCommand::Show(args) => show(args, output).await,
    }
}

async fn put(args: Put, output: &Output) -> Result<(), Failure> {
    let bytes = read_bounded(&args.file, TEXT_BYTES_MAX as u64)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is no UTF-8 text", args.file.display())))?;
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let id = AssetId::of(&access.genesis().await?.chain_id(), &owner.account().address(), &args.name);
    let content = if args.public {
        TextContent::Public(text)
    } else {
        let copy = |file: &PathBuf| -> Result<SealedText, Failure> {
            let reader: AccountPublic = read_json(file)?;
            let envelope = seal(&reader.encryption_key, purpose(&id), text.as_bytes())?;
            Ok(SealedText { to: reader.address(), envelope })
        };
        TextContent::Sealed(args.to.iter().map(copy).collect::<Result<_, _>>()?)
    };
    let body = TxBody::PutText { name: args.name, title: args.title, content };
    let receipt = access.submit(owner.account(), body).await?;
    let result = PutResult { text: id, transaction: receipt.hash, block: receipt.height };
    output
        .result(&result, || format!("text        {id}\ntransaction {}\nblock       {}", receipt.hash, receipt.height));
    Ok(())
}

async fn show(args: Show, output: &Output) -> Result<(), Failure> {
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let session = Session::open(&home, &client).await?;
    let view = client.text(&args.text).await?;
    let view = view.ok_or_else(|| Failure::new(format!("the gateway knows no text {}", args.text)))?;
    stands(&session, &args.text, &view).await?;
    let content = read(&view, &home)?;
    let result = ShowResult {
        text: view.id,
        owner: view.owner,
        name: view.name,
        title: view.title,
        block: view.height,
        content,
    };
    output.result(&result, || {
        format!(
            "{}\n\n{}\n\nput by {} in block {}, as '{}'; proven to stand on the ledger",
            result.title, result.content, result.owner, result.block, result.name
        )
    });
    Ok(())
}

/// Checks that just this text was put on the ledger by its owner.
async fn stands(session: &Session<'_>, id: &AssetId, view: &TextView) -> Result<(), Failure> {
    let refused = |what: &str| Failure::new(format!("text {id}: the gateway's answer is refused: {what}"));
    let proof = session.client.entry(view.entry_index, session.checkpoint.size).await?;
    verify_entry(&proof, &session.checkpoint)?;
    let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &proof.entry.body else {
        return Err(refused("it was not accepted"));
    };
    match &tx.tx.body {
        TxBody::PutText { name, title, content }
            if AssetId::of(&session.genesis.chain_id(), &tx.tx.sender, name) == *id
                && (tx.tx.sender, proof.entry.height) == (view.owner, view.height)
                && (name, title, content) == (&view.name, &view.title, &view.content) =>
        {
            Ok(())
        }
        _ => Err(refused("the ledger holds another text")),
    }
}

fn read(view: &TextView, home: &Home) -> Result<String, Failure> {
    let copies = match &view.content {
        TextContent::Public(text) => return Ok(text.clone()),
        TextContent::Sealed(copies) => copies,
    };
    let account: AccountSecret = home.account()?;
    let own = account.address();
    let copy = copies.iter().find(|copy| copy.to == own);
    let copy = copy.ok_or_else(|| Failure::new(format!("the text is sealed to others, not to {own}")))?;
    let bytes = open(&account, purpose(&view.id), &copy.envelope)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Failure::new("the sealed text is no UTF-8".into()))
}

fn purpose(id: &AssetId) -> Purpose<'_> {
    Purpose { info: INFO, associated: &id.0 }
}

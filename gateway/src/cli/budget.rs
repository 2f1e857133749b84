//! What has been told: the account book, for the owner and for the auditor.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::{Address, AssetId};
use serde::Serialize;

use super::output::printable;
use super::{Failure, Output};
use crate::auditing::read_book;
use crate::budget::{Book, Checked, Reader, Spent};
use crate::client::Client;
use crate::home::Home;
use crate::journal::{Journal, What};
use crate::naming::{AssetName, Unknown};
use crate::owner::{Access, Owner};
use crate::{asking::Session, auditing};

/// Wrong entries that are named.
const WRONG_MAX: usize = 10;
/// Lines that people are shown.
const LINES_MAX: usize = 40;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["gateway", "data_dir"])))]
pub(super) struct Budget {
    /// As the ledger's auditor: read the ledger of this gateway, http://host:port.
    #[arg(long, value_name = "URL", requires = "home")]
    gateway: Option<String>,
    /// Home folder of the auditor that the ledger names.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// As the owner: read the ledger of this data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only this asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "ID")]
    asset: Option<AssetName>,
}

#[derive(Serialize)]
struct BudgetResult {
    answers_checked: u64,
    spent: Vec<Spent>,
}

pub(super) async fn budget(args: Budget, output: &Output) -> Result<(), Failure> {
    let (book, checked, accounts) = match (&args.gateway, &args.home, &args.data_dir) {
        (Some(url), Some(home), _) => auditors(&Home::at(home), &Client::new(url)?, output).await?,
        (_, _, Some(folder)) => {
            let owner = Owner::open(folder)?;
            let (book, checked) = owners(&owner).await?;
            (book, checked, vec![owner.account().public().clone()])
        }
        _ => return Err(Failure::new("name a gateway and a home, or a data folder".into())),
    };
    let is_wanted = |id: &AssetId, owner: &Address, name: &str| {
        let owner = accounts.iter().find(|account| account.address() == *owner);
        args.asset.as_ref().is_none_or(|wanted| wanted.fits(id, name, owner))
    };
    let ids: BTreeSet<AssetId> =
        book.assets().filter(|(id, owner, name)| is_wanted(id, owner, name)).map(|(id, _, _)| *id).collect();
    if let Some(wanted) = args.asset.as_ref().filter(|_| ids.is_empty()) {
        let unknown = Unknown::among(wanted, book.assets().map(|(_, _, name)| name));
        return Err(Failure::new(format!("the ledger has no asset {unknown}")));
    }
    let (spent, _) = book.most_told(|id| ids.contains(id), usize::MAX);
    let name_of = |id: &AssetId| book.name(id).unwrap_or_default().to_owned();
    let wrong = checked.wrong.iter().filter(|(id, _)| args.asset.is_none() || ids.contains(id));
    let wrong: Vec<String> = wrong.map(|(id, error)| format!("asset '{}': {error}", name_of(id))).collect();
    let result = BudgetResult { answers_checked: checked.answers, spent };
    if wrong.is_empty() {
        output.result(&result, || text(&result));
        return Ok(());
    }
    // People see the balances all the same.
    output.line(text(&result));
    let named = wrong.iter().take(WRONG_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = if wrong.len() > WRONG_MAX { format!("; and {} more", wrong.len() - WRONG_MAX) } else { String::new() };
    Err(Failure::new(format!("the account of what was told is wrong: {named}{more}")))
}

/// The auditor's copy, from a ledger replayed on this machine.
async fn auditors(
    home: &Home,
    client: &Client,
    output: &Output,
) -> Result<(Book, Checked, Vec<AccountPublic>), Failure> {
    let session = Session::open(home, client).await?;
    let account = home.account()?;
    let earlier = home.earlier_accounts()?;
    let first = session.genesis.policy.auditor.as_ref();
    let current = client.governance().await?.policy.auditor;
    let mut auditors = first.into_iter().chain(&current).map(|auditor| auditor.address()).peekable();
    if auditors.peek().is_none() {
        return Err(Failure::new(
            "what was told is sealed to the owner alone (--data-dir): the ledger names no auditor, as 'sealgate \
             init --auditor' does when a ledger is made"
                .into(),
        ));
    }
    let is_own = |address: &Address| {
        *address == account.address() || earlier.iter().any(|account| account.address() == *address)
    };
    if let Some(auditor) = auditors.clone().next()
        && !auditors.any(|auditor| is_own(&auditor))
    {
        return Err(Failure::new(format!(
            "what was told is sealed: this home's account {} is not the auditor {auditor} that the ledger names. Only the \
             owner (--data-dir) and that auditor can read it",
            account.address()
        )));
    }
    let reader = Reader { account: &account, earlier: &earlier, auditor: true };
    let (mut book, mut checked) = (Book::default(), Checked::default());
    let bar = output.progress();
    let replayed = auditing::replay_each(
        &session,
        |done, total| bar.count("replaying blocks", done, total),
        |block| checked.add(book.read(&session.genesis, &reader, block)),
    )
    .await;
    bar.finish();
    let replayed = replayed?;
    Journal::of(home, &session.genesis.chain_id()).note(What::Budget, "what answers have told")?;
    let accounts = replayed.accounts()?.into_iter().map(|view| view.account).collect();
    Ok((book, checked, accounts))
}

/// The owner's copy, from its own ledger.
async fn owners(owner: &Owner) -> Result<(Book, Checked), Failure> {
    let reader = Reader { account: owner.account(), earlier: &[], auditor: false };
    match owner.access().await? {
        Access::Local(ledger) => Ok(read_book(&ledger, &reader)?),
        Access::Serving(client) => {
            let genesis = client.genesis().await?;
            let (mut book, mut checked) = (Book::default(), Checked::default());
            let last = client.head().await?.header.height;
            let mut next = sealgate_ledger::ids::BlockHeight(1);
            while next <= last {
                let blocks = client.blocks(next).await?;
                let Some(end) = blocks.last().map(|block| block.header.height) else { break };
                for block in &blocks {
                    checked.add(book.read(&genesis, &reader, block));
                }
                next = end.next();
            }
            Ok((book, checked))
        }
    }
}

fn text(result: &BudgetResult) -> String {
    let mut lines = vec![format!(
        "ok    the charges of {} answers are what their questions cost, and within the budgets",
        result.answers_checked
    )];
    let bits = |millibits: u32| format!("{:.3}", f64::from(millibits) / 1000.0);
    for line in result.spent.iter().take(LINES_MAX) {
        let requesters: Vec<String> =
            line.requesters.iter().map(|(who, spent)| format!("{who} {}", bits(*spent))).collect();
        lines.push(format!(
            "\n{} {}  record {}\n  told     {} of {} bits\n  to       {}",
            line.asset,
            line.column,
            line.subject,
            bits(line.millibits),
            bits(line.budget_millibits),
            requesters.join("\n           "),
        ));
    }
    if result.spent.is_empty() {
        lines.push("no predicate has told anything yet".into());
    }
    if !result.spent.is_empty() {
        lines.push(
            "\nA record is named by a hash of its key that only the owner can make. What several requesters were told \
             counts once."
                .into(),
        );
    }
    if result.spent.len() > LINES_MAX {
        lines.push(format!("\n… and {} more; --json shows all", result.spent.len() - LINES_MAX));
    }
    printable(&lines.join("\n"))
}

//! What members decide together: `sealgate member`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::member::{Change, Member, MemberSet, Policy, ProposalStatus, ProposalView};
use sealgate_ledger::tx::TxBody;
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::files::read_json;
use crate::owner::{Access, Owner};

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Propose a change, and endorse it.
    Propose(Propose),
    /// Endorse what another member proposed; more than two thirds make it so.
    Endorse(Endorse),
    /// Show the members, the rules and what has been proposed.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Propose {
    #[command(flatten)]
    data: DataArg,
    #[command(subcommand)]
    change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
enum ChangeArgs {
    /// An organisation joins.
    Join {
        /// The certified member ('sealgate network certify').
        #[arg(value_name = "FILE")]
        member: PathBuf,
    },
    /// A member leaves.
    Leave {
        /// Its account.
        #[arg(value_name = "ADDRESS")]
        account: Address,
    },
    /// A member gets another node key, certificate or addresses.
    Replace {
        /// Its account so far.
        #[arg(value_name = "ADDRESS")]
        account: Address,
        /// The member as certified anew.
        #[arg(value_name = "FILE")]
        member: PathBuf,
    },
    /// Change rules; what is not named stays.
    Policy(PolicyArgs),
    /// Withdraw an asset against its owner's will.
    Withdraw {
        /// The asset.
        #[arg(value_name = "ID")]
        asset: AssetId,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct PolicyArgs {
    /// Whether anybody may open an account, or members only.
    #[arg(long, value_name = "true|false")]
    open_enrolment: Option<bool>,
    /// Blocks within which a granted request is answered.
    #[arg(long, value_name = "N")]
    answer_window: Option<u64>,
    /// Denied requests of one account that are recorded in a day.
    #[arg(long, value_name = "N")]
    denials_a_day: Option<u32>,
    /// The auditor's account.public.
    #[arg(long, value_name = "FILE", conflicts_with = "no_auditor")]
    auditor: Option<PathBuf>,
    /// No auditor any more.
    #[arg(long)]
    no_auditor: bool,
}

#[derive(Debug, Args)]
pub(super) struct Endorse {
    #[command(flatten)]
    data: DataArg,
    /// The proposal's transaction.
    #[arg(value_name = "HASH")]
    proposal: TxHash,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataArg,
    /// Proposals that are done too.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(command: MemberCommand, output: &Output) -> Result<(), Failure> {
    match command {
        MemberCommand::Propose(args) => propose(args, output).await,
        MemberCommand::Endorse(args) => endorse(args, output).await,
        MemberCommand::List(args) => list(args, output).await,
    }
}

#[derive(Serialize)]
struct Decided {
    proposal: TxHash,
    block: BlockHeight,
    done: bool,
    endorsed: usize,
    needed: usize,
}

async fn propose(args: Propose, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let change = match args.change {
        ChangeArgs::Join { member } => Change::Join(read_json(&member)?),
        ChangeArgs::Leave { account } => Change::Leave { account },
        ChangeArgs::Replace { account, member } => Change::Replace { account, member: read_json(&member)? },
        ChangeArgs::Policy(policy) => Change::Policy(policy.on(access.governance().await?.policy)?),
        ChangeArgs::Withdraw { asset } => Change::Withdraw { asset },
    };
    let receipt = access.submit(owner.account(), TxBody::Propose { change }).await?;
    decided(&access, receipt.hash, receipt.height, output).await
}

impl PolicyArgs {
    fn on(self, policy: Policy) -> Result<Policy, Failure> {
        let auditor: Option<AccountPublic> = match (&self.auditor, self.no_auditor) {
            (Some(file), _) => Some(read_json(file)?),
            (None, true) => None,
            (None, false) => policy.auditor,
        };
        Ok(Policy {
            open_enrolment: self.open_enrolment.unwrap_or(policy.open_enrolment),
            answer_window_blocks: self.answer_window.unwrap_or(policy.answer_window_blocks),
            denials_a_day: self.denials_a_day.unwrap_or(policy.denials_a_day),
            auditor,
        })
    }
}

async fn endorse(args: Endorse, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let receipt = access.submit(owner.account(), TxBody::Endorse { proposal: args.proposal }).await?;
    decided(&access, args.proposal, receipt.height, output).await
}

async fn decided(access: &Access, proposal: TxHash, block: BlockHeight, output: &Output) -> Result<(), Failure> {
    let governance = access.governance().await?;
    let view = governance.proposals.iter().find(|view| view.hash == proposal);
    let result = Decided {
        proposal,
        block,
        done: view.is_some_and(|view| view.status != ProposalStatus::Open),
        endorsed: view.map_or(0, |view| view.endorsed.len()),
        needed: governance.members.quorum(),
    };
    output.result(&result, || {
        let state = if result.done {
            "done".to_owned()
        } else {
            format!(
                "{} of {} endorsements; others give theirs with 'sealgate member endorse'",
                result.endorsed, result.needed
            )
        };
        format!("proposal    {proposal}\nblock       {block}\nstate       {state}")
    });
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    epoch: u64,
    quorum: usize,
    members: Vec<Member>,
    policy: Policy,
    proposals: Vec<ProposalView>,
}

async fn list(args: List, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let governance = owner.access().await?.governance().await?;
    let mut proposals = governance.proposals;
    proposals.retain(|proposal| args.all || proposal.status == ProposalStatus::Open);
    proposals.sort_by_key(|proposal| proposal.height);
    let set = governance.members;
    let result = Listed {
        epoch: set.epoch,
        quorum: set.quorum(),
        members: set.members.clone(),
        policy: governance.policy,
        proposals,
    };
    output.result(&result, || text(&result, &set));
    Ok(())
}

fn text(listed: &Listed, set: &MemberSet) -> String {
    let mut lines =
        vec![format!("members     {} in epoch {}; {} decide", set.members.len(), listed.epoch, listed.quorum)];
    for member in &set.members {
        let node =
            if member.peer.is_empty() { "embedded".to_owned() } else { format!("{}, {}", member.peer, member.gateway) };
        lines.push(format!("  {:<24} {}  {node}", member.account.name, member.address()));
    }
    let policy = &listed.policy;
    lines.push(format!("enrolment   {}", if policy.open_enrolment { "anybody" } else { "by members" }));
    lines.push(format!("answers     within {} blocks", policy.answer_window_blocks));
    lines.push(format!("denials     {} of an account are recorded a day", policy.denials_a_day));
    let auditor = policy.auditor.as_ref().map(|auditor| format!("{} {}", auditor.name, auditor.address()));
    lines.push(format!("auditor     {}", auditor.unwrap_or_else(|| "none".into())));
    for proposal in &listed.proposals {
        let state = match proposal.status {
            ProposalStatus::Open => format!("{} of {} endorsements", behind(proposal, set), listed.quorum),
            ProposalStatus::Done { height } => format!("done in block {height}"),
        };
        lines.push(format!(
            "proposal    {} (block {}): {}; {state}",
            proposal.hash,
            proposal.height,
            what(&proposal.change)
        ));
    }
    lines.join("\n")
}

/// How many of today's members stand behind a proposal.
fn behind(proposal: &ProposalView, set: &MemberSet) -> usize {
    proposal.endorsed.iter().filter(|by| set.member(by).is_some()).count()
}

fn what(change: &Change) -> String {
    match change {
        Change::Join(member) => format!("'{}' joins", member.account.name),
        Change::Leave { account } => format!("{account} leaves"),
        Change::Replace { account, member } => {
            format!("{account} becomes '{}' with node key {}", member.account.name, member.node_key)
        }
        Change::Policy(policy) => format!(
            "policy: enrolment {}, answers within {} blocks, {} denials a day, auditor {}",
            if policy.open_enrolment { "open" } else { "by members" },
            policy.answer_window_blocks,
            policy.denials_a_day,
            policy.auditor.as_ref().map_or_else(|| "none".to_owned(), |auditor| auditor.address().to_string())
        ),
        Change::Withdraw { asset } => format!("{asset} is withdrawn"),
    }
}

//! Making and joining networks: `sealgate network`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, ChainId};
use sealgate_ledger::member::Member;
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::ceremony::Finished;
use crate::files::{read_json, write_json};
use crate::network::{self, NewMember, NewNetwork, NodeFile, REQUEST_FILE};
use crate::owner::Owner;

#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    /// Make a network that can be started at once: an authority, and a folder for each member.
    New(New),
    /// Make an organisation's folder and its request to be certified; or, in a member's folder,
    /// a new key for its node.
    Request(Request),
    /// Certify an organisation's node, as the consortium's authority.
    Certify(Certify),
    /// Make a certified organisation's folder a node of a ledger, or put a new certified key to use.
    Join(Join),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// Folder of the network; it must not hold anything yet.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many members.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    members: u16,
    /// What the members are called, separated by commas; 'Department 1' and so on unless given.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    names: Vec<String>,
    /// What the ledger is called.
    #[arg(long, default_value = "consortium")]
    name: String,
    /// The members' machines, separated by commas, where each has one of its own: names or
    /// addresses under which they reach each other.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Nodes listen from this port plus 1 on, gateways from this port plus 101 on; on machines of
    /// their own all on the first of these.
    #[arg(long, default_value_t = 7100)]
    base_port: u16,
    /// The auditor's account.public: who may open pseudonyms and read what answers told.
    #[arg(long, value_name = "FILE")]
    auditor: Option<PathBuf>,
    /// Folder of a finished ceremony; without it, parameters for development are drawn.
    #[arg(long, value_name = "DIR")]
    parameters: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Request {
    #[command(flatten)]
    data: DataArg,
    /// What the organisation is called.
    #[arg(long, required_unless_present = "renew")]
    name: Option<String>,
    /// Where the other nodes reach this one, host:port.
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "renew")]
    peer: Option<String>,
    /// Where others reach its gateway, http://host:port or https://host:port.
    #[arg(long, value_name = "URL", required_unless_present = "renew")]
    gateway: Option<String>,
    /// Where the node listens; the port of --peer on every address unless given.
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer_listen: Option<String>,
    /// Where the gateway listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    http_listen: String,
    /// Ask for another node key for the member that this folder is already.
    #[arg(long, conflicts_with_all = ["name", "peer", "gateway"])]
    renew: bool,
}

#[derive(Debug, Args)]
pub(super) struct Certify {
    /// The authority's folder.
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// The organisation's member.request. Make sure by another way that it is theirs.
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// Where to write the certified member.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Join {
    #[command(flatten)]
    data: DataArg,
    /// The ledger's genesis.json.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The ledger's fingerprint, as a member gave it to you by another way.
    #[arg(long)]
    fingerprint: ChainId,
    /// The certified member ('sealgate network certify').
    #[arg(long, value_name = "FILE")]
    member: PathBuf,
    /// Folder of the ledger's parameters: any member's folder 'parameters'.
    #[arg(long, value_name = "DIR")]
    parameters: Option<PathBuf>,
}

#[derive(Serialize)]
struct NewResult {
    fingerprint: ChainId,
    authority: PathBuf,
    members: Vec<NewMember>,
}

#[derive(Serialize)]
struct MemberResult {
    name: String,
    address: Address,
    node_key: String,
    file: PathBuf,
}

pub(super) fn run(command: NetworkCommand, output: &Output) -> Result<(), Failure> {
    match command {
        NetworkCommand::New(args) => new(args, output),
        NetworkCommand::Request(args) => request(args, output),
        NetworkCommand::Certify(args) => certify(args, output),
        NetworkCommand::Join(args) => join(args, output),
    }
}

fn new(args: New, output: &Output) -> Result<(), Failure> {
    let auditor: Option<AccountPublic> = args.auditor.as_deref().map(read_json).transpose()?;
    let names: Vec<String> = match args.names.len() {
        0 => (1..=args.members).map(|at| format!("Department {at}")).collect(),
        _ => args.names,
    };
    if !args.hosts.is_empty() && args.hosts.len() != names.len() {
        return Err(Failure::new(format!("--hosts names {} machines for {} members", args.hosts.len(), names.len())));
    }
    let bar = output.progress();
    let progress = |what: &'static str, done: u64, total: u64| bar.count(what, done, total);
    let ceremony = args.parameters.as_deref().map(|folder| Finished::read(folder, &progress)).transpose();
    bar.finish();
    let new = NewNetwork {
        dir: &args.dir,
        name: &args.name,
        members: &names,
        hosts: &args.hosts,
        base_port: args.base_port,
        auditor,
        ceremony: ceremony?,
    };
    let (genesis, members) = network::new_network(new)?;
    let result = NewResult { fingerprint: genesis.chain_id(), authority: args.dir.join("authority"), members };
    output.result(&result, || {
        let start = result.members.iter().map(|member| {
            format!(
                "  sealgate serve --data-dir {}    # {}, {}",
                member.data_dir.display(),
                member.name,
                member.gateway
            )
        });
        format!(
            "network     {}\nfingerprint {}\n\nStart each member's node, here or on its own machine:\n{}\n\n\
             Keep {} apart and safe: whoever has it can certify nodes. Give each member its own folder, and nobody\n\
             another's. {}",
            args.name,
            result.fingerprint,
            start.collect::<Vec<_>>().join("\n"),
            result.authority.display(),
            match result.members.len() {
                1..=3 => "With fewer than four members the ledger stops as soon as one node does.",
                _ => "",
            }
        )
    });
    Ok(())
}

fn request(args: Request, output: &Output) -> Result<(), Failure> {
    let folder = args.data.data_dir;
    let member = if args.renew {
        let owner = Owner::open(&folder)?;
        let current: Member = read_json(&folder.join(REQUEST_FILE))?;
        if current.address() != owner.account().address() {
            return Err(Failure::new(format!("{} is another account's", folder.join(REQUEST_FILE).display())));
        }
        network::renew(&folder, &current)?
    } else {
        let (name, peer) = (args.name.unwrap_or_default(), args.peer.unwrap_or_default());
        let port = peer.rsplit_once(':').map_or("7101", |(_, port)| port).to_owned();
        let listen = NodeFile {
            peer_listen: args.peer_listen.unwrap_or_else(|| format!("0.0.0.0:{port}")),
            http_listen: args.http_listen,
        };
        network::request(&folder, &name, &peer, &args.gateway.unwrap_or_default(), &listen)?
    };
    show("requested", &member, folder.join(REQUEST_FILE), "Give the file to the consortium's authority.", output);
    Ok(())
}

fn certify(args: Certify, output: &Output) -> Result<(), Failure> {
    let member = network::certify_request(&args.authority, &args.request)?;
    write_json(&args.out, &member, false)?;
    let next = "Give the file back to the organisation; a member proposes it with 'sealgate member propose join FILE'\n\
                or 'sealgate member propose replace ADDRESS FILE'.";
    show("certified", &member, args.out, next, output);
    Ok(())
}

fn join(args: Join, output: &Output) -> Result<(), Failure> {
    let genesis: Genesis = read_json(&args.genesis)?;
    genesis.validate()?;
    if genesis.chain_id() != args.fingerprint {
        return Err(Failure::new(format!(
            "{} is the genesis of ledger {}, not of {}",
            args.genesis.display(),
            genesis.chain_id(),
            args.fingerprint
        )));
    }
    let member: Member = read_json(&args.member)?;
    network::join(&args.data.data_dir, genesis, &member, args.parameters.as_deref())?;
    let next = "Start the node with 'sealgate serve'; it catches up, and takes part once the members have let it in.";
    show("joined", &member, args.data.data_dir, next, output);
    Ok(())
}

fn show(what: &str, member: &Member, file: PathBuf, next: &str, output: &Output) {
    let result = MemberResult {
        name: member.account.name.clone(),
        address: member.address(),
        node_key: member.node_key.to_string(),
        file,
    };
    output.result(&result, || {
        format!(
            "{what:11} {}\naddress     {}\nnode key    {}\nwritten     {}\n\n{next}",
            result.name,
            result.address,
            result.node_key,
            result.file.display()
        )
    });
}

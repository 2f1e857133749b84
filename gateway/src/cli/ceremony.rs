//! Commands of a ceremony: start, contribute, advance, verify, finish.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealgate_circuits::bytes::CeremonyDigest;
use sealgate_circuits::ceremony::{Ceremony, Phase};
use sealgate_ledger::genesis::{CircuitParameters, Genesis};
use sealgate_ledger::ids::ChainId;
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::printable;
use super::{Failure, Output};
use crate::account_file;
use crate::ceremony::{self, Contribution, Finished, phase_number};
use crate::client::Client;
use crate::files::read_json;
use crate::home::Home;

#[derive(Debug, Subcommand)]
pub(super) enum CeremonyCommand {
    /// Begin a ceremony for this software's circuits: a file that travels from contributor to
    /// contributor.
    Start(Start),
    /// Check a ceremony's file, multiply secrets of one's own into it, and sign.
    Contribute(Contribute),
    /// Close phase 1, so that 'contribute' adds to phase 2. Whoever does it gets the same file.
    Advance(Advance),
    /// Check a ceremony's file from nothing, and list who contributed; also that a ledger uses it.
    Verify(Verify),
    /// Check a ceremony's file and write its keys, for 'sealgate init --parameters'.
    Finish(Finish),
}

pub(super) async fn run(command: CeremonyCommand, output: &Output) -> Result<(), Failure> {
    match command {
        CeremonyCommand::Start(args) => start(args, output),
        CeremonyCommand::Contribute(args) => contribute(args, output),
        CeremonyCommand::Advance(args) => advance(args, output),
        CeremonyCommand::Verify(args) => verify(args, output).await,
        CeremonyCommand::Finish(args) => finish(args, output),
    }
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// What the ceremony is called.
    #[arg(long)]
    name: String,
    /// File to write; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Where a ceremony stands.
#[derive(Serialize)]
struct Standing {
    name: String,
    phase: u8,
    contributions: [usize; 2],
    digest: CeremonyDigest,
    circuits: Vec<String>,
}

impl Standing {
    fn of(ceremony: &Ceremony) -> Standing {
        let listed = ceremony.contributions();
        let count = |phase| listed.iter().filter(|contribution| contribution.phase == phase).count();
        Standing {
            name: ceremony.name().into(),
            phase: phase_number(ceremony.phase()),
            contributions: [count(Phase::Powers), count(Phase::Keys)],
            digest: ceremony.digest(),
            circuits: ceremony.circuits().map(Into::into).collect(),
        }
    }

    fn text(&self) -> String {
        let [first, second] = self.contributions;
        let second = if self.phase == 2 { format!("{second} contributions") } else { "not open yet".into() };
        let closed = if self.phase == 2 { ", closed" } else { "" };
        printable(&format!(
            "ceremony    {}\ncircuits    {}\nphase 1     {first} contributions{closed}\nphase 2     {second}\ndigest      {}",
            self.name,
            self.circuits.join(", "),
            self.digest,
        ))
    }
}

fn start(args: Start, output: &Output) -> Result<(), Failure> {
    let made = ceremony::start(&args.name, &args.out)?;
    ceremony::write(&args.out, &made)?;
    let standing = Standing::of(&made);
    output.result(&standing, || {
        format!(
            "{}\n\nSend {} to the first contributor, who runs 'sealgate ceremony contribute'.",
            standing.text(),
            args.out.display()
        )
    });
    Ok(())
}

/// Reads and checks a ceremony behind a progress bar.
fn checked(path: &Path, output: &Output) -> Result<Ceremony, Failure> {
    let bar = output.progress();
    let read = ceremony::read(path, &|what, done, total| bar.count(what, done, total));
    bar.finish();
    Ok(read?)
}

#[derive(Debug, Args)]
pub(super) struct Contribute {
    /// Home or data folder with the contributor's account.
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The ceremony's file as it came.
    #[arg(value_name = "IN")]
    file: PathBuf,
    /// File to write, for the next contributor; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Mix a line read from standard input into the operating system's random numbers: dice,
    /// keystrokes, whatever nobody else knows.
    #[arg(long)]
    entropy: bool,
}

fn contribute(args: Contribute, output: &Output) -> Result<(), Failure> {
    let account = account_file::load(&args.home)?;
    ceremony::check_new(&args.out)?;
    let extra = if args.entropy { typed()? } else { Zeroizing::new(Vec::new()) };
    let mut ceremony = checked(&args.file, output)?;
    let bar = output.progress();
    let progress = |what: &'static str, done: u64, total: u64| bar.count(what, done, total);
    let made = ceremony::contribute(&mut ceremony, &args.file, &account, extra, &progress);
    bar.finish();
    let made = made?;
    ceremony::write(&args.out, &ceremony)?;
    output.result(&made, || {
        format!(
            "contributed {} as number {} of phase {}, by {}\ndigest      {}\n\n\
             Announce the digest in public, with your address: it is how others see later that yours is in.\n\
             The secrets were wiped from memory. Pass on {}.",
            printable(ceremony.name()),
            made.number,
            made.phase,
            made.address,
            made.digest,
            args.out.display(),
        )
    });
    Ok(())
}

/// A line from standard input.
fn typed() -> Result<Zeroizing<Vec<u8>>, Failure> {
    if std::io::stdin().is_terminal() {
        let _ = write!(std::io::stderr(), "something nobody can guess, then Enter: ");
    }
    let mut line = Zeroizing::new(String::with_capacity(4096));
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim_end().as_bytes().to_vec()))
}

#[derive(Debug, Args)]
pub(super) struct Advance {
    /// The ceremony's file after the last contribution to phase 1.
    #[arg(value_name = "IN")]
    file: PathBuf,
    /// File to write; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn advance(args: Advance, output: &Output) -> Result<(), Failure> {
    ceremony::check_new(&args.out)?;
    let mut ceremony = checked(&args.file, output)?;
    let bar = output.progress();
    let advanced = ceremony.advance(&|what, done, total| bar.count(what, done, total));
    bar.finish();
    advanced?;
    ceremony::write(&args.out, &ceremony)?;
    let standing = Standing::of(&ceremony);
    output.result(&standing, || {
        format!(
            "{}\n\nPhase 1 is closed. {} takes contributions to phase 2: at least one of them must be honest too.",
            standing.text(),
            args.out.display()
        )
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The ceremony's file.
    file: PathBuf,
    /// Also check that the ledger with this genesis uses the ceremony's keys.
    #[arg(long, value_name = "FILE", conflicts_with = "gateway")]
    genesis: Option<PathBuf>,
    /// Also check that the ledger behind this gateway does, which --home must trust.
    #[arg(long, value_name = "URL", requires = "home")]
    gateway: Option<String>,
    /// Home folder that trusts the gateway's ledger.
    #[arg(long, value_name = "DIR", requires = "gateway")]
    home: Option<PathBuf>,
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    standing: Standing,
    listed: Vec<Contribution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<ChainId>,
}

async fn verify(args: Verify, output: &Output) -> Result<(), Failure> {
    let genesis: Option<Genesis> = match (&args.genesis, &args.gateway, &args.home) {
        (Some(path), ..) => Some(read_json(path)?),
        (None, Some(url), Some(home)) => {
            let genesis = Client::new(url)?.genesis().await?;
            Home::at(home).admit(&genesis)?;
            Some(genesis)
        }
        _ => None,
    };
    let ceremony = checked(&args.file, output)?;
    let listed = ceremony::contributions(&ceremony, &args.file)?;
    if let Some(genesis) = &genesis {
        genesis.validate()?;
        Finished::new(&ceremony, &args.file)?.check_ledger(genesis)?;
    }
    let ledger = genesis.as_ref().map(Genesis::chain_id);
    let result = Verified { standing: Standing::of(&ceremony), listed, ledger };
    output.result(&result, || {
        let mut text = result.standing.text();
        for made in &result.listed {
            let Contribution { phase, number, name, address, digest } = made;
            text.push_str(&format!(
                "\n\nphase {phase}, contribution {number}\n  name     {}\n  address  {address}\n  digest   {digest}",
                printable(name)
            ));
        }
        text.push_str("\n\nok    every signature, proof of knowledge and step; powers and keys are what they lead to");
        if let Some(ledger) = &result.ledger {
            text.push_str(&format!("\nok    ledger {ledger} uses this ceremony's keys"));
        }
        text.push_str(
            "\nnote  that a contributor destroyed its secrets is that contributor's word: one in each phase must have",
        );
        text
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Finish {
    /// The ceremony's file after the last contribution to phase 2.
    file: PathBuf,
    /// Folder to write keys and transcript into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct FinishResult {
    digest: CeremonyDigest,
    circuits: Vec<CircuitParameters>,
    folder: PathBuf,
}

fn finish(args: Finish, output: &Output) -> Result<(), Failure> {
    let ceremony = checked(&args.file, output)?;
    let finished = Finished::new(&ceremony, &args.file)?;
    finished.write(&args.out)?;
    let result = FinishResult { digest: finished.digest, circuits: finished.circuits, folder: args.out };
    output.result(&result, || {
        let mut text = format!("transcript  {}", result.digest);
        for made in &result.circuits {
            text.push_str(&format!("\nkey         {}  {}", made.verifying_key, made.circuit));
        }
        let folder = result.folder.display();
        text.push_str(&format!(
            "\n\nAn owner uses them with 'sealgate init --parameters {folder}'. Publish {folder}/{}: whoever has it can \
             check the keys.",
            ceremony::TRANSCRIPT_FILE
        ));
        text
    });
    Ok(())
}

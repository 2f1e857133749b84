//! Commands of requesters and auditors: account, trust, ask, verify, audit.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealgate_circuits::question::{KEYS_MAX, QuestionError};
use sealgate_ledger::cosign::WitnessKey;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, ChainId};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::failure::NOT_VERIFIED;
use super::output::printable;
use super::sample::{Sample, sample};
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::account_file;
use crate::answer_file::{ANSWER_BYTES_MAX, RecordAnswer, ResultLine, Verified, unwitnessed};
use crate::asking::{AskFailure, Asking, KeyList, Session, ask as ask_question};
use crate::auditing::{audit_owner, replay};
use crate::client::Client;
use crate::config::Rate;
use crate::files::{FileError, check_writable, read_bounded, write_private};
use crate::home::Home;
use crate::owner::Owner;
use crate::rehashing::{Books, rehash_owner};
use crate::verifying::{self, VerifyFailure};
use crate::witness::pins::{Pins, Witnessed};

/// Largest file of keys that is read, in bytes.
const KEYS_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct AccountNew {
    #[command(flatten)]
    home: HomeArg,
    /// What the account is called on the ledger.
    #[arg(long)]
    name: String,
}

#[derive(Serialize)]
struct AccountResult {
    name: String,
    address: Address,
    did: String,
    verify_key: String,
    encryption_key: String,
}

pub(super) fn account_new(args: AccountNew, output: &Output) -> Result<(), Failure> {
    let secret = account_file::create(&args.home.home, &args.name)?;
    let account = secret.public();
    let result = AccountResult {
        name: args.name,
        address: account.address(),
        did: account.did(),
        verify_key: account.verify_key.to_string(),
        encryption_key: account.encryption_key.to_string(),
    };
    output.result(&result, || {
        format!(
            "account        {}\naddress        {}\nDID            {}\nverify key     {}\nencryption key {}\n\n\
             The keys stay in {}. Give the address to the owner whose data you need; an auditor gives\n\
             account.public there to whoever makes a ledger.",
            result.name,
            result.address,
            result.did,
            result.verify_key,
            result.encryption_key,
            args.home.home.display(),
        )
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Trust {
    #[command(flatten)]
    home: HomeArg,
    /// The ledger's fingerprint, as its operator's 'init' and 'serve' print it.
    fingerprint: String,
    /// Key of a witness that you trust to cosign this ledger's checkpoints, as its operator's
    /// 'sealgate witness new' prints it. May be given several times; those given take the place of
    /// those before.
    #[arg(long, value_name = "KEY")]
    witness: Vec<WitnessKey>,
    /// Refuse what too few of these witnesses have cosigned, instead of only saying so: what not
    /// all of them have, or with =N what fewer than N have.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, requires = "witness")]
    require_witness: Option<Option<std::num::NonZeroUsize>>,
}

pub(super) fn trust(args: Trust, output: &Output) -> Result<(), Failure> {
    let chain: ChainId = args.fingerprint.parse().map_err(|error| Failure::new(format!("fingerprint: {error}")))?;
    let home = Home::at(&args.home.home);
    home.trust(&chain)?;
    if !args.witness.is_empty() {
        let required = args.require_witness.map_or(0, |n| n.map_or(args.witness.len(), std::num::NonZeroUsize::get));
        home.pin_witnesses(&chain, &Pins { required, witnesses: args.witness })?;
    }
    let pins = home.pins(&chain)?;
    let result = serde_json::json!({ "trusted": chain, "witnesses": pins.witnesses, "required": pins.required });
    output.result(&result, || {
        let mut lines = vec![format!("trusted     {chain}")];
        lines.extend(pins.witnesses.iter().map(|key| format!("witness     {key}")));
        if pins.required > 0 {
            lines.push(format!("required    {} of {}", pins.required, pins.witnesses.len()));
        }
        lines.join("\n")
    });
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Ask {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// Why you ask; must be the purpose you were granted.
    #[arg(long)]
    purpose: String,
    /// Where to write the answer with its proofs.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A CSV file of keys to ask about, up to 1,000 lines under a header that names the key
    /// columns; the question then has ? in place of each part of the key.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The question: SELECT columns and predicates FROM table WHERE key = value.
    sql: String,
}

pub(super) async fn ask(args: Ask, output: &Output) -> Result<(), Failure> {
    if args.out.is_dir() {
        return Err(Failure::new(format!("{} is a folder; --out names a file", args.out.display())));
    }
    // A question counts against the quota: it is not asked when its answer cannot be kept.
    check_writable(&args.out)?;
    let home = Home::at(&args.home.home);
    let client = Client::new(&args.gateway.gateway)?;
    let keys = args.keys.as_deref().map(read_keys).transpose()?;
    let bar = output.progress();
    let progress = |done, total| bar.count("keys answered", done, total);
    let asking = Asking { sql: &args.sql, keys: keys.as_ref(), progress: &progress };
    let answered = ask_question(&home, &client, &args.purpose, &asking).await;
    bar.finish();
    let answered = answered.map_err(|error| match error {
        AskFailure::Question(QuestionError::Keys(0)) => {
            Failure::new("the question leaves its keys open (?): name a file of them with --keys".into())
        }
        other => other.into(),
    })?;
    write_private(&args.out, &answered.file.to_bytes()?, true).map_err(FileError::io(&args.out))?;
    answered.kept(&home)?;
    output
        .result(&answered.verified, || format!("{}\n\nwritten to {}", report(&answered.verified), args.out.display()));
    Ok(())
}

/// Reads keys from a CSV file, whose first line names their columns.
fn read_keys(path: &Path) -> Result<KeyList, Failure> {
    let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
    let bytes = read_bounded(path, KEYS_BYTES_MAX)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(bytes);
    let columns = reader.headers().map_err(|error| wrong(error.to_string()))?.iter().map(str::to_owned).collect();
    let mut lines: Vec<(u64, Vec<String>)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        lines.push((line, record.iter().map(str::to_owned).collect()));
        if lines.len() > usize::from(KEYS_MAX) {
            return Err(wrong(format!("it has more than the {KEYS_MAX} keys that are asked about at once; split it")));
        }
    }
    if bytes.trim_ascii().is_empty() {
        return Err(wrong("it is empty: its first line names the key's columns, the others are keys".into()));
    }
    if lines.is_empty() {
        return Err(wrong("it has no keys under its header".into()));
    }
    Ok(KeyList { source: path.display().to_string(), columns, lines })
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    home: HomeArg,
    /// Gateway of the ledger, asked only when the answer's checkpoint is new to this home.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Whose answer it should be; this home's account unless named.
    #[arg(long, value_name = "ADDRESS")]
    requester: Option<Address>,
    /// The answer file.
    file: PathBuf,
}

pub(super) async fn verify(args: Verify, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.home.home);
    let expected = whose(&home, args.requester)?;
    let bar = output.busy("verifying");
    let verified = verify_file(&home, args.gateway.as_deref(), &expected, &args.file).await;
    bar.finish();
    let verified = verified?;
    output.result(&verified, || report(&verified));
    Ok(())
}

/// Whose answer a file should be: the one named, or this home's own.
pub(super) fn whose(home: &Home, named: Option<Address>) -> Result<Address, Failure> {
    match named {
        Some(address) => Ok(address),
        None => Ok(home.account()?.address()),
    }
}

/// Verifies an answer file against a home's trust.
pub(crate) async fn verify_file(
    home: &Home,
    gateway: Option<&str>,
    expected: &Address,
    path: &Path,
) -> Result<Verified, Failure> {
    let client = gateway.map(Client::new).transpose()?;
    let bytes = read_bounded(path, ANSWER_BYTES_MAX)?;
    let verified = verifying::answer(home, client.as_ref(), expected, &bytes).await;
    let (_, verified) = verified.map_err(|error| match error {
        VerifyFailure::File(_) | VerifyFailure::Meanwhile => error.into(),
        error => Failure::new(format!("{} does not verify: {error}", path.display())).or_code(NOT_VERIFIED),
    })?;
    Ok(verified)
}

/// The answer about one key, a line for each item.
fn record_lines(record: &RecordAnswer) -> Vec<String> {
    if !record.found {
        return vec!["  no record has this key".into()];
    }
    if record.result.is_empty() {
        return vec!["  a record with this key exists".into()];
    }
    let width = record.result.iter().map(|line| line.item.width()).max().unwrap_or(0);
    let line = |line: &ResultLine| format!("  {}{}  {}", line.item, " ".repeat(width - line.item.width()), line.answer);
    record.result.iter().map(line).collect()
}

/// Widest column of a table of answers that others are lined up behind.
const COLUMN_MAX: usize = 40;

/// The answers about many keys, a line for each, under a line that names what was asked.
fn record_table(records: &[RecordAnswer]) -> Vec<String> {
    let asked = records.iter().find(|record| record.found).map_or(&[][..], |record| &record.result);
    let names = std::iter::once("key".to_owned()).chain(asked.iter().map(|line| line.item.clone()));
    let row = |record: &RecordAnswer| -> Vec<String> {
        let answers: Vec<String> = match (record.found, record.result.as_slice()) {
            (false, _) => vec!["(no record)".into()],
            (true, []) => vec!["exists".into()],
            (true, lines) => lines.iter().map(|line| line.answer.clone()).collect(),
        };
        std::iter::once(record.key.join(", ")).chain(answers).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(names.collect()).chain(records.iter().map(row)).collect();
    let mut widths = vec![0; asked.len() + 1];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().min(COLUMN_MAX).max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let padded =
            |(cell, width): (&String, &usize)| format!("  {cell}{}", " ".repeat(width.saturating_sub(cell.width())));
        row.iter().zip(widths.iter().chain(std::iter::repeat(&0))).map(padded).collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// An answer as people read it.
pub(crate) fn report(verified: &Verified) -> String {
    let mut lines = vec![verified.sql.clone()];
    match verified.records.as_slice() {
        [record] => lines.extend(record_lines(record)),
        records => lines.extend(record_table(records)),
    }
    lines.push("\nverified:".into());
    lines.extend(verified.checks.iter().map(|check| format!("  ok    {check}")));
    lines.extend(verified.notes.iter().map(|note| format!("  note  {note}")));
    printable(&lines.join("\n"))
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["gateway", "data_dir"])))]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    /// Audit the ledger of this gateway, http://host:port, against the home's own checkpoint.
    #[arg(long, value_name = "URL", requires = "home")]
    gateway: Option<String>,
    /// Home folder of whoever audits.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Audit an owner's own folder: log, index, parameters and stored objects.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// With --data-dir: also compute every record's place and commitment again (slow).
    #[arg(long, requires = "data_dir")]
    recompute: bool,
    /// With --data-dir: only read every stored object back and compare it with its digest, naming all that
    /// is damaged; an interrupted check goes on where it stopped.
    #[arg(long, requires = "data_dir", conflicts_with = "recompute")]
    rehash: bool,
    /// With --rehash: read no more than this, for example 20MB/s.
    #[arg(long, value_name = "RATE", requires = "rehash")]
    rate: Option<Rate>,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// As the ledger's auditor: have an owner show records that chance chooses, with ciphertext, openings and
    /// paths, check them, and record the result on the ledger.
    Sample(Sample),
}

pub(super) async fn audit(args: Audit, output: &Output) -> Result<(), Failure> {
    if let Some(AuditCommand::Sample(args)) = args.command {
        return sample(args, output).await;
    }
    match (args.gateway, args.home, args.data_dir) {
        (Some(url), Some(home), _) => audit_gateway(&Home::at(&home), &Client::new(&url)?, output).await,
        (_, _, Some(folder)) if args.rehash => rehash(&Owner::open(&folder)?, args.rate, output).await,
        (_, _, Some(folder)) => {
            let owner = Owner::open(&folder)?;
            let bar = output.progress();
            let audit = audit_owner(&owner, args.recompute, bar.clone()).await;
            bar.finish();
            let audit = audit?;
            output.result(&audit, || {
                format!(
                    "ok    log: {} blocks, {} entries, every signature and outcome replayed\n\
                     ok    index: equals the replay\n\
                     ok    parameters: proving and verifying keys are the genesis's\n\
                     ok    store: {} objects of {} versions ({} records, {} bytes) are whole{}",
                    audit.ledger.blocks,
                    audit.ledger.entries,
                    audit.objects,
                    audit.versions,
                    audit.records,
                    audit.bytes,
                    if audit.recomputed { ", every record recomputed" } else { "" },
                )
            });
            Ok(())
        }
        _ => Err(Failure::new("name a gateway and a home, or a data folder".into())),
    }
}

/// Reads an owner's stored objects back.
async fn rehash(owner: &Owner, rate: Option<Rate>, output: &Output) -> Result<(), Failure> {
    let bar = output.progress();
    let done = rehash_owner(owner, Books::Closed, rate, bar.clone()).await;
    bar.finish();
    let done = done?;
    if done.damaged > 0 {
        for finding in &done.findings {
            output.line(printable(&format!("BAD   {finding}")));
        }
        let first = done.findings.first().map(String::as_str).unwrap_or_default();
        return Err(Failure::new(format!(
            "{} of {} stored objects are not what was written; {first}",
            done.damaged, done.objects
        )));
    }
    output.result(&done, || {
        format!(
            "ok    store: {} objects ({} bytes) are what was written{}{}",
            done.objects,
            done.bytes,
            if done.resumed { "; the check went on where an earlier one had stopped" } else { "" },
            match done.without_keys {
                0 => String::new(),
                n => format!("\nnote  of {n} assets the keys are gone: nothing can be told of them"),
            },
        )
    });
    Ok(())
}

/// What the pinned witnesses say of a ledger's head, a line each.
/// What witnesses say of a checkpoint, a line for each.
pub(super) fn witness_lines(genesis: &Genesis, said: &Witnessed) -> String {
    let checks = said.checks().into_iter().map(|line| format!("\nok    {line}"));
    let mut notes = said.notes();
    if said.is_unpinned() {
        notes.push(unwitnessed(genesis).into());
    }
    printable(&checks.chain(notes.into_iter().map(|line| format!("\nnote  {line}"))).collect::<String>())
}

/// Anyone's audit of a gateway's ledger.
pub(crate) async fn audit_gateway(home: &Home, client: &Client, output: &Output) -> Result<(), Failure> {
    let session = Session::open(home, client).await?;
    let bar = output.progress();
    let replayed = replay(&session, |done, total| bar.count("replaying blocks", done, total)).await;
    bar.finish();
    let replayed = replayed?;
    let summary = replayed.summary();
    let result = serde_json::json!({
        "fingerprint": session.genesis.chain_id(),
        "height": replayed.head().height,
        "checkpoint": replayed.checkpoint(),
        "summary": summary,
        "witnesses": session.witnessed.by,
    });
    output.result(&result, || {
        format!(
            "ok    {} blocks, {} entries replayed: every signature, outcome, hash and root\n\
             ok    the replay leads to the signed checkpoint and to every one seen before\n\
             ok    {} assets, {} requests granted, {} denied, {} answered, {} delivered, {} declined, {} unanswered{}{}{}",
            summary.blocks,
            summary.entries,
            summary.assets,
            summary.granted,
            summary.denied,
            summary.answers,
            summary.deliveries,
            summary.declined,
            summary.unanswered,
            match summary.samples {
                0 => String::new(),
                samples => format!("\nok    {samples} samples by the auditor, {} results", summary.sample_results),
            },
            witness_lines(&session.genesis, &session.witnessed),
            match &session.genesis.ceremony {
                None => "\nnote  DEVELOPMENT PARAMETERS on this ledger".into(),
                Some(digest) => format!("\nnote  parameters from the ceremony with transcript {digest}"),
            },
        )
    });
    Ok(())
}

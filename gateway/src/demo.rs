//! `sealgate demo`: the whole story on one machine, every step as the commands would do it, with
//! separate homes for owner, requester and auditor.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealgate_circuits::question::sql::parse_predicate;
use sealgate_ledger::tx::{GrantTerms, TxBody};
use sealgate_ods::keys::{RootFile, RootKey};
use sealgate_ods::manifest::ShareManifest;
use serde::Serialize;

use crate::account_file;
use crate::asking::{AskFailure, Asking, Session, ask};
use crate::auditing::{audit_owner, replay};
use crate::cli::{Failure, Output, requester, stop_signal, trail};
use crate::client::Client;
use crate::config::{CONFIG_FILE, TEMPLATE};
use crate::console::own::OwnConsole;
use crate::files::{FileError, create_private_dir, write_private};
use crate::home::Home;
use crate::owner::Owner;
use crate::publishing::{publish, read_manifest};
use crate::serving::{self, Running};
use crate::trail::Filter;

mod plan;
mod register;

use plan::Plan;

const PURPOSE: &str = "credit check";
/// Where the demo's table and manifest lie, in its folder.
const TABLES: &str = "tables";

/// What the demo takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to put the three parties' folders; a new folder among the temporary files if left out.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A table of your own, instead of the made-up licence register.
    #[arg(long, value_name = "FILE", requires = "manifest")]
    csv: Option<PathBuf>,
    /// The share manifest that describes it.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Stop after the story instead of serving.
    #[arg(long)]
    no_serve: bool,
}

/// One step of the story, as machines read it.
#[derive(Debug, Serialize)]
struct Step {
    who: &'static str,
    did: String,
    seconds: f64,
}

/// The story as it goes.
struct Story<'a> {
    output: &'a Output,
    steps: Vec<Step>,
}

impl Story<'_> {
    /// Tells a step: who did what, in how long, and what that shows.
    fn tell(&mut self, who: &'static str, did: String, took: Duration, shows: &[String]) {
        let number = self.steps.len() + 1;
        self.output.line(format!("\n{number:2}. {who:9}  {did}  ({:.2} s)", took.as_secs_f64()));
        for line in shows {
            self.output.line(format!("    {line}"));
        }
        self.steps.push(Step { who, did, seconds: took.as_secs_f64() });
    }
}

/// The three parties' folders.
struct Parties {
    folder: PathBuf,
    owner: PathBuf,
    requester: Home,
    auditor: Home,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure`], with the step that failed; a step that ought to fail and does not is one, too.
pub async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let parties = parties(args.data_dir)?;
    let manifest = table(&parties.folder, args.csv.as_deref(), args.manifest.as_deref())?;
    let plan = Plan::make(&manifest)?;
    output.line(format!(
        "Sealgate: a department answers questions about its records without giving them away.\n\
         Everything of this demo is in {}.",
        parties.folder.display()
    ));
    let mut story = Story { output, steps: Vec::new() };
    let running = prepare(&mut story, &parties, &manifest, &plan).await?;
    let client = Client::new(&running.url)?;
    questions(&mut story, &parties, &client, &plan).await?;
    refusals(&mut story, &parties, &client, &plan).await?;
    audits(&mut story, &parties, &client).await?;
    finish(&story, &parties, running, &plan, args.no_serve).await
}

fn parties(data_dir: Option<PathBuf>) -> Result<Parties, Failure> {
    let folder = match data_dir {
        Some(folder) => folder,
        None => std::env::temp_dir().join(format!("sealgate-demo-{}", std::process::id())),
    };
    let used = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        return Err(Failure::new(format!("{} is not empty; name a new folder with --data-dir", folder.display())));
    }
    create_private_dir(&folder).map_err(FileError::io(&folder))?;
    Ok(Parties {
        owner: folder.join("owner"),
        requester: Home::at(&folder.join("requester")),
        auditor: Home::at(&folder.join("auditor")),
        folder,
    })
}

/// The table to publish: the given one, or a licence register made here.
fn table(folder: &Path, csv: Option<&Path>, manifest: Option<&Path>) -> Result<ShareManifest, Failure> {
    if let Some(manifest) = manifest {
        return Ok(read_manifest(manifest, csv)?);
    }
    let folder = folder.join(TABLES);
    create_private_dir(&folder).map_err(FileError::io(&folder))?;
    let (csv, manifest) = (folder.join("licences.csv"), folder.join("licences.toml"));
    write_private(&csv, register::csv().as_bytes(), false).map_err(FileError::io(&csv))?;
    write_private(&manifest, register::MANIFEST.as_bytes(), false).map_err(FileError::io(&manifest))?;
    Ok(read_manifest(&manifest, None)?)
}

/// Keys, ledger, publication, accounts, grant; and a gateway that serves.
async fn prepare(
    story: &mut Story<'_>,
    parties: &Parties,
    manifest: &ShareManifest,
    plan: &Plan,
) -> Result<Running, Failure> {
    let start = Instant::now();
    let auditor = account_file::create(parties.auditor.folder(), "Audit Office")?.public().clone();
    let (owner, genesis) = tokio::task::block_in_place(|| {
        let root = RootFile::Key(RootKey::generate()?);
        Owner::init(&parties.owner, "Licensing Department", Some(auditor), None, &root)
    })?;
    let config = parties.owner.join(CONFIG_FILE);
    // The department's console reads the demo's tables, and nothing else of its folder.
    let text = format!("{TEMPLATE}\n[console]\nfolders = [\"../{TABLES}\"]\n");
    write_private(&config, text.as_bytes(), true).map_err(FileError::io(&config))?;
    let fingerprint = genesis.chain_id();
    let shows = [
        format!("fingerprint {fingerprint}"),
        "parameters for development only, and the ledger says so".into(),
        "the Audit Office is named as the ledger's auditor".into(),
    ];
    story.tell("owner", "makes keys, proving parameters and an embedded ledger".into(), start.elapsed(), &shows);

    let start = Instant::now();
    let bar = story.output.progress();
    let published = publish(&owner, manifest, false, bar.clone()).await;
    bar.finish();
    let published = published?;
    let shows = [
        format!("asset {}", published.asset),
        format!("transaction {}, block {}", published.receipt.hash, published.receipt.height),
        "the ledger holds one root over all records, and no value".into(),
    ];
    let did = format!("seals {} records of '{}' and publishes version 1", published.records, published.name);
    story.tell("owner", did, start.elapsed(), &shows);

    let start = Instant::now();
    let requester = account_file::create(parties.requester.folder(), "Example Bank")?;
    for home in [&parties.requester, &parties.auditor] {
        home.trust(&fingerprint)?;
    }
    let shows = [format!("requester {}", requester.address()), "their keys never leave their own folders".into()];
    story.tell("both", "requester and auditor make accounts and pin the fingerprint".into(), start.elapsed(), &shows);

    let start = Instant::now();
    let terms = GrantTerms {
        whole: vec![],
        disclose: vec![plan.disclose],
        prove: vec![parse_predicate(&plan.predicate, &plan.schema)?],
        existence: false,
        purpose: PURPOSE.into(),
        not_before_ms: None,
        until_ms: None,
        quota: Some(10),
        bits: None,
    };
    let body = TxBody::Grant { asset: published.asset, to: requester.address(), terms };
    let receipt = owner.access().await?.submit(owner.account(), body).await?;
    let shows = [
        format!("may see: {}   may have proven: {}", plan.disclosed_name, plan.predicate),
        format!("for '{PURPOSE}', 10 questions; block {}", receipt.height),
    ];
    story.tell("owner", "grants the requester one field and one predicate".into(), start.elapsed(), &shows);
    drop(owner);

    let start = Instant::now();
    let running = match serving::start(Owner::open(&parties.owner)?, "127.0.0.1:8080").await {
        Ok(running) => running,
        Err(_) => serving::start(Owner::open(&parties.owner)?, "127.0.0.1:0").await?,
    };
    story.tell("owner", format!("serves at {}", running.url), start.elapsed(), &[]);
    Ok(running)
}

/// A question about a record that is there, and one about a key that is not.
async fn questions(story: &mut Story<'_>, parties: &Parties, client: &Client, plan: &Plan) -> Result<(), Failure> {
    let start = Instant::now();
    let answered = ask(&parties.requester, client, PURPOSE, &Asking::one(&plan.question)).await?;
    let took = start.elapsed();
    let path = parties.folder.join("answer.json");
    write_private(&path, &answered.file.to_bytes()?, true).map_err(FileError::io(&path))?;
    answered.kept(&parties.requester)?;
    let report = requester::report(&answered.verified);
    let shows: Vec<String> = report.lines().map(str::to_owned).collect();
    story.tell("requester", "asks, and its own copy of the software verifies the answer".into(), took, &shows);

    let start = Instant::now();
    let answered = ask(&parties.requester, client, PURPOSE, &Asking::one(&plan.absent_question)).await?;
    answered.kept(&parties.requester)?;
    if answered.verified.records.iter().any(|record| record.found) {
        return Err(Failure::new("a key that is not in the table was answered as present".into()));
    }
    let shows =
        [plan.absent_question.clone(), "no record has this key: proven too, and just as large to an onlooker".into()];
    story.tell("requester", "asks about a key that is not there".into(), start.elapsed(), &shows);
    Ok(())
}

/// What must fail: an ungranted question, and an answer somebody changed.
async fn refusals(story: &mut Story<'_>, parties: &Parties, client: &Client, plan: &Plan) -> Result<(), Failure> {
    let start = Instant::now();
    match ask(&parties.requester, client, PURPOSE, &Asking::one(&plan.forbidden_question)).await {
        Err(AskFailure::Denied { why, block, .. }) => {
            let shows = [plan.forbidden_question.clone(), format!("denied: {why} (on the ledger in block {block})")];
            story.tell(
                "requester",
                "asks for a field that was not granted, and is refused".into(),
                start.elapsed(),
                &shows,
            );
        }
        Err(other) => return Err(other.into()),
        Ok(_) => return Err(Failure::new("an ungranted question was answered".into())),
    }

    let start = Instant::now();
    let path = parties.folder.join("tampered.json");
    let account = parties.requester.account()?.address();
    let answer = parties.folder.join("answer.json");
    let text = std::fs::read_to_string(&answer).map_err(FileError::io(&answer))?;
    let tampered = text.replacen("\"answer\": \"", "\"answer\": \"not ", 1);
    write_private(&path, tampered.as_bytes(), true).map_err(FileError::io(&path))?;
    match requester::verify_file(&parties.requester, None, &account, &path).await {
        Err(failure) => {
            let shows = [failure.into_text()];
            story.tell(
                "requester",
                "changes one word of the answer; it verifies no more".into(),
                start.elapsed(),
                &shows,
            );
            Ok(())
        }
        Ok(_) => Err(Failure::new("a tampered answer verified".into())),
    }
}

async fn audits(story: &mut Story<'_>, parties: &Parties, client: &Client) -> Result<(), Failure> {
    let start = Instant::now();
    let account = parties.requester.account()?.address();
    requester::verify_file(&parties.auditor, Some(client.url()), &account, &parties.folder.join("answer.json")).await?;
    let shows = ["the answer file convinces whoever trusts the ledger, without the gateway's word".to_owned()];
    story.tell("auditor", "verifies the requester's answer again".into(), start.elapsed(), &shows);

    let start = Instant::now();
    let session = Session::open(&parties.auditor, client).await?;
    let replayed = replay(&session, |_, _| {}).await?;
    let summary = replayed.summary();
    let lines = trail::replayed(&parties.auditor, client, None, &Filter::default(), story.output).await?.lines;
    let mut shows = vec![format!(
        "{} blocks replayed: {} granted, {} denied, {} answered; every signature, outcome and root",
        summary.blocks, summary.granted, summary.denied, summary.answers
    )];
    shows.extend(trail::trail_text(&lines, false).lines().map(str::to_owned));
    story.tell("auditor", "replays the whole ledger and reads the trail".into(), start.elapsed(), &shows);

    let start = Instant::now();
    let audit = audit_owner(&Owner::open(&parties.owner)?, true, sealgate_ods::silent()).await?;
    let shows =
        [format!("{} objects read back, {} records recomputed, log and index agree", audit.objects, audit.records)];
    story.tell("owner", "audits its own folder".into(), start.elapsed(), &shows);
    Ok(())
}

/// What to try next; then serve, with a console for each party, until told to stop.
async fn finish(
    story: &Story<'_>,
    parties: &Parties,
    running: Running,
    plan: &Plan,
    no_serve: bool,
) -> Result<(), Failure> {
    let url = running.url.clone();
    let sealgate = std::env::current_exe().map_or_else(|_| "sealgate".into(), |path| path.display().to_string());
    let (requester, auditor) = (parties.requester.folder().display(), parties.auditor.folder().display());
    story.output.result(&serde_json::json!({ "folder": parties.folder, "url": url, "steps": story.steps }), || {
        let question = shell_quoted(&plan.question);
        format!(
            "\nTry it yourself, while this serves:\n  {sealgate} ask --gateway {url} --home {requester} \\\n    --purpose '{PURPOSE}' --out answer2.json {question}\n  {sealgate} trail --gateway {url} --home {auditor}"
        )
    });
    if no_serve {
        return Ok(running.stop().await?);
    }
    let consoles = [
        own_console(&parties.requester, &url, "127.0.0.1:8490").await?,
        own_console(&parties.auditor, &url, "127.0.0.1:8491").await?,
    ];
    let [requesters, auditors] = &consoles;
    story.output.line(format!(
        "\nOr in a browser. Each link signs in once, within two minutes; the command below it gives another:\n  \
         the department   {}\n    {sealgate} sign-in --data-dir {}\n  \
         the requester    {}\n    {sealgate} sign-in --home {requester} --gateway {}\n  \
         the auditor      {}\n    {sealgate} sign-in --home {auditor} --gateway {}\n\nServing; stop with Ctrl-C.",
        running.link()?,
        parties.owner.display(),
        requesters.link,
        requesters.url,
        auditors.link,
        auditors.url,
    ));
    stop_signal().await?;
    for console in consoles {
        console.stop().await;
    }
    Ok(running.stop().await?)
}

/// A party's own console, at this address or, if that is taken, another.
async fn own_console(home: &Home, gateway: &str, listen: &str) -> Result<OwnConsole, Failure> {
    let client = Client::new(gateway)?;
    match OwnConsole::start(home.clone(), client.clone(), listen).await {
        Ok(console) => Ok(console),
        Err(_) => OwnConsole::start(home.clone(), client, "127.0.0.1:0").await,
    }
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

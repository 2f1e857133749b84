//! A console of one's own, and signing in to a console.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use sealgate_ledger::account::AccountSecret;
use serde::Serialize;

use super::{Failure, GatewayArg, HomeArg, Output, stop_signal};
use crate::api;
use crate::client::Client;
use crate::console::jobs::Jobs;
use crate::console::{Console as Pages, HomePlace, Names, Place};
use crate::files::read_json;
use crate::home::Home;
use crate::owner::{Owner, OwnerError, Serving};
use crate::sessions::{Claim, Sessions};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["data_dir", "home"])))]
pub(super) struct SignIn {
    /// Sign in as the owner of this data folder, at the gateway that serves it unless --gateway names
    /// another address of it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Sign in as the account of this home folder.
    #[arg(long, value_name = "DIR", requires = "gateway")]
    home: Option<PathBuf>,
    /// Address of the gateway or console to sign in to, as your browser calls it.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
}

#[derive(Serialize)]
struct SignInResult {
    link: String,
    /// For calls of the API.
    token: String,
    idle_s: u64,
}

pub(super) async fn sign_in(args: SignIn, output: &Output) -> Result<(), Failure> {
    let (account, url) = whose(args)?;
    let client = Client::new(&url)?;
    let challenge = client.challenge(&account.address()).await?;
    let claim = Claim::sign(&account, &challenge, client.authority());
    let opened = client.open_session(&claim).await?;
    let link = format!("{}/console/enter?code={}", client.url(), opened.code);
    let result = SignInResult { link, token: opened.token, idle_s: opened.idle_s };
    output.result(&result, || {
        format!("Open this link in your browser within two minutes; it works once:\n\n  {}\n", result.link)
    });
    Ok(())
}

fn whose(args: SignIn) -> Result<(AccountSecret, String), Failure> {
    if let (Some(home), Some(gateway)) = (&args.home, &args.gateway) {
        return Ok((Home::at(home).account()?, gateway.clone()));
    }
    let folder = args.data_dir.unwrap_or_default();
    let owner = Owner::open(&folder)?;
    let url = match args.gateway {
        Some(url) => url,
        None if owner.serving_path().exists() => {
            read_json::<Serving>(&owner.serving_path()).map_err(OwnerError::from)?.url
        }
        None => {
            let folder = folder.display();
            return Err(Failure(format!(
                "no gateway serves {folder}: start it with 'sealgate serve --data-dir {folder}', then sign in"
            )));
        }
    };
    Ok((owner.account().clone(), url))
}

#[derive(Debug, Args)]
pub(super) struct Console {
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    gateway: GatewayArg,
    /// Address to listen on; port 0 takes a free one. Only this machine should reach it: who is signed
    /// in there acts with this home's key.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8490")]
    listen: String,
}

#[derive(Serialize)]
struct ConsoleResult {
    url: String,
    link: String,
}

pub(super) async fn console(args: Console, output: &Output) -> Result<(), Failure> {
    super::owner::log_to_stderr();
    let home = Home::at(&args.home.home);
    let account = home.account()?.public().clone();
    let client = Client::new(&args.gateway.gateway)?;
    let genesis = client.genesis().await?;
    home.admit(&genesis)?;
    let auditor = client.governance().await?.policy.auditor;
    let is_auditor = auditor.is_some_and(|auditor| auditor.address() == account.address());
    let (listener, address) = api::bind(&args.listen).await.map_err(Failure)?;
    if !address.ip().is_loopback() {
        warn_open(output, address.ip());
    }
    let sessions = Arc::new(Sessions::new(genesis.chain_id())?);
    let code = sessions.code(&account)?;
    let console = Arc::new(Pages {
        place: Place::Home(Box::new(HomePlace { home, account, client, is_auditor })),
        genesis,
        sessions,
        jobs: Jobs::default(),
        names: Names::of(address, &[], false),
    });
    let url = format!("http://{address}/console");
    let result = ConsoleResult { link: format!("{url}/enter?code={code}"), url };
    output.result(&result, || {
        format!(
            "console     {}\nOpen this link in your browser within two minutes; it works once:\n\n  {}\n\nStop with Ctrl-C. Later links: 'sealgate sign-in --home {} --gateway http://{address}'.",
            result.url,
            result.link,
            args.home.home.display()
        )
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(api::serve_console(listener, console, async {
        let _ = stopped.await;
    }));
    stop_signal().await?;
    let _ = stop.send(());
    output.line("stopping: finishing what is under way");
    Ok(served.await?)
}

fn warn_open(output: &Output, ip: IpAddr) {
    output.line(format!(
        "warning: {ip} can be reached from other machines, without encryption. Whoever signs in acts with this home's key; put a proxy with TLS before it, or use 127.0.0.1."
    ));
}

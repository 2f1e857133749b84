//! A console of one's own, and signing in to a console.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use sealgate_ledger::account::AccountSecret;
use serde::Serialize;

use super::{Failure, GatewayArg, HomeArg, Output, stop_signal};
use crate::client::Client;
use crate::console::own::OwnConsole;
use crate::files::read_json;
use crate::home::Home;
use crate::logging::{self, LogFormat};
use crate::owner::{Owner, OwnerError, Serving};
use crate::sessions::Claim;

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
    let (account, client) = whose(args)?;
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

fn whose(args: SignIn) -> Result<(AccountSecret, Client), Failure> {
    if let (Some(home), Some(gateway)) = (&args.home, &args.gateway) {
        return Ok((Home::at(home).account()?, Client::new(gateway)?));
    }
    let folder = args.data_dir.unwrap_or_default();
    let owner = Owner::open(&folder)?;
    let client = match args.gateway {
        Some(url) => Client::new(&url)?,
        None if owner.serving_path().exists() => {
            read_json::<Serving>(&owner.serving_path()).map_err(OwnerError::from)?.client()?
        }
        None => {
            let folder = folder.display();
            return Err(Failure::new(format!(
                "no gateway serves {folder}: start it with 'sealgate serve --data-dir {folder}', then sign in"
            )));
        }
    };
    Ok((owner.account().clone(), client))
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
    logging::start(LogFormat::Text).map_err(Failure::new)?;
    let folder = args.home.home.display().to_string();
    let client = Client::new(&args.gateway.gateway)?;
    let console = OwnConsole::start(Home::at(&args.home.home), client, &args.listen).await?;
    if !console.address.ip().is_loopback() {
        warn_open(output, console.address.ip());
    }
    let result = ConsoleResult { url: console.url.clone(), link: console.link.clone() };
    output.result(&result, || {
        format!(
            "console     {0}\nOpen this link in your browser within two minutes; it works once:\n\n  {1}\n\nStop with Ctrl-C. For another link: sealgate sign-in --home {folder} --gateway {0}",
            result.url, result.link,
        )
    });
    stop_signal().await?;
    output.line("stopping: finishing what is under way");
    console.stop().await;
    Ok(())
}

fn warn_open(output: &Output, ip: IpAddr) {
    output.line(format!(
        "warning: {ip} can be reached from other machines, without encryption. Whoever signs in acts with this home's key; put a proxy with TLS before it, or use 127.0.0.1."
    ));
}

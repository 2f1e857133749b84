//! The owner's desk: what was published, who may ask what of it, who asked, and how much was told
//! (docs/spec/console.md#owner).

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{Address, AssetId, TxHash};
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::TxBody;

use super::errors;
use super::jobs::Job;
use super::page::{Tone, notice};
use super::{Answer, Console, Fault, Reply, Visit, in_turn};
use crate::client::AssetDetail;
use crate::gateway::Gateway;
use crate::identity;
use crate::owner::{detail, signed};

mod assets;
mod budgets;
mod draft;
mod editor;
mod ending;
mod grants;
mod keys;
mod learning;
mod parts;
mod preview;
mod publish;
mod reach;
mod requests;
mod syncs;

pub(super) const PAGES: &[(&str, &str, &str)] = &[
    ("/console/owner", "Assets", "资产"),
    ("/console/owner/publish", "Publish", "发布"),
    ("/console/owner/grants", "Grants", "授权"),
    ("/console/owner/requests", "Requests", "查询请求"),
    ("/console/owner/budgets", "Budgets", "信息预算"),
    ("/console/owner/syncs", "Syncs and reports", "同步与报告"),
    ("/console/owner/keys", "Keys and backups", "密钥与备份"),
];

pub(super) async fn answer(console: &Arc<Console>, gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    let at = At { console, gateway, visit };
    let parts = visit.parts();
    let Some((_, rest)) = parts.split_first() else { return Err(Fault::NotFound) };
    match (rest, visit.is_post) {
        ([], false) => assets::overview(at).await,
        (["assets", asset], false) => assets::one(at, asset).await,
        (["assets", asset, what @ ("transfer" | "withdraw")], _) => ending::answer(at, asset, what).await,
        (["publish", rest @ ..], _) => publish::answer(at, rest).await,
        (["grants", "edit"], _) => editor::answer(at).await,
        (["grants", rest @ ..], _) => grants::answer(at, rest).await,
        (["requests", rest @ ..], false) => requests::answer(at, rest).await,
        (["budgets", rest @ ..], _) => budgets::answer(at, rest).await,
        (["syncs", rest @ ..], _) => syncs::answer(at, rest).await,
        (["keys", rest @ ..], _) => keys::answer(at, rest).await,
        (["receipts", hash], false) => receipt(at, hash).await,
        _ => Err(Fault::NotFound),
    }
}

/// What every page of the desk is made from.
#[derive(Clone, Copy)]
struct At<'a> {
    console: &'a Arc<Console>,
    gateway: &'a Arc<Gateway>,
    visit: &'a Visit,
}

impl<'a> At<'a> {
    fn say<'t>(&self, en: &'t str, zh: &'t str) -> &'t str {
        self.visit.say(en, zh)
    }

    fn fill(&self, en: &str, zh: &str, values: &[&dyn std::fmt::Display]) -> String {
        self.visit.lang.fill(en, zh, values)
    }

    /// The data folder, from the machine's root.
    fn folder(&self) -> PathBuf {
        let folder = self.gateway.owner().folder();
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
    }

    fn own(&self) -> Address {
        self.gateway.owner().account().address()
    }

    /// Reads the ledger off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Gateway) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let gateway = self.gateway.clone();
        in_turn(self.gateway, move || work(&gateway)).await
    }

    /// The owner's assets, by name; those that were withdrawn come last.
    async fn assets(&self) -> Result<Vec<AssetView>, Fault> {
        let own = self.own();
        let mut assets = self.read(|gateway| Ok(gateway.ledger().assets()?)).await?;
        assets.retain(|asset| asset.owner == own);
        assets.sort_by(|a, b| (a.withdrawn.is_some(), &a.name).cmp(&(b.withdrawn.is_some(), &b.name)));
        Ok(assets)
    }

    /// The owner's asset with this id, with its current version.
    async fn asset(&self, id: &str) -> Result<AssetDetail, Fault> {
        let id: AssetId = id.parse().map_err(|_| Fault::NotFound)?;
        let own = self.own();
        let found = self.read(move |gateway| match gateway.ledger().asset(&id)? {
            Some(asset) if asset.owner == own => Ok(detail(gateway.ledger(), asset)?),
            _ => Ok(None),
        });
        found.await?.ok_or(Fault::NotFound)
    }

    async fn people(&self) -> Result<People, Fault> {
        self.read(People::of).await
    }

    /// Signs a transaction with the owner's key and has the ledger take it.
    async fn submit(&self, body: TxBody) -> Result<Receipt, String> {
        let ledger = self.gateway.ledger();
        let tx = signed(ledger.genesis(), ledger.head().height, self.gateway.owner().account(), body);
        let lang = self.visit.lang;
        let tx = tx.map_err(|error| errors::told(lang, error))?;
        self.gateway.submit(tx).await.map_err(|error| errors::submit(lang, &error))
    }

    /// Starts a job and shows its page.
    fn job<W>(&self, title: String, back: &str, work: impl FnOnce(Arc<Job>) -> W) -> Answer
    where
        W: Future<Output = Result<String, String>> + Send + 'static,
    {
        let address = self.visit.session()?.address;
        match self.console.jobs.start(address, title, back, work) {
            Some(job) => Ok(Reply::SeeOther(format!("/console/jobs/{}", job.id))),
            None => Err(Fault::Refused(
                self.say(
                    "as much as may run at once is running already: wait until something is done, then try again",
                    "同时运行的任务已达上限：请等待其中之一完成后重试",
                )
                .into(),
            )),
        }
    }

    /// A job of this visitor's that kept a `T`.
    fn job_with<T: 'static>(&self, id: &str) -> Result<Arc<Job>, Fault> {
        let id = id.parse().map_err(|_| Fault::NotFound)?;
        let job = self.console.jobs.of(&self.visit.session()?.address, id);
        job.filter(|job| job.kept::<T>().is_some()).ok_or(Fault::NotFound)
    }

    /// What the ledger took, where the address says that something was just done.
    async fn done(&self) -> Result<Markup, Fault> {
        let Ok(hash) = self.visit.query.get("done").parse::<TxHash>() else { return Ok(html! {}) };
        let receipt = self.read(move |gateway| Ok(gateway.ledger().receipt(&hash)?)).await?;
        let Some(receipt) = receipt else { return Ok(html! {}) };
        Ok(notice(
            Tone::Good,
            html! { p {
                (self.say("Done: the ledger has recorded it in block ", "已完成：账本已将其记入区块 ")) (parts::block(receipt.height))
                (self.say(", transaction ", "，交易 ")) (parts::transaction(&receipt.hash)) ". "
                a href=(format!("/console/owner/receipts/{}", receipt.hash)) { (self.say("Download the receipt", "下载回执")) }
            } },
        ))
    }
}

/// A transaction's receipt, with the proof that it stands on the ledger.
async fn receipt(at: At<'_>, hash: &str) -> Answer {
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    let content = at.read(move |gateway| {
        let ledger = gateway.ledger();
        let receipt = ledger.receipt(&hash)?.ok_or(Fault::NotFound)?;
        let (header, checkpoint) = ledger.signed_head();
        let proof = ledger.prove_entry(receipt.entry_index, header.tree_size)?;
        let fingerprint = ledger.genesis().chain_id();
        let file = serde_json::json!({
            "fingerprint": fingerprint, "receipt": receipt, "proof": proof, "checkpoint": checkpoint,
        });
        serde_json::to_vec_pretty(&file).map_err(|error| Fault::Internal(error.to_string()))
    });
    let name = format!("receipt-{hash}.json");
    Ok(Reply::Download { name, kind: "application/json", content: content.await? })
}

/// The beginning and the end of an address, where a sentence names it.
fn abbreviated(address: &str) -> String {
    let (head, tail) = (address.get(..10).unwrap_or(address), address.get(address.len().saturating_sub(6)..));
    format!("{head}…{}", tail.unwrap_or_default())
}

/// The accounts of the ledger, by address.
struct People(BTreeMap<Address, Person>);

struct Person {
    account: AccountPublic,
    /// Who stands behind a pseudonym, where the owner may know.
    real: Option<String>,
    is_pseudonym: bool,
    is_closed: bool,
}

impl People {
    fn of(gateway: &Gateway) -> Result<People, Fault> {
        let reader = gateway.owner().account();
        let person = |view: sealgate_ledger::state::AccountView| {
            let real = identity::open(&view.identity, &view.address, reader).ok().flatten();
            let (is_pseudonym, is_closed) = (!view.identity.is_empty(), view.closed.is_some());
            (view.address, Person { account: view.account, real, is_pseudonym, is_closed })
        };
        Ok(People(gateway.ledger().accounts()?.into_iter().map(person).collect()))
    }

    /// What an account is called, as text; its address, shortened, if the ledger does not know it.
    fn name(&self, address: &Address) -> String {
        match self.0.get(address) {
            Some(Person { account, real: Some(real), .. }) => format!("{} ({real})", account.name),
            Some(Person { account, .. }) => account.name.clone(),
            None => abbreviated(&address.to_string()),
        }
    }

    /// The open accounts with this name or address, or the address itself where nobody is enrolled
    /// under it yet.
    fn named(&self, text: &str) -> Vec<Address> {
        if let Ok(address) = text.parse::<Address>() {
            return vec![address];
        }
        let is_called = |person: &Person| person.account.name == text || person.real.as_deref() == Some(text);
        let found = self.0.iter().filter(|(_, person)| !person.is_closed && is_called(person));
        found.map(|(address, _)| *address).collect()
    }
}

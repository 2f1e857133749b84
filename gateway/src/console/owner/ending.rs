//! Giving an asset to another account, and ending one: each with a page that says what it does.

use maud::html;
use sealgate_ledger::ids::Address;
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::TxBody;

use super::At;
use super::parts::{asset_path, crumbs, line};
use crate::console::page::{Page, Tone, hidden, notice};
use crate::console::{Answer, Desk, Reply};
use crate::handing::SignedHanding;

pub(super) async fn answer(at: At<'_>, id: &str, what: &str) -> Answer {
    let asset = at.asset(id).await?.asset;
    let is_transfer = what == "transfer";
    if !at.visit.is_post {
        return page(at, &asset, is_transfer, &[]).await;
    }
    let form = &at.visit.form;
    let mut problems: Vec<(&str, String)> = Vec::new();
    if form.get("confirm") != asset.name {
        let text = at.fill("write {} here to say that you mean it", "请在此输入 {} 以确认", &[&asset.name]);
        problems.push(("confirm", text));
    }
    let mut body = TxBody::Withdraw { asset: asset.id };
    if is_transfer {
        match at.people().await?.named(form.get("to")).as_slice() {
            [to] => match transfer(at, &asset, *to) {
                Ok(transfer) => body = transfer,
                Err(why) => problems.push(("consent", why)),
            },
            [] => problems.push((
                "to",
                at.say("the ledger knows no open account of this name", "账本中没有此名称的有效账户").into(),
            )),
            _ => problems.push((
                "to",
                at.say("several accounts are called so: write the address", "多个账户同名：请填写地址").into(),
            )),
        }
    }
    if problems.is_empty() {
        match at.submit(body).await {
            Ok(receipt) if is_transfer => return Ok(Reply::SeeOther(format!("/console/owner?done={}", receipt.hash))),
            Ok(receipt) => return Ok(Reply::SeeOther(format!("{}?done={}", asset_path(&asset.id), receipt.hash))),
            Err(why) => problems.push(("", why)),
        }
    }
    page(at, &asset, is_transfer, &problems).await
}

/// The transfer that the form's consent allows.
fn transfer(at: At<'_>, asset: &AssetView, to: Address) -> Result<TxBody, String> {
    let consent: SignedHanding = serde_json::from_str(at.visit.form.get("consent")).map_err(|_| {
        at.say(
            "paste the whole file that 'sealgate asset accept' wrote",
            "请粘贴由 'sealgate asset accept' 生成的整个文件",
        )
        .to_owned()
    })?;
    let chain = at.gateway.ledger().genesis().chain_id();
    consent.transfer(chain, asset, to).map_err(|error| error.to_string())
}

async fn page(at: At<'_>, asset: &AssetView, is_transfer: bool, problems: &[(&str, String)]) -> Answer {
    let problem = |name: &str| problems.iter().find(|(of, _)| *of == name).map(|(_, what)| what.as_str());
    let id = asset.id;
    let grants = at.read(move |gateway| Ok(gateway.ledger().grants(&id)?.len())).await?;
    let path = asset_path(&asset.id);
    let (title, effect) = if is_transfer {
        (
            at.fill("Transfer {}", "转让 {}", &[&asset.name]),
            at.say(
                "The other account becomes the owner on the ledger at once: it grants, revokes and publishes, and you cannot take the asset back. Keys and sealed data stay here; hand them over apart, by a backup.",
                "对方账户立即成为账本上的所有者：由其授权、撤销与发布，您无法收回该资产。密钥与密封数据仍在本机，须另行以备份移交。",
            ),
        )
    } else {
        (
            at.fill("Withdraw {}", "撤回 {}", &[&asset.name]),
            at.say(
                "Nothing of the asset is granted or answered any more, for ever, and its name stays taken. What was answered before stays with those who have it. Keys and sealed data stay on this machine.",
                "该资产将永久不再授权、不再应答，其名称仍被占用。此前的应答仍由获得者持有。密钥与密封数据保留在本机。",
            ),
        )
    };
    let to = at.visit.form.get("to");
    let body = html! {
        (crumbs(at, &[("/console/owner", at.say("Assets", "资产")), (&path, &asset.name)], &title))
        (notice(Tone::Warn, html! { p { (effect) } p { (at.fill("Grants that stand on it: {}.", "现有授权：{} 项。", &[&grants])) } }))
        @if let Some(why) = problem("") { (notice(Tone::Bad, html! { p { (why) } })) }
        section.card { form method="post" {
            (hidden(at.visit))
            @if is_transfer {
                (line("to", at.say("To the account (name or address)", "受让账户（名称或地址）"), None, problem("to"), to))
                (line("consent", at.say("Its consent (the content of the file from 'sealgate asset accept')", "受让方的同意（'sealgate asset accept' 所生成文件的内容）"), None, problem("consent"), at.visit.form.get("consent")))
            }
            (line("confirm", &at.fill("Write {} to confirm", "输入 {} 以确认", &[&asset.name]), None, problem("confirm"), ""))
            div.actions {
                button.danger type="submit" { (title) }
                a.button.plain href=(path) { (at.say("Leave it as it is", "保持不变")) }
            }
        } }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}

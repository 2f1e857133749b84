//! The keys of the owner's assets, changing one, and how to make backups.

use maud::{Markup, html};
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::AssetId;
use sealgate_ods::keys::RootFile;

use super::At;
use super::parts::{self, asset_path, crumbs, listing};
use crate::backup::Mark;
use crate::console::page::{Page, Tone, badge, card, command, count, facts, hidden, notice, short, time};
use crate::console::{Answer, Desk, Fault, errors, in_turn};
use crate::rotating::{Resealed, Rotated, rotate};

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match (rest, at.visit.is_post) {
        ([], false) => page(at).await,
        ([asset, "rotate"], false) => confirm(at, asset).await,
        ([asset, "rotate"], true) => start(at, asset).await,
        (["changed", job], false) => changed(at, job).await,
        _ => Err(Fault::NotFound),
    }
}

async fn page(at: At<'_>) -> Answer {
    let gateway = at.gateway.clone();
    let read = move || {
        let owner = gateway.owner();
        Ok((owner.listed_keys().map_err(Fault::refused)?, Mark::of(owner.folder())))
    };
    let (listed, last) = in_turn(at.gateway, read).await?;
    let assets = at.assets().await?;
    let row = |keys: &crate::owner::ListedKeys| {
        let id = keys.label.as_str().parse::<AssetId>().ok();
        let asset = assets.iter().find(|asset| Some(asset.id) == id);
        vec![
            html! { @if let Some(asset) = asset { (parts::asset_link(asset)) }
            @else { (short(keys.label.as_str())) " " (badge(Tone::Warn, at.say("not one of your assets on the ledger", "账本上并非您的资产"))) } },
            html! { @if keys.former > 0 { (badge(Tone::Warn, &at.fill("{} former [key|keys] kept", "保留 {} 个旧密钥", &[&keys.former]))) }
            @else { (badge(Tone::Good, at.say("only the current key", "仅当前密钥"))) } },
            html! { @if keys.other_roots > 0 { (badge(Tone::Warn, at.say("a change of root keys was cut short: run 'sealgate keys rotate-root' again", "根密钥更换中断：请重新运行 'sealgate keys rotate-root'"))) }
            @else { (at.say("the folder's root key", "本目录的根密钥")) } },
            html! { @if let Some(asset) = asset { a href=(format!("/console/owner/keys/{}/rotate", asset.id)) { (at.say("Change", "更换")) } } },
        ]
    };
    let rows: Vec<_> = listed.iter().map(row).collect();
    let headings =
        [at.say("Asset", "资产"), at.say("Keys", "密钥"), at.say("Opens under", "由其打开"), at.say("Change", "更换")];
    let empty = at.say("No asset has keys yet.", "尚无资产密钥。");
    let body = html! {
        (card(at.say("Root key", "根密钥"), root(at)))
        (card(at.say("Keys of assets", "资产密钥"), html! {
            (listing(at.say("Keys of assets", "资产密钥"), &headings, &rows, empty))
            p.soft { (at.say(
                "Changing an asset's key seals its current version again under a new one; the old key goes, with older versions. Answers do not change.",
                "更换资产密钥会用新密钥重新密封当前版本；旧密钥连同旧版本一并删除。应答不受影响。",
            )) }
        }))
        (card(at.say("Backups", "备份"), backups(at, last)))
        (card(at.say("Destroying keys", "销毁密钥"), html! {
            p { (at.say(
                "Destroying an asset's keys destroys all that was sealed of it, for ever. It is not done from a browser: stop the gateway and run",
                "销毁资产密钥将永久毁掉其全部密封数据。此操作不在浏览器中进行：请停止网关后运行",
            )) }
            (command(&format!("sealgate keys destroy --data-dir {} --asset NAME --confirm NAME", at.folder().display())))
        }))
    };
    Ok(Page::new(Desk::Owner, at.say("Keys and backups", "密钥与备份"), body).into())
}

fn root(at: At<'_>) -> Markup {
    let root = at.gateway.owner().root();
    let (from, advice) = match root {
        RootFile::Key(_) => (
            at.say("in the file root.key of the data folder", "存于数据目录的 root.key 文件"),
            at.say(
                "Whoever can read the folder can open everything: keep the folder and its backups to yourself, or let the root key come from a passphrase or the service's manager.",
                "能读取该目录者即可打开一切：请妥善保管目录及备份，或改由口令或服务管理器提供根密钥。",
            ),
        ),
        RootFile::Passphrase(..) => (
            at.say("from a passphrase", "由口令派生"),
            at.say("Without the passphrase nothing that is sealed opens: keep it in two places.", "没有口令，任何密封内容都无法打开：请在两处保存。"),
        ),
        RootFile::Environment(_) => (
            at.say("given by the service's manager", "由服务管理器提供"),
            at.say("Without that key nothing that is sealed opens: keep a copy of it apart.", "没有该密钥，任何密封内容都无法打开：请另行保存副本。"),
        ),
    };
    html! {
        (facts(&[
            (at.say("Where it comes from", "来源"), html! { (from) }),
            (at.say("Which one", "标识"), short(&root.commitment().to_string())),
        ]))
        p.soft { (advice) }
        p { (at.say("All keys are put under a new root key, while the gateway stands still, by", "更换根密钥须停止网关后运行")) }
        (command(&format!("sealgate keys rotate-root --data-dir {}", at.folder().display())))
    }
}

fn backups(at: At<'_>, last: Option<Mark>) -> Markup {
    html! {
        @match last {
            Some(Mark { made_ms, objects }) => p {
                (at.say("The last backup of this folder was made at ", "本目录最近一次备份于 ")) (time(made_ms))
                @if !objects { (at.say(", without the sealed objects", "（不含密封对象）")) } (at.say(".", "。"))
            },
            None => (notice(Tone::Warn, html! { p { (at.say(
                "No backup of this folder was made on this machine yet.",
                "本机尚未备份过本目录。",
            )) } })),
        }
        p { (at.say(
            "Without the keys in the data folder nothing that was sealed opens again. A backup holds account, keys, ledger and sealed objects in one file, sealed under a passphrase. It can be made while the gateway serves:",
            "没有数据目录中的密钥，密封内容将无法再打开。备份将账户、密钥、账本与密封对象存入一个文件，并以口令密封。网关运行时即可备份：",
        )) }
        (command(&format!("sealgate backup --data-dir {} --out FILE", at.folder().display())))
        p.soft { (at.say(
            "Keep it on another machine, and the passphrase apart from it. Make a new one after changing a key, and try now and then whether it can be restored.",
            "请存放于另一台机器，口令另行保管。更换密钥后请重新备份，并定期验证可否恢复。",
        )) }
        (command("sealgate restore --from FILE --data-dir DIR"))
    }
}

async fn confirm(at: At<'_>, id: &str) -> Answer {
    let asset = at.asset(id).await?.asset;
    let title = at.fill("Change the key of {}", "更换 {} 的密钥", &[&asset.name]);
    let body = html! {
        (crumbs(at, &[("/console/owner/keys", at.say("Keys and backups", "密钥与备份"))], &title))
        section.card {
            h2 { (at.say("What it does", "将执行的操作")) }
            ul {
                li { (at.say("A new key is drawn, and the current version is sealed again under it as the next version.", "生成新密钥，并用其将当前版本重新密封为下一版本。")) }
                li { (at.say("The old key goes, and with it the older versions. Backups made before hold copies of both.", "旧密钥连同旧版本一并删除；此前的备份仍含其副本。")) }
                li { (at.say("Records, grants and answers do not change. Requests that older versions have not answered yet lapse.", "记录、授权与应答不变；旧版本尚未应答的请求将失效。")) }
                li { (at.say("It takes about as long as publishing the table; the gateway answers meanwhile.", "耗时与发布该表相当；期间网关照常应答。")) }
            }
            form method="post" action=(format!("/console/owner/keys/{}/rotate", asset.id)) {
                (hidden(at.visit))
                div.actions {
                    button type="submit" { (at.say("Change the key", "更换密钥")) }
                    a.button.plain href="/console/owner/keys" { (at.say("Leave it as it is", "保持不变")) }
                }
            }
        }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}

async fn start(at: At<'_>, id: &str) -> Answer {
    let asset = at.asset(id).await?.asset;
    let gateway = at.gateway.clone();
    let title = at.fill("Changing the key of {}", "正在更换 {} 的密钥", &[&asset.name]);
    let lang = at.visit.lang;
    at.job(title, "/console/owner/keys", move |job| async move {
        let id = asset.id.to_string();
        let done = rotate(gateway.owner(), &id, job.clone()).await.map_err(|error| errors::told(lang, error))?;
        job.keep(done);
        Ok(format!("/console/owner/keys/changed/{}", job.id))
    })
}

async fn changed(at: At<'_>, job: &str) -> Answer {
    let job = at.job_with::<Rotated>(job)?;
    let Rotated { asset, name, version, content, receipt } = job.kept::<Rotated>().ok_or(Fault::NotFound)?;
    let title = at.fill("The key of {} was changed", "{} 的密钥已更换", &[name]);
    let body = html! {
        (crumbs(at, &[("/console/owner/keys", at.say("Keys and backups", "密钥与备份"))], &title))
        (notice(Tone::Good, html! { p { (match content {
            Resealed::Records(records) => at.fill(
                "Version {} ({} [record|records]) is sealed under the new key.",
                "版本 {}（{} 条记录）已用新密钥密封。",
                &[version, &count(*records)],
            ),
            Resealed::Bytes(bytes) => at.fill(
                "Version {} ({} bytes) is sealed under the new key.",
                "版本 {}（{} 字节）已用新密钥密封。",
                &[version, &count(*bytes)],
            ),
        }) } }))
        (recorded(at, receipt))
        (notice(Tone::Warn, html! { p { (at.say(
            "Make a new backup now: older ones hold the old key alone.",
            "请立即重新备份：旧备份只含旧密钥。",
        )) } }))
        p { a.button.plain href=(asset_path(asset)) { (at.say("To the asset", "查看资产")) } }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}

/// Where the ledger recorded something.
pub(super) fn recorded(at: At<'_>, receipt: &Receipt) -> Markup {
    card(
        at.say("On the ledger", "账本记载"),
        html! {
            (facts(&[
                (at.say("Block", "区块"), parts::block(receipt.height)),
                (at.say("Transaction", "交易"), parts::transaction(&receipt.hash)),
            ]))
            p { a.button.plain href=(format!("/console/owner/receipts/{}", receipt.hash)) { (at.say("Download the receipt", "下载回执")) } }
        },
    )
}

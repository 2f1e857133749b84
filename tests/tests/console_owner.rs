//! The owner's desk over HTTP, as a browser uses it: the whole job from the first publish to the last
//! revocation, in both languages, and what is refused.

#[path = "console/visitor.rs"]
mod visitor;

mod given;

use reqwest::StatusCode;
use sealgate_tests::{Server, Table, World, sealgate, text};
use visitor::{Shown, Visitor};

const PUBLISH: &str = "/console/owner/publish";
const EDIT: &str = "/console/owner/grants/edit";
/// Every page of the desk that is there without anything published.
const PAGES: [&str; 8] = [
    "/console/owner",
    PUBLISH,
    "/console/owner/grants",
    EDIT,
    "/console/owner/requests",
    "/console/owner/budgets",
    "/console/owner/syncs",
    "/console/owner/keys",
];

async fn owner(world: &World, url: &str) -> Visitor {
    Visitor::signed_in(url, &["--data-dir", &world.path("owner")]).await
}

/// Serves a world whose console may read the tables that lie beside the data folder.
fn serve(world: &World) -> Server {
    let config = world.path("owner/sealgate.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{usual}\n[console]\nfolders = [\"..\"]\n")).unwrap();
    world.serve()
}

/// The id of the only asset.
fn asset_id(url: &str) -> String {
    text(&sealgate(&["catalogue", "--gateway", url]).ok()[0]["asset"]["id"])
}

/// Publishes the shops by the wizard; the result's page.
async fn publish_shops(world: &World, visitor: &mut Visitor, count: u32) -> Shown {
    let table = Table::shops(count);
    table.write(world.dir.path());
    let (form, folder) = (visitor.get(PUBLISH).await, world.dir.path().display().to_string());
    let typed = [("manifest", table.manifest()), ("folder", folder)];
    let typed: Vec<(&str, &str)> = typed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let preview = visitor.post(&form, "/console/owner/publish/preview", &typed).await;
    assert!(preview.path.starts_with("/console/owner/publish/preview/"), "{}", preview.words());
    preview.says(&["What becomes public of shop", "Shop no. 1", "rounded up to a power of two", "8 bits"]);
    preview.says(&["Stays sealed on this machine", "Nothing at all until you grant it", "number with 2 decimals"]);
    let path = preview.path.clone();
    visitor.post(&preview, &path, &[]).await
}

/// Grants the requester `fields` of the asset by the editor, looking first as everybody must.
async fn grant(visitor: &mut Visitor, asset: &str, to: &str, fields: &[(&str, &str)]) -> Shown {
    let form = visitor.get(&format!("{EDIT}?asset={asset}&to={to}")).await;
    let mut typed = vec![("asset", asset), ("to", to)];
    typed.extend(fields);
    let looked_at = visitor.post(&form, EDIT, &[&typed[..], &[("do", "preview")]].concat()).await;
    looked_at.says(&["could learn"]);
    let seen = looked_at.input("seen");
    visitor.post(&looked_at, EDIT, &[&typed[..], &[("do", "grant"), ("seen", &seen)]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_job_is_done_in_a_browser() {
    let world = World::new();
    let server = serve(&world);
    let url = server.url.as_str();
    let mut desk = owner(&world, url).await;
    desk.get("/console/owner").await.says(&["Nothing has been published yet", "Publish a table"]);

    let published = publish_shops(&world, &mut desk, 50).await;
    published.says(&["shop version 1 is published.", "50", "(public: up to 64)", "Download the receipt"]);
    let asset = asset_id(url);
    desk.get("/console/owner").await.says(&["shop", "up to 64", "published"]);
    let page = desk.get(&format!("/console/owner/assets/{asset}")).await;
    page.says(&["Nobody: no grant stands", "value or proof", "AES-256-GCM", "Nobody has asked anything of it yet."]);

    // The receipt is the ledger's, with its proof.
    let hash = page_between(&published.body, "/console/owner/receipts/", "\"");
    let receipt = desk.get(&format!("/console/owner/receipts/{hash}")).await;
    let receipt: serde_json::Value = serde_json::from_str(&receipt.body).unwrap();
    assert_eq!(text(&receipt["receipt"]["hash"]), hash);
    assert_eq!(text(&receipt["fingerprint"]), world.fingerprint);

    let fields = [
        ("disclose", "name"),
        ("prove", "fee >= 300"),
        ("prove", ""),
        ("purpose", "fee check"),
        ("until", "2099-12-31"),
        ("quota", "5"),
    ];
    let granted = grant(&mut desk, &asset, &world.requester, &fields).await;
    granted.says(&["Done: the ledger has recorded it", "in force", "fee check", "fee &gt;= 300", "0 of 5 keys used"]);
    granted.says(&["until 2099-12-31 23:59:59 UTC"]);

    world.ask(url, "requester", "fee check", "answer.json", "SELECT name, fee >= 300 FROM shop WHERE id = 40").ok();
    world.verify("requester", "answer.json").ok();
    world.ask(url, "requester", "fee check", "none.json", "SELECT area FROM shop WHERE id = 40").error();

    let requests = desk.get("/console/owner/requests").await;
    assert_eq!(requests.refresh.as_deref(), Some("15"));
    requests.says(&["requester", "name, fee &gt;= 300.00", "answered", "denied"]);
    requests.says(&["The grant does not disclose the field area."]);
    let denied = desk.get("/console/owner/requests?outcome=denied&live=off").await;
    assert_eq!(denied.refresh, None);
    denied.says(&["<code>area</code>"]).lacks(&["300.00"]);
    desk.get("/console/owner/requests?who=nobody-of-this-name")
        .await
        .says(&["Nobody has asked anything of this kind."]);
    let one = page_between(&denied.body, "/console/owner/requests/", "\"");
    desk.get(&format!("/console/owner/requests/{one}")).await.says(&["What the ledger says", "Grant it"]);

    let budgets = desk.get("/console/owner/budgets").await;
    budgets.says(&["1.585 of 8 bits", "6.415 bits", "requester"]);
    let checked = desk.post(&budgets, "/console/owner/budgets/check", &[]).await;
    checked.says(&["within budgets and shares: 1, up to block", "are those of the ledger"]).lacks(&["class=\"bad\""]);

    let revoke = format!("/console/owner/grants/{asset}/{}/revoke", world.requester);
    let confirm = desk.get(&revoke).await;
    confirm.says(&["From the next block on it can no longer ask", "Answers: 1; deliveries: 0.", "fee &gt;= 300"]);
    world.verify("requester", "answer.json").ok();
    let revoked = desk.post(&confirm, &revoke, &[]).await;
    revoked.says(&["Done: the ledger has recorded it", "No grant stands", "at most 1.585 bits of one record"]);
    world.ask(url, "requester", "fee check", "late.json", "SELECT name FROM shop WHERE id = 41").error();
    desk.get("/console/owner/requests").await.says(&["This account has no grant on the asset."]);

    let rotate = format!("/console/owner/keys/{asset}/rotate");
    let confirm = desk.get(&rotate).await;
    let changed = desk.post(&confirm, &rotate, &[]).await;
    changed.says(&["The key of shop was changed", "Version 2 (50 records)", "Make a new backup now"]);
    let keys = desk.get("/console/owner/keys").await;
    keys.says(&["only the current key", "sealgate backup", "root.key", "No backup of this folder was made"]);
    let (owner, out, passphrase) = (world.path("owner"), world.path("owner.backup"), world.path("passphrase"));
    std::fs::write(&passphrase, "eight words that nobody else would put together").unwrap();
    let options = ["--data-dir", &owner, "--out", &out, "--passphrase-file", &passphrase];
    sealgate(&[&["backup"][..], &options].concat()).ok();
    let keys = desk.get("/console/owner/keys").await;
    keys.says(&["The last backup of this folder was made at 20"]).lacks(&["without the sealed objects"]);

    let withdraw = format!("/console/owner/assets/{asset}/withdraw");
    let confirm = desk.get(&withdraw).await;
    let wrong = desk.post(&confirm, &withdraw, &[("confirm", "shops")]).await;
    wrong.says(&["write shop here to say that you mean it"]);
    let ended = desk.post(&wrong, &withdraw, &[("confirm", "shop")]).await;
    ended.says(&["This asset was withdrawn in block", "Done"]).lacks(&["New grant"]);
}

fn page_between(body: &str, before: &str, after: &str) -> String {
    let at = body.find(before).unwrap_or_else(|| panic!("no {before} in {body}")) + before.len();
    body[at..].split(after).next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_beside_the_field() {
    let world = World::new();
    let server = serve(&world);
    let mut desk = owner(&world, &server.url).await;
    let form = desk.get(PUBLISH).await;
    let folder = world.dir.path().display().to_string();
    let preview = format!("{PUBLISH}/preview");

    let broken = Table::shops(3).manifest().replace("decimal(2)", "decimal(99)");
    let shown = desk.post(&form, &preview, &[("manifest", &broken), ("folder", &folder)]).await;
    shown.says(&["line ", "decimal(99)", "aria-invalid=\"true\"", "id=\"manifest-problem\"", &folder]);
    let shown = desk.post(&shown, &preview, &[("manifest", "[asset"), ("folder", &folder)]).await;
    shown.says(&["id=\"manifest-problem\"", "[asset"]);
    let shown = desk.post(&shown, &preview, &[("manifest", &Table::shops(3).manifest()), ("folder", "here")]).await;
    shown.says(&["id=\"folder-problem\"", "begin with '/'"]);
    // The source is not there: the job says so, and the way back leads to the text as it was.
    let failed = desk.post(&shown, &preview, &[("manifest", &Table::shops(3).manifest()), ("folder", &folder)]).await;
    failed.says(&["shop.csv"]);
    let back = page_between(&failed.body, "href=\"/console/owner/publish?draft=", "\"");
    desk.get(&format!("{PUBLISH}?draft={back}")).await.says(&["Test table shop"]);

    // A manifest from what a file holds, and one that lies there.
    Table::shops(30).write(world.dir.path());
    let (csv, toml) = (world.path("shop.csv"), world.path("shop.toml"));
    let form = desk.get(PUBLISH).await;
    let inferred = desk.post(&form, &format!("{PUBLISH}/infer"), &[("source", &csv)]).await;
    inferred.says(&["This is what the source holds", "name = &quot;opened&quot;", "decimal(2)"]);
    let none = desk.post(&inferred, &format!("{PUBLISH}/infer"), &[("source", "postgres://me@here/db")]).await;
    none.says(&["say which table of the database", "id=\"source-problem\"", "postgres://me@here/db"]);
    let opened = desk.post(&none, &format!("{PUBLISH}/open"), &[("path", &toml)]).await;
    opened.says(&["Test table shop", &folder]);
    let none = desk.post(&opened, &format!("{PUBLISH}/open"), &[("path", &world.path("none.toml"))]).await;
    none.says(&["id=\"path-problem\"", "none.toml"]);
    // Neither keys nor what lies elsewhere, whichever page is asked: whoever holds the account's key signs in.
    let link = world.path("link.toml");
    std::os::unix::fs::symlink(world.path("owner/account.key"), &link).unwrap();
    let beyond = "is not where this console reads";
    let secret = std::fs::read_to_string(world.path("owner/account.key")).unwrap();
    let mut last = none;
    for path in [world.path("owner/account.key").as_str(), &world.path("owner/sealgate.toml"), &link, "/etc/passwd"] {
        let opened = desk.post(&last, &format!("{PUBLISH}/open"), &[("path", path)]).await;
        opened.says(&[beyond, "id=\"path-problem\""]).lacks(&[secret.trim(), "root:"]);
        let looked = desk.post(&opened, &format!("{PUBLISH}/infer"), &[("source", path)]).await;
        looked.says(&[beyond, "id=\"source-problem\""]).lacks(&[secret.trim(), "root:"]);
        let manifest = Table::shops(1).manifest().replace("\"shop.csv\"", &format!("{path:?}"));
        let typed = [("manifest", manifest.as_str()), ("folder", "/")];
        let shown = desk.post(&looked, &format!("{PUBLISH}/preview"), &typed).await;
        shown.says(&[beyond, "id=\"manifest-problem\""]).lacks(&[secret.trim(), "root:"]);
        last = shown;
    }
    let database = [("source", "postgres://me@db.example/r"), ("table", "t"), ("password_file", "/etc/passwd")];
    desk.post(&last, &format!("{PUBLISH}/infer"), &database).await.says(&[beyond]);

    let published = publish_shops(&world, &mut desk, 30).await;
    published.says(&["is published"]);
    // The next version has the schema and the budgets of the first.
    let other = Table::shops(30).budget("fee", 20).manifest();
    let asset = asset_id(&server.url);
    let form = desk.get(&format!("{PUBLISH}?asset={asset}")).await;
    form.says(&["Test table shop", &folder]);
    let shown = desk.post(&form, &preview, &[("manifest", &other), ("folder", &folder)]).await;
    shown.says(&["id=\"manifest-problem\"", "8 bits for column"]);

    desk.get(&format!("{EDIT}?asset={asset}&to=Nobody"))
        .await
        .says(&["no open account of this name", "id=\"to-problem\""]);
    let form = desk.get(&format!("{EDIT}?asset={asset}&to={}", world.requester)).await;
    form.says(&["not enrolled yet", "Values it may see", "Proofs it may ask for"]);
    let base = [("asset", asset.as_str()), ("to", world.requester.as_str())];
    let typed = [
        ("prove", "fee >= 100"),
        ("prove", "fee >> 5"),
        ("prove", "nofield = 1"),
        ("quota", "many"),
        ("bits", "0"),
        ("until", "31.12.2026"),
        ("do", "preview"),
    ];
    let shown = desk.post(&form, EDIT, &[&base[..], &typed[..]].concat()).await;
    shown.says(&["id=\"prove-1-problem\"", "id=\"prove-2-problem\"", "nofield", "id=\"purpose-problem\""]);
    shown.says(&["id=\"quota-problem\"", "id=\"bits-problem\"", "id=\"until-problem\"", "value=\"many\""]);
    shown.lacks(&["id=\"prove-0-problem\"", "could learn"]);
    let shown = desk.post(&shown, EDIT, &[&base[..], &[("any_purpose", "yes"), ("do", "preview")]].concat()).await;
    shown.says(&["choose something that it may learn"]);

    // A condition is put together; only what was looked at is granted.
    let added = [("column", "area"), ("operator", "IN"), ("constant", "Downtown, Sunset"), ("do", "add")];
    let shown = desk.post(&shown, EDIT, &[&base[..], &added[..]].concat()).await;
    assert_eq!(shown.input("prove"), "", "a line is left for the next");
    shown.says(&["value=\"area IN ('Downtown', 'Sunset')\""]);
    let typed = [("prove", "fee >= ?"), ("whole", "name"), ("any_purpose", "yes")];
    let looked_at = desk.post(&shown, EDIT, &[&base[..], &typed[..], &[("do", "preview")]].concat()).await;
    looked_at.says(&["constants of its own choosing", "It has no end", "Every value of name, without naming a key."]);
    looked_at.says(&["5 answers of 1.585 bits", "nothing at all is told of opened, area"]);
    let seen = looked_at.input("seen");
    let changed = [("disclose", "area"), ("do", "grant"), ("seen", &seen)];
    let again = desk.post(&looked_at, EDIT, &[&base[..], &typed[..], &changed[..]].concat()).await;
    again.says(&["You changed something after you looked"]);
    let grants = desk.get("/console/owner/grants").await;
    grants.says(&["No grant of this kind stands"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_languages_are_whole() {
    let world = World::with(&Table::shops(20));
    let server = serve(&world);
    let url = server.url.as_str();
    let asset = asset_id(url);
    world.grant(&asset, &world.requester, &["--disclose", "name", "--prove", "fee >= ?", "--purpose", "p"]).ok();
    world.ask(url, "requester", "p", "a.json", "SELECT fee >= 3 FROM shop WHERE id = 4").ok();
    let mut desk = owner(&world, url).await;
    let grant = format!("/console/owner/grants/{asset}/{}", world.requester);
    let more = [
        format!("/console/owner/assets/{asset}"),
        format!("/console/owner/assets/{asset}/withdraw"),
        format!("/console/owner/assets/{asset}/transfer"),
        format!("/console/owner/keys/{asset}/rotate"),
        format!("{EDIT}?asset={asset}&to={}", world.requester),
        format!("{grant}/revoke"),
        grant,
    ];
    let mut english = Vec::new();
    for path in PAGES.iter().copied().chain(more.iter().map(String::as_str)) {
        let shown = desk.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        let words = shown.words().replace("中文", "");
        assert!(!words.contains(|c: char| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{path}: {words}");
        english.push(heading(&shown));
    }
    desk.get("/console/set?lang=zh").await.says(&["数据提供方"]);
    for (path, english) in PAGES.iter().copied().chain(more.iter().map(String::as_str)).zip(english) {
        let shown = desk.get(path).await;
        shown.says(&["<html lang=\"zh-Hans\"", "密钥与备份"]);
        let chinese = heading(&shown);
        assert!(chinese.contains(|c: char| ('\u{4e00}'..='\u{9fff}').contains(&c)) || chinese == "shop", "{chinese}");
        assert!(chinese != english || chinese == "shop", "{path}: {chinese}");
        // Sentences in English are left nowhere but in what the owner wrote and in commands.
        for sentence in [" the ", " which ", " it is ", " may "] {
            assert!(!shown.words().contains(sentence), "{path} in Chinese has '{sentence}': {}", shown.words());
        }
    }
    let typed = [
        ("asset", asset.as_str()),
        ("to", &world.requester),
        ("prove", "fee >= ?"),
        ("any_purpose", "yes"),
        ("do", "preview"),
    ];
    let form = desk.get(&more[4]).await;
    let looked_at = desk.post(&form, EDIT, &typed).await;
    looked_at.says(&["requester 可能获知的内容", "常量由其自选", "没有截止时间", "1.585 比特"]);
}

fn heading(shown: &Shown) -> String {
    page_between(&shown.body, "<h1>", "</h1>")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_is_hidden_and_its_forms_are_its_own() {
    let world = World::with(&Table::shops(20));
    let server = serve(&world);
    let url = server.url.as_str();
    let asset = asset_id(url);
    world.grant(&asset, &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    // The requester is enrolled by asking; a stranger's name is a text like any other.
    world.ask(url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 4").ok();
    let evil = "<script>alert(1)</script>";
    sealgate(&["account", "new", "--home", &world.path("evil"), "--name", evil]).ok();
    sealgate(&["trust", "--home", &world.path("evil"), &world.fingerprint]).ok();
    world.ask(url, "evil", evil, "b.json", "SELECT name FROM shop WHERE id = 4").error();

    let revoke = format!("/console/owner/grants/{asset}/{}/revoke", world.requester);
    let withdraw = format!("/console/owner/assets/{asset}/withdraw");
    let mut nobody = Visitor::stranger(url);
    let mut other = Visitor::signed_in(url, &["--home", &world.path("requester")]).await;
    let mut desk = owner(&world, url).await;
    for path in PAGES.iter().copied().chain([revoke.as_str(), &withdraw, "/console/owner/none"]) {
        assert_eq!(nobody.get(path).await.path.split('?').next(), Some("/console/sign-in"), "{path}");
        assert_eq!(other.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let page = desk.get("/console/owner/requests").await;
    page.says(&["&lt;script&gt;alert(1)", "answered"]).lacks(&[evil]);
    for path in [
        "/console/owner/none",
        "/console/owner/assets/none",
        "/console/owner/jobs/1",
        "/console/owner/publish/preview/1",
        "/console/owner/publish/result/99",
        "/console/owner/syncs/reports/root.key",
        "/console/owner/syncs/reports/..%2Froot.key",
        "/console/owner/syncs/reports/..%2f..%2Fowner%2Froot.key",
        "/console/owner/receipts/0",
    ] {
        assert_eq!(desk.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }

    let confirm = desk.get(&revoke).await;
    let (token, number) = (confirm.input("form_token"), confirm.input("form_number"));
    let fields = [("form_token", token.as_str()), ("form_number", number.as_str())];
    let stands = async |desk: &mut Visitor| {
        let list = desk.get("/console/owner/grants").await;
        list.says(&[&world.requester]);
    };
    // What was only sent there is not looked at again: the address leads to where it was sent from.
    assert_eq!(desk.get("/console/owner/publish/preview").await.path, PUBLISH);
    assert_eq!(desk.get("/console/owner/budgets/check").await.path, "/console/owner/budgets");
    assert_eq!(desk.send_from_elsewhere(&revoke, &fields).await.status, StatusCode::FORBIDDEN);
    stands(&mut desk).await;
    let without = desk.send(&revoke, &[("form_number", &number)]).await;
    assert_eq!(without.status, StatusCode::UNPROCESSABLE_ENTITY);
    without.says(&["this form is not from your session"]);
    let theirs = other.get("/console").await.input("form_token");
    let foreign = desk.send(&revoke, &[("form_token", &theirs), ("form_number", &number)]).await;
    assert_eq!(foreign.status, StatusCode::UNPROCESSABLE_ENTITY);
    stands(&mut desk).await;
    assert_eq!(
        other.send(&revoke, &[("form_token", &theirs), ("form_number", "x")]).await.status,
        StatusCode::NOT_FOUND
    );
    stands(&mut desk).await;
    desk.send(&revoke, &fields).await.says(&["No grant stands"]);
    // A form that is sent again does nothing again, not even when there is something to do.
    world.grant(&asset, &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    let again = desk.send(&revoke, &fields).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    again.says(&["this form was sent before"]);
    stands(&mut desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_reports_are_shown() {
    let world = World::new();
    let mut table = Table::shops(20);
    table.rows[6][2] = "a lot".into();
    let manifest = table.write(world.dir.path());
    let written =
        std::fs::read_to_string(&manifest).unwrap().replace("[source]\n", "[source]\non_bad_row = \"set_aside\"\n");
    std::fs::write(&manifest, written).unwrap();
    let config = format!("[[sync]]\nmanifest = {:?}\nevery = \"1d\"\n", manifest.display().to_string());
    std::fs::write(world.path("owner/sealgate.toml"), config).unwrap();
    let server = serve(&world);
    let mut desk = owner(&world, &server.url).await;
    // What is not published yet is due at once.
    let started = std::time::Instant::now();
    let page = loop {
        let page = desk.get("/console/owner/syncs").await;
        if page.body.contains("version 1") {
            break page;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(120), "{}", page.words());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    page.says(&["1 d", "shop-version-1.csv"]);
    let report = desk.get("/console/owner/syncs/reports/shop-version-1.csv").await;
    report.says(&["fee", "a lot"]);
    let synced = desk.post(&page, "/console/owner/syncs/now/0", &[]).await;
    synced.says(&[
        "shop version 2 is published",
        "Rows set aside, in no record: 1.",
        "0 added, 0 changed, 0 removed, 19 as they were",
    ]);
    assert_eq!(desk.post(&page, "/console/owner/syncs/now/0", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_to_the_owner_has_its_next_version_previewed() {
    let world = World::with(&Table::shops(10));
    world.account("giver");
    tokio::task::block_in_place(|| given::plans(&world));
    let server = serve(&world);
    let mut desk = owner(&world, &server.url).await;
    let (form, folder) = (desk.get(PUBLISH).await, world.dir.path().display().to_string());
    let manifest = Table { name: "plans".into(), ..Table::shops(10) }.manifest();
    let preview = format!("{PUBLISH}/preview");
    let shown = desk.post(&form, &preview, &[("manifest", &manifest), ("folder", &folder)]).await;
    shown.says(&["What becomes public of plans", "version 2"]).lacks(&["is a new asset"]);
    let other = manifest.replace("decimal(2)", "decimal(3)");
    let refused = desk.post(&shown, &preview, &[("manifest", &other), ("folder", &folder)]).await;
    refused.says(&["published with another schema"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_granted_to_somebody_behind_a_pseudonym() {
    let world = World::audited();
    let (folder, public, own) =
        (world.path("owner"), world.path("requester/account.public"), world.path("owner/account.public"));
    let enrol = ["account", "enrol", "--data-dir", &folder, &public, "--real-name", "Bank of Dalian", "--also", &own];
    sealgate(&enrol).ok();
    let file = world.path("report.txt");
    std::fs::write(&file, "what the year brought\n".repeat(500)).unwrap();
    let publish = ["file", "publish", "--data-dir", &folder, "--name", "report", "--title", "A report", &file];
    sealgate(&publish).ok();
    let server = serve(&world);
    let url = server.url.as_str();
    let asset = asset_id(url);
    let mut desk = owner(&world, url).await;
    // Whoever may know who it is grants it by its real name.
    let form = desk.get(&format!("{EDIT}?asset={asset}&to=Bank+of+Dalian")).await;
    form.says(&["requester (Bank of Dalian)", "A file is fetched whole."]).lacks(&["Proofs it may ask for"]);
    let granted = grant(&mut desk, &asset, &world.requester, &[("purpose", "archive"), ("quota", "2")]).await;
    granted.says(&["The whole file", "0 of 2 fetches used", "Bank of Dalian"]);

    let (home, out) = (world.path("requester"), world.path("got.txt"));
    let get =
        ["file", "get", "--gateway", url, "--home", &home, "--asset", &asset, "--purpose", "archive", "--out", &out];
    sealgate(&get).ok();
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&file).unwrap());
    let requests = desk.get("/console/owner/requests?who=Bank+of+Dalian").await;
    requests.says(&["delivered", "= <strong>Bank of Dalian</strong>", "archive"]);
    let revoke = format!("/console/owner/grants/{asset}/{}/revoke", world.requester);
    desk.get(&revoke).await.says(&["Deliveries stop where they are", "Answers: 0; deliveries: 1."]);
    desk.get(&format!("/console/owner/assets/{asset}")).await.says(&["Transfer", "Change its key"]);
    let rotate = format!("/console/owner/keys/{asset}/rotate");
    let confirm = desk.get(&rotate).await;
    desk.post(&confirm, &rotate, &[]).await.says(&["is sealed under the new key", "bytes"]);
    let transfer = format!("/console/owner/assets/{asset}/transfer");
    let form = desk.get(&transfer).await;
    form.says(&["you cannot take the asset back", "Grants that stand on it: 1."]);
    let wrong = desk.post(&form, &transfer, &[("to", "nobody"), ("confirm", "report")]).await;
    wrong.says(&["no open account of this name", "id=\"to-problem\""]);
    let unasked = desk.post(&wrong, &transfer, &[("to", "Bank of Dalian"), ("confirm", "report")]).await;
    unasked.says(&["id=\"consent-problem\""]);
    let agreed = world.path("consent.json");
    sealgate(&["asset", "accept", "--home", &home, "--gateway", url, "--asset", &asset, "--out", &agreed]).ok();
    let agreed = std::fs::read_to_string(agreed).unwrap();
    let fields = [("to", "Bank of Dalian"), ("consent", agreed.as_str()), ("confirm", "report")];
    let given = desk.post(&unasked, &transfer, &fields).await;
    given.says(&["Done: the ledger has recorded it", "Nothing has been published yet"]);
    assert_eq!(desk.get(&format!("/console/owner/assets/{asset}")).await.status, StatusCode::NOT_FOUND);
}

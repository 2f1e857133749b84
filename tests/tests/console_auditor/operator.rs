//! The operator's desk: of an embedded ledger, and of four members who decide together.

use std::net::TcpListener;
use std::path::Path;

use sealgate_tests::{Server, Table, World, sealgate};

use super::PATIENCE;
use super::browser::Browser;

#[test]
fn an_operator_of_an_embedded_ledger() {
    let world = World::audited_with(&Table::shops(8));
    let gateway = world.serve();
    let mut browser = Browser::signed_in(&gateway.url, &["--data-dir", &world.path("owner")]);
    let get = |browser: &mut Browser, path: &str| browser.get(&format!("/console/operator{path}")).ok();
    get(&mut browser, "")
        .has(&["Test owner", "This is an embedded ledger", "this gateway"])
        .lacks(&["Propose a new member"]);
    get(&mut browser, "/nodes").has(&["running", "solo", "Block log", "Free on its disk", "There are no other nodes"]);
    get(&mut browser, "/rules").has(&["1\u{202f}000 blocks", "development parameters", &world.fingerprint, "auditor"]);
    get(&mut browser, "/consensus").has(&["solo", "Who signed block", "signed", "It agrees with nobody"]);
    get(&mut browser, "/contracts").has(&["shop", "in force", "Test table shop"]);
    get(&mut browser, "/witnesses").has(&["reports to no witness"]);
    browser.get("/console/operator/proposals/new/join").is(404);
    for (path, words) in [
        ("", "嵌入式账本"),
        ("/nodes", "运行中"),
        ("/rules", "开发参数"),
        ("/consensus", "共识"),
        ("/contracts", "有效"),
        ("/witnesses", "见证方"),
        ("/proposals", "提案"),
    ] {
        browser.get_in("zh", &format!("/console/operator{path}")).ok().has(&[words]);
    }

    // Other rules: wrong ones come back as they were typed; then what would change; then it is done.
    let path = "/console/operator/proposals/new/policy";
    let rules = [("enrolment", "members"), ("window", "0"), ("denials", "77"), ("auditor", "keep")];
    browser.post(path, path, &rules).ok().has(&["a number from 1 to", "value=\"77\"", "value=\"members\" checked"]);
    let same = [("enrolment", "open"), ("window", "1000"), ("denials", "1000"), ("auditor", "keep")];
    browser.post(path, path, &same).ok().has(&["These are the rules of today"]);
    let other =
        [("enrolment", "open"), ("window", "1000"), ("denials", "5"), ("auditor", "other"), ("auditor_account", "{}")];
    browser.post(path, path, &other).ok().has(&["This is not the auditor", "value=\"5\""]);
    let rules = [("enrolment", "members"), ("window", "500"), ("denials", "77"), ("auditor", "none")];
    let confirm = browser.post(path, path, &rules).ok();
    confirm.has(&[
        "Propose this?",
        "1\u{202f}000",
        "500",
        "members only",
        "the auditor changes",
        "as soon as you propose it",
    ]);
    get(&mut browser, "/rules").has(&["1\u{202f}000 blocks"]);
    let edited = browser.post(path, path, &[&rules[..], &[("confirmed", "yes"), ("edit", "yes")]].concat()).ok();
    edited.has(&["value=\"500\"", "value=\"none\" checked"]);
    get(&mut browser, "/rules").has(&["1\u{202f}000 blocks"]);
    let sent = browser.post_from(&confirm, path, &[&rules[..], &[("confirmed", "yes")]].concat());
    let proposal = sent.is(303).location.clone();
    browser.get(&proposal).ok().has(&["done in block", "members only", "Test owner"]).lacks(&["Endorse…"]);
    get(&mut browser, "/rules").has(&["500 blocks", "77", "members, for others", "none"]);
    get(&mut browser, "/proposals").has(&["other rules", "done in block"]);
    browser.get(&format!("/console/operator/proposals/{}", "0".repeat(64))).is(404);

    // An asset is withdrawn.
    let path = "/console/operator/proposals/new/withdraw";
    let asset = browser.get(path).ok().values("<option value=\"asset1").remove(0);
    let fields = [("asset", format!("asset1{asset}"))];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let confirm = browser.post(path, path, &fields).ok();
    confirm.has(&["This cannot be undone", "'shop' is withdrawn"]);
    let sent = browser.post_from(&confirm, path, &[&fields[..], &[("confirmed", "yes")]].concat());
    sent.is(303);
    get(&mut browser, "/contracts").has(&["withdrawn in block"]);
}

/// A port from which on those of a network are free, as far as a look tells.
fn free_base() -> u16 {
    let own = u16::try_from(std::process::id() % 40).unwrap() * 200;
    let free = |base: &u16| (1..=5).chain(101..=105).all(|at| TcpListener::bind(("127.0.0.1", base + at)).is_ok());
    (0..40).map(|at| 10_000 + (own + at * 200) % 8_000).find(free).expect("free ports")
}

#[test]
fn members_decide_together_at_their_own_gateways() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (net, port) = (path("net"), free_base().to_string());
    sealgate(&["network", "new", "--members", "4", "--dir", &net, "--base-port", &port]).ok();
    let data = |at: usize| path(&format!("net/node{at}"));
    let mut nodes: Vec<Option<Server>> =
        (1..=4).map(|at| Some(Server::run(&["serve", "--data-dir", &data(at)], &[]))).collect();
    let url = |nodes: &[Option<Server>], at: usize| nodes[at - 1].as_ref().unwrap().url.clone();
    let mut browsers: Vec<Browser> =
        (1..=3).map(|at| Browser::signed_in(&url(&nodes, at), &["--data-dir", &data(at)])).collect();

    let members = browsers[0].get("/console/operator").ok();
    members.has(&["Department 1", "Department 4", "Fingerprint (SHA-256)", "CN=Department 2", "no end", "issued by"]);
    // Nodes: connected and answering, sooner or later; then one that is gone.
    browsers[0].until("/console/operator/nodes", PATIENCE, |page| {
        page.text.contains("3 / 3") && !page.text.contains("no answer") && page.text.matches(">answers<").count() == 3
    });
    browsers[0].get("/console/operator/nodes").ok().has(&["Simplex", "agrees", "Executed"]);

    let propose = "/console/operator/proposals/new/policy";
    let rules = [("enrolment", "open"), ("window", "250"), ("denials", "9"), ("auditor", "keep")];
    let confirm = browsers[0].post(propose, propose, &rules).ok();
    confirm.has(&["3 of 4 members must endorse it", "250"]);
    let sent = browsers[0].post_from(&confirm, propose, &[&rules[..], &[("confirmed", "yes")]].concat());
    let proposal = sent.is(303).location.clone();
    browsers[0].get(&proposal).ok().has(&[
        "1 of 3 endorsements",
        "You have endorsed it",
        "Department 2, Department 3, Department 4",
    ]);
    for (at, ends) in [(1, false), (2, true)] {
        let browser = &mut browsers[at];
        browser.until(&proposal, PATIENCE, |page| {
            page.text.contains(if ends { "2 of 3 endorsements" } else { "1 of 3 endorsements" })
        });
        let form = browser.get(&format!("{proposal}/endorse")).ok();
        form.has(&[
            if ends { "the last endorsement that is needed" } else { "cannot be taken back" },
            "250",
            "1\u{202f}000",
        ]);
        browser.post_from(&form, &format!("{proposal}/endorse"), &[]).is(303);
    }
    browsers[2].get(&proposal).ok().has(&["done in block"]);
    browsers[2].get(&format!("{proposal}/endorse")).is(303);
    browsers[0].until("/console/operator/rules", PATIENCE, |page| page.text.contains("250 blocks"));
    browsers[0].get("/console/operator/consensus").ok().has(&["simplex", "Department 3", ">signed<"]);

    // What is pasted must be a certified member.
    let join = "/console/operator/proposals/new/join";
    browsers[0]
        .post(join, join, &[("member", "{\"account\":1}")])
        .ok()
        .has(&["This is not the certified member", "{&quot;account&quot;:1}"]);
    let request = std::fs::read_to_string(Path::new(&data(2)).join("member.request")).unwrap();
    browsers[0].post(join, join, &[("member", &request)]).ok().has(&["certificate of 1 to"]);
    // One more organisation, made and certified by the commands.
    let five = path("five");
    let peer = format!("127.0.0.1:{}", port.parse::<u16>().unwrap() + 5);
    let gateway = format!("http://127.0.0.1:{}", port.parse::<u16>().unwrap() + 105);
    sealgate(&["network", "request", "--data-dir", &five, "--name", "Fifth", "--peer", &peer, "--gateway", &gateway])
        .ok();
    let (authority, out) = (path("net/authority"), path("fifth.member"));
    let request = Path::new(&five).join("member.request").display().to_string();
    sealgate(&["network", "certify", "--authority", &authority, &request, "--out", &out]).ok();
    let certified = std::fs::read_to_string(&out).unwrap();
    let confirm = browsers[0].post(join, join, &[("member", &certified)]).ok();
    confirm.has(&["Fifth", "CN=Fifth", "Members: 4 today, 5 then. Of them decide: 3 today, 4 then."]);

    nodes[3].take().unwrap().kill();
    browsers[0].until("/console/operator/nodes", PATIENCE, |page| page.text.contains("no answer"));
    browsers[0].get_in("zh", "/console/operator/nodes").ok().has(&["无应答", "其他成员的节点"]);
}

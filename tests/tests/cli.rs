//! The command line as people and scripts meet it: one JSON object whatever happens, errors that say
//! what to do, completions and pages of the manual for every command.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use sealgate_tests::{Server, Table, World, binary, sealgate, sealgate_plain, text};
use serde_json::Value;

/// Every command that does something, as the pages of the manual have them: `file get`.
fn leaves(world: &World) -> BTreeSet<String> {
    let folder = world.path("man");
    let written = sealgate(&["man", "--out", &folder]).ok();
    let names: BTreeSet<String> = written["pages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| text(name).trim_start_matches("sealgate").trim_start_matches('-').trim_end_matches(".1").to_owned())
        .collect();
    let parents =
        ["", "account", "manifest", "file", "ceremony", "member", "network", "text", "asset", "witness", "keys"];
    names.into_iter().filter(|name| !parents.contains(&name.as_str()) && name != "member-propose").collect()
}

/// Runs a command without a terminal and returns its exit code, the only line of its output as JSON, and
/// its error stream.
fn machine(args: &[&str]) -> (i32, Value, String) {
    let output = Command::new(binary()).arg("--json").args(args).stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{args:?}: not one line but '{stdout}'");
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: '{stdout}'"));
    (output.status.code().unwrap_or(-1), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

const ADDRESS_OF: &str = "ADDRESS";
const HASH: &str = "abababababababababababababababababababababababababababababababab";
const NOWHERE: &str = "http://127.0.0.1:9";

/// A command line of each command that must fail, because the folders and files it names are not there or
/// the gateway does not answer.
const FAILING: &[(&str, &[&str])] = &[
    ("demo", &["--csv", "none.csv", "--manifest", "none.toml", "--data-dir", "fresh"]),
    ("init", &["--data-dir", "owner", "--name", "x"]),
    ("account-new", &["--home", "requester", "--name", "x"]),
    ("account-enrol", &["--data-dir", "none", "none.public"]),
    ("account-identity", &["--home", "requester", "--gateway", NOWHERE, ADDRESS_OF]),
    ("account-replace", &["--home", "requester", "--gateway", NOWHERE]),
    ("account-close", &["--home", "requester", "--gateway", NOWHERE]),
    ("trust", &["--home", "requester", "chain1nonsense"]),
    ("manifest-infer", &["none.csv"]),
    ("serve", &["--data-dir", "none"]),
    ("console", &["--home", "requester", "--gateway", NOWHERE]),
    ("sign-in", &["--home", "requester", "--gateway", NOWHERE]),
    ("publish", &["--data-dir", "owner", "--manifest", "none.toml"]),
    ("sync", &["--data-dir", "owner"]),
    ("file-publish", &["--data-dir", "owner", "--name", "f", "--title", "t", "none.pdf"]),
    ("file-get", &["--gateway", NOWHERE, "--home", "requester", "--asset", "f", "--purpose", "p", "--out", "f.out"]),
    ("grant", &["--data-dir", "owner", "--asset", "shap", "--to", ADDRESS_OF, "--purpose", "p"]),
    ("revoke", &["--data-dir", "owner", "--asset", "shap", "--to", ADDRESS_OF]),
    ("budget", &["--data-dir", "none"]),
    ("catalogue", &["--gateway", NOWHERE]),
    ("grants", &["--gateway", NOWHERE, "--home", "requester", "--asset", "shop"]),
    (
        "ask",
        &[
            "--gateway",
            NOWHERE,
            "--home",
            "requester",
            "--purpose",
            "p",
            "--out",
            "a.json",
            "SELECT 1 FROM a WHERE b = 1",
        ],
    ),
    (
        "fetch",
        &[
            "--gateway",
            NOWHERE,
            "--home",
            "requester",
            "--asset",
            "a",
            "--columns",
            "b",
            "--purpose",
            "p",
            "--out",
            "a.csv",
        ],
    ),
    ("verify", &["--home", "requester", "none.json"]),
    ("export", &["--home", "requester", "--format", "snarkjs", "--out", "proof", "none.json"]),
    ("list", &["shop", "--gateway", NOWHERE, "--home", "requester"]),
    ("receipt", &[HASH, "--gateway", NOWHERE, "--home", "requester", "--out", "r.json"]),
    ("verify-receipt", &["none.json", "--home", "requester"]),
    ("trail", &["--gateway", NOWHERE, "--home", "requester"]),
    ("meter", &["--gateway", NOWHERE, "--home", "requester"]),
    ("reads", &["--gateway", NOWHERE, "--home", "requester"]),
    ("ceremony-start", &["--name", "x", "--out", "owner/account.key"]),
    ("ceremony-contribute", &["--home", "requester", "none", "--out", "fresh"]),
    ("ceremony-advance", &["none", "--out", "fresh"]),
    ("ceremony-verify", &["none"]),
    ("ceremony-finish", &["none", "--out", "fresh"]),
    ("member-propose-join", &["none.json"]),
    ("member-propose-leave", &[ADDRESS_OF]),
    ("member-propose-replace", &[ADDRESS_OF, "none.json"]),
    ("member-propose-policy", &["--open-enrolment", "false"]),
    ("member-propose-withdraw", &["ASSET"]),
    ("member-endorse", &["--data-dir", "none", HASH]),
    ("member-list", &["--data-dir", "none"]),
    ("network-new", &["--dir", "owner"]),
    ("network-request", &["--data-dir", "none", "--renew"]),
    ("network-certify", &["--authority", "none", "none.request", "--out", "m.json"]),
    ("network-join", &["--data-dir", "none", "--genesis", "none.json", "--fingerprint", "CHAIN", "--member", "m.json"]),
    ("text-put", &["--data-dir", "owner", "--name", "t", "--title", "t", "--file", "none.txt", "--public"]),
    ("text-show", &["--home", "requester", "--gateway", NOWHERE, "ASSET"]),
    ("asset-diff", &["--data-dir", "owner", "--asset", "shap"]),
    ("asset-accept", &["--data-dir", "none", "--asset", "ASSET", "--out", "consent.json"]),
    ("asset-transfer", &["--data-dir", "owner", "--asset", "shap", "--to", ADDRESS_OF, "--consent", "none.json"]),
    ("asset-take-over", &["--data-dir", "owner"]),
    ("asset-withdraw", &["--data-dir", "owner", "--asset", "shap"]),
    ("witness-new", &["--home", "owner/account.key", "--name", "w.example/1"]),
    ("witness-follow", &["--home", "requester", "--gateway", NOWHERE]),
    ("witness-serve", &["--home", "requester"]),
    ("witness-status", &["--home", "requester"]),
    ("keys-list", &["--data-dir", "none"]),
    ("keys-rotate-root", &["--data-dir", "none"]),
    ("keys-rotate", &["--data-dir", "owner", "--asset", "shap"]),
    ("keys-destroy", &["--data-dir", "owner", "--asset", "shop"]),
    ("backup", &["--data-dir", "owner", "--out", "o.backup"]),
    ("restore", &["--from", "none.backup", "--data-dir", "fresh"]),
    ("audit", &["--data-dir", "none"]),
    ("audit-sample", &["--gateway", NOWHERE, "--home", "requester", "--asset", "shop", "--records", "3"]),
    ("doctor", &["--data-dir", "none"]),
    ("man", &["no-such-command"]),
];

#[test]
fn every_command_that_fails_prints_one_object_with_the_reason_and_a_code() {
    let world = World::with(&Table::shops(3));
    let mut left = leaves(&world);
    // Completions cannot fail but by usage.
    assert!(left.remove("completions"));
    let mut codes = BTreeSet::new();
    for (name, args) in FAILING {
        assert!(left.remove(*name), "'{name}' is no command, or stands here twice");
        let place = |arg: &&str| match *arg {
            ADDRESS_OF => world.requester.clone(),
            "CHAIN" => world.fingerprint.clone(),
            "ASSET" => text_id(&world),
            HASH | NOWHERE => (*arg).to_owned(),
            // Whatever may be a path lies in the world's folder.
            arg if is_path(arg) => world.path(arg),
            arg => arg.to_owned(),
        };
        let mut all: Vec<String> = match name.strip_prefix("member-propose-") {
            Some(change) => {
                ["member", "propose", "--data-dir", &world.path("none"), change].map(ToOwned::to_owned).to_vec()
            }
            None if NESTED.iter().any(|parent| name.starts_with(parent)) => {
                let (parent, rest) = name.split_once('-').unwrap();
                vec![parent.to_owned(), rest.to_owned()]
            }
            None => vec![(*name).to_owned()],
        };
        all.extend(args.iter().map(place));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (code, json, stderr) = machine(&all);
        assert_eq!((code, stderr.as_str()), (1, ""), "{all:?}: {json}");
        let error = json["error"].as_str().unwrap_or_else(|| panic!("{all:?}: {json}"));
        assert!(!error.is_empty() && !error.contains('\n'), "{all:?}: {error}");
        codes.insert(text(&json["code"]));
    }
    assert!(left.is_empty(), "commands that this test does not know: {left:?}");
    for code in ["unreachable", "no-folder", "no-file", "not-found", "secret-needed", "unhealthy"] {
        assert!(codes.contains(code), "no failure has the code '{code}': {codes:?}");
    }
}

const NESTED: [&str; 11] = [
    "account-",
    "manifest-",
    "file-",
    "ceremony-",
    "member-",
    "network-",
    "text-",
    "asset-",
    "witness-",
    "keys-",
    "audit-",
];

fn is_path(arg: &str) -> bool {
    ["owner", "requester", "fresh", "none", "proof"].contains(&arg)
        || arg.contains('/') && !arg.starts_with("w.") && !arg.contains(' ')
        || [".json", ".csv", ".toml", ".pdf", ".public", ".request", ".txt", ".backup", ".out"]
            .iter()
            .any(|end| arg.ends_with(end))
}

/// An asset's id that stands for nothing.
fn text_id(world: &World) -> String {
    let server = world.serve();
    let listed = sealgate(&["catalogue", "--gateway", &server.url]).ok();
    text(&listed[0]["asset"]["id"])
}

#[test]
fn usage_is_one_object_too_and_exit_code_2() {
    for args in [&["nonsense"][..], &[], &["ask"], &["audit"], &["doctor"], &["ask", "--homes", "x"]] {
        let (code, json, stderr) = machine(args);
        assert_eq!((code, text(&json["code"]).as_str()), (2, "usage"), "{args:?}: {json}");
        assert!(!text(&json["error"]).is_empty() && stderr.contains("sealgate"), "{args:?}: {json}, {stderr}");
    }
    let (code, json, _) = machine(&["--version"]);
    assert_eq!((code, text(&json["version"]).as_str()), (0, env!("CARGO_PKG_VERSION")));
}

#[test]
fn commands_that_succeed_print_one_object_and_nothing_beside() {
    let world = World::with(&Table::shops(12));
    world.grant("shop", &world.requester, &["--disclose", "name", "--whole", "name", "--purpose", "p"]).ok();
    let (owner, requester) = (world.path("owner"), world.path("requester"));
    let passphrase = world.path("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    std::fs::write(world.path("plans.pdf"), vec![7u8; 300_000]).unwrap();
    let backup = world.path("owner.backup");
    let server = world.serve();
    let url = server.url.clone();
    let (answer, columns, csv) = (world.path("a.json"), world.path("shop.out.csv"), world.path("meter.csv"));
    let p = |name: &str| world.path(name);
    let shop = p("shop.csv");
    let plans = p("plans.pdf");
    let quiet = |args: &[&str]| {
        let (code, json, stderr) = machine(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}: {json}");
        json
    };
    quiet(&["manifest", "infer", &shop]);
    quiet(&["file", "publish", "--data-dir", &owner, "--name", "plans", "--title", "Plans", &plans]);
    quiet(&["catalogue", "--gateway", &url, "--home", &requester]);
    let sql = "SELECT name FROM shop WHERE id = 3";
    quiet(&["ask", "--gateway", &url, "--home", &requester, "--purpose", "p", "--out", &answer, sql]);
    quiet(&["verify", "--home", &requester, &answer]);
    quiet(&[
        "fetch",
        "--gateway",
        &url,
        "--home",
        &requester,
        "--asset",
        "shop",
        "--columns",
        "name",
        "--purpose",
        "p",
        "--out",
        &columns,
    ]);
    quiet(&["trail", "--gateway", &url, "--home", &requester]);
    quiet(&["meter", "--gateway", &url, "--home", &requester, "--csv", &csv]);
    quiet(&["reads", "--gateway", &url, "--home", &requester]);
    quiet(&["grants", "--gateway", &url, "--home", &requester, "--asset", "shop"]);
    quiet(&["list", "shop", "--gateway", &url, "--home", &requester]);
    quiet(&["audit", "--gateway", &url, "--home", &requester]);
    quiet(&["audit", "--data-dir", &owner]);
    quiet(&["audit", "--data-dir", &owner, "--rehash"]);
    quiet(&["budget", "--data-dir", &owner]);
    quiet(&["keys", "list", "--data-dir", &owner]);
    quiet(&["keys", "rotate", "--data-dir", &owner, "--asset", "shop"]);
    quiet(&["member", "list", "--data-dir", &owner]);
    quiet(&["doctor", "--data-dir", &owner, "--gateway", &url]);
    quiet(&["doctor", "--home", &requester, "--gateway", &url]);
    quiet(&["doctor", "--gateway", &url]);
    quiet(&["sign-in", "--data-dir", &owner]);
    quiet(&["backup", "--data-dir", &owner, "--out", &backup, "--passphrase-file", &passphrase]);
    quiet(&["restore", "--data-dir", &p("restored"), "--from", &backup, "--passphrase-file", &passphrase]);
    quiet(&["man", "file", "get"]);
    drop(server);
    // A sync of which a part fails says both in its one object.
    let config = std::fs::read_to_string(p("owner/sealgate.toml")).unwrap();
    let tables = format!(
        "\n[[sync]]\nmanifest = {:?}\nevery = \"1h\"\n\n[[sync]]\nmanifest = \"gone.toml\"\nevery = \"1h\"\n",
        p("shop.toml")
    );
    std::fs::write(p("owner/sealgate.toml"), config + &tables).unwrap();
    let (code, json, _) = machine(&["sync", "--data-dir", &owner]);
    assert_eq!((code, json["synced"].as_array().map(Vec::len)), (1, Some(1)), "{json}");
    assert!(
        text(&json["error"]).contains("1 of 2 tables") && json["failed"].to_string().contains("gone.toml"),
        "{json}"
    );
}

/// What people get wrong, and what they are told.
#[test]
fn errors_say_what_to_do() {
    let world = World::with(&Table::shops(3));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    let (owner, requester, out) = (world.path("owner"), world.path("requester"), world.path("a.json"));
    let told = |args: &[&str], parts: &[&str]| {
        let plain = sealgate_plain(args);
        assert_eq!((plain.code, plain.stderr.lines().count()), (1, 1), "{args:?}: {plain:?}");
        for part in parts {
            assert!(plain.stderr.contains(part), "{args:?}: '{}' does not say '{part}'", plain.stderr.trim());
        }
    };
    let none = world.path("none");
    told(&["publish", "--data-dir", &none, "--manifest", "x.toml"], &["x.toml"]);
    told(&["serve", "--data-dir", &none], &["no data folder", "sealgate init --data-dir", &none]);
    told(&["serve", "--data-dir", &requester], &["home", "--data-dir", "sealgate init"]);
    told(&["backup", "--home", &none, "--out", &out, "--passphrase-file", &none], &[&none]);
    told(&["catalogue", "--gateway", NOWHERE], &[NOWHERE, "sealgate serve"]);
    told(&["catalogue", "--gateway", "127.0.0.1"], &["http://host:port"]);
    let server = world.serve();
    let stranger = world.path("stranger");
    sealgate(&["account", "new", "--home", &stranger, "--name", "s"]).ok();
    let sql = "SELECT name FROM shop WHERE id = 1";
    let ask = |home: &str, sql: &str, parts: &[&str]| {
        told(&["ask", "--gateway", &server.url, "--home", home, "--purpose", "p", "--out", &out, sql], parts);
    };
    ask(&stranger, sql, &["not trusted", "sealgate trust --home"]);
    ask(
        &requester,
        "SELECT name FROM shops WHERE id = 1",
        &["no asset 'shops'", "did you mean 'shop'?", "sealgate catalogue"],
    );
    ask(
        &requester,
        "SELECT nam FROM shop WHERE id = 1",
        &["no column 'nam'", "did you mean 'name'?", "it has id, name, fee"],
    );
    ask(&requester, "SELECT salary FROM shop WHERE id = 1", &["no column 'salary'; it has id, name, fee"]);
    ask(&requester, "SELECT name FROM shop", &["WHERE"]);
    let (url, auditor) = (server.url.as_str(), world.path("auditor"));
    for command in ["grants", "trail"] {
        let asked = [command, "--gateway", url, "--home", &auditor, "--asset", "shpo"];
        told(&asked, &["the ledger has no asset 'shpo': did you mean 'shop'?"]);
    }
    told(&["budget", "--data-dir", &owner, "--asset", "shpo"], &["no asset 'shpo': did you mean 'shop'?"]);
    let by = ["trail", "--gateway", url, "--home", &auditor, "--address", "Test ownr"];
    told(&by, &["the ledger has no account 'Test ownr': did you mean 'Test owner'?"]);
    drop(server);
    told(
        &["revoke", "--data-dir", &owner, "--asset", "Shop", "--to", &world.requester],
        &["no asset 'Shop'", "did you mean 'shop'?"],
    );
    told(&["revoke", "--data-dir", &owner, "--asset", "licences", "--to", &world.requester], &["sealgate catalogue"]);
    let server = world.serve();
    told(&["revoke", "--data-dir", &owner, "--asset", "shpo", "--to", &world.requester], &["did you mean 'shop'?"]);
    let listen = server.url.trim_start_matches("http://").to_owned();
    let second = World::new();
    told(&["serve", "--data-dir", &second.path("owner"), "--listen", &listen], &[&listen, "--listen"]);
    told(&["keys", "rotate-root", "--data-dir", &owner], &["in use"]);
}

#[test]
fn variables_stand_for_folders_and_gateway() {
    let world = World::with(&Table::shops(2));
    let server = world.serve();
    let run = |args: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(binary()).arg("--json").args(args).envs(variables.iter().copied()).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let (owner, requester) = (world.path("owner"), world.path("requester"));
    let all = [("SEALGATE_DATA_DIR", owner.as_str()), ("SEALGATE_HOME", &requester), ("SEALGATE_GATEWAY", &server.url)];
    assert_eq!(run(&["grants", "--asset", "shop"], &all).0, Some(0));
    assert_eq!(run(&["member", "list"], &all).0, Some(0));
    assert_eq!(run(&["audit"], &all[..1]).0, Some(0));
    let (code, json) = run(&["member", "list"], &all[1..]);
    assert_eq!((code, text(&json["code"]).as_str()), (Some(2), "usage"));
    let (code, json) = run(&["member", "list", "--data-dir", &world.path("none")], &all);
    assert_eq!((code, text(&json["code"]).as_str()), (Some(1), "no-folder"), "what is typed goes first");
}

#[test]
fn completions_and_pages_know_every_command() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let plain = sealgate_plain(&["completions", shell]);
        assert_eq!((plain.code, plain.stderr.as_str()), (0, ""), "{shell}");
        for word in ["verify-receipt", "rotate-root", "doctor", "data-dir"] {
            assert!(plain.stdout.contains(word), "{shell} does not know '{word}'");
        }
    }
    let script = world.path("completions.bash");
    std::fs::write(&script, sealgate_plain(&["completions", "bash"]).stdout).unwrap();
    let complete = "source \"$0\"; COMP_WORDS=(sealgate verify-); COMP_CWORD=1; _sealgate sealgate verify- sealgate; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash").args(["-c", complete, &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "verify-receipt", "{bash:?}");

    let folder = world.path("pages");
    let written = sealgate(&["man", "--out", &folder]).ok();
    let pages = written["pages"].as_array().unwrap();
    assert!(pages.len() > 60, "{}", pages.len());
    for page in pages {
        let text = std::fs::read_to_string(format!("{folder}/{}", text(page))).unwrap();
        for section in
            [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXIT STATUS", ".SH FILES", ".SH ENVIRONMENT"]
        {
            let quoted = format!(".SH \"{}\"", &section[4..]);
            assert!(text.contains(section) || text.contains(&quoted), "{page} has no {section}");
        }
        assert!(text.starts_with(".ie") && text.contains(".TH sealgate") && text.is_ascii(), "{page}");
    }
    let ask = sealgate_plain(&["man", "ask"]);
    assert!(ask.code == 0 && ask.stdout.contains(".SH EXAMPLES") && ask.stdout.contains("sealgate ask"), "{ask:?}");
    let error = sealgate(&["man", "file", "gat"]).error();
    assert!(error.contains("get"), "{error}");
}

#[test]
fn help_is_in_groups_and_the_same_for_a_served_program() {
    let help = sealgate_plain(&["--help"]).stdout;
    for heading in ["For a data owner:", "For a requester:", "For an auditor:", "For an operator:"] {
        assert!(help.contains(heading), "{help}");
    }
    assert!(sealgate_plain(&["ask", "--help"]).stdout.contains("Examples:"));
    // A program that serves says its one object at once and nothing more on standard output.
    let world = World::new();
    let server = Server::start(&world.path("owner"));
    assert!(server.url.starts_with("http"));
}

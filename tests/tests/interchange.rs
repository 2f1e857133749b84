//! Exported proofs before a third implementation: snarkjs, installed by npm under `target/`
//! (docs/spec/interchange.md). It accepts what we export and refuses every change of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::Command;

use sealgate_tests::{Run, World, sealgate, sealgate_plain, snarkjs};
use serde_json::{Value, json};

mod people;

/// Order of the base field, in decimal.
const Q: &str = "4002409555221667393417789825735904156556882819939007885332058136124031650490837864442687629129015664037894272559787";
/// Order of the scalar field, in decimal.
const R: &str = "52435875175126190479447740508185965837690552500527637822603658699938581184513";

fn verdicts(snarkjs: &Path, cases: &[Exported]) -> Vec<Value> {
    snarkjs::verdicts(snarkjs, &cases.iter().map(Exported::case).collect::<Vec<_>>())
}

/// The three files.
#[derive(Debug, Clone, PartialEq)]
struct Exported {
    key: Value,
    public: Value,
    proof: Value,
}

impl Exported {
    fn read(folder: &str) -> Exported {
        let json = |name| serde_json::from_slice(&std::fs::read(Path::new(folder).join(name)).unwrap()).unwrap();
        Exported { key: json("verification_key.json"), public: json("public.json"), proof: json("proof.json") }
    }

    fn case(&self) -> Value {
        json!({ "key": self.key, "public": self.public, "proof": self.proof })
    }

    fn changed(&self, change: impl FnOnce(&mut Exported)) -> Exported {
        let mut other = self.clone();
        change(&mut other);
        assert_ne!(other, *self, "nothing was changed");
        other
    }
}

fn export(world: &World, home: &str, file: &str, out: &str) -> Run {
    let (home, file, out) = (world.path(home), world.path(file), world.path(out));
    sealgate(&["export", "--home", &home, "--format", "snarkjs", "--out", &out, &file])
}

/// a + b of numbers in decimal.
fn plus(a: &str, b: &str) -> String {
    let digits = |text: &str| text.bytes().rev().map(|digit| digit - b'0').collect::<Vec<u8>>();
    let (a, b) = (digits(a), digits(b));
    let (mut sum, mut carry) = (Vec::new(), 0);
    for i in 0..a.len().max(b.len()) {
        let digit = a.get(i).unwrap_or(&0) + b.get(i).unwrap_or(&0) + carry;
        sum.push(b'0' + digit % 10);
        carry = digit / 10;
    }
    if carry > 0 {
        sum.push(b'0' + carry);
    }
    sum.reverse();
    String::from_utf8(sum).unwrap()
}

fn add(value: &mut Value, number: &str) {
    *value = plus(value.as_str().unwrap(), number).into();
}

fn swap(object: &mut Value, one: &str, other: &str) {
    (object[one], object[other]) = (object[other].clone(), object[one].clone());
}

#[test]
fn the_tests_own_arithmetic_is_right() {
    assert_eq!(plus("999", "1"), "1000");
    assert_eq!(plus("5", "123456789"), "123456794");
}

#[test]
fn snarkjs_accepts_what_is_exported_and_refuses_every_change() {
    let Some(snarkjs) = snarkjs::installed(env!("CARGO_TARGET_TMPDIR")) else { return };
    let world = people::world(30);
    let server = world.serve();
    // Disclosed and null fields, comparisons true, false and of a null, no item at all.
    let questions = [
        "SELECT name, fee, fee >= 500, level >= 3 FROM people WHERE id = 4",
        "SELECT level, fee >= 500, level >= 3 FROM people WHERE id = 21",
        "SELECT 1 FROM people WHERE id = 7",
    ];
    let mut good = Vec::new();
    for (i, question) in questions.iter().enumerate() {
        let (answer, out) = (format!("answer{i}.json"), format!("export{i}"));
        world.ask(&server.url, "requester", "", &answer, question).ok();
        let said = export(&world, "requester", &answer, &out).ok();
        assert_eq!((&said["circuit"], &said["public_inputs"]), (&json!("record-15-slots-4"), &json!(12)));
        good.push(Exported::read(&world.path(&out)));
    }
    drop(server);
    assert_eq!(verdicts(snarkjs, &good), [true, true, true], "snarkjs accepts what we export");

    let (first, second) = (&good[0], &good[1]);
    assert_eq!(first.key, second.key, "one circuit of one ledger has one key");
    let mut bad = Vec::new();
    for i in 0..12 {
        bad.push(first.changed(|case| add(&mut case.public[i], "1")));
        // The same number to whoever reduces it: accepted by nobody who reads strictly.
        bad.push(first.changed(|case| add(&mut case.public[i], R)));
        // The key's point of an input that is zero is multiplied by zero.
        if first.public[i] != "0" {
            bad.push(first.changed(|case| case.key["IC"][i + 1] = first.key["IC"][i].clone()));
        }
    }
    bad.push(first.changed(|case| case.key["IC"][0] = first.key["IC"][1].clone()));
    bad.push(first.changed(|case| case.public = second.public.clone()));
    bad.push(first.changed(|case| case.proof = second.proof.clone()));
    for point in ["pi_a", "pi_b", "pi_c"] {
        bad.push(first.changed(|case| case.proof[point] = second.proof[point].clone()));
    }
    bad.push(first.changed(|case| add(&mut case.proof["pi_a"][0], "1")));
    bad.push(first.changed(|case| add(&mut case.proof["pi_b"][1][0], "1")));
    bad.push(first.changed(|case| swap(&mut case.proof, "pi_a", "pi_c")));
    bad.push(first.changed(|case| swap(&mut case.key, "vk_gamma_2", "vk_delta_2")));
    bad.push(first.changed(|case| case.key["vk_alpha_1"] = case.key["IC"][0].clone()));
    bad.push(first.changed(|case| case.key["vk_beta_2"] = case.key["vk_gamma_2"].clone()));
    for (case, verdict) in bad.iter().zip(verdicts(snarkjs, &bad)) {
        assert!(verdict == false || verdict.is_string(), "{verdict}: {}", case.case());
    }

    // Its command line, as the export's output and the page show it.
    let cli = |folder: &str| {
        let files = ["verification_key.json", "public.json", "proof.json"].map(|file| Path::new(folder).join(file));
        let mut command = Command::new("node");
        command.args(["node_modules/snarkjs/build/cli.cjs", "groth16", "verify"]).args(files).current_dir(snarkjs);
        command.output().unwrap()
    };
    let said = cli(&world.path("export0"));
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("OK!"), "{said:?}");
    std::fs::copy(world.path("export1/public.json"), world.path("export0/public.json")).unwrap();
    assert!(!cli(&world.path("export0")).status.success());
}

/// What is exported is well-formed and complete; needs no snarkjs.
#[test]
fn files_hold_what_the_page_says() {
    let world = people::world(5);
    let server = world.serve();
    world.ask(&server.url, "requester", "", "answer.json", "SELECT status, level >= 3 FROM people WHERE id = 4").ok();
    drop(server);
    export(&world, "requester", "answer.json", "out").ok();
    let Exported { key, public, proof } = Exported::read(&world.path("out"));
    assert_eq!((&key["protocol"], &key["curve"], &key["nPublic"]), (&json!("groth16"), &json!("bls12381"), &json!(12)));
    assert_eq!((&proof["protocol"], &proof["curve"]), (&json!("groth16"), &json!("bls12381")));
    assert_eq!((key["IC"].as_array().unwrap().len(), public.as_array().unwrap().len()), (13, 12));
    let below = |value: &Value, limit: &str| {
        let text = value.as_str().unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0')), "{text}");
        assert!((text.len(), text) < (limit.len(), limit), "{text}");
    };
    public.as_array().unwrap().iter().for_each(|input| below(input, R));
    for point in key["IC"].as_array().unwrap().iter().chain([&key["vk_alpha_1"], &proof["pi_a"], &proof["pi_c"]]) {
        (0..2).for_each(|i| below(&point[i], Q));
        assert_eq!(point[2], "1");
    }
    for point in [&key["vk_beta_2"], &key["vk_gamma_2"], &key["vk_delta_2"], &proof["pi_b"]] {
        (0..4).for_each(|i| below(&point[i / 2][i % 2], Q));
        assert_eq!(point[2], json!(["1", "0"]));
    }
    // Unused slots disclose the constant zero (docs/spec/statement.md#public-inputs).
    assert_eq!((8..12).map(|i| public[i].clone()).collect::<Vec<_>>(), ["0", "0", "0", "0"]);

    // Exporting again gives the same; not over what is there.
    let error = export(&world, "requester", "answer.json", "out").error();
    assert!(error.contains("is there already"), "{error}");
    export(&world, "requester", "answer.json", "again").ok();
    assert_eq!(Exported::read(&world.path("again")), Exported { key, public, proof });
    let args = ["export", "--home", &world.path("requester"), "--format", "snarkjs", "--out", &world.path("third")];
    let plain = sealgate_plain(&[&args[..], &[&world.path("answer.json")]].concat());
    assert!(plain.code == 0 && plain.stdout.contains("snarkjs groth16 verify"), "{plain:?}");
}

#[test]
fn what_does_not_verify_or_has_no_proof_is_not_exported() {
    let world = people::world(5);
    let server = world.serve();
    let ask = |out: &str, sql: &str| world.ask(&server.url, "requester", "", out, sql).ok();
    ask("absent.json", "SELECT status FROM people WHERE id = 6");
    ask("answer.json", "SELECT status FROM people WHERE id = 4");
    drop(server);
    let refused = |file: &str, home: &str, why: &str| {
        let error = export(&world, home, file, "out").error();
        assert!(error.contains(why), "{error}");
        assert!(!Path::new(&world.path("out")).exists(), "nothing is written");
    };
    refused("absent.json", "requester", "no zero-knowledge proof to export");
    refused("answer.json", "auditor", "--requester");
    let text = std::fs::read_to_string(world.path("answer.json")).unwrap();
    std::fs::write(world.path("tampered.json"), text.replacen("active", "closed", 1)).unwrap();
    refused("tampered.json", "requester", "does not verify");
    refused("nothing.json", "requester", "nothing.json");
    // Somebody else's answer, named as such, by a home that trusts the ledger.
    let (home, out, file) = (world.path("auditor"), world.path("out"), world.path("answer.json"));
    let named = ["export", "--home", &home, "--requester", &world.requester, "--format", "snarkjs", "--out", &out];
    sealgate(&[&named[..], &[&file]].concat()).ok();
    // The home has no such ledger.
    let stranger = world.path("stranger");
    sealgate(&["account", "new", "--home", &stranger, "--name", "Stranger"]).ok();
    let named = ["export", "--home", &stranger, "--requester", &world.requester, "--format", "snarkjs", "--out", "x"];
    let error = sealgate(&[&named[..], &[&file]].concat()).error();
    assert!(error.contains("does not verify"), "{error}");
}

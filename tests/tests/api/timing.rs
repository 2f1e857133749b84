//! Refusals take as long whether or not the record exists, each that a requester can provoke.

use std::time::Instant;

use sealgate_tests::chance::Chance;
use sealgate_tests::sealgate;
use serde_json::Value;

use super::{Api, people};

/// How often each refusal is provoked about a record that is there and about one that is not.
const PAIRS: usize = 60;
/// How rarely chance may do what is taken for a difference.
const FALSE_ALARM: f64 = 1e-9;

/// A refusal: the word for it, what is granted (nothing: the grant is revoked), what is asked, and for what.
const REFUSALS: [(&str, &[&str], &str, &str); 8] = [
    ("no_grant", &[], "name", "time"),
    ("field", &people::GRANT, "id", "time"),
    ("predicate", &people::GRANT, "name, fee >= 501", "time"),
    ("existence", &["--disclose", "name", "--purpose", ""], "1", "time"),
    ("purpose", &["--disclose", "name", "--purpose", "tax"], "name", "time"),
    ("quota_used", &["--disclose", "name", "--purpose", "", "--quota", "1"], "name", "time"),
    ("expired", &["--disclose", "name", "--purpose", "", "--until", "2020-01-01T00:00:00Z"], "name", "time"),
    ("not_yet", &["--disclose", "name", "--purpose", "", "--from", "2100-01-01T00:00:00Z"], "name", "time"),
];

/// A response's form: everything but what the ledger's growth changes from one to the next, which is numbers
/// and how many hashes a proof has. Texts count with their length.
fn form(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| format!("{name}:{};", form(field))).collect(),
        Value::Array(items) if items.iter().all(|item| item.as_str().is_some_and(|text| text.len() == 64)) => {
            "hashes".into()
        }
        Value::Array(items) => format!("[{}]", items.iter().map(form).collect::<Vec<_>>().join(",")),
        Value::String(text) if text.contains('\n') => {
            let lines = text.lines().map(|line| {
                if line.bytes().all(|b| b.is_ascii_digit()) {
                    0
                } else {
                    line.trim_end_matches(|c: char| c.is_ascii_digit()).len()
                }
            });
            format!("{:?}", lines.take(2).collect::<Vec<_>>())
        }
        Value::String(text) => text.len().to_string(),
        Value::Number(_) => "number".into(),
        other => other.to_string(),
    }
}

/// How likely fair coins fall at least as unevenly as `heads` of `thrown`: the sign test, two-sided. Which of
/// a pair is asked first is thrown too, so without a difference each sign is a fair coin, whatever else the
/// machine does meanwhile.
fn by_chance(heads: usize, thrown: usize) -> f64 {
    let (mut ways, mut sum) = (1.0, 0.0);
    for fewer in 0..=heads.min(thrown - heads) {
        sum += ways;
        ways *= (thrown - fewer) as f64 / (fewer + 1) as f64;
    }
    (2.0 * sum / 2f64.powf(thrown as f64)).min(1.0)
}

#[test]
fn the_sign_test_tells_a_tenth_from_a_half() {
    // Sums of binomial coefficients over 2^60, doubled.
    assert!((by_chance(54, PAIRS) / 9.723e-11 - 1.0).abs() < 1e-3 && by_chance(54, PAIRS) < FALSE_ALARM);
    assert_eq!(by_chance(6, PAIRS), by_chance(54, PAIRS));
    assert!(by_chance(45, PAIRS) > FALSE_ALARM && by_chance(30, PAIRS) == 1.0);
}

/// Asks about the record and gives the response's form and how many nanoseconds it took.
async fn refused(api: &Api, item: &str, purpose: &str, id: usize, nonce: usize) -> ((u16, String, String), i128) {
    let sql = format!("SELECT {item} FROM people WHERE id = {id}");
    let request = api.request(&sql, purpose, u8::try_from(nonce).unwrap(), |_| ()).await;
    let begun = Instant::now();
    let answer = api.ask(&request).await;
    let took = i128::try_from(begun.elapsed().as_nanos()).unwrap();
    let (status, kind) = (answer.status.as_u16(), answer.kind.clone());
    let body = answer.ok();
    assert!(body["sealed"].is_null(), "{item}: {body}");
    ((status, kind, form(&body)), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_same_whether_or_not_the_record_exists() {
    let api = Api::new();
    let world = &api.world;
    // More denials than accounts usually have in a day.
    let owner = world.path("owner");
    sealgate(&["member", "propose", "--data-dir", &owner, "policy", "--denials-a-day", "100000"]).ok();
    let mut chance = Chance::of_run("which is asked first");
    for (reason, grant, item, purpose) in REFUSALS {
        match grant {
            [] => world.revoke("people", &world.requester).ok(),
            grant => world.grant("people", &world.requester, grant).ok(),
        };
        if reason == "quota_used" {
            let only = api.request("SELECT name FROM people WHERE id = 1", purpose, 0, |_| ()).await;
            assert!(api.ask(&only).await.ok()["sealed"].is_string());
        }
        let mut differences = Vec::new();
        for pair in 0..PAIRS {
            // Ids of as many digits.
            let (there, absent) = (10 + pair % 31, 50 + pair % 31);
            let there_first = chance.one_in(2);
            let (first, second) = if there_first { (there, absent) } else { (absent, there) };
            let one = refused(&api, item, purpose, first, 1 + pair).await;
            let other = refused(&api, item, purpose, second, 101 + pair).await;
            assert_eq!(one.0, other.0, "{reason}");
            differences.push(if there_first { one.1 - other.1 } else { other.1 - one.1 });
        }
        let last = api.get("/v1/trail").await.ok()["requests"].as_array().unwrap().last().unwrap().clone();
        let denied = last["status"]["denied"]["reason"].to_string();
        assert!(denied.contains(reason), "{reason}: {last}");
        let longer = differences.iter().filter(|difference| **difference > 0).count();
        let told = by_chance(longer, PAIRS);
        assert!(told > FALSE_ALARM, "{reason}: {longer} of {PAIRS} took longer where the record is there");
        // What the test can see: a delay, where the record is there, of what nine tenths of the pairs differ by.
        let mut sizes: Vec<i128> = differences.iter().map(|difference| difference.abs()).collect();
        sizes.sort_unstable();
        println!("{reason}: as likely as {told:.3}; {} us would be noticed", sizes[PAIRS * 9 / 10] / 1000);
    }
}

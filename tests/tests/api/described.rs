//! The document of the API: what is served is what the code says, and the specification agrees.

use std::collections::BTreeSet;

use sealgate_gateway::api::{Code, document};
use sealgate_tests::workspace;
use serde_json::Value;

use super::Api;

/// The problems that the specification lists: code and status.
fn problems_in_the_specification() -> BTreeSet<(String, u16)> {
    let page = std::fs::read_to_string(workspace().join("docs/spec/api.md")).unwrap();
    let rows = page.split("| code | status |").nth(1).unwrap().lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let code = cells.next().unwrap().trim_matches('`').to_owned();
        (code, cells.next().unwrap().parse().unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn the_specification_lists_every_problem() {
    let known = Code::ALL.iter().map(|code| (code.parts().0.to_owned(), code.status().as_u16()));
    assert_eq!(known.collect::<BTreeSet<_>>(), problems_in_the_specification());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_document_is_the_code_s_and_describes_what_is_given() {
    let api = Api::new();
    let served = api.get("/v1/openapi.json").await.ok();
    assert_eq!(served, document());
    assert_eq!(served["openapi"], "3.1.0");
    // Headers are those that calls read.
    let mut headers = BTreeSet::new();
    for (path, operations) in served["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let named = parameters.filter(|one| one["in"] == "header").map(|one| one["name"].as_str().unwrap());
            headers.extend(named.map(|name| format!("{method} {path}: {name}")));
        }
    }
    let segments = "get /v1/deliveries/{request}/columns/{column}/segments/{position}";
    let expected = [
        format!("{segments}: range"),
        format!("{segments}: sealgate-passed-on"),
        "post /v1/asks: sealgate-passed-on".to_owned(),
        "post /v1/deliveries: sealgate-passed-on".to_owned(),
    ];
    assert_eq!(headers, BTreeSet::from(expected));
    // Objects that are described have the members that are given, and no others.
    for (path, call) in [
        ("/v1/catalogue", "/v1/catalogue".to_owned()),
        ("/v1/genesis", "/v1/genesis".to_owned()),
        ("/v1/assets/{asset}", format!("/v1/assets/{}", api.asset)),
        ("/v1/trail", "/v1/trail".to_owned()),
        ("/v1/governance", "/v1/governance".to_owned()),
    ] {
        let schema = &served["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let reference = schema["$ref"].as_str().unwrap().trim_start_matches('#');
        let described: BTreeSet<String> = keys(&served.pointer(reference).unwrap()["properties"]);
        assert_eq!(described, keys(&api.get(&call).await.ok()), "{path}");
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_walked_page_by_page() {
    let api = Api::new();
    for (path, name) in [
        ("/v1/accounts".to_owned(), "accounts"),
        ("/v1/trail".to_owned(), "requests"),
        (format!("/v1/assets/{}/grants", api.asset), "grants"),
        ("/v1/texts".to_owned(), "texts"),
        ("/v1/governance".to_owned(), "proposals"),
        ("/v1/catalogue".to_owned(), "assets"),
    ] {
        let whole = api.get(&path).await.ok();
        let (mut walked, mut after) = (Vec::new(), None::<String>);
        for _ in 0..10 {
            let behind = after.as_ref().map(|after| format!("&after={after}")).unwrap_or_default();
            let page = api.get(&format!("{path}?limit=1{behind}")).await.ok();
            walked.extend(page[name].as_array().unwrap().iter().cloned());
            after = page["next"].as_str().map(str::to_owned).or_else(|| page["next"].as_u64().map(|at| at.to_string()));
            if after.is_none() {
                break;
            }
        }
        assert_eq!((Value::Array(walked), after), (whole[name].clone(), None), "{path}");
        assert!(whole["next"].is_null(), "{path}");
        api.get(&format!("{path}?limit=x")).await.problem(400, "malformed");
    }
}

//! The page that says what a ledger tells (docs/spec/privacy.md), held against blocks.

#![expect(clippy::indexing_slicing, reason = "a test harness fails loudly")]

use std::collections::BTreeSet;

use serde_json::Value;

use crate::workspace;

/// Adds the names that the page gives to the fields of a JSON value; of a block its path is empty.
pub fn fields(value: &Value, path: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                fields(member, &format!("{path}.{name}"), names);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| fields(item, path, names));
        }
        Value::Array(_) if path == ".entries" => {}
        _ => drop(names.insert(named(path))),
    }
}

/// A path under the name of the structure that it lies in.
fn named(path: &str) -> String {
    let path = path.trim_start_matches('.');
    for (inner, name) in [
        (".account.", "account"),
        (".operator.", "account"),
        (".auditor.", "account"),
        (".successor.", "account"),
        (".join.", "member"),
        (".member.", "member"),
        (".members.", "member"),
        (".policy.", "policy"),
        (".version.", "version"),
        (".schema.", "schema"),
        (".terms.", "terms"),
    ] {
        let outside = !path.contains(".outcome.") && (inner != ".version." || !path.contains(".Answer."));
        if let Some((_, rest)) = path.split_once(inner).filter(|_| outside) {
            return format!("{name}.{rest}");
        }
    }
    for (before, name) in [
        ("entries.body.transaction.tx.tx.body.", ""),
        ("entries.body.transaction.tx.tx.", "tx."),
        ("entries.body.transaction.tx.", "tx."),
        ("entries.body.transaction.", ""),
        ("entries.body.", ""),
        ("entries.", "entry."),
    ] {
        if let Some(rest) = path.strip_prefix(before) {
            return format!("{name}{rest}");
        }
    }
    path.to_owned()
}

/// The fields that the page's tables have lines for.
pub fn named_in_the_page() -> BTreeSet<String> {
    let page = std::fs::read_to_string(workspace().join("docs/spec/privacy.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut names = BTreeSet::new();
    for (name, rest) in rows {
        assert!(names.insert(name.to_owned()), "{name} has two lines");
        let cells: Vec<&str> = rest.trim_start_matches(" |").split(" |").map(str::trim).collect();
        assert!(!cells[0].is_empty(), "the line of {name} does not say what it tells");
    }
    names
}

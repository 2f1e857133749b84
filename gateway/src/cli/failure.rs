//! Why a command ends with exit code 1: one line for people; for machines also a stable code, and
//! what else is known.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::codes::code_of;

/// The code of a failure that has no other.
const FAILED: &str = "failed";
/// The code of something that does not verify.
pub(super) const NOT_VERIFIED: &str = "not-verified";
/// The code of a name that stands for nothing.
pub(super) const NOT_FOUND: &str = "not-found";

/// Why a command ends with exit code 1.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: Option<Cow<'static, str>>,
    details: Map<String, Value>,
}

impl Failure {
    /// A failure that is told by this line.
    pub fn new(text: String) -> Failure {
        Failure { text, code: None, details: Map::new() }
    }

    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line, kept.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Its code, where it has one of its own.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The same, with what it is about before it.
    pub(super) fn about(mut self, what: impl std::fmt::Display) -> Failure {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// The same with this code, unless it has one.
    pub(super) fn or_code(mut self, code: &'static str) -> Failure {
        self.code.get_or_insert(Cow::Borrowed(code));
        self
    }

    /// The same, telling machines more: the fields of `details`.
    pub(super) fn with_details<T: Serialize>(mut self, details: &T) -> Failure {
        if let Ok(Value::Object(details)) = serde_json::to_value(details) {
            self.details = details;
        }
        self
    }

    /// What machines are told.
    pub(super) fn to_json(&self) -> Value {
        let code = self.code.as_deref().unwrap_or(FAILED);
        let mut all = self.details.clone();
        all.insert("error".into(), json!(self.text));
        all.insert("code".into(), json!(code));
        if let Some(hint) = hint(code) {
            all.insert("hint".into(), json!(hint));
        }
        Value::Object(all)
    }
}

/// The command that helps with every failure of a code, where there is one.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "usage" => "sealgate help COMMAND",
        "unreachable" => "sealgate doctor --gateway URL",
        "not-trusted" => "sealgate trust --home DIR FINGERPRINT",
        "no-folder" => "sealgate init --data-dir DIR --name NAME",
        "no-account" => "sealgate account new --home DIR --name NAME",
        "not-found" => "sealgate catalogue --gateway URL",
        "damaged" | "configuration" | "disk-full" | "permission" => "sealgate doctor --data-dir DIR",
        _ => return None,
    })
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        // Some errors leave the cause to their source; a line that says both is clearer.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            let cause_text = cause_text.trim_end();
            if !text.contains(cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Failure { text, code: code_of(&error), details: Map::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_the_line_a_code_and_the_details() {
        let plain = Failure::new("no".into()).to_json();
        assert_eq!(plain, json!({ "error": "no", "code": "failed" }));
        let named = Failure::new("no".into()).or_code(NOT_VERIFIED).or_code("other").about("file");
        let named = named.with_details(&json!({ "checks": 3 })).to_json();
        assert_eq!(named, json!({ "error": "file: no", "code": "not-verified", "checks": 3 }));
        let usage = Failure::new("what".into()).or_code("usage").to_json();
        assert_eq!(usage["hint"], "sealgate help COMMAND");
    }
}

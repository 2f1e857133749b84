//! What a transaction does, in words.

use sealgate_ledger::member::Change;
use sealgate_ledger::tx::{GrantTerms, TABLE, TextContent, TxBody, VersionInfo};

/// What a transaction does, a line for each part.
pub fn describe(body: &TxBody) -> Vec<String> {
    match body {
        TxBody::OpenAccount { account, identity } => {
            let mut lines = vec![format!("opened the account {}, called '{}'", account.address(), account.name)];
            if !identity.is_empty() {
                lines.push("who stands behind the name is sealed to the auditor".into());
            }
            lines
        }
        TxBody::RegisterAsset { name, title, data_type, schema, version, .. } => {
            let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
            let mut lines = vec![format!("registered the {data_type} '{name}' ({title})")];
            if data_type == TABLE {
                lines.push(format!("columns: {}", columns.join(", ")));
            }
            lines.push(version_text(version));
            lines
        }
        TxBody::PublishVersion { asset, version } => {
            vec![format!("published a version of {asset}"), version_text(version)]
        }
        TxBody::Grant { asset, to, terms } => {
            let mut lines = vec![format!("let {to} ask {asset}")];
            lines.extend(terms_text(terms));
            lines
        }
        TxBody::Revoke { asset, to } => vec![format!("took {to} off the list of {asset}")],
        TxBody::Request { asset, shape, purpose, commitment, consent } => {
            let mut lines = vec![
                format!("asked {asset} for purpose '{purpose}': {} items about {} keys", shape.items.len(), shape.keys),
                format!("the question itself is hidden in the commitment {commitment}"),
            ];
            lines.extend(consent.map(|consent| format!("consent: {consent}")));
            lines
        }
        TxBody::RequestWhole { asset, columns, purpose, consent } => {
            let mut lines = vec![format!("asked for {} of {asset} for purpose '{purpose}'", whole_text(columns))];
            lines.extend(consent.map(|consent| format!("consent: {consent}")));
            lines
        }
        TxBody::RequestSample { asset, seed, records } => {
            vec![format!("asked for a sample of {records} records of {asset}, chosen by {seed}")]
        }
        TxBody::Deliver { request, version, sealed, bytes } => vec![
            format!("delivered what the request {request} asks for, from version {version}"),
            format!("the sealed delivery has hash {sealed} and opens up to {bytes} bytes of ciphertext"),
        ],
        TxBody::SampleResult { request, outcome, report } => {
            vec![format!("found in the sample {request}: {outcome}"), format!("the report has hash {report}")]
        }
        TxBody::Answer { request, version, binding, sealed, .. } => vec![
            format!("answered the request {request} from version {version}"),
            format!("question and answer are hidden in {binding}, the sealed answer has hash {sealed}"),
        ],
        TxBody::Decline { request, reason } => vec![format!("declined the request {request}: {reason}")],
        TxBody::Transfer { asset, to, .. } => vec![format!("gave {asset} to {to}")],
        TxBody::Withdraw { asset } => vec![format!("withdrew {asset}")],
        TxBody::ReplaceAccount { successor } => {
            vec![format!("replaced the sender's account by {}, called '{}'", successor.address(), successor.name)]
        }
        TxBody::CloseAccount { account } => vec![format!("closed the account {account}")],
        TxBody::Propose { change } => vec![format!("proposed {}", change_text(change))],
        TxBody::PutText { name, title, content } => vec![match content {
            TextContent::Public(_) => format!("put the text '{name}' ({title}) on the ledger, for everybody"),
            TextContent::Sealed(copies) => {
                format!("put the text '{name}' ({title}) on the ledger, sealed to {} accounts", copies.len())
            }
        }],
        TxBody::Endorse { proposal } => vec![format!("endorsed the proposal {proposal}")],
    }
}

fn version_text(version: &VersionInfo) -> String {
    format!("version {}: root {}, up to {} records", version.number, version.root, version.records_rounded)
}

fn numbers(columns: &[u8]) -> String {
    columns.iter().map(|column| (u16::from(*column) + 1).to_string()).collect::<Vec<_>>().join(", ")
}

fn whole_text(columns: &[u8]) -> String {
    format!("columns {} of the schema, whole", numbers(columns))
}

fn terms_text(terms: &GrantTerms) -> Vec<String> {
    let mut parts = Vec::new();
    if !terms.disclose.is_empty() {
        parts.push(format!("disclosed: fields {} of the schema", numbers(&terms.disclose)));
    }
    if !terms.whole.is_empty() {
        parts.push(format!("fetched: {}", whole_text(&terms.whole)));
    }
    if !terms.prove.is_empty() {
        parts.push(format!("proven: {} predicates, which the receipt's file holds", terms.prove.len()));
    }
    if terms.existence {
        parts.push("whether records exist".into());
    }
    parts.push(match terms.purpose.as_str() {
        "" => "for any purpose".into(),
        purpose => format!("for purpose '{purpose}'"),
    });
    let bounds = [
        terms.not_before_ms.map(|ms| format!("from {}", crate::witness::pins::time(ms / 1000))),
        terms.until_ms.map(|ms| format!("until {}", crate::witness::pins::time(ms / 1000))),
        terms.quota.map(|quota| format!("at most {quota} keys")),
        terms.bits.map(|bits| format!("at most {bits} bits of a record's field")),
    ];
    parts.extend(bounds.into_iter().flatten());
    parts
}

fn change_text(change: &Change) -> String {
    match change {
        Change::Join(member) => format!("that '{}' ({}) joins", member.account.name, member.address()),
        Change::Leave { account } => format!("that {account} leaves"),
        Change::Replace { account, member } => {
            format!("that {account} becomes '{}' ({})", member.account.name, member.address())
        }
        Change::Policy(policy) => format!(
            "other rules: enrolment {}, {} blocks to answer, {} denials a day, auditor {}",
            if policy.open_enrolment { "open" } else { "by members" },
            policy.answer_window_blocks,
            policy.denials_a_day,
            policy.auditor.as_ref().map_or("none".into(), |auditor| auditor.address().to_string()),
        ),
        Change::Withdraw { asset } => format!("that {asset} is withdrawn against its owner's will"),
    }
}

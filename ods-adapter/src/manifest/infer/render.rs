//! A survey as the text of a manifest.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use encoding_rs::UTF_8;
use sealgate_circuits::schema::{FIELDS_MAX, NAME_BYTES_MAX};

use super::{InferRequest, Inferred, Key, LeftOut, Survey, Surveyed, count};
use crate::manifest::{BUDGET_BITS, Relation, SourceSpec, Tls};

/// Longest remark.
const REMARK_CHARS_MAX: usize = 300;

pub(super) fn manifest(
    request: &InferRequest,
    survey: &Survey,
    nulls: &[BTreeSet<&'static str>],
    key: &Key,
) -> Inferred {
    let mut text = format!(
        "# Made by 'sealgate manifest infer' from {} of the source. Read it, correct it, leave out what\n\
         # is not to be shared; docs/spec/manifest.md says what can be written here.\n\n\
         [asset]\nname = {}\ntitle = {}\ndescription = \"\"\n\n",
        if survey.more {
            format!("the first {}", count(survey.rows, "row"))
        } else {
            format!("all {} rows", survey.rows)
        },
        quoted(&request.name),
        quoted(&request.title),
    );
    let everywhere = everywhere(request, nulls);
    source(&mut text, request, &everywhere);
    if let Some(first) = &survey.first_fault {
        remark(
            &mut text,
            &format!(
                "{} no record; {first}",
                if survey.faults == 1 { "1 row is".into() } else { format!("{} rows are", survey.faults) }
            ),
        );
        text.push_str("on_bad_row = \"stop\"         # or \"set_aside\": publish the others\n");
    }
    // The columns that fit, the key's among them.
    let mut chosen: Vec<usize> = key.columns.clone();
    chosen.extend((0..survey.columns.len()).filter(|at| !key.columns.contains(at)));
    chosen.truncate(FIELDS_MAX);
    let names = names(&survey.columns);
    let name_of = |at: &usize| names.get(*at).cloned().unwrap_or_default();
    let key_names: Vec<String> = key.columns.iter().map(name_of).collect();
    text.push_str("\n[key]\n");
    for line in &key.remarks {
        remark(&mut text, line);
    }
    if key.columns.is_empty() {
        remark(
            &mut text,
            "no columns were found that tell all rows apart; name some, and nothing is published if they do not",
        );
    }
    let listed: Vec<String> = key_names.iter().map(|name| quoted(name)).collect();
    let _ = writeln!(text, "columns = [{}]", listed.join(", "));
    let _ = write!(
        text,
        "\n# Every column may be disclosed and have predicates proven; use = [\"prove\"], [\"disclose\"] or [] allows\n\
         # less. budget_bits says how much predicates may tell of one record's field, {BUDGET_BITS} bits if not given.\n"
    );
    for (at, (surveyed, nulls)) in survey.columns.iter().zip(nulls).enumerate() {
        let entry = column(surveyed, &name_of(&at), nulls, &everywhere, survey.rows);
        if chosen.contains(&at) {
            text.push_str(&entry);
        } else {
            let _ = writeln!(text, "\n# A record has {FIELDS_MAX} fields at most; this column is one too many.");
            entry.lines().filter(|line| !line.is_empty()).for_each(|line| {
                let _ = writeln!(text, "# {line}");
            });
        }
    }
    if !survey.left_out.is_empty() {
        text.push('\n');
    }
    for LeftOut { name, why } in &survey.left_out {
        remark(&mut text, &format!("left out: '{name}': {why}"));
    }
    Inferred { manifest: text, rows: survey.rows, columns: chosen.len(), key: key_names }
}

/// The texts that mean null in all columns, the usual one first.
fn everywhere(request: &InferRequest, nulls: &[BTreeSet<&'static str>]) -> BTreeSet<&'static str> {
    let csv = matches!(request.source, SourceSpec::Csv(_));
    let words =
        nulls.iter().flatten().copied().filter(|text| text.is_empty() || text.chars().any(char::is_alphanumeric));
    words.chain(csv.then_some("")).collect()
}

fn source(text: &mut String, request: &InferRequest, nulls: &BTreeSet<&'static str>) {
    let _ = writeln!(text, "[source]\nkind = \"{}\"", request.source.kind().name());
    if let Some(path) = &request.path_written {
        let _ = writeln!(text, "path = {}", quoted(&path.to_string_lossy()));
    }
    match &request.source {
        SourceSpec::Csv(spec) => {
            if spec.delimiter != b',' {
                let _ = writeln!(text, "delimiter = {}", quoted(&char::from(spec.delimiter).to_string()));
            }
            if spec.skip_lines != 0 {
                let _ = writeln!(text, "skip_lines = {}   # before the header", spec.skip_lines);
            }
            if spec.encoding != UTF_8 {
                let guess = if request.encoding_guessed { "   # guessed: see whether accents are right" } else { "" };
                let _ = writeln!(text, "encoding = {}{guess}", quoted(&spec.encoding.name().to_lowercase()));
            }
        }
        SourceSpec::Postgres(spec) => {
            let _ = writeln!(
                text,
                "host = {}\nport = {}\ndatabase = {}\nuser = {}",
                quoted(&spec.host),
                spec.port,
                quoted(&spec.database),
                quoted(&spec.user)
            );
            let _ = match &spec.relation {
                Relation::Table(parts) => writeln!(text, "table = {}", quoted(&parts.join("."))),
                Relation::Query(query) => writeln!(text, "query = {}", quoted(query)),
            };
            match &spec.tls {
                Tls::VerifyFull(Some(ca)) => {
                    let _ = writeln!(text, "ca = {}", quoted(&ca.to_string_lossy()));
                }
                Tls::Off if !spec.host.starts_with('/') => text.push_str("tls = \"off\"\n"),
                Tls::VerifyFull(None) | Tls::Off => {}
            }
            if let Some(path) = &spec.password_file {
                let _ = writeln!(text, "password_file = {}", quoted(&path.to_string_lossy()));
            }
        }
        SourceSpec::JsonL(_) | SourceSpec::Json(_) | SourceSpec::Parquet(_) => {}
    }
    if !nulls.is_empty() {
        let _ = writeln!(text, "null = [{}]   # texts that mean null", list(nulls));
    }
}

fn column(
    surveyed: &Surveyed,
    name: &str,
    nulls: &BTreeSet<&'static str>,
    everywhere: &BTreeSet<&'static str>,
    rows: u64,
) -> String {
    let mut text = "\n".to_owned();
    let guess = surveyed.profile.guess(nulls);
    for line in &guess.remarks {
        remark(&mut text, line);
    }
    match surveyed.profile.rows_null(nulls) {
        0 => {}
        null if null == rows => remark(&mut text, "null in every row"),
        null => remark(&mut text, &format!("null in {null} of {rows} rows")),
    }
    if let Some(set) = surveyed.profile.set().filter(|set| !set.is_empty()) {
        let values: Vec<_> = set.iter().map(|value| format!("'{}'", value.escape_debug())).collect();
        remark(&mut text, &format!("{}: {}", count(set.len() as u64, "value"), values.join(", ")));
    }
    let _ = writeln!(text, "[[column]]\nname = {}", quoted(name));
    if name != surveyed.name {
        let _ = writeln!(text, "source = {}", quoted(&surveyed.name));
    }
    let _ = writeln!(text, "type = \"{}\"", guess.kind);
    if let Some(format) = guess.format {
        let _ = writeln!(text, "format = {}", quoted(format));
    }
    if guess.decimal_comma {
        text.push_str("decimal_comma = true\n");
    }
    if nulls.iter().any(|token| !everywhere.contains(token)) {
        let all: BTreeSet<_> = everywhere.union(nulls).copied().collect();
        let _ = writeln!(text, "null = [{}]", list(&all));
    }
    text
}

/// Names that a schema may have: no control characters, not too long, all different.
fn names(columns: &[Surveyed]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let name_of = |column: &Surveyed| {
        let plain: String = column.name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
        let mut name = cut(&plain, NAME_BYTES_MAX);
        let mut number = 1;
        while !known.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{}_{number}", cut(&plain, NAME_BYTES_MAX - 8));
        }
        name
    };
    columns.iter().map(name_of).collect()
}

fn cut(text: &str, bytes: usize) -> String {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn list(texts: &BTreeSet<&'static str>) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    // Basic strings only: a manifest is read line by line.
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn remark(text: &mut String, line: &str) {
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut plain: String = plain.take(REMARK_CHARS_MAX).collect();
    if plain.chars().count() < line.chars().count() {
        plain.push('…');
    }
    let _ = writeln!(text, "# {plain}");
}

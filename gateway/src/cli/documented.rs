//! Every command line in README.md and docs, and every example of the help, is one of this program's:
//! what is documented cannot rot.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::ids::{AssetId, ChainId, TxHash};

use super::help::{command, every_example};

/// What files begin with: no commands.
const TITLES: [&str; 3] = ["sealgate blocks", "sealgate root 2", "sealgate nodes 1"];

/// A command line as it stands in a text.
struct Line {
    place: String,
    text: String,
    /// Whether it stands by itself in a block, to be typed as it is.
    whole: bool,
}

/// The words of a line as a shell would read them, without a comment at its end.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') | (None, '\\') => word.extend(chars.next()),
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if word.is_empty() => break,
            // The output goes elsewhere, or to another program.
            (None, '>' | '|' | '<' | ';' | '&') if !begun => {
                // As in 3<file.
                word.retain(|c| !c.is_ascii_digit());
                break;
            }
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What a placeholder stands for.
fn filled(word: &str) -> String {
    let address = || {
        let account = AccountSecret::generate("somebody").unwrap();
        account.address().to_string()
    };
    match word.trim_matches(['[', ']']) {
        "sg1…" | "ADDRESS" => address(),
        "asset1…" | "ID" => AssetId([7; 32]).to_string(),
        "chain1…" | "FINGERPRINT" => ChainId([7; 32]).to_string(),
        "HASH" | "PROPOSAL" => TxHash([7; 32]).to_string(),
        "N" => "1".into(),
        "A-B" => "0-9".into(),
        "COMMAND" => "ask".into(),
        "KIND" => "file".into(),
        "URL" => "http://127.0.0.1:1".into(),
        "URL=KEY" | "KEY" => "PLACEHOLDER".into(),
        other => other.into(),
    }
}

/// Why a line is no command of this program.
fn wrong(line: &Line) -> Option<String> {
    let mut words: Vec<String> = words(&line.text).iter().map(|word| filled(word)).collect();
    let elided = words.iter().any(|word| word.contains('…') && !word.contains(' '));
    let before: Vec<String> = words.clone();
    let mut at = 0;
    // Dots stand for an option's value, or for whatever else.
    words.retain(|word| {
        at += 1;
        word != "…" || before.get(at.max(2) - 2).is_some_and(|option| option.starts_with("--"))
    });
    let error = command().try_get_matches_from(&words).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        // A command that is named, and not spelled out.
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if elided || !line.whole =>
        {
            None
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
            if words.iter().any(|word| word.contains("PLACEHOLDER")) || (!line.whole && words.len() < 5) =>
        {
            None
        }
        _ if cfg!(not(feature = "simplex")) && words.get(1).is_some_and(|word| word == "network") => None,
        _ => Some(format!("{}: {}\n{error}", line.place, line.text)),
    }
}

/// The command lines of a Markdown text: lines of fenced blocks, and code between backticks.
fn lines_of(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("\\\n", " ");
    let (mut fenced, mut found) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let text = line.trim_start().trim_start_matches("$ ");
            if text.starts_with("sealgate ") {
                found.push(Line { place, text: text.into(), whole: true });
            }
        } else {
            let codes = line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("sealgate "));
            let codes = codes.filter(|code| !TITLES.contains(code));
            found.extend(codes.map(|code| Line { place: place.clone(), text: code.into(), whole: false }));
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    [pages("."), pages("docs"), pages("docs/spec")].concat()
}

#[test]
fn every_command_line_in_the_documents_is_one() {
    let lines: Vec<Line> = documents().iter().flat_map(|path| lines_of(path)).collect();
    assert!(lines.iter().filter(|line| line.whole).count() > 40, "the documents were not read");
    let wrong: Vec<String> = lines.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_of_the_help_is_one() {
    let lines = every_example().map(|text| Line { place: "example".into(), text: text.into(), whole: true });
    let wrong: Vec<String> = lines.filter_map(|line| wrong(&line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_that_is_none_is_found() {
    for (text, whole, is_wrong) in [
        ("sealgate ask --homes bank", true, true),
        ("sealgate aks", false, true),
        ("sealgate ask", true, true),
        ("sealgate ask", false, false),
        ("sealgate serve --data-dir DIR # a comment", true, false),
        ("sealgate completions bash > file", true, false),
        ("sealgate verify --home bank 'a b.json' extra", true, true),
        ("sealgate serve … 3<passphrase", false, false),
    ] {
        let line = Line { place: "here".into(), text: text.into(), whole };
        assert_eq!(wrong(&line).is_some(), is_wrong, "{text}: {:?}", wrong(&line));
    }
    assert_eq!(words("a 'b c' \"d 'e'\" f\\ g # h"), ["a", "b c", "d 'e'", "f g"]);
}

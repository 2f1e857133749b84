//! What packagers and shells take from the command line's definition: completions, and the manual.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use super::help::{command, examples};
use super::{Failure, Output};
use crate::files::FileError;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(args: &Completions, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "sealgate", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let result = serde_json::json!({ "shell": args.shell.to_string(), "script": script });
    output.result(&result, || script.trim_end().to_owned());
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command whose page is printed, such as: file get. The program's own unless given.
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Vec<String>,
    /// Folder to write the pages of all commands into, made if it is not there; pages that are there
    /// are replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn man(args: &Man, output: &Output) -> Result<(), Failure> {
    let mut root = command();
    root.build();
    if let Some(folder) = &args.out {
        return write(&root, folder, output);
    }
    let mut found = &root;
    for name in &args.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
            Failure::new(format!("there is no command '{name}' here; there are {}", known.join(", ")))
                .or_code(super::failure::NOT_FOUND)
        })?;
    }
    let page = page(found, &args.command.join(" "))?;
    output.result(&serde_json::json!({ "page": page }), || page.trim_end().to_owned());
    Ok(())
}

fn write(root: &Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(FileError::io(folder))?;
    let mut pages = Vec::new();
    collect(root, "", &mut pages)?;
    let mut names = Vec::new();
    for (path, page) in pages {
        let name =
            if path.is_empty() { "sealgate.1".to_owned() } else { format!("sealgate-{}.1", path.replace(' ', "-")) };
        let file = folder.join(&name);
        std::fs::write(&file, page).map_err(FileError::io(&file))?;
        names.push(name);
    }
    let result = serde_json::json!({ "folder": folder, "pages": names });
    output.result(&result, || format!("written     {} pages to {}", names.len(), folder.display()));
    Ok(())
}

fn collect(command: &Command, path: &str, pages: &mut Vec<(String, String)>) -> Result<(), Failure> {
    pages.push((path.to_owned(), page(command, path)?));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = if path.is_empty() { inner.get_name().to_owned() } else { format!("{path} {}", inner.get_name()) };
        collect(inner, &path, pages)?;
    }
    Ok(())
}

/// The page of a command: what clap knows, and what it does not.
fn page(command: &Command, path: &str) -> Result<String, Failure> {
    // The examples have a section of their own.
    let page = Page::new(command.clone().after_help(""));
    let mut roff = Vec::new();
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    if command.get_arguments().next().is_some() {
        page.render_options_section(&mut roff)?;
    }
    if command.get_subcommands().any(|inner| inner.get_name() != "help") {
        page.render_subcommands_section(&mut roff)?;
    }
    let mut text = String::from_utf8_lossy(&roff).into_owned();
    let lines = examples(path);
    if !lines.is_empty() {
        text.push_str(".SH EXAMPLES\n");
        for line in lines {
            text.push_str(&format!(".PP\n.nf\n{}\n.fi\n", escaped(line)));
        }
    }
    for (heading, entries) in [("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_STATUS)] {
        text.push_str(&format!(".SH \"{heading}\"\n"));
        for (what, means) in entries {
            text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(what), escaped(means)));
        }
    }
    let also = if path.is_empty() { "docs/command\\-line.md" } else { "\\fBsealgate\\fR(1)" };
    text.push_str(&format!(".SH \"SEE ALSO\"\n{also}\n"));
    Ok(ascii(&text))
}

/// Other letters than those of ASCII as roff has them everywhere (groff_char(7)).
fn ascii(text: &str) -> String {
    let letter = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    text.chars().map(letter).collect()
}

/// Text as roff has it (groff_man(7)).
fn escaped(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

const FILES: &[(&str, &str)] = &[
    ("DIR/sealgate.toml", "Configuration of an owner's data folder; init writes it with comments."),
    ("DIR/account.key, DIR/root.key, DIR/keys/", "Keys, which never leave the machine: docs/keys-and-backups.md."),
    ("DIR/ledger/", "The ledger: blocks.log is the truth, the index is rebuilt from it."),
    ("DIR/account.public", "What others may know of an account."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "SEALGATE_HOME, SEALGATE_DATA_DIR, SEALGATE_GATEWAY",
        "Stand for --home, --data-dir and --gateway where a command needs them and they are not given.",
    ),
    ("SEALGATE_PASSPHRASE, SEALGATE_PASSPHRASE_FILE", "The passphrase of the root key, or a file that holds it."),
    ("SEALGATE_ROOT_KEY, SEALGATE_ROOT_KEY_FILE", "The root key in hexadecimal digits, or a file that holds it."),
    (
        "SEALGATE_BACKUP_PASSPHRASE, SEALGATE_BACKUP_PASSPHRASE_FILE",
        "The passphrase of a backup, or a file that holds it.",
    ),
    (
        "SEALGATE_NEW_PASSPHRASE, SEALGATE_NEW_ROOT_KEY and the same with _FILE",
        "What init and keys rotate-root take for a new root key.",
    ),
    (
        "AWS_ENDPOINT, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        "Where the bucket of an s3:// store is, and who may use it.",
    ),
    ("PGPASSWORD", "The password of a database, where the manifest names no file with it."),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done, and everything that was checked holds."),
    ("1", "Failed, refused, denied, or something does not verify; with --json, code says which."),
    ("2", "The command line is not one of this program's."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_be_taken_for_roff() {
        assert_eq!(ascii("sg1… 王"), "sg1\\[u2026] \\[u738B]");
        assert_eq!(escaped(".SH 'a' --b \\n"), "\\&.SH \\(aqa\\(aq \\-\\-b \\en");
    }
}

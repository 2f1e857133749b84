//! What `--help` shows: commands by who needs them, and examples under each.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The commands by who needs them, in the order in which they are first needed.
const GROUPS: [(&str, &[&str]); 6] = [
    ("To begin", &["demo", "help", "doctor", "completions", "man"]),
    (
        "For a data owner",
        &["init", "manifest", "publish", "sync", "file", "grant", "revoke", "serve", "asset", "text", "budget", "keys"],
    ),
    (
        "For a requester",
        &[
            "account",
            "trust",
            "sign-in",
            "console",
            "catalogue",
            "ask",
            "fetch",
            "verify",
            "export",
            "receipt",
            "verify-receipt",
            "list",
        ],
    ),
    ("For an auditor", &["trail", "grants", "meter", "audit", "reads"]),
    ("For an operator", &["network", "member", "ceremony", "witness"]),
    ("For everybody with a folder", &["backup", "restore"]),
];

/// Examples of each command, which its help and its page of the manual show.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("demo", &["sealgate demo", "sealgate demo --no-serve --csv licences.csv --manifest licences.toml"]),
    (
        "doctor",
        &[
            "sealgate doctor --data-dir owner",
            "sealgate doctor --home bank --gateway http://127.0.0.1:8080",
            "sealgate doctor --gateway http://127.0.0.1:8080",
        ],
    ),
    (
        "completions",
        &[
            "sealgate completions bash > /usr/share/bash-completion/completions/sealgate",
            "sealgate completions zsh > ~/.zfunc/_sealgate",
            "sealgate completions fish > ~/.config/fish/completions/sealgate.fish",
        ],
    ),
    ("man", &["sealgate man --out /usr/local/share/man/man1", "sealgate man ask | man -l -"]),
    (
        "init",
        &[
            "sealgate init --data-dir owner --name \"Licensing Department\"",
            "sealgate init --data-dir owner --name Registry --auditor office/account.public --root-key passphrase",
        ],
    ),
    ("account new", &["sealgate account new --home bank --name \"Example Bank\""]),
    (
        "account enrol",
        &["sealgate account enrol --data-dir net/node1 bank/account.public --real-name \"Example Bank\""],
    ),
    ("account replace", &["sealgate account replace --home bank --gateway http://127.0.0.1:8080"]),
    ("sign-in", &["sealgate sign-in --data-dir owner", "sealgate sign-in --home bank --gateway http://127.0.0.1:8080"]),
    ("console", &["sealgate console --home bank --gateway http://127.0.0.1:8080"]),
    ("trust", &["sealgate trust --home bank chain1…"]),
    (
        "manifest infer",
        &[
            "sealgate manifest infer licences.csv --out licences.toml",
            "sealgate manifest infer postgres://reader@db.example.org/register --table licences --out licences.toml",
        ],
    ),
    ("serve", &["sealgate serve --data-dir owner --listen 127.0.0.1:8080"]),
    ("publish", &["sealgate publish --data-dir owner --manifest licences.toml"]),
    ("sync", &["sealgate sync --data-dir owner"]),
    ("file publish", &["sealgate file publish --data-dir owner --name plans --title \"Town plans\" plans.pdf"]),
    (
        "file get",
        &[
            "sealgate file get --gateway http://127.0.0.1:8080 --home bank --asset plans --purpose 'building permit' --out plans.pdf",
        ],
    ),
    (
        "grant",
        &[
            "sealgate grant --data-dir owner --asset licences --to sg1… --disclose Status --prove 'FeePaid >= 500' --purpose 'credit check' --quota 100",
            "sealgate grant --data-dir owner --asset licences --to sg1… --whole Status,LocalArea --purpose 'yearly statistics'",
        ],
    ),
    ("revoke", &["sealgate revoke --data-dir owner --asset licences --to sg1…"]),
    ("budget", &["sealgate budget --data-dir owner", "sealgate budget --gateway http://127.0.0.1:8080 --home office"]),
    (
        "catalogue",
        &[
            "sealgate catalogue --gateway http://127.0.0.1:8080",
            "sealgate catalogue --gateway http://127.0.0.1:8080 --home bank --mine --search licence",
        ],
    ),
    (
        "ask",
        &[
            "sealgate ask --gateway http://127.0.0.1:8080 --home bank --purpose 'credit check' --out answer.json 'SELECT Status, FeePaid >= 500 FROM licences WHERE LicenceRSN = 4528701'",
            "sealgate ask --gateway http://127.0.0.1:8080 --home bank --purpose 'credit check' --keys keys.csv --out answers.json 'SELECT Status FROM licences WHERE LicenceRSN = ?'",
        ],
    ),
    (
        "fetch",
        &[
            "sealgate fetch --gateway http://127.0.0.1:8080 --home bank --asset licences --purpose 'yearly statistics' --columns Status,LocalArea --out licences.parquet",
        ],
    ),
    ("verify", &["sealgate verify --home bank answer.json"]),
    ("export", &["sealgate export --home bank --format snarkjs --out proof answer.json"]),
    ("list", &["sealgate list licences --gateway http://127.0.0.1:8080 --home bank"]),
    ("receipt", &["sealgate receipt HASH --gateway http://127.0.0.1:8080 --home bank --out receipt.json"]),
    ("verify-receipt", &["sealgate verify-receipt receipt.json --home bank"]),
    (
        "trail",
        &[
            "sealgate trail --gateway http://127.0.0.1:8080 --home office --outcome denied,unanswered --export trail.json",
            "sealgate trail --gateway http://127.0.0.1:8080 --home office --verify trail.json",
        ],
    ),
    ("grants", &["sealgate grants --gateway http://127.0.0.1:8080 --home office --asset licences --as-of 120"]),
    ("meter", &["sealgate meter --gateway http://127.0.0.1:8080 --home office --csv meter.csv"]),
    (
        "reads",
        &[
            "sealgate reads --gateway http://127.0.0.1:8080 --home office",
            "sealgate reads --gateway http://127.0.0.1:8080 --home office --anchor",
        ],
    ),
    (
        "audit",
        &[
            "sealgate audit --gateway http://127.0.0.1:8080 --home office",
            "sealgate audit --data-dir owner --rehash --rate 20MB/s",
            "sealgate audit sample --gateway http://127.0.0.1:8080 --home office --asset licences --records 30",
        ],
    ),
    ("ceremony start", &["sealgate ceremony start --name \"Members 2027\" --out 0"]),
    ("ceremony contribute", &["sealgate ceremony contribute --home bank 0 --out 1"]),
    ("ceremony finish", &["sealgate ceremony finish 3 --out parameters"]),
    (
        "member propose",
        &[
            "sealgate member propose --data-dir net/node1 join member.json",
            "sealgate member propose --data-dir net/node1 policy --open-enrolment false",
        ],
    ),
    ("member endorse", &["sealgate member endorse --data-dir net/node2 PROPOSAL"]),
    ("network new", &["sealgate network new --members 4 --dir net"]),
    ("text put", &["sealgate text put --data-dir owner --name notice --title Notice --file notice.txt --public"]),
    ("asset accept", &["sealgate asset accept --data-dir net/node2 --asset asset1… --out consent.json"]),
    ("asset transfer", &["sealgate asset transfer --data-dir owner --asset licences --to sg1… --consent consent.json"]),
    ("asset take-over", &["sealgate asset take-over --data-dir owner"]),
    ("asset diff", &["sealgate asset diff --data-dir owner --asset licences"]),
    ("witness new", &["sealgate witness new --home witness --name witness.example/1"]),
    ("witness serve", &["sealgate witness serve --home witness --listen 127.0.0.1:8090"]),
    ("keys rotate-root", &["sealgate keys rotate-root --data-dir owner --to passphrase"]),
    ("keys rotate", &["sealgate keys rotate --data-dir owner --asset licences"]),
    (
        "backup",
        &["sealgate backup --data-dir owner --out owner.backup", "sealgate backup --home bank --out bank.backup"],
    ),
    ("restore", &["sealgate restore --from owner.backup --data-dir owner"]),
];

/// The examples of the command that is reached by these names.
pub(super) fn examples(path: &str) -> &'static [&'static str] {
    EXAMPLES.iter().find(|(known, _)| *known == path).map_or(&[], |(_, examples)| *examples)
}

/// Every example there is.
#[cfg(test)]
pub(super) fn every_example() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().flat_map(|(_, lines)| lines.iter().copied())
}

/// The command line's definition, with commands in groups and examples.
pub(super) fn command() -> Command {
    let command = with_examples(Cli::command(), "");
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}\n\n\
         'sealgate help COMMAND' says more of each; 'sealgate man --out DIR' writes the manual.",
        sections(&command)
    );
    command.help_template(template)
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let inner = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |command| with_examples(command, &inner))
    });
    match examples(path) {
        [] => command,
        lines => command.after_help(format!("Examples:\n  {}", lines.join("\n  "))),
    }
}

/// The commands under their headings.
fn sections(command: &Command) -> String {
    let about = |name: &str| {
        let about = command.find_subcommand(name)?.get_about()?.to_string();
        // The first sentence is enough here.
        let first = about.split([':', ';']).next().unwrap_or_default().trim_end_matches('.');
        Some(format!("  {name:15} {first}\n"))
    };
    let help = |name: &str| (name == "help").then(|| format!("  {name:15} Say more of a command\n"));
    let section = |(heading, names): &(&str, &[&str])| {
        let lines: String = names.iter().filter_map(|name| help(name).or_else(|| about(name))).collect();
        format!("\n{heading}:\n{lines}")
    };
    GROUPS.iter().map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_stands_under_one_heading() {
        let command = Cli::command();
        for inner in command.get_subcommands() {
            let count = GROUPS.iter().flat_map(|(_, names)| *names).filter(|name| **name == inner.get_name()).count();
            assert_eq!(count, 1, "'{}' stands under {count} headings", inner.get_name());
        }
        super::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_says_what_it_is_for() {
        fn walk(command: &Command, path: &str) {
            assert!(command.get_about().is_some(), "'{path}' says nothing");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "'{path}' has a silent argument {}", argument.get_id());
            }
            command.get_subcommands().for_each(|inner| walk(inner, &format!("{path} {}", inner.get_name())));
        }
        walk(&super::command(), "sealgate");
    }

    #[test]
    fn examples_are_commands() {
        fn has(command: &Command, path: &str) -> bool {
            path.split(' ').try_fold(command, |command, name| command.find_subcommand(name)).is_some()
        }
        let command = Cli::command();
        for (path, lines) in EXAMPLES {
            let left_out = cfg!(not(feature = "simplex")) && path.starts_with("network");
            assert!(has(&command, path) || left_out, "there is no '{path}'");
            assert!(lines.iter().all(|line| line.starts_with(&format!("sealgate {path}"))), "{path}");
        }
    }
}

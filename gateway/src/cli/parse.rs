//! From what was typed to a command: what the environment has stands for what was left out, and
//! what cannot be a command is refused.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Error, FromArgMatches as _};

use super::help::command;
use super::{Cli, Failure, Output};

/// Options that an environment variable may stand for: what clap calls them, how usage shows them, and
/// the variable.
const STAND_INS: [(&str, &str, &str); 3] = [
    ("home", "--home <DIR>", "SEALGATE_HOME"),
    ("data_dir", "--data-dir <DIR>", "SEALGATE_DATA_DIR"),
    ("gateway", "--gateway <URL>", "SEALGATE_GATEWAY"),
];

/// Whether this program can be a node of a network.
const NETWORKS: bool = cfg!(feature = "simplex");

/// Reads a command line, the program's name first; `variable` gives the environment.
///
/// A variable is looked at only when a command misses the option: what is typed always goes first,
/// and a variable that is set never gets in the way of a command that does without.
///
/// # Errors
/// Clap's, also for `--help` and `--version`.
pub(super) fn parse(mut arguments: Vec<OsString>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Cli, Error> {
    loop {
        let error = match command().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches))
        {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        // Each round adds an option that was missing: there is an end to it.
        match filled_in(&arguments, &error, &variable) {
            Some(more) => arguments = more,
            None => return Err(error),
        }
    }
}

/// The arguments with one option that was missing and that a variable stands for.
fn filled_in(
    arguments: &[OsString],
    error: &Error,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> Option<Vec<OsString>> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
    let given = STAND_INS.iter().filter_map(|stand_in| Some((stand_in, variable(stand_in.2)?)));
    let given: Vec<_> = given.filter(|(_, value)| !value.is_empty()).collect();
    missing.iter().find_map(|missing| {
        // One of two folders is missing: the one that has a variable, if the other has none.
        let alternatives: Vec<&str> = missing.trim_matches(['<', '>']).split('|').collect();
        let shows =
            |shown: &str| alternatives.iter().any(|one| shown.trim_end_matches('>') == one.trim_end_matches('>'));
        let mut fitting = given.iter().filter(|((_, shown, _), _)| shows(shown));
        match (fitting.next(), fitting.next()) {
            (Some(((id, shown, _), value)), None) => insert(arguments, id, shown, value),
            _ => None,
        }
    })
}

/// Puts an option behind the name of the innermost command that has it.
fn insert(arguments: &[OsString], id: &str, shown: &str, value: &OsString) -> Option<Vec<OsString>> {
    let root = command();
    let (mut at, mut place) = (&root, None);
    for (index, argument) in arguments.iter().enumerate().skip(1) {
        let Some(inner) = argument.to_str().and_then(|name| at.find_subcommand(name)) else {
            // Options that stand between commands, such as --json, take no value.
            if argument.to_str().is_some_and(|text| text.starts_with("--") && text.len() > 2) {
                continue;
            }
            break;
        };
        at = inner;
        if at.get_arguments().any(|argument| argument.get_id() == id) {
            place = Some(index + 1);
        }
    }
    let option = shown.split(' ').next()?;
    let mut more = arguments.to_vec();
    more.splice(place?..place?, [OsString::from(option), value.clone()]);
    Some(more)
}

/// Says why a command line is none, or shows the help that was asked for.
pub(super) fn refuse(error: &Error, arguments: &[OsString]) -> ExitCode {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    let for_machines = arguments.iter().any(|argument| argument == "--json");
    match error.kind() {
        ErrorKind::DisplayVersion if for_machines => {
            Output::new(true).result(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }), String::new);
        }
        // Help is for people, whoever asks.
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
        }
        kind => {
            let _ = error.print();
            if kind == ErrorKind::InvalidSubcommand
                && arguments.iter().any(|argument| argument == "network")
                && !NETWORKS
            {
                eprintln!(
                    "\n'sealgate network' needs a program with networks: cargo build --release --features simplex"
                );
            }
            if for_machines {
                let text = error.render().to_string();
                let line = match kind {
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                        "a command is missing"
                    }
                    _ => text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: "),
                };
                let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
                Output::new(true).failure(&Failure::new(line).or_code("usage"));
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn parsed(line: &str, variables: &[(&str, &str)]) -> Result<Cli, Error> {
        let arguments = line.split(' ').map(OsString::from).collect();
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        parse(arguments, variable)
    }

    const ALL: [(&str, &str); 3] =
        [("SEALGATE_HOME", "h"), ("SEALGATE_DATA_DIR", "d"), ("SEALGATE_GATEWAY", "http://g:1")];

    #[test]
    fn variables_stand_for_what_is_left_out() {
        let line = "sealgate --json ask --purpose p --out o SELECT";
        let Ok(Cli { command: Command::Ask(ask), json: true, .. }) = parsed(line, &ALL) else { panic!() };
        assert!(format!("{ask:?}").contains("http://g:1") && format!("{ask:?}").contains("home: \"h\""), "{ask:?}");
        assert_eq!(parsed(line, &ALL[1..]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        // What is typed goes first, and an option goes where it belongs.
        let typed = parsed("sealgate serve --data-dir typed", &ALL).unwrap();
        assert!(format!("{typed:?}").contains("typed") && !format!("{typed:?}").contains("\"d\""), "{typed:?}");
        let nested = parsed("sealgate member propose leave sg1", &ALL).unwrap_err();
        assert_eq!(nested.kind(), ErrorKind::ValueValidation, "the folder was found, the address is wrong: {nested}");
        // An empty variable is none.
        let empty = parsed("sealgate serve", &[("SEALGATE_DATA_DIR", "")]).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn a_variable_that_is_not_needed_changes_nothing() {
        let verify = parsed("sealgate verify --home h a.json", &ALL).unwrap();
        assert!(!format!("{verify:?}").contains("http://g:1"), "{verify:?}");
        let audit = parsed("sealgate audit --data-dir x", &ALL).unwrap();
        assert!(!format!("{audit:?}").contains("http://g:1"), "{audit:?}");
    }

    #[test]
    fn of_two_folders_the_one_that_has_a_variable_is_meant() {
        let audit = parsed("sealgate audit", &ALL[1..2]).unwrap();
        assert!(format!("{audit:?}").contains("data_dir: Some(\"d\")"), "{audit:?}");
        let audit = parsed("sealgate audit --gateway http://x:1", &ALL).unwrap();
        assert!(format!("{audit:?}").contains("home: Some(\"h\")"), "{audit:?}");
        let backup = parsed("sealgate backup --out f", &ALL[..1]).unwrap();
        assert!(format!("{backup:?}").contains("home: Some(\"h\")"), "{backup:?}");
        assert!(parsed("sealgate backup --out f", &ALL).is_err(), "which of two folders is not for a variable to say");
    }
}

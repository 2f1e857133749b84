//! What a serving process writes to its error stream: one line for each event, for people or for machines
//! (docs/spec/api.md#log). Nothing secret is logged: no keys, tokens, questions or answers, and of addresses
//! no more than the route's template.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Variable that says from which level on events are written: `error`, `warn`, `info` or `debug`.
pub const VARIABLE: &str = "SEALGATE_LOG";

/// The form of a log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to write. A second call changes nothing.
///
/// # Errors
/// What is wrong with [`VARIABLE`].
pub fn start(format: LogFormat) -> Result<(), String> {
    let named = std::env::var(VARIABLE).unwrap_or_default();
    let registry = tracing_subscriber::registry();
    let filter = targets(level(&named)?);
    // Colours are for eyes.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => registry.with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_current_span(false).with_filter(filter)).try_init()
        }
    };
    // Another part of this process, a test's for example, writes already.
    drop(started);
    Ok(())
}

/// Our own events from a level on, and what others warn of, but for what a part of the agreement's library
/// says whenever it is stopped. The results of syncs and checks are always written.
fn targets(level: Level) -> Targets {
    let results = level.max(Level::INFO);
    Targets::new()
        .with_default(Level::WARN)
        .with_target("sealgate", level)
        .with_target("sealgate_gateway", level)
        .with_target("sealgate_ledger", level)
        .with_target("sealgate_ods", level)
        .with_target("sealgate_gateway::syncing", results)
        .with_target("sealgate_gateway::rehashing", results)
        .with_target("sealgate_gateway::api::tls", results)
        .with_target("commonware_resolver", LevelFilter::OFF)
}

fn level(name: &str) -> Result<Level, String> {
    Ok(match name {
        "" | "warn" => Level::WARN,
        "error" => Level::ERROR,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        other => {
            let other: String = other.escape_debug().take(50).collect();
            return Err(format!("{VARIABLE} is '{other}': write error, warn, info or debug"));
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_level_is_one_of_four() {
        assert_eq!((level("").unwrap(), level("debug").unwrap()), (Level::WARN, Level::DEBUG));
        for wrong in ["trace", "INFO", "sealgate=debug", "2"] {
            assert!(level(wrong).unwrap_err().contains("error, warn, info or debug"), "{wrong}");
        }
    }

    #[test]
    fn others_are_heard_when_they_warn() {
        let targets = targets(Level::DEBUG);
        assert!(targets.would_enable("sealgate_gateway::api::edge", &Level::DEBUG));
        assert!(!targets.would_enable("hyper::proto", &Level::INFO) && targets.would_enable("hyper", &Level::WARN));
        assert!(!targets.would_enable("commonware_resolver::p2p", &Level::ERROR));
        let usual = super::targets(Level::WARN);
        assert!(usual.would_enable("sealgate_gateway::syncing", &Level::INFO));
        assert!(!usual.would_enable("sealgate_gateway::api::edge", &Level::INFO));
    }
}

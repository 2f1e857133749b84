//! The `sealgate` binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    sealgate_gateway::cli::run().await
}

//! `sealgate demo`: the whole story on one machine, every step as the commands would do it.
use crate::cli::{Failure, Output};
#[derive(Debug, clap::Args)]
/// x
pub struct Args {}
/// x
pub async fn run(_: Args, _: &Output) -> Result<(), Failure> { Ok(()) }

//! `cargo xtask month`: an honest month of a busy host, and the same with twenty attackers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{HOST_CRATES, become_it, cargo, must, target_dir};

/// Makes a month of a busy host's logs from a seed, replays it through the shipped packs, alone and with
/// twenty attackers mixed in, and prints who was banned and what an admin would have read.
///
/// It exits 1 where somebody honest was banned, or an attacker wasn't.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the logs into this folder as well: DIR/honest and DIR/attacked
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another month
    #[arg(long, default_value_t = 4)]
    seed: u64,
    /// Another length
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(7..=365))]
    days: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    must(cargo().arg("build").args(HOST_CRATES).args(["--bin", "month"]))?;
    let mut month = Command::new(target_dir().join("debug/month"));
    month.args([args.seed.to_string(), args.days.to_string()]).args(&args.out);
    become_it(&mut month)
}

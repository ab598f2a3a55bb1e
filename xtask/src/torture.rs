//! `cargo xtask torture`: writers at full speed, rotation of every kind, and a daemon that is killed all the while.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, cargo, must, target_dir};
use crate::provision;

/// Kills the daemon at random and at chosen moments while its logs are written and rotated, and proves against a
/// model that every line counted once, no ban is missing or wrong, and each mail came once.
///
/// Takes root and some minutes; writes docs/torture.md, and exits 1 where something was lost, doubled or wrong.
/// `cargo xtask test` does a little of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Go on with the next seed until so many minutes are over
    #[arg(long, default_value_t = 0)]
    minutes: u32,
    /// Other chances
    #[arg(long, default_value_t = 5)]
    seed: u64,
    /// Deaths at random moments; each chosen moment comes a twelfth as often, on top of them
    #[arg(long, default_value_t = 60)]
    kills: u32,
    /// Lines in all
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    provision::lab()?;
    build_ebpf::run(&build_ebpf::Args::default())?;
    must(cargo().arg("build").args(HOST_CRATES).args(["--bin", "ravelin", "--bin", "torture"]))?;
    let Args { minutes, seed, kills, lines } = args;
    let numbers = [*seed, *lines, (*kills).into(), kills.div_ceil(12).into(), (*minutes).into()];
    let mut torture = Command::new(target_dir().join("debug/torture"));
    torture.args(numbers.map(|number| number.to_string()));
    become_it(&mut torture)
}

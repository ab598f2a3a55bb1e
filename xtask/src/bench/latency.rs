//! `cargo xtask bench latency`: from a line written to the first packet dropped.

use std::process::Command;

use anyhow::Result;

use super::peers;
use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, must, target_dir};
use crate::provision;

/// How long it takes from a line written to the first packet dropped: from a file, a journal and an EVE socket,
/// beside fail2ban.
///
/// Takes root and a few minutes, on a machine that does nothing else; writes docs/benchmarks/latency.md.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Bans on each way in
    #[arg(long, default_value_t = 1_000)]
    bans: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    peers::provision()?;
    provision::bench_datapath();
    build_ebpf::run(&build_ebpf::Args::default())?;
    let build = || super::pipeline::release_build();
    must(build().args(["build", "--locked", "--release", "-p", "ravelin"]))?;
    must(build().arg("build").args(HOST_CRATES).args(["--bin", "bench-latency"]))?;
    let mut bench = Command::new(target_dir().join("debug/bench-latency"));
    bench.arg(args.bans.to_string());
    if args.json {
        bench.arg("--json");
    }
    become_it(&mut bench)
}

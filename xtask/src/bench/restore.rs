//! `cargo xtask bench restore`: how long a host is without its bans after a reboot.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, must, target_dir};
use crate::provision;

/// How long a million bans take from the database into the kernel, beside ipset and nftables.
///
/// Takes root and a few minutes, on a machine that does nothing else; writes docs/benchmarks/restore.md.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    provision::bench_datapath();
    build_ebpf::run(&build_ebpf::Args::default())?;
    let build = || super::pipeline::release_build();
    must(build().args(["build", "--release", "-p", "ravelin"]))?;
    must(build().arg("build").args(HOST_CRATES).args(["--bin", "bench-restore"]))?;
    let mut bench = Command::new(target_dir().join("debug/bench-restore"));
    if args.json {
        bench.arg("--json");
    }
    become_it(&mut bench)
}

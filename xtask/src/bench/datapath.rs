//! `cargo xtask bench datapath`: what the XDP program costs a packet.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, cargo, must, target_dir};

/// Measures what the XDP program costs a packet, and writes docs/benchmarks/datapath.md.
///
/// Takes root and about two minutes, on a machine that does nothing else. It is the kernel that is measured:
/// how our own program is built doesn't matter, and it isn't built anew for this.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    build_ebpf::run(&build_ebpf::Args::default())?;
    must(cargo().arg("build").args(HOST_CRATES).args(["--bin", "bench-datapath"]))?;
    let mut bench = Command::new(target_dir().join("debug/bench-datapath"));
    if args.json {
        bench.arg("--json");
    }
    become_it(&mut bench)
}

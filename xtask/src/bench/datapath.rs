//! `cargo xtask bench datapath`: what the XDP program costs a packet, and how many are dropped.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, must, target_dir};
use crate::provision;

/// What the XDP program costs a packet, and how many are dropped beside xdp-filter, nftables, ipset, iptables.
///
/// Takes root and three to five minutes, on a machine that does nothing else; writes
/// docs/benchmarks/datapath.md. On Debian it installs what is missing to compare with. It is the kernel that
/// is measured: how our own program is built doesn't matter, and it isn't built anew for this.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure one part only, and write no page
    #[arg(long)]
    only: Option<Part>,
}

/// A part of what is measured.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Drops on a veth, beside others
    Drops,
    /// The program alone, case by case
    Cost,
    /// The program in pieces, and one source over two CPUs
    Pieces,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    provision::bench_datapath();
    build_ebpf::run(&build_ebpf::Args::default())?;
    build_ebpf::variants()?;
    // As plain `cargo build` does, or all that needs TLS is built anew.
    must(
        super::pipeline::release_build()
            .arg("build")
            .args(HOST_CRATES)
            .args(["--bin", "bench-datapath"]),
    )?;
    let mut bench = Command::new(target_dir().join("debug/bench-datapath"));
    if args.json {
        bench.arg("--json");
    }
    if let Some(part) = args.only {
        let part = match part {
            Part::Drops => "drops",
            Part::Cost => "cost",
            Part::Pieces => "pieces",
        };
        bench.args(["--only", part]);
    }
    become_it(&mut bench)
}

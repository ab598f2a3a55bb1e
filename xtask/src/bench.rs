//! `cargo xtask bench`: the figures of the design, each beside its peer in the same run.

mod datapath;
mod latency;
mod logs;
mod memory;
mod peers;
mod pipeline;
mod plot;
mod report;
mod restore;
mod timing;

use anyhow::Result;
use clap::Subcommand;

/// Measures, and writes what was measured to `docs/benchmarks`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Datapath(datapath::Args),
    Latency(latency::Args),
    Pipeline(pipeline::Args),
    Restore(restore::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Datapath(args) => datapath::run(args),
        What::Latency(args) => latency::run(args),
        What::Pipeline(args) => pipeline::run(args),
        What::Restore(args) => restore::run(args),
    }
}

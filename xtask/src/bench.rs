//! `cargo xtask bench`: the figures of the design, each beside its peer in the same run.

mod datapath;

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
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Datapath(args) => datapath::run(args),
    }
}

//! `cargo xtask test`: everything that can be tested on this machine.

use anyhow::Result;

use crate::cargo::{HOST_CRATES, cargo, must, quietly};
use crate::{build_ebpf, kernels, provision};

/// Runs every test: units, packet tables, namespaces, other kernels, and the demo's scenarios end to end.
///
/// Needs root (network namespaces, XDP) and, on Debian, installs what the lab needs and this machine
/// lacks. What is given after `--` goes to the test programs: `cargo xtask test -- forged` runs the tests
/// with that word in their name.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the test programs are called with
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    provision::lab()?;
    kernels::provide();
    build_ebpf::run(&build_ebpf::Args::default())?;
    // A workspace of its own, which nothing else here would miss.
    quietly(cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--manifest-path",
        "fuzz/Cargo.toml",
    ]))?;
    // The lab runs the programs themselves; tests alone wouldn't build them.
    must(cargo().arg("build").args(HOST_CRATES).arg("--bins"))?;
    must(cargo().arg("test").args(HOST_CRATES).arg("--no-fail-fast").arg("--").args(&args.args))
}

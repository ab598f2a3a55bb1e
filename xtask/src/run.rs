//! `cargo xtask run`: both halves built, and the daemon's program run.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, become_it, cargo, must, root, target_dir};

/// Builds the XDP object and `ravelin`, and runs `ravelin` with ARGS.
///
/// `cargo xtask run -- run --iface eth0` starts the daemon on eth0 (as root);
/// `cargo xtask run -- check --config ravelin.yaml` checks a configuration.
/// Everything after `--` goes to `ravelin` as it is.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisation, as it is shipped
    #[arg(long)]
    release: bool,
    /// What `ravelin` is called with
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    build_ebpf::run(&build_ebpf::Args::default())?;
    let mut build = cargo();
    build.arg("build").args(HOST_CRATES).args(["--bin", "ravelin"]);
    if args.release {
        build.arg("--release");
    }
    must(&mut build)?;
    let profile = if args.release { "release" } else { "debug" };
    let mut ravelin = Command::new(target_dir().join(profile).join("ravelin"));
    ravelin.args(&args.args).current_dir(root());
    become_it(&mut ravelin)
}

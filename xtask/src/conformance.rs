//! `cargo xtask conformance`: how well the shipped packs read other projects' log lines.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{HOST_CRATES, become_it, cargo, must, root, target_dir};

/// Reads the shared corpora through the shipped packs and prints, file by file, how many lines are blamed on
/// the right address, on none where one was due, and on a wrong one.
///
/// The corpora are fail2ban's, OSSEC's and Wazuh's own tests, looked for below $RAVELIN_SHARED, in ../shared
/// and in /work/shared; where they are absent it says so and exits 0. It exits 1 where a target is missed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the tables to docs/conformance.md as well
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    must(cargo().arg("build").args(HOST_CRATES).args(["--bin", "conformance"]))?;
    let mut conformance = Command::new(target_dir().join("debug/conformance"));
    if args.write {
        conformance.arg(root().join("docs/conformance.md"));
    }
    become_it(&mut conformance)
}

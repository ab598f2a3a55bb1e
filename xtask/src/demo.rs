//! `cargo xtask demo`: the main job, shown.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{HOST_CRATES, become_it, cargo, must, target_dir};
use crate::{build_ebpf, provision};

/// Shows Ravelin at work against real attacks, in a lab that it makes and removes itself.
///
/// The lab is a small internet of network namespaces on this machine: a server with Suricata, OpenSSH,
/// nginx, Postfix and Ravelin, attackers with nmap and ssh, and visitors who must not be harmed. Nothing
/// of it touches this machine's own network, services or files. It takes about a minute, prints what
/// happens as it happens, and exits 0 only if every claim it makes was observed.
///
/// Needs root and, on Debian, installs what the lab needs and this machine lacks: its services are neither
/// started nor enabled.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the lab's logs in this folder when it is over
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<std::path::PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    provision::lab()?;
    build_ebpf::run(&build_ebpf::Args::default())?;
    must(cargo().arg("build").args(HOST_CRATES).arg("--bins"))?;
    let mut demo = Command::new(target_dir().join("debug/demo"));
    if let Some(dir) = &args.keep_logs {
        demo.env("RAVELIN_LAB_LOGS", std::path::absolute(dir)?);
    }
    become_it(&mut demo)
}

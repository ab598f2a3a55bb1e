//! `ravelin run`: the daemon, in the foreground.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use tracing_subscriber::EnvFilter;

use super::Done;
use super::args::Run;
use crate::daemon;

pub(super) fn run(config: Option<&Path>, args: &Run) -> anyhow::Result<Done> {
    // aya speaks `log`; the subscriber takes that in too.
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("RAVELIN_LOG").unwrap_or_else(|_unset| EnvFilter::new("info")),
        )
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    daemon::run(&daemon::Options {
        config: config.map(Path::to_owned),
        dry_run: args.dry_run,
        interfaces: args.iface.clone(),
        confirm_within: args.confirm_within,
    })?;
    Ok(Done::Well)
}

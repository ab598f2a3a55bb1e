//! `ravelin reload`: has the daemon take over what has changed in its files.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::args::Reload;
use super::{Done, setup};
use crate::control::{Request, Response};

pub(super) fn run(config: Option<&Path>, args: &Reload) -> anyhow::Result<Done> {
    let config = setup::config(config).context("nothing was changed")?;
    let changes = match setup::ask_daemon(&config, &Request::Reload)? {
        Response::Reloaded { changes } => changes,
        other => return Err(setup::unexpected("reload", &other)),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "changes": changes }))?;
    } else if changes.is_empty() {
        writeln!(out, "Reloaded; nothing had changed.")?;
    } else {
        writeln!(out, "Reloaded:")?;
        for change in changes {
            writeln!(out, "  {change}")?;
        }
    }
    Ok(Done::Well)
}

//! `ravelin ban`: by hand.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::bail;

use super::args::Ban;
use super::{Done, setup};
use crate::control::{ListedPorts, Request, Response};
use crate::host;

pub(super) fn run(config: Option<&Path>, args: &Ban) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    if !args.force
        && let Some(peer) = host::own_session()
        && args.target.contains(peer)
    {
        bail!(
            "{} holds {peer}, from where this SSH session comes; say --force if that is meant",
            args.target
        );
    }
    // The daemon's sandbox doesn't let it see whose socket an sshd's is, so this looks as well.
    if !args.force
        && let Some(peer) =
            host::ssh_peers(args.target.net()).ok().and_then(|peers| peers.into_iter().next())
    {
        bail!(
            "{} holds {peer}, the peer of a live SSH session; say --force if that is meant",
            args.target
        );
    }
    let ttl_s = if args.permanent {
        None
    } else {
        Some(args.ttl.unwrap_or(config.ban.ttl).as_secs().max(1))
    };
    let request = Request::Ban {
        target: args.target,
        ttl_s,
        ports: args.ports.clone(),
        reason: args.reason.clone(),
        force: args.force,
    };
    match setup::ask_daemon(&config, &request)? {
        Response::Banned { target, expires, passing, off } => {
            let mut out = io::stdout().lock();
            if args.json {
                let document = serde_json::json!({
                    "target": target, "expires": expires, "passing": passing, "off": off,
                    "ports": args.ports.as_ref().map(ListedPorts::from)
                });
                writeln!(out, "{document}")?;
                return Ok(Done::Well);
            }
            let from = match &args.ports {
                Some(ports) => format!(" from ports {ports}"),
                None => String::new(),
            };
            match expires {
                Some(expires) => writeln!(out, "{target} is banned{from} until {expires}.")?,
                None => writeln!(out, "{target} is banned{from} until lifted.")?,
            }
            if !passing.is_empty() {
                writeln!(out, "Allowed inside it, and passing: {}.", passing.join(", "))?;
            }
            if off {
                writeln!(
                    out,
                    "It drops nothing until `ravelin panic --end`: everything passes now."
                )?;
            }
            Ok(Done::Well)
        }
        other => Err(setup::unexpected("ban", &other)),
    }
}

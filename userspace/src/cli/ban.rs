//! `ravelin ban`: by hand.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::bail;

use super::args::Ban;
use super::{Done, setup};
use crate::control::{self, Request, Response};

pub(super) fn run(config: Option<&Path>, args: &Ban) -> anyhow::Result<Done> {
    let config = setup::config(config)?;
    let ttl_s = if args.permanent {
        None
    } else {
        Some(args.ttl.unwrap_or(config.ban.ttl).as_secs().max(1))
    };
    let request =
        Request::Ban { target: args.target, ttl_s, reason: args.reason.clone(), force: args.force };
    match control::request(&config.run_dir, &request)? {
        Response::Banned { target, expires, passing } => {
            let mut out = io::stdout().lock();
            if args.json {
                let document = serde_json::json!({
                    "target": target, "expires": expires, "passing": passing
                });
                writeln!(out, "{document}")?;
                return Ok(Done::Well);
            }
            match expires {
                Some(expires) => writeln!(out, "{target} is banned until {expires}.")?,
                None => writeln!(out, "{target} is banned until lifted.")?,
            }
            if !passing.is_empty() {
                writeln!(out, "Allowed inside it, and passing: {}.", passing.join(", "))?;
            }
            Ok(Done::Well)
        }
        Response::Refused { message } => bail!("{message}"),
        other => bail!("expected an answer to `ban`, got {other:?}"),
    }
}

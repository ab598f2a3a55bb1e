//! `ravelin unban`: lifts bans, through the daemon or, where none lives, in the pinned maps and the
//! database themselves.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::bail;

use super::args::Unban;
use super::{Done, setup};
use crate::blocklist::{KernelBan, Pinned};
use crate::config::Config;
use crate::control::{Request, Response};
use crate::daemon::not_banned;
use crate::event::{Origin, Target, Timestamp};
use crate::store::{Effect, Store};

pub(super) fn run(config: Option<&Path>, args: &Unban) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    let request = match args.target {
        Some(target) => Request::Unban { target },
        None => Request::UnbanAll,
    };
    let lifted = match setup::ask(&config, &request)? {
        Some(Response::Unbanned { lifted }) => lifted,
        Some(other) => return Err(setup::unexpected("unban", &other)),
        None => without_daemon(&config, args.target)?,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "lifted": lifted }))?;
    } else {
        match args.target {
            Some(target) => writeln!(out, "{target} is no longer banned.")?,
            None => writeln!(out, "{lifted} bans lifted.")?,
        }
    }
    Ok(Done::Well)
}

pub(super) fn without_daemon(config: &Config, target: Option<Target>) -> anyhow::Result<u64> {
    let mut pinned = Pinned::open(&config.bpf_dir)?;
    let lifted: Vec<KernelBan> = match target {
        Some(target) => match pinned.remove(target)? {
            Some(ban) => vec![ban],
            None => {
                bail!("{}", not_banned(target, pinned.entries()?.iter().map(|ban| ban.target)));
            }
        },
        None => {
            let all = pinned.entries()?;
            pinned.remove_all()?;
            all
        }
    };
    // The kernel let go already; a database that can't be written would bring the ban back at the next start.
    let (mut store, _) = Store::open(&config.state_dir)?;
    let at = Timestamp::now();
    let effects: Vec<Effect> = lifted
        .iter()
        .map(|ban| Effect::Unbanned {
            target: ban.target,
            at,
            by: Origin::Hand,
            forgive: true,
            packets: ban.packets,
            bytes: ban.bytes,
        })
        .collect();
    store.commit(&effects)?;
    Ok(lifted.len() as u64)
}

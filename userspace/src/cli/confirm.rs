//! `ravelin confirm`: a person says that the host can be reached after a start with `--confirm-within`. Also
//! without the daemon, since the deadline lies in the pinned map.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::bail;

use super::args::Confirm;
use super::{Done, setup};
use crate::blocklist::{BlocklistError, Clock, Pinned, Probation};
use crate::config::Config;
use crate::control::{Request, Response};
use crate::daemon::{NOTHING_TO_CONFIRM, UNCONFIRMED};

pub(super) fn run(config: Option<&Path>, args: &Confirm) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    match setup::ask(&config, &Request::Confirm)? {
        Some(Response::Confirmed) => {}
        Some(other) => return Err(setup::unexpected("confirm", &other)),
        None => without_daemon(&config)?,
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "confirmed": true }))?;
    } else {
        writeln!(out, "Confirmed: the protection stays.")?;
    }
    Ok(Done::Well)
}

fn without_daemon(config: &Config) -> anyhow::Result<()> {
    let mut pinned = match Pinned::open(&config.bpf_dir) {
        Ok(pinned) => pinned,
        Err(BlocklistError::NothingPinned { .. }) => bail!("{NOTHING_TO_CONFIRM}"),
        Err(error) => return Err(error.into()),
    };
    match pinned.probation(Clock::read().monotonic_ns())? {
        Probation::Until(_) => Ok(pinned.confirm()?),
        Probation::Over => bail!("{NOTHING_TO_CONFIRM}"),
        Probation::Failed => bail!("{UNCONFIRMED}"),
    }
}

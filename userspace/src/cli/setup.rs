//! What several commands begin with.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;

use super::args::When;
use crate::config::{self, Config};
use crate::control::{self, ClientError, Request, Response};
use crate::daemon;
use crate::engine::Engine;
use crate::event::Timestamp;
use crate::format::{Decoder, Selection};
use crate::host::{self, Facts};
use crate::policy::{AllowFiles, SuricataProof};
use crate::rules::{ListWatch, Packs};
use crate::source::{Export, LineCap, WholeLines};

/// The configuration, or what is wrong with it.
pub(super) fn config(path: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::load(path)?)
}

/// The configuration of the daemon that runs or ran: where the file has become invalid, its last good copy,
/// as the daemon itself does it. Nobody should have to mend a file to lift a ban.
pub(super) fn standing_config(path: Option<&Path>) -> anyhow::Result<Config> {
    let loaded = config::load_or_last_good(path)?;
    if let Some(error) = &loaded.degraded {
        warn(&format!("{error}; its last good copy is used"))?;
    }
    Ok(loaded.config)
}

/// Says something to people beside the command's own output.
pub(super) fn warn(message: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "ravelin: {message}")
}

/// The daemon's answer; `None` where no daemon lives. What it refuses is an error.
pub(super) fn ask(config: &Config, request: &Request) -> anyhow::Result<Option<Response>> {
    match control::request(&config.run_dir, request) {
        Ok(Response::Refused { message }) => bail!("{message}"),
        Ok(response) => Ok(Some(response)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The answer of a daemon that has to be there.
pub(super) fn ask_daemon(config: &Config, request: &Request) -> anyhow::Result<Response> {
    match control::request(&config.run_dir, request)? {
        Response::Refused { message } => bail!("{message}"),
        response => Ok(response),
    }
}

/// An answer to something else: two versions of Ravelin, most likely.
pub(super) fn unexpected(asked: &str, answer: &Response) -> anyhow::Error {
    anyhow::anyhow!(
        "expected an answer to `{asked}`, got {answer:?}: restart the daemon after an upgrade"
    )
}

/// A fresh engine for `explain` and `replay`: the configuration and this host's own addresses, no state.
pub(super) fn engine(config: &Config, when: &When) -> anyhow::Result<Engine> {
    let zone = zone(when)?;
    let packs = Packs::load(config.builtin_rules, &config.rules)?;
    // A container or a namespace may refuse netlink; the configured `home` still holds then.
    let facts = host::facts().unwrap_or_else(|error| {
        tracing::warn!(%error, "This host's own addresses are unknown; only `home` is ours.");
        Facts::default()
    });
    let network = daemon::network_of(&facts, config);
    let proof = SuricataProof::load(&config.suricata_rules)
        .unwrap_or_else(|_unreadable| SuricataProof::unknown());
    let lists = ListWatch::new(&packs.rules().lists);
    for (_, error, _) in lists.troubles() {
        tracing::warn!(%error, "Conditions on this list don't hold.");
    }
    let mut engine = Engine::new(Arc::new(packs), config, network, proof).in_zone(zone);
    engine.set_lists(lists.lists());
    let files = AllowFiles::new(&config.allow_files);
    for (_, error) in files.troubles() {
        tracing::warn!(%error, "Not all of this allow file counts.");
    }
    engine.policy_mut().set_allow_files(files.nets());
    Ok(engine)
}

/// A decoder for lines that come from no configured source, and the time at which they are read.
pub(super) fn decoder(format: Selection, when: &When) -> anyhow::Result<(Decoder, Timestamp)> {
    let zone = zone(when)?;
    let now =
        when.now.map_or_else(Timestamp::now, |now| Timestamp::from_micros(now.as_microsecond()));
    Ok((Decoder::new(format, zone), now))
}

/// The zone of stamps without one, and of rules' times of day.
fn zone(when: &When) -> anyhow::Result<TimeZone> {
    match &when.tz {
        None => Ok(TimeZone::system()),
        Some(name) => TimeZone::get(name).with_context(|| {
            format!("--tz: expected a zone such as Europe/Berlin or UTC, got `{name}`")
        }),
    }
}

/// A file, or standard input for `-`.
pub(super) fn input(file: &Path, format: Selection) -> anyhow::Result<WholeLines> {
    let export = match format {
        Selection::Auto => Export::Perhaps,
        Selection::Only(_) => Export::No,
        Selection::Journald => Export::Yes,
    };
    // eve.json may be behind any name.
    let lines = if file == Path::new("-") {
        WholeLines::stdin(LineCap::EVE)
    } else {
        WholeLines::open(file, LineCap::EVE)?
    };
    Ok(lines.exported(export))
}

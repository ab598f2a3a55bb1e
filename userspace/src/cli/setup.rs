//! What several commands begin with.

use std::path::Path;

use anyhow::Context as _;
use jiff::tz::TimeZone;

use super::args::{FormatArg, When};
use crate::config::{Config, Format};
use crate::engine::Engine;
use crate::event::Timestamp;
use crate::format::{Decoder, Expected};
use crate::host;
use crate::policy::{Network, SuricataProof};
use crate::rules::Packs;

/// The configuration, or what is wrong with it.
pub(super) fn config(path: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::load(path)?)
}

/// A fresh engine for `explain` and `replay`: the configuration and this host's own addresses, no state.
pub(super) fn engine(config: &Config) -> anyhow::Result<Engine> {
    let packs = Packs::load(config.builtin_rules, &config.rules)?;
    // A container or a namespace may refuse netlink; the configured `home` still holds then.
    let network = host::facts().map_or_else(
        |error| {
            tracing::warn!(%error, "This host's own addresses are unknown; only `home` is ours.");
            Network::default()
        },
        Network::from,
    );
    let proof = SuricataProof::load(&config.suricata_rules);
    Ok(Engine::new(packs, config, network, proof))
}

/// A decoder for lines that come from no configured source, and the time at which they are read.
pub(super) fn decoder(format: FormatArg, when: &When) -> anyhow::Result<(Decoder, Timestamp)> {
    let zone = match &when.tz {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name).with_context(|| {
            format!("--tz: expected a zone such as Europe/Berlin or UTC, got `{name}`")
        })?,
    };
    let now = when.now.map_or_else(Timestamp::now, |now| {
        Timestamp::from_micros(now.as_microsecond())
    });
    let expected = match format {
        FormatArg::Auto => Expected::Auto,
        FormatArg::Syslog => Expected::Format(Format::Syslog),
        FormatArg::SuricataFast => Expected::Format(Format::SuricataFast),
        FormatArg::SuricataEve => Expected::Format(Format::SuricataEve),
    };
    Ok((Decoder::new(expected, zone), now))
}

//! Starting the sources where they were left, and what the pipeline knows of each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::DaemonError;
use super::health::Health;
use super::pipeline::Command;
use crate::config::{Config, Format, Input};
use crate::format::{Decoder, Selection};
use crate::source::{
    self, FileSource, Inbox, LineCap, Position, Role, SourceHandle, SourceId, SourceStatus, State,
};
use crate::store::Store;

/// All that is read, and what stands by.
pub(super) struct Sources {
    /// By [`SourceId`].
    pub(super) active: Vec<Active>,
    /// Not read, since another carries the same records.
    pub(super) standby: Vec<SourceStatus>,
}

/// A source that is read.
pub(super) struct Active {
    /// Its path, as in the database.
    pub(super) name: String,
    /// For the mail.
    pub(super) format: Format,
    /// Of its lines.
    pub(super) decoder: Decoder,
    /// Counters and state.
    pub(super) status: Arc<SourceStatus>,
    /// Everything that was there has been read: lines from now on are fresh.
    pub(super) caught_up: bool,
    /// Its stamps are off; arrival time is used.
    pub(super) skewed: bool,
    /// Its thread; ends when dropped.
    pub(super) _handle: SourceHandle<Command>,
}

/// Starts every source at its committed position. When this returns, nothing that is written from now on
/// is missed.
pub(super) fn start(
    config: &Config,
    store: &Store,
    inbox: &Inbox<Command>,
    health: &Health,
    proof_known: bool,
) -> Result<Sources, DaemonError> {
    let mut stored = HashMap::new();
    for position in store.read().positions()? {
        let place: Position = position
            .place
            .parse()
            .map_err(|source| DaemonError::Position { name: position.source.clone(), source })?;
        stored.insert(position.source, place);
    }
    let plan = source::plan(config.sources.as_deref(), Path::new("/"));
    for warning in &plan.warnings {
        health.note("sources", &warning.to_string(), warning.to_string());
    }
    let mut sources = Sources { active: Vec::new(), standby: Vec::new() };
    for planned in plan.sources {
        let Input::File(path) = planned.config.input;
        let name = path.to_string_lossy().into_owned();
        if let Role::Standby { instead } = planned.role {
            tracing::info!(source = name, instead = %instead.display(), "Stands by.");
            sources.standby.push(SourceStatus::new(name, State::Standby));
            continue;
        }
        let format = planned.config.format;
        if format == Format::SuricataFast && !proof_known {
            health.note(
                "proof-unknown",
                "",
                format!(
                    "{} can't be read, so whether fast.log's alerts are proven can't be told and TCP counts as proof: set suricata_rules, or read eve.json",
                    config.suricata_rules.display()
                ),
            );
        }
        let id = SourceId::new(u16::try_from(sources.active.len()).unwrap_or(u16::MAX));
        let status = Arc::new(SourceStatus::new(name.clone(), State::Waiting));
        let lane = inbox.lane(Arc::clone(&status));
        let handle = source::spawn(
            FileSource { id, path, cap: LineCap::of(format), stored: stored.remove(&name) },
            lane,
        )?;
        sources.active.push(Active {
            name,
            format,
            decoder: Decoder::new(Selection::Only(format), TimeZone::system()),
            status,
            caught_up: false,
            skewed: false,
            _handle: handle,
        });
    }
    Ok(sources)
}

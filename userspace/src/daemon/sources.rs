//! Starting the sources where they were left, stopping those that are no longer wanted, and what the
//! pipeline knows of each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;

use super::DaemonError;
use super::checkpoint::Checkpoints;
use super::habit::{Lag, Recognition, Silence};
use super::health::Health;
use super::pipeline::Command;
use crate::config::{Config, Format, Input};
use crate::event::Timestamp;
use crate::format::{Decoder, Selection};
use crate::source::{
    self, FileSource, Inbox, JournalSource, LineCap, Position, Role, SourceHandle, SourceId,
    SourceStatus, SpawnError, State,
};
use crate::store::{self, Checkpoint, Effect, Reader};

/// Where each source, by name, was left.
pub(super) type Positions = HashMap<String, Position>;

/// All that is read, and what stands by.
#[derive(Default)]
pub(super) struct Sources {
    /// By [`SourceId`]; one that was stopped keeps its place.
    pub(super) active: Vec<Active>,
    /// Not read, since another carries the same records.
    pub(super) standby: Vec<SourceStatus>,
}

/// A source that is or was read.
pub(super) struct Active {
    /// Its path, as in the database.
    pub(super) name: String,
    /// What is read.
    pub(super) input: Input,
    /// For the mail.
    pub(super) format: Format,
    /// Of its lines.
    pub(super) decoder: Decoder,
    /// Counters and state.
    pub(super) status: Arc<SourceStatus>,
    /// Everything that was there has been read: lines from now on are fresh.
    pub(super) caught_up: bool,
    /// How far its lines have had their effect.
    pub(super) place: Option<Position>,
    /// Its stamps are off; arrival time is used.
    pub(super) skewed: bool,
    pub(super) checkpoints: Checkpoints,
    pub(super) lag: Lag,
    pub(super) silence: Silence,
    pub(super) recognition: Recognition,
    /// Its thread; ends when dropped. `None`: it was stopped.
    handle: Option<SourceHandle<Command>>,
}

impl Active {
    /// Whether its stamps are this host's own clock: then they aren't off, however old they are.
    pub(super) const fn keeps_our_time(&self) -> bool {
        matches!(self.input, Input::Journal { .. })
    }
}

/// Findings about a source, which end with it.
const CODES: [&str; 6] = [
    "source-unreadable",
    "source-polled",
    "source-lagging",
    "source-silent",
    "unrecognised",
    "clock-skew",
];

/// Where the database says that the sources were left.
pub(super) fn positions(store: &Reader) -> Result<Positions, DaemonError> {
    let mut stored = HashMap::new();
    for position in store.positions()? {
        let place: Position = position
            .place
            .parse()
            .map_err(|source| DaemonError::Position { name: position.source.clone(), source })?;
        stored.insert(position.source, place);
    }
    Ok(stored)
}

impl Sources {
    /// Those that are read.
    pub(super) fn reading(&self) -> impl Iterator<Item = &Active> {
        self.active.iter().filter(|source| source.handle.is_some())
    }

    /// Those that are read.
    pub(super) fn reading_mut(&mut self) -> impl Iterator<Item = &mut Active> {
        self.active.iter_mut().filter(|source| source.handle.is_some())
    }

    /// Where those are taken up that were left at these positions: what comes first is a backlog.
    pub(super) fn taken_up(&mut self, at: &Positions) -> Vec<Effect> {
        let mut noted = Vec::new();
        for source in self.reading_mut() {
            let Some(position) = at.get(&source.name) else { continue };
            source.checkpoints.noted(Instant::now());
            noted.push(Effect::Checkpoint(Checkpoint {
                position: store::Position {
                    source: source.name.clone(),
                    place: position.to_string(),
                },
                at: Timestamp::now(),
                behind: None,
                bytes: 0,
            }));
        }
        noted
    }

    /// Starts every source that `config` wants and that isn't read yet, at its committed position, and
    /// stops the others; what changed. When this returns, nothing that is written from now on is missed.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        mut stored: Positions,
        inbox: &Inbox<Command>,
        health: &Health,
        proof_known: bool,
    ) -> Result<Vec<String>, SpawnError> {
        let plan = source::plan(config.sources.as_deref(), Path::new("/"));
        let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
        health.clear_unless("sources", |standing| warnings.iter().any(|told| told == standing));
        for warning in warnings {
            health.note("sources", &warning, warning.clone());
        }
        let mut wanted: Vec<(Input, Format)> = Vec::new();
        self.standby.clear();
        for planned in plan.sources {
            if let Role::Standby { instead } = &planned.role {
                let name = planned.name().to_string_lossy().into_owned();
                tracing::info!(source = name, instead = %instead.display(), "Stands by.");
                self.standby.push(SourceStatus::new(name, State::Standby));
            } else {
                wanted.push((planned.config.input, planned.config.format));
            }
        }

        let mut changes = Vec::new();
        for source in self.active.iter_mut().filter(|source| source.handle.is_some()) {
            let stays = wanted
                .iter()
                .any(|(input, format)| *input == source.input && *format == source.format);
            if !stays {
                source.handle = None;
                CODES.iter().for_each(|code| health.clear(code, &source.name));
                changes.push(format!("source {} {} stopped", source.format, source.name));
            }
        }
        let unproven = wanted.iter().find(|(_, format)| *format == Format::SuricataFast);
        match unproven.filter(|_| !proof_known) {
            Some((input, _)) => {
                health.note("proof-unknown", "", proof_unknown(&input.name(), config));
            }
            None => health.clear("proof-unknown", ""),
        }
        for (input, format) in wanted {
            let name = input.name().to_string_lossy().into_owned();
            if self.reading().any(|source| source.name == name && source.format == format) {
                continue;
            }
            // The database may be a commit behind.
            let known = self.active.iter().rev().find(|source| source.name == name);
            let place = known.and_then(|source| source.place.clone());
            let place = place.or_else(|| stored.remove(&name));
            self.start(name.clone(), input, format, place, inbox)?;
            changes.push(format!("source {format} {name} started"));
        }
        Ok(changes)
    }

    fn start(
        &mut self,
        name: String,
        input: Input,
        format: Format,
        stored: Option<Position>,
        inbox: &Inbox<Command>,
    ) -> Result<(), SpawnError> {
        let id = SourceId::new(u16::try_from(self.active.len()).unwrap_or(u16::MAX));
        let status = Arc::new(SourceStatus::new(name.clone(), State::Waiting));
        let lane = inbox.lane(Arc::clone(&status));
        let cap = LineCap::of(format);
        let handle = match input.clone() {
            Input::File(path) => source::spawn(FileSource { id, path, cap, stored }, lane)?,
            Input::Journal { directory } => {
                source::spawn_journal(JournalSource { id, directory, stored }, lane)?
            }
        };
        self.active.push(Active {
            name,
            input,
            format,
            decoder: Decoder::new(Selection::Only(format), TimeZone::system()),
            status,
            caught_up: false,
            place: None,
            skewed: false,
            checkpoints: Checkpoints::default(),
            lag: Lag::default(),
            silence: Silence::new(Instant::now()),
            recognition: Recognition::default(),
            handle: Some(handle),
        });
        Ok(())
    }
}

fn proof_unknown(log: &Path, config: &Config) -> String {
    format!(
        "{} can't be read, so whether the alerts of {} are proven can't be told and TCP counts as proof: set suricata_rules, or read eve.json",
        config.suricata_rules.display(),
        log.display()
    )
}

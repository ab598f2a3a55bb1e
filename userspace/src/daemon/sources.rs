//! Starting the sources where they were left, stopping those that are no longer wanted, and what the
//! pipeline knows of each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;

use super::DaemonError;
use super::habit::{Lag, Losses, Recognition, Silence};
use super::health::Health;
use super::pipeline::Command;
use crate::config::{Config, Format, Input, SourceConfig};
use crate::format::{Decoder, Selection};
use crate::source::{
    self, FileSource, Inbox, JournalSource, LineCap, Listen, ListenSource, Position, Role,
    SourceHandle, SourceId, SourceStatus, SpawnError, State, Trust,
};
use crate::store::Reader;

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
    input: Input,
    /// The admin trusts it, whoever may write to it.
    trusted: bool,
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
    pub(super) lag: Lag,
    pub(super) losses: Losses,
    pub(super) silence: Silence,
    pub(super) recognition: Recognition,
    /// Its thread; ends when dropped. `None`: it was stopped.
    handle: Option<SourceHandle<Command>>,
}

impl Active {
    /// Whether others write to it, at a socket of ours.
    pub(super) const fn is_listener(&self) -> bool {
        matches!(self.input, Input::Socket(_) | Input::Port(_))
    }

    /// Whether its stamps are this host's own clock: then they aren't off, however old they are.
    pub(super) const fn keeps_our_time(&self) -> bool {
        matches!(self.input, Input::Journal { .. })
    }
}

/// Findings about a source, which end with it.
const CODES: [&str; 8] = [
    "source-unreadable",
    "source-untrusted",
    "source-polled",
    "source-lagging",
    "source-losing",
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

    /// How many of those that are read bring Suricata's alerts.
    pub(super) fn of_suricata(&self) -> usize {
        let formats = self.reading().map(|source| source.format);
        formats.filter(|it| matches!(it, Format::SuricataEve | Format::SuricataFast)).count()
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
        let mut wanted: Vec<SourceConfig> = Vec::new();
        self.standby.clear();
        for planned in plan.sources {
            if let Role::Standby { instead } = &planned.role {
                let name = planned.name().to_string_lossy().into_owned();
                tracing::info!(source = name, instead = %instead.display(), "Stands by.");
                self.standby.push(SourceStatus::new(name, State::Standby));
            } else {
                wanted.push(planned.config);
            }
        }

        let mut changes = Vec::new();
        for source in self.active.iter_mut().filter(|source| source.handle.is_some()) {
            let stays = wanted.iter().any(|wanted| {
                wanted.input == source.input
                    && wanted.format == source.format
                    && wanted.trusted == source.trusted
            });
            if !stays {
                source.handle = None;
                CODES.iter().for_each(|code| health.clear(code, &source.name));
                changes.push(format!("source {} {} stopped", source.format, source.name));
            }
        }
        let unproven = wanted.iter().find(|wanted| wanted.format == Format::SuricataFast);
        match unproven.filter(|_| !proof_known) {
            Some(log) => {
                health.note("proof-unknown", "", proof_unknown(&log.input.name(), config));
            }
            None => health.clear("proof-unknown", ""),
        }
        for wanted in wanted {
            let format = wanted.format;
            let name = wanted.input.name().to_string_lossy().into_owned();
            if self.reading().any(|source| source.name == name && source.format == format) {
                continue;
            }
            // The database may be a commit behind.
            let known = self.active.iter().rev().find(|source| source.name == name);
            let place = known.and_then(|source| source.place.clone());
            let place = place.or_else(|| stored.remove(&name));
            self.start(name.clone(), wanted, place, inbox)?;
            changes.push(format!("source {format} {name} started"));
        }
        self.look_at_trust(health);
        Ok(changes)
    }

    /// Says which sources anybody could forge.
    pub(super) fn look_at_trust(&self, health: &Health) {
        for source in self.reading() {
            match source.status.trust() {
                Trust::Untrusted { why } => {
                    health.note("source-untrusted", &source.name, untrusted(&source.name, &why));
                }
                Trust::Anybody => {
                    health.note("source-untrusted", &source.name, anybodys(&source.name));
                }
                Trust::Unknown
                | Trust::Journal
                | Trust::File
                | Trust::Configured
                | Trust::Socket
                | Trust::Senders => health.clear("source-untrusted", &source.name),
            }
        }
    }

    fn start(
        &mut self,
        name: String,
        config: SourceConfig,
        stored: Option<Position>,
        inbox: &Inbox<Command>,
    ) -> Result<(), SpawnError> {
        let SourceConfig { format, input, trusted } = config;
        let id = SourceId::new(u16::try_from(self.active.len()).unwrap_or(u16::MAX));
        let status = SourceStatus::new(name.clone(), State::Waiting);
        let status = match input {
            Input::File(_) | Input::Journal { .. } => status,
            Input::Socket(_) | Input::Port(_) => status.listening(),
        };
        let status = Arc::new(status);
        let lane = inbox.lane(Arc::clone(&status));
        let cap = LineCap::of(format);
        let handle = match input.clone() {
            Input::File(path) => {
                source::spawn(FileSource { id, path, cap, trusted, stored }, lane)?
            }
            Input::Journal { directory } => {
                source::spawn_journal(JournalSource { id, directory, stored }, lane)?
            }
            Input::Socket(socket) => {
                let at = Listen::Socket(socket);
                source::spawn_listener(ListenSource { id, name: name.clone(), at, format }, lane)?
            }
            Input::Port(port) => {
                let at = Listen::Port(port);
                source::spawn_listener(ListenSource { id, name: name.clone(), at, format }, lane)?
            }
        };
        self.active.push(Active {
            name,
            input,
            trusted,
            format,
            decoder: Decoder::new(Selection::Only(format), TimeZone::system()),
            status,
            caught_up: false,
            place: None,
            skewed: false,
            lag: Lag::default(),
            losses: Losses::default(),
            silence: Silence::new(Instant::now()),
            recognition: Recognition::default(),
            handle: Some(handle),
        });
        Ok(())
    }
}

/// What an untrusted log means, and what mends it.
pub(crate) fn untrusted(log: &str, why: &str) -> String {
    format!(
        "{log} can be forged: {why}, so its lines alert and never ban: take that right away, read the \
         journal instead, or set `trusted: true` for it"
    )
}

/// What a port means that hears everybody, and what mends it.
pub(crate) fn anybodys(port: &str) -> String {
    format!(
        "{port} hears everybody, so its lines alert and never ban: name who sends there, from: [ADDRESS]"
    )
}

fn proof_unknown(log: &Path, config: &Config) -> String {
    format!(
        "{} can't be read, so whether the alerts of {} are proven can't be told and TCP counts as proof: set suricata_rules, or read eve.json",
        config.suricata_rules.display(),
        log.display()
    )
}

//! Starting the sources where they were left, stopping those that are no longer wanted, and what the
//! pipeline knows of each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::DaemonError;
use super::globs::{Glob, Vanished};
use super::habit::{Delay, Lag, Recognition, Silence};
use super::health::Health;
use super::pipeline::Command;
use crate::config::{Config, Format, Input, SourceConfig};
use crate::event::Line;
use crate::format::{Decoder, Selection};
use crate::source::{
    self, AUTH_LOGS, FileSource, Handover, Inbox, JournalSource, LineCap, Plan, Position, Role,
    SourceHandle, SourceId, SourceStatus, SpawnError, State, StatusRow, Trust,
};
use crate::store::{Effect, Reader};

/// Where each source, by name, was left.
pub(super) type Positions = HashMap<String, Position>;

/// All that is read, and what stands by.
#[derive(Default)]
pub(super) struct Sources {
    /// By [`SourceId`]; one that was stopped keeps its place.
    pub(super) active: Vec<Active>,
    /// Not read, since another carries the same records.
    pub(super) standby: Vec<SourceStatus>,
    pub(super) globs: Vec<Glob>,
    /// Files that are named by themselves, or whose records another source has: no pattern reads them.
    pub(super) named: Vec<PathBuf>,
    pub(super) vanished: Vanished,
    /// What is to be remembered of all this.
    pub(super) effects: Vec<Effect>,
}

/// A source that is or was read.
pub(super) struct Active {
    /// Its path, as in the database.
    pub(super) name: String,
    /// What is read.
    input: Input,
    /// The admin trusts it, whoever may write to it.
    trusted: bool,
    /// The pattern that it matches, where it isn't named by itself.
    pub(super) pattern: Option<PathBuf>,
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
    pub(super) delay: Delay,
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

    /// Whether everything that is there has been read. Of the journal its reader tells, since nothing comes
    /// where there is nothing more.
    pub(super) fn is_read_up(&self) -> bool {
        match self.status.behind() {
            Some(behind) => behind < FRESH && self.status.progress().1 == 0,
            None => self.caught_up,
        }
    }

    fn reads(&self, path: &Path) -> bool {
        self.input.name() == path
    }

    pub(super) const fn is_read(&self) -> bool {
        self.handle.is_some()
    }

    /// Reads no more of it; where it was left is kept.
    pub(super) fn stop(&mut self, health: &Health) {
        self.handle = None;
        CODES.iter().for_each(|code| health.clear(code, &self.name));
    }

    fn is_wanted(&self, wanted: &SourceConfig) -> bool {
        let same = match (&self.pattern, &wanted.input) {
            (Some(pattern), Input::Glob(other)) => pattern == other,
            (Some(_), _) | (_, Input::Glob(_)) => false,
            (None, input) => self.input == *input,
        };
        same && wanted.format == self.format && wanted.trusted == self.trusted
    }
}

/// Entries of the journal are no older when they are read in time.
const FRESH: Duration = Duration::from_secs(5);

/// Findings about a source, which end with it.
const CODES: [&str; 7] = [
    "source-unreadable",
    "source-untrusted",
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
        self.named = named(config.sources.as_deref().unwrap_or_default(), &plan);
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
            let named = source.pattern.is_some() && self.named.iter().any(|it| source.reads(it));
            if named || !wanted.iter().any(|wanted| source.is_wanted(wanted)) {
                source.stop(health);
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
        let (globs, wanted): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|wanted| matches!(wanted.input, Input::Glob(_)));
        for wanted in wanted {
            let format = wanted.format;
            let name = wanted.input.name().to_string_lossy().into_owned();
            if self.reading().any(|source| source.name == name && source.format == format) {
                continue;
            }
            let place = self.last_place(&name).or_else(|| stored.remove(&name));
            let handover = match (&wanted.input, &place) {
                (Input::Journal { directory: None }, None) => self.handover(&stored),
                (Input::Journal { directory: None }, Some(_)) => {
                    // Should a file be read again some day, then not from there.
                    for log in AUTH_LOGS.iter().filter(|log| stored.remove(**log).is_some()) {
                        self.effects.push(Effect::Forgotten { source: (*log).to_owned() });
                    }
                    None
                }
                _ => None,
            };
            self.start(name.clone(), wanted, None, place, handover, inbox)?;
            changes.push(format!("source {format} {name} started"));
        }
        match self.follow_globs(globs, &mut stored, inbox, health, &mut changes) {
            Ok(()) => health.clear("source-not-started", "a pattern's"),
            Err(error) => health.degrade("source-not-started", "a pattern's", error.to_string()),
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
                Trust::Unknown | Trust::Journal | Trust::File | Trust::Configured => {
                    health.clear("source-untrusted", &source.name);
                }
            }
        }
    }

    /// Where a source of that name was left; the database may be a commit behind.
    pub(super) fn last_place(&self, name: &str) -> Option<Position> {
        let known = self.active.iter().find(|source| source.name == name);
        known.and_then(|source| source.place.clone())
    }

    /// What was read last of the files that carried the journal's records, if any was.
    fn handover(&self, stored: &Positions) -> Option<Handover> {
        let of = |log: &str| {
            let place = self.last_place(log).or_else(|| stored.get(log).cloned())?;
            let last = source::last_line(Path::new(log), &place)?;
            let mut decoder = Decoder::new(Selection::Only(Format::Syslog), TimeZone::system());
            let line = Line { bytes: &last.bytes, arrived: last.written };
            let at = decoder.decode(line).ok().and_then(|record| record.time);
            let at = at.unwrap_or(last.written).min(last.written);
            Some(Handover { log: log.to_owned(), at, line: last.bytes })
        };
        AUTH_LOGS.iter().filter_map(|log| of(log)).max_by_key(|last| last.at)
    }

    /// What `status` says of each.
    pub(super) fn rows(&self) -> Vec<StatusRow> {
        let is_idle = |glob: &&Glob| {
            glob.is_refused()
                || !self.reading().any(|it| it.pattern.as_ref() == Some(&glob.pattern()))
        };
        let read = self.reading().map(|source| source.status.row());
        let globs = self.globs.iter().filter(is_idle).map(|glob| glob.status().row());
        read.chain(globs).chain(self.standby.iter().map(SourceStatus::row)).collect()
    }

    /// Those that are read of a pattern.
    pub(super) fn born_of(&self, pattern: &Path) -> impl Iterator<Item = &Active> {
        self.reading().filter(move |source| source.pattern.as_deref() == Some(pattern))
    }

    pub(super) fn start(
        &mut self,
        name: String,
        config: SourceConfig,
        pattern: Option<PathBuf>,
        stored: Option<Position>,
        handover: Option<Handover>,
        inbox: &Inbox<Command>,
    ) -> Result<(), SpawnError> {
        let SourceConfig { format, input, trusted } = config;
        // A number is free once its source has ended: nothing of it is under way any more then.
        let is_free =
            |source: &Active| !source.is_read() && (source.name.is_empty() || source.name == name);
        let at = self.active.iter().position(is_free).unwrap_or(self.active.len());
        let id = SourceId::new(u16::try_from(at).unwrap_or(u16::MAX));
        let status = Arc::new(SourceStatus::new(name.clone(), State::Waiting));
        let lane = inbox.lane(Arc::clone(&status));
        let cap = LineCap::of(format);
        let handle = match input.clone() {
            Input::File(path) => source::spawn(
                FileSource {
                    id,
                    path,
                    cap,
                    trusted,
                    vanishes: pattern.is_some(),
                    stored: stored.clone(),
                },
                lane,
            )?,
            // Its files are started one by one.
            Input::Glob(_) => return Ok(()),
            Input::Journal { directory } => source::spawn_journal(
                JournalSource { id, directory, stored: stored.clone(), handover },
                lane,
            )?,
        };
        let started = Active {
            name,
            input,
            trusted,
            pattern,
            format,
            decoder: Decoder::new(Selection::Only(format), TimeZone::system()),
            status,
            caught_up: false,
            place: stored,
            skewed: false,
            lag: Lag::default(),
            delay: Delay::default(),
            silence: Silence::new(Instant::now()),
            recognition: Recognition::default(),
            handle: Some(handle),
        };
        match self.active.get_mut(at) {
            Some(slot) => *slot = started,
            None => self.active.push(started),
        }
        Ok(())
    }
}

/// The files that no pattern reads: they are named by themselves, be it that another source has their records.
fn named(configured: &[SourceConfig], plan: &Plan) -> Vec<PathBuf> {
    let planned = plan.sources.iter().map(|planned| &planned.config);
    let mut named = Vec::new();
    for source in configured.iter().chain(planned) {
        match &source.input {
            Input::File(path) => named.push(path.clone()),
            Input::Journal { directory: None } => named.extend(AUTH_LOGS.map(PathBuf::from)),
            Input::Glob(_) | Input::Journal { .. } => {}
        }
    }
    named
}

/// What an untrusted log means, and what mends it.
pub(crate) fn untrusted(log: &str, why: &str) -> String {
    format!(
        "{log} can be forged: {why}, so its lines alert and never ban: take that right away, read the \
         journal instead, or set `trusted: true` for it"
    )
}

fn proof_unknown(log: &Path, config: &Config) -> String {
    format!(
        "{} can't be read, so whether the alerts of {} are proven can't be told and TCP counts as proof: set suricata_rules, or read eve.json",
        config.suricata_rules.display(),
        log.display()
    )
}

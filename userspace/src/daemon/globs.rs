//! Sources named by a pattern: files that match are started as they appear, and left once they have
//! vanished for good.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::health::Health;
use super::pipeline::Command;
use super::sources::{Positions, Sources};
use crate::config::{Input, SourceConfig};
use crate::event::Timestamp;
use crate::source::{
    self, CommandSender, GlobHandle, Inbox, MOST_FILES, Matches, Position, SourceStatus,
    SpawnError, State,
};
use crate::store::{self, Effect};

/// Vanished files whose positions are kept, in case they come back.
const REMEMBERED: usize = 256;
/// The kernel's file times are so coarse, in nanoseconds.
const COARSE: i64 = 100_000_000;

/// A pattern that is followed.
pub(super) struct Glob {
    pub(super) config: SourceConfig,
    found: Matches,
    /// What was written before isn't new: when it was last looked. `None`: this is the first time ever.
    since: Option<i64>,
    /// Looks as long as it lives.
    _looks: GlobHandle,
}

impl Glob {
    pub(super) const fn is_refused(&self) -> bool {
        self.found.refused.is_some()
    }

    pub(super) fn pattern(&self) -> PathBuf {
        self.config.input.name()
    }

    /// What `status` says where nothing is read of it.
    pub(super) fn status(&self) -> SourceStatus {
        let state = match &self.found.refused {
            Some(error) => State::Failed(error.clone()),
            None => State::Waiting,
        };
        SourceStatus::new(self.pattern().to_string_lossy().into_owned(), state)
    }
}

/// Files that have vanished and what was read of them, those longest gone first.
#[derive(Default)]
pub(super) struct Vanished(VecDeque<(String, Position)>);

impl Vanished {
    fn remember(&mut self, name: String, place: Position) -> Option<Effect> {
        self.0.push_back((name, place));
        if self.0.len() <= REMEMBERED {
            return None;
        }
        let (source, _) = self.0.pop_front()?;
        Some(Effect::Forgotten { source })
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    fn take(&mut self, name: &str) -> Option<Position> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        self.0.remove(at).map(|(_, place)| place)
    }
}

impl Sources {
    /// Follows these patterns and no others. Of `stored`, what matches and may still be there is read on.
    pub(super) fn follow_globs(
        &mut self,
        wanted: Vec<SourceConfig>,
        stored: &mut Positions,
        inbox: &Inbox<Command>,
        health: &Health,
        changes: &mut Vec<String>,
    ) -> Result<(), SpawnError> {
        self.globs.retain(|glob| wanted.contains(&glob.config));
        for config in wanted {
            let pattern = config.input.name();
            let name = pattern.to_string_lossy().into_owned();
            if !self.globs.iter().any(|glob| glob.config == config) {
                let found = source::look(&pattern);
                let looks = source::spawn_glob(
                    pattern.clone(),
                    found.clone(),
                    tell(pattern.clone(), inbox.commands()),
                )?;
                let since = match stored.remove(&name) {
                    Some(Position::Glob { since }) => Some(since),
                    _ => None,
                };
                self.globs.push(Glob { config: config.clone(), found, since, _looks: looks });
            }
            // Moved away while we were: what is unread of it may lie beside.
            let left: Vec<String> = stored
                .keys()
                .filter(|name| source::matches(&pattern, Path::new(name)))
                .cloned()
                .collect();
            for name in left {
                let path = Path::new(&name);
                let is_there = self.globs.iter().any(|glob| glob.found.has(path));
                let is_known = self.active.iter().any(|source| source.name == name)
                    || self.named.iter().any(|named| named == path)
                    || self.vanished.has(&name);
                if is_there || is_known {
                    continue;
                }
                match stored.remove(&name) {
                    Some(Position::File { files, left, since }) if !files.is_empty() => {
                        let place = Position::File { files, left, since };
                        self.begin(path.to_owned(), &config, Some(place), inbox, changes)?;
                    }
                    Some(place) => self.effects.extend(self.vanished.remember(name, place)),
                    None => {}
                }
            }
        }
        self.read_matches(stored, inbox, health, changes)
    }

    /// What a pattern matches has changed.
    pub(super) fn found(
        &mut self,
        pattern: &Path,
        found: Matches,
        inbox: &Inbox<Command>,
        health: &Health,
    ) {
        let Some(glob) = self.globs.iter_mut().find(|glob| glob.pattern() == pattern) else {
            return;
        };
        glob.found = found;
        let mut changes = Vec::new();
        match self.read_matches(&mut Positions::new(), inbox, health, &mut changes) {
            Ok(()) => health.clear("source-not-started", &pattern.to_string_lossy()),
            Err(error) => {
                health.degrade("source-not-started", &pattern.to_string_lossy(), error.to_string());
            }
        }
        for change in changes {
            tracing::info!("Of {}: {change}.", pattern.display());
        }
    }

    /// Starts what matches and isn't read yet.
    fn read_matches(
        &mut self,
        stored: &mut Positions,
        inbox: &Inbox<Command>,
        health: &Health,
        changes: &mut Vec<String>,
    ) -> Result<(), SpawnError> {
        let looked = Timestamp::now().as_micros().saturating_mul(1_000).saturating_sub(COARSE);
        let mut named = self.named.clone();
        for at in 0..self.globs.len() {
            let glob = &self.globs[at];
            let (config, since) = (glob.config.clone(), glob.since);
            let pattern = glob.pattern();
            let name = pattern.to_string_lossy().into_owned();
            let reading: BTreeSet<PathBuf> =
                self.born_of(&pattern).map(|source| PathBuf::from(&source.name)).collect();
            let choice = source::choose(&glob.found.files, &reading, &named);
            match &glob.found.refused {
                Some(error) => health.degrade(
                    "source-unreadable",
                    &name,
                    format!("{name}: {error}; it is tried again: give the daemon access to it"),
                ),
                None => health.clear("source-unreadable", &name),
            }
            if choice.excess > 0 {
                let all = choice.excess + choice.files.len();
                let remedy = format!(
                    "{name}: {all} files match, and only the {MOST_FILES} that were written to last are \
                     read: narrow the pattern, or split it into several"
                );
                health.degrade("source-excess", &name, remedy);
                self.displace(&config, &choice.files, health);
            } else {
                health.clear("source-excess", &name);
            }
            for path in &choice.files {
                let name = path.to_string_lossy();
                // By another pattern, from before a reload.
                if self.reading().any(|source| source.name == *name) {
                    continue;
                }
                let known = self.last_place(&name).or_else(|| self.vanished.take(&name));
                let known = known.or_else(|| stored.remove(&*name));
                // One that appeared since we looked last is read whole.
                let new = since.map(|since| Position::File {
                    files: Vec::new(),
                    left: Vec::new(),
                    since: Some(since),
                });
                self.begin(path.clone(), &config, known.or(new), inbox, changes)?;
            }
            named.extend(choice.files);
            self.globs[at].since = Some(looked);
            self.effects.push(Effect::Position(store::Position {
                source: name,
                place: Position::Glob { since: looked }.to_string(),
            }));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        path: PathBuf,
        glob: &SourceConfig,
        place: Option<Position>,
        inbox: &Inbox<Command>,
        changes: &mut Vec<String>,
    ) -> Result<(), SpawnError> {
        changes.push(format!("source {} {} started", glob.format, path.display()));
        let name = path.to_string_lossy().into_owned();
        let config = SourceConfig { input: Input::File(path), ..glob.clone() };
        self.start(name, config, Some(glob.input.name()), place, None, inbox)
    }

    /// Stops files of a pattern that have to make room, as soon as nothing in them is unread.
    fn displace(&mut self, glob: &SourceConfig, chosen: &[PathBuf], health: &Health) {
        let pattern = glob.input.name();
        for source in self.reading_mut() {
            let is_displaced = source.pattern.as_deref() == Some(&*pattern)
                && !chosen.iter().any(|path| *path == Path::new(&source.name));
            if is_displaced && source.status.progress().1 == 0 {
                tracing::info!(source = source.name, "Is left, for others were written to since.");
                source.stop(health);
            }
        }
    }

    /// Leaves the files that have vanished and were read to their end.
    pub(super) fn leave_vanished(&mut self, health: &Health) {
        for at in 0..self.active.len() {
            let source = &mut self.active[at];
            let Some(pattern) = &source.pattern else { continue };
            let is_there = self
                .globs
                .iter()
                .any(|glob| glob.pattern() == *pattern && glob.found.has(Path::new(&source.name)));
            let is_left =
                matches!(&source.place, Some(Position::File { files, .. }) if files.is_empty());
            let ends = is_left && source.status.state() == State::Waiting;
            if is_there || source.name.is_empty() || source.is_read() && !ends {
                continue;
            }
            if source.is_read() {
                tracing::info!(source = source.name, "Has vanished, and was read to its end.");
                source.stop(health);
            }
            // From here on its number is another's.
            let name = std::mem::take(&mut source.name);
            if let Some(place) = source.place.take() {
                self.effects.extend(self.vanished.remember(name, place));
            }
        }
    }
}

fn tell(
    pattern: PathBuf,
    commands: CommandSender<Command>,
) -> impl Fn(&Matches) -> bool + Send + 'static {
    move |found| commands.send(Command::Found(pattern.clone(), found.clone())).is_ok()
}

//! A log file, followed through everything that can happen to it: a state machine that is polled.
//!
//! Usually one file is open. After a rotation there are several, in reading order: the one that was
//! renamed away, which its writer may still append to, then perhaps files that came and went between two
//! looks, then the one that has the path now. A later one is read only when the earlier ones have
//! nothing more. An old one is left when it has been quiet for [`LINGER`] and its writer has begun with
//! a newer one.

mod reader;
mod siblings;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

pub(super) use self::reader::FileKey;
use self::reader::{Reader, Step, modified};
pub(super) use self::siblings::parent;
use self::siblings::{Sibling, open, siblings};
use super::batch::{Batch, Lines, Report};
use super::lines::LineCap;
use super::position::{FilePosition, Position};
use super::{SourceId, State};
use crate::event::Timestamp;

/// How long an old file stays open after its writer's last line.
const LINGER: Duration = Duration::from_secs(60);
/// Files open at once; above it the oldest, read to its end, is left.
const OPEN: usize = 8;
/// Left files remembered, so that one that comes back isn't read twice.
const REMEMBERED: usize = 8;
/// Looks at the path in one poll.
const TURNS: usize = 8;

/// What a poll came to.
#[derive(Debug)]
pub enum Polled {
    /// Something for the engine; poll again.
    Batch(Batch),
    /// Nothing yet, in the middle of something long; poll again.
    Busy,
    /// Nothing to do until something changes.
    Idle,
}

/// One followed file.
#[derive(Debug)]
pub struct Tail {
    source: SourceId,
    path: PathBuf,
    cap: LineCap,
    /// Open files in reading order.
    readers: VecDeque<Reader>,
    /// Files left lately, and how far they were read.
    left: VecDeque<FilePosition>,
    /// Where to go on, as long as that hasn't been found on the disk.
    stored: Option<Vec<FilePosition>>,
    /// Files modified after this are successors of those that were read.
    since: Option<i64>,
    start: Start,
    state: State,
    /// A file that is open couldn't be read at the last attempt.
    failing: Option<String>,
    reports: Vec<Report>,
    /// The position changed without lines.
    moved: bool,
}

/// Where a file without a position is entered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// We couldn't look yet: at its end.
    Unseen,
    /// This one, there at the first look but unreadable then, at the size it had; others at their
    /// beginning.
    Was { key: FileKey, size: u64 },
    /// At its beginning.
    Known,
}

impl Tail {
    /// Follows `path` from `stored`, or without one from its end if it is there now. Takes the first
    /// look: what is written after this returns is read.
    pub fn new(
        source: SourceId,
        path: PathBuf,
        cap: LineCap,
        stored: Option<Position>,
        now: Instant,
    ) -> Self {
        let start = if stored.is_some() { Start::Known } else { Start::Unseen };
        let stored = stored.map(|Position::File(files)| files).filter(|files| !files.is_empty());
        let mut tail = Self {
            source,
            path,
            cap,
            readers: VecDeque::new(),
            left: VecDeque::new(),
            stored,
            since: None,
            start,
            state: State::Waiting,
            failing: None,
            reports: Vec::new(),
            moved: false,
        };
        if tail.resume(now) {
            tail.look(now);
        }
        tail
    }

    /// Reads on: one batch of lines, or whatever else there is to do.
    pub fn poll(&mut self, now: Instant) -> Polled {
        if self.resume(now) {
            for _ in 0..TURNS {
                if let Some(polled) = self.read(now) {
                    return polled;
                }
                self.leave(now);
                if !self.look(now) {
                    break;
                }
            }
        }
        if self.moved || !self.reports.is_empty() {
            return Polled::Batch(self.batch(Lines::default()));
        }
        Polled::Idle
    }

    /// The place after the last line that was handed out.
    pub fn position(&self) -> Position {
        Position::File(match &self.stored {
            Some(stored) => stored.clone(),
            None => self.readers.iter().map(Reader::position).collect(),
        })
    }

    /// How it is doing.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Bytes known to be there that weren't looked at.
    pub fn unread(&self) -> u64 {
        self.readers.iter().map(Reader::unread).sum()
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files whose changes matter.
    pub(super) fn files(&self) -> impl Iterator<Item = (FileKey, RawFd)> {
        self.readers.iter().map(|reader| (reader.key(), reader.file().as_raw_fd()))
    }

    /// To be told with the next batch.
    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// Reads from the first file that has something.
    fn read(&mut self, now: Instant) -> Option<Polled> {
        self.failing = None;
        let mut at = 0;
        while let Some(reader) = self.readers.get_mut(at) {
            match reader.step(self.cap) {
                Ok(Step::Lines { lines, overlong, cut }) => {
                    reader.quiet_since = now;
                    if overlong > 0 {
                        self.reports.push(Report::Overlong { lines: overlong, bytes: cut });
                    }
                    return Some(Polled::Batch(self.batch(lines)));
                }
                Ok(Step::Onward) => return Some(Polled::Busy),
                Ok(Step::Skipped(bytes)) => {
                    self.reports.push(Report::Fragment { bytes });
                    return Some(Polled::Batch(self.batch(Lines::default())));
                }
                Ok(Step::Shortened(bytes)) => {
                    self.reports.push(Report::Truncated { unread: Some(bytes) });
                    return Some(Polled::Batch(self.batch(Lines::default())));
                }
                Ok(Step::Replaced(bytes)) => {
                    self.replaced(at, bytes, now);
                    return Some(Polled::Batch(self.batch(Lines::default())));
                }
                Ok(Step::End) if reader.copy => self.leave_one(at),
                Ok(Step::End) => at += 1,
                Err(error) if error.raw_os_error() == Some(Errno::STALE.raw_os_error()) => {
                    self.stored = Some(self.readers.iter().map(Reader::position).collect());
                    self.readers.clear();
                    self.enter(State::Failed(error.to_string()));
                    return Some(Polled::Busy);
                }
                Err(error) => {
                    self.failing = Some(error.to_string());
                    at += 1;
                }
            }
        }
        None
    }

    /// The file at `at` was emptied: what was in it may survive in a copy (logrotate's copytruncate).
    fn replaced(&mut self, at: usize, unread: u64, now: Instant) {
        let Some(reader) = self.readers.get_mut(at) else { return };
        let was = reader.position();
        reader.rewind();
        let found = siblings(&self.path).unwrap_or_default();
        let found: Vec<_> = found.iter().filter(|sibling| sibling.rotated).collect();
        let saved = match self.copy(&found, &was, now) {
            Some(copy) if copy.undelivered() > 0 => {
                self.readers.insert(at, copy);
                true
            }
            Some(copy) => {
                self.remember(copy.position());
                true
            }
            None => false,
        };
        self.reports.push(Report::Truncated { unread: Some(if saved { 0 } else { unread }) });
    }

    /// The newest of `candidates` that holds what `position` had read, opened there.
    fn copy(
        &self,
        candidates: &[&Sibling],
        position: &FilePosition,
        now: Instant,
    ) -> Option<Reader> {
        if position.offset == 0 {
            return None;
        }
        candidates
            .iter()
            .rev()
            .filter(|sibling| sibling.size >= position.offset && !self.reads(sibling.key))
            .find_map(|sibling| {
                let file = open(&sibling.path).ok()?;
                if !position.head.matches(&file).ok()? {
                    return None;
                }
                let mut reader = Reader::resume(file, position, now).ok()?;
                reader.copy = true;
                Some(reader)
            })
    }

    /// Leaves the old files that nobody writes to any more.
    fn leave(&mut self, now: Instant) {
        let mut at = 0;
        while at + 1 < self.readers.len() {
            let quiet = now.saturating_duration_since(self.readers[at].quiet_since) >= LINGER;
            // An empty successor only says that somebody rotated, not that the writer knows.
            let superseded = self.readers.iter().skip(at + 1).any(Reader::has_content);
            if quiet && superseded || self.readers.len() > OPEN {
                self.leave_one(at);
            } else {
                at += 1;
            }
        }
    }

    fn leave_one(&mut self, at: usize) {
        let Some(reader) = self.readers.remove(at) else { return };
        if reader.undelivered() > 0 {
            self.reports.push(Report::Fragment { bytes: reader.undelivered() });
        }
        self.remember(reader.position());
        self.moved = true;
    }

    fn remember(&mut self, position: FilePosition) {
        self.left.push_back(position);
        if self.left.len() > REMEMBERED {
            self.left.pop_front();
        }
    }

    /// Looks what is at the path; whether there is something new to read.
    fn look(&mut self, now: Instant) -> bool {
        match self.look_at_path(now) {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.readers.is_empty() && self.since.is_none() {
                    // What had the path before we came is no concern of ours.
                    let old = siblings(&self.path).unwrap_or_default();
                    let old = old.iter().filter(|sibling| sibling.rotated);
                    self.since = Some(old.map(|old| old.modified).max().unwrap_or(i64::MIN));
                }
                if self.start == Start::Unseen {
                    // Committed as "it was absent", so that it is read whole even if we are restarted.
                    self.start = Start::Known;
                    self.moved = true;
                }
                self.enter(State::Waiting);
                false
            }
            Err(error) => {
                self.enter(State::Failed(error.to_string()));
                false
            }
        }
    }

    fn look_at_path(&mut self, now: Instant) -> io::Result<bool> {
        let metadata = fs::metadata(&self.path)?;
        if self.readers.back().is_some_and(|last| last.key() == FileKey::of(&metadata)) {
            self.enter(self.failing.clone().map_or(State::Reading, State::Failed));
            return Ok(false);
        }
        let file = match open(&self.path) {
            Ok(file) => file,
            Err(error) => {
                if self.start == Start::Unseen {
                    self.start = match metadata.is_file() {
                        true => Start::Was { key: FileKey::of(&metadata), size: metadata.len() },
                        false => Start::Known,
                    };
                }
                return Err(error);
            }
        };
        let key = FileKey::of(&file.metadata()?);
        let new = match self.readers.iter().position(|reader| reader.key() == key) {
            Some(at) => self.readers.remove(at),
            None => {
                let (successors, all) = self.successors(key, now);
                if !all {
                    self.readers.extend(successors);
                    return Ok(true);
                }
                let reader = self.newcomer(file, now)?;
                if !self.readers.is_empty() || !successors.is_empty() {
                    self.reports.push(Report::Rotated);
                } else if self.start == Start::Known {
                    self.reports.push(Report::Appeared);
                }
                for old in &mut self.readers {
                    old.quiet_since = now;
                }
                self.readers.extend(successors);
                Some(reader)
            }
        };
        self.readers.extend(new);
        self.since = None;
        self.start = Start::Known;
        self.moved = true;
        self.enter(State::Reading);
        Ok(true)
    }

    /// The file that has the path now, opened where it is to be read from.
    fn newcomer(&self, file: File, now: Instant) -> io::Result<Reader> {
        let metadata = file.metadata()?;
        let (key, size) = (FileKey::of(&metadata), metadata.len());
        match self.start {
            Start::Unseen => return Reader::at_end(file, size, now),
            Start::Was { key: was, size: at } if was == key && at <= size => {
                return Reader::at_end(file, at, now);
            }
            Start::Was { .. } | Start::Known => {}
        }
        // A file that comes back, or one that an editor has written anew with what we have read.
        let last = self.readers.back().map(Reader::position);
        for known in self.left.iter().chain(&last) {
            let same = FileKey::at(known) == key || known.head.is_full();
            if same && known.offset <= size && known.offset > 0 && known.head.matches(&file)? {
                return Reader::resume(file, known, now);
            }
        }
        Reader::at_beginning(file, now)
    }

    /// Files that had the path and lost it between two looks, oldest first, and whether these are all:
    /// of many, a few are opened at a time.
    fn successors(&self, current: FileKey, now: Instant) -> (Vec<Reader>, bool) {
        let last = self.readers.back().map(|last| last.position().modified);
        let Some(since) = last.or(self.since) else { return (Vec::new(), true) };
        let mut found = Vec::new();
        for sibling in siblings(&self.path).unwrap_or_default() {
            let after = sibling.rotated && sibling.modified > since && sibling.size > 0;
            if !after || sibling.key == current || self.reads(sibling.key) {
                continue;
            }
            if found.len() == OPEN {
                return (found, false);
            }
            let Ok(file) = open(&sibling.path) else { continue };
            // A copy of what was read.
            let read = self.readers.iter().map(Reader::position).chain(self.left.iter().copied());
            let known = |position: FilePosition| {
                position.offset > 0 && position.head.matches(&file).unwrap_or(false)
            };
            if !read.map(known).any(|known| known)
                && let Ok(reader) = Reader::at_beginning(file, now)
            {
                found.push(reader);
            }
        }
        (found, true)
    }

    /// Finds the stored position on the disk. False as long as that must be tried again.
    fn resume(&mut self, now: Instant) -> bool {
        let Some(stored) = self.stored.take() else { return true };
        match self.find(&stored, now) {
            Ok(true) => true,
            Ok(false) => {
                self.stored = Some(stored);
                self.enter(State::Waiting);
                false
            }
            Err(error) => {
                self.stored = Some(stored);
                self.enter(match error.kind() {
                    io::ErrorKind::NotFound => State::Waiting,
                    _ => State::Failed(error.to_string()),
                });
                false
            }
        }
    }

    /// Opens what `stored` names. False where nothing of it is there, nor anything at the path: the
    /// filesystem may not be mounted yet.
    fn find(&mut self, stored: &[FilePosition], now: Instant) -> io::Result<bool> {
        let mut candidates = match siblings(&self.path) {
            // The log may be readable where its directory isn't.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
            siblings => siblings?,
        };
        let here = match open(&self.path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Some(Sibling {
                    path: self.path.clone(),
                    key: FileKey::of(&metadata),
                    size: metadata.len(),
                    modified: modified(&metadata),
                    rotated: false,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        candidates.extend(here.clone());
        let mut readers = VecDeque::new();
        let mut reports = Vec::new();
        for (at, position) in stored.iter().enumerate() {
            let same = |file: &&Sibling| file.key == FileKey::at(position);
            if let Some(file) = candidates.iter().find(same)
                && let Ok(file) = open(&file.path)
                && position.head.matches(&file)?
            {
                readers.push_back(Reader::resume(file, position, now)?);
                continue;
            }
            let copies = candidates.iter().filter(|file| file.rotated);
            let copies = copies.chain(here.iter().filter(|_| position.head.is_full()));
            if let Some(mut copy) = self.copy(&copies.collect::<Vec<_>>(), position, now) {
                copy.copy = here.as_ref().is_none_or(|here| here.key != copy.key());
                readers.push_back(copy);
                continue;
            }
            // A later file is read only when the earlier ones have nothing more.
            if position.offset > 0 && stored[at + 1..].iter().all(|later| later.offset == 0) {
                reports.push(match here.as_ref().filter(|here| same(here)) {
                    Some(_) => Report::Truncated { unread: None },
                    None => Report::Missing,
                });
            }
        }
        if readers.is_empty() && here.is_none() {
            return Ok(false);
        }
        self.since = stored.last().map(|last| last.modified);
        self.readers = readers;
        self.reports.extend(reports);
        Ok(true)
    }

    fn reads(&self, key: FileKey) -> bool {
        self.readers.iter().any(|reader| reader.key() == key)
    }

    fn enter(&mut self, state: State) {
        if self.state == state {
            return;
        }
        match (&self.state, &state) {
            (_, State::Failed(error)) => self.reports.push(Report::Failed { error: error.clone() }),
            (State::Failed(_), _) => self.reports.push(Report::Recovered),
            _ => {}
        }
        self.state = state;
    }

    fn batch(&mut self, lines: Lines) -> Batch {
        self.moved = false;
        Batch {
            source: self.source,
            arrived: Timestamp::now(),
            lines,
            position: self.position(),
            reports: std::mem::take(&mut self.reports),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! A log file, followed through everything that can happen to it: a state machine that is polled.
//!
//! Usually one file is open. After a rotation there are several, in reading order: the one that was
//! renamed away, which its writer may still append to, then perhaps files that came and went between two
//! looks, then the one that has the path now. A later one is read only when the earlier ones have
//! nothing more. An old one is left when it has been quiet for [`LINGER`] and its writer has begun with
//! a newer one.

mod archive;
mod reader;
mod resume;
mod rotation;
mod siblings;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

pub(super) use self::reader::FileKey;
use self::reader::{Reader, Step};
pub(super) use self::reader::{line_start_before, modified};
use self::siblings::siblings;
pub(super) use self::siblings::{Found, files_of, is_archive, open, origins, parent};
use super::batch::{Batch, Lines, Report};
use super::lines::LineCap;
use super::position::{FilePosition, Position};
use super::trust::{Assessor, Trust};
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
    trust: Assessor,
    /// Open files in reading order.
    readers: VecDeque<Reader>,
    /// Files left lately, and how far they were read.
    left: VecDeque<FilePosition>,
    /// Where to go on, as long as that hasn't been found on the disk.
    stored: Option<Vec<FilePosition>>,
    /// Where nothing is open, or what is open was written to earlier: files modified after this are to be
    /// read.
    since: Option<i64>,
    start: Start,
    state: State,
    /// A file that is open couldn't be read at the last attempt.
    failing: Option<String>,
    reports: Vec<Report>,
    /// The position changed without lines.
    moved: bool,
    /// The name may go for good, and what had it is left then.
    vanishes: bool,
    /// Since when nothing has the path.
    absent: Option<Instant>,
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
        let start = match stored {
            Some(Position::File { .. }) => Start::Known,
            Some(Position::Glob { .. } | Position::Journal { .. } | Position::Socket) | None => {
                Start::Unseen
            }
        };
        let (stored, left, since) = match stored {
            Some(Position::File { files, left, since }) => (Some(files), left, since),
            Some(Position::Glob { .. } | Position::Journal { .. } | Position::Socket) | None => {
                (None, Vec::new(), None)
            }
        };
        let stored = stored.filter(|files| !files.is_empty());
        let mut tail = Self {
            source,
            trust: Assessor::new(path.clone(), false),
            path,
            cap,
            readers: VecDeque::new(),
            left: left.into_iter().take(REMEMBERED).collect(),
            stored,
            since,
            start,
            state: State::Waiting,
            failing: None,
            reports: Vec::new(),
            moved: false,
            vanishes: false,
            absent: None,
        };
        if tail.resume(now) {
            tail.look(now);
        }
        tail
    }

    /// The admin trusts the file, whoever may write to it.
    pub fn trusted(mut self) -> Self {
        self.trust = Assessor::new(self.path.clone(), true);
        self
    }

    /// The name may go for good: a minute after it has, what had it is left, so that whatever has the name
    /// next is another log, to be read from its beginning.
    pub fn vanishing(mut self) -> Self {
        self.vanishes = true;
        self
    }

    /// Reads on: one batch of lines, or whatever else there is to do.
    pub fn poll(&mut self, now: Instant) -> Polled {
        if self.resume(now) || self.give_up(now) {
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
            return Polled::Batch(self.batch(Lines::default(), now));
        }
        Polled::Idle
    }

    /// The place after the last line that was handed out.
    pub fn position(&self) -> Position {
        let files = match &self.stored {
            Some(stored) => stored.clone(),
            None => self.readers.iter().map(Reader::position).collect(),
        };
        // Usually the last file tells it.
        let last = files.last().map(|last| last.modified);
        let since = self.since.filter(|since| last.is_none_or(|last| *since > last));
        Position::File { files, left: self.left.iter().copied().collect(), since }
    }

    /// How it is doing.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How far its lines are believed.
    pub fn trust(&mut self, now: Instant) -> &Trust {
        self.trust.look(now)
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
            let unread = reader.position().offset == 0;
            match reader.step(self.cap) {
                Ok(Step::Lines { lines, overlong, cut }) => {
                    if unread && self.emptied_unread(at, now) {
                        return Some(Polled::Busy);
                    }
                    let Some(reader) = self.readers.get_mut(at) else { break };
                    reader.quiet_since = now;
                    if overlong > 0 {
                        self.reports.push(Report::Overlong { lines: overlong, bytes: cut });
                    }
                    return Some(Polled::Batch(self.batch(lines, now)));
                }
                Ok(Step::Onward) => return Some(Polled::Busy),
                Ok(Step::Skipped(bytes)) => {
                    self.reports.push(Report::Fragment { bytes });
                    return Some(Polled::Batch(self.batch(Lines::default(), now)));
                }
                Ok(Step::Shortened(bytes)) => {
                    self.reports.push(Report::Truncated { unread: Some(bytes) });
                    return Some(Polled::Batch(self.batch(Lines::default(), now)));
                }
                Ok(Step::Replaced(bytes)) => {
                    self.replaced(at, bytes, now);
                    return Some(Polled::Batch(self.batch(Lines::default(), now)));
                }
                Ok(Step::Broken(error)) => {
                    self.reports.push(Report::Damaged { error });
                    self.leave_one(at);
                    return Some(Polled::Batch(self.batch(Lines::default(), now)));
                }
                Ok(Step::End) if reader.copy => self.leave_one(at),
                Ok(Step::End) => at += 1,
                // NFS: what is open is no use any more, and has to be found anew.
                Err(error) if error.raw_os_error() == Some(Errno::STALE.raw_os_error()) => {
                    self.stored = Some(self.readers.iter().map(Reader::position).collect());
                    self.readers.clear();
                    self.enter(State::Failed(error.to_string()));
                    return Some(Polled::Idle);
                }
                Err(error) => {
                    self.failing = Some(error.to_string());
                    at += 1;
                }
            }
        }
        None
    }

    /// Leaves the old files that nobody writes to any more.
    fn leave(&mut self, now: Instant) {
        let mut at = 0;
        while at + 1 < self.readers.len() {
            let quiet = now.saturating_duration_since(self.readers[at].quiet_since) >= LINGER;
            // An empty successor only says that somebody rotated, not that the writer knows.
            let superseded = self.readers.iter().skip(at + 1).any(Reader::has_content);
            // Without a name it only takes room, perhaps just what the new one needs.
            let unnamed = quiet && self.readers[at].is_unnamed();
            if quiet && superseded || unnamed || self.readers.len() > OPEN {
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
        if at == self.readers.len() {
            // What comes next comes after it, though an earlier one is still open.
            self.since = self.since.max(Some(reader.position().modified));
        }
        self.moved = true;
    }

    fn remember(&mut self, position: FilePosition) {
        self.left.retain(|left| FileKey::at(left) != FileKey::at(&position));
        self.left.push_back(position);
        if self.left.len() > REMEMBERED {
            self.left.pop_front();
        }
    }

    /// Looks what is at the path; whether there is something new to read.
    fn look(&mut self, now: Instant) -> bool {
        match self.look_at_path(now) {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.look_at_nothing(now),
            Err(error) => {
                self.enter(State::Failed(error.to_string()));
                false
            }
        }
    }

    /// Nothing has the path; what had it since the last look may still be there.
    fn look_at_nothing(&mut self, now: Instant) -> bool {
        self.enter(State::Waiting);
        if self.start == Start::Unseen {
            // Committed as "it was absent", so that it is read whole even if we are restarted.
            self.start = Start::Known;
            self.moved = true;
        }
        let last = self.readers.back().map(|last| last.position().modified);
        let Some(since) = last.max(self.since) else {
            // What had the path before we came is no concern of ours.
            let old = siblings(&self.path).unwrap_or_default();
            let old = old.iter().filter(|sibling| sibling.rotated);
            self.since = Some(old.map(|old| old.modified).max().unwrap_or(i64::MIN));
            return false;
        };
        let (successors, _) = self.successors(None, since, now);
        let any = !successors.is_empty();
        if !any && !self.readers.is_empty() && self.has_vanished(now) {
            self.since = Some(since);
            while !self.readers.is_empty() {
                self.leave_one(0);
            }
        }
        if any {
            self.reports.push(Report::Rotated);
            self.readers.extend(successors);
            self.since = None;
            self.moved = true;
        }
        any
    }

    /// Whether the name has been gone for so long that it won't come back, and nobody writes to what had it.
    fn has_vanished(&mut self, now: Instant) -> bool {
        let absent = *self.absent.get_or_insert(now);
        let lingers = |since: Instant| now.saturating_duration_since(since) < LINGER;
        self.vanishes
            && !lingers(absent)
            && !self.readers.iter().any(|old| lingers(old.quiet_since))
    }

    /// What was being read has gone for good while nobody looked; whether that is so.
    fn give_up(&mut self, now: Instant) -> bool {
        let waits = self.stored.is_some() && self.state == State::Waiting;
        if !waits || !self.has_vanished(now) {
            return false;
        }
        let stored = self.stored.take().unwrap_or_default();
        if stored.iter().any(|position| position.offset > 0) {
            self.reports.push(Report::Missing);
        }
        self.since = self.since.max(stored.last().map(|last| last.modified));
        stored.into_iter().for_each(|position| self.remember(position));
        self.moved = true;
        true
    }

    fn look_at_path(&mut self, now: Instant) -> io::Result<bool> {
        let metadata = fs::metadata(&self.path)?;
        self.absent = None;
        if let Some(last) = self.readers.back_mut()
            && last.key() == FileKey::of(&metadata)
        {
            last.is_followed_after(modified(&metadata));
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
                let last = self.readers.back().map(|last| last.position().modified);
                let (successors, all) = match last.max(self.since) {
                    Some(since) => self.successors(Some(key), since, now),
                    None => (Vec::new(), true),
                };
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

    fn batch(&mut self, lines: Lines, now: Instant) -> Batch {
        self.moved = false;
        Batch {
            source: self.source,
            arrived: Timestamp::now(),
            lines,
            trusted: self.trust.look(now).may_ban(),
            position: self.position(),
            reports: std::mem::take(&mut self.reports),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

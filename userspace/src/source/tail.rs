//! A log file, followed through everything that can happen to it: a state machine that is polled.
//!
//! Usually one file is open. After a rotation there are several, in reading order: the one that was
//! renamed away, which its writer may still append to, then perhaps files that came and went between two
//! looks, then the one that has the path now. A later one is read only when the earlier ones have
//! nothing more. An old one is left when it has been quiet for [`LINGER`] and its writer has begun with
//! a newer one.

mod archive;
mod known;
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

use self::known::Known;
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
    /// Files that need no reading.
    known: Known,
    /// Where to go on, as long as that hasn't been found on the disk.
    stored: Option<Vec<FilePosition>>,
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
        // An earlier version had none where the last file tells it.
        let floor = since.or_else(|| Some(stored.as_ref()?.last()?.modified));
        let mut tail = Self {
            source,
            trust: Assessor::new(path.clone(), false),
            path,
            cap,
            readers: VecDeque::new(),
            known: Known::new(left, floor),
            stored,
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
        Position::File {
            files,
            left: self.known.iter().copied().collect(),
            since: self.known.floor(),
        }
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
                    let key = reader.key();
                    if unread && self.is_put_back(at, now) {
                        return Some(Polled::Busy);
                    }
                    if let Some(reader) = self.readers.iter_mut().find(|it| it.key() == key) {
                        reader.quiet_since = now;
                    }
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
                Ok(Step::Replaced) => {
                    self.take_in(self.current(), now);
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
        self.known.remember(reader.position());
        self.moved = true;
    }

    /// Looks what is at the path; whether there is something new to read.
    fn look(&mut self, now: Instant) -> bool {
        if self.known.floor().is_none() {
            self.known.take_stock(siblings(&self.path));
        }
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
        let any = self.take_in(None, now).any;
        if !any && !self.readers.is_empty() && self.has_vanished(now) {
            while !self.readers.is_empty() {
                self.leave_one(0);
            }
        }
        if any {
            self.reports.push(Report::Rotated);
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
        stored.into_iter().for_each(|position| self.known.remember(position));
        self.moved = true;
        true
    }

    fn look_at_path(&mut self, now: Instant) -> io::Result<bool> {
        let metadata = fs::metadata(&self.path)?;
        self.absent = None;
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
                let before = !self.readers.is_empty();
                let taken = self.take_in(Some(key), now);
                if !taken.all {
                    return Ok(true);
                }
                let reader = self.newcomer(file, now)?;
                if before || taken.any {
                    self.reports.push(Report::Rotated);
                } else if self.start == Start::Known {
                    self.reports.push(Report::Appeared);
                }
                for old in &mut self.readers {
                    old.quiet_since = now;
                }
                Some(reader)
            }
        };
        self.readers.extend(new);
        self.start = Start::Known;
        self.moved = true;
        self.enter(State::Reading);
        Ok(true)
    }

    /// What has the path now.
    fn current(&self) -> Option<FileKey> {
        fs::metadata(&self.path).ok().map(|metadata| FileKey::of(&metadata))
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

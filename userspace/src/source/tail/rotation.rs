//! What rotation made of a log: copies of an emptied file, files that came and went between two looks,
//! and where the file that has the path now is to be entered.

use std::fs::File;
use std::io;
use std::time::Instant;

use super::super::position::Head;
use super::archive;
use super::reader::{FileKey, Reader};
use super::siblings::{Sibling, siblings};
use super::{FilePosition, OPEN, Report, Start, Tail};

/// How often the folder is listed before a rotation that goes on is let be.
const ATTEMPTS: usize = 4;

/// What was listed, if it can be opened.
///
/// # Errors
///
/// `NotFound` where it has another name by now: a rotation is under way, and all is to be looked at again.
pub(super) fn there(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        opened => Ok(opened.ok()),
    }
}

impl Tail {
    /// The file at `at` was emptied: what was in it may survive in a copy (logrotate's copytruncate).
    pub(super) fn replaced(&mut self, at: usize, unread: u64, now: Instant) {
        let Some(reader) = self.readers.get_mut(at) else { return };
        let was = reader.position();
        reader.rewind();
        // Where a rotation is under way, a copy may have another name before it is opened.
        let copy = (0..ATTEMPTS).find_map(|_| {
            let found = siblings(&self.path).unwrap_or_default();
            let found: Vec<_> =
                found.iter().filter(|sibling| sibling.rotated || sibling.packed).collect();
            self.copy(&found, &was, now)
        });
        let known = usize::from(copy.is_some());
        if let Some(copy) = copy {
            self.readers[at].is_followed_after(copy.last_written());
            self.readers.insert(at, copy);
        }
        // It may have been emptied more than once.
        let (copies, all) = self.successors(Some(FileKey::at(&was)), was.modified, now);
        let unread = if known + copies.len() > 0 { 0 } else { unread };
        self.reports.push(Report::Truncated { unread: Some(unread) });
        self.insert_copies(at + known, copies, all);
    }

    /// Of the file at `at`, of which the first lines have just been read, its beginning couldn't tell whether it
    /// was emptied before that: copies that were made of it meanwhile can. Where there are, the lines are
    /// put back, to be read after the copies.
    pub(super) fn emptied_unread(&mut self, at: usize, now: Instant) -> bool {
        let Some(reader) = self.readers.get(at).filter(|reader| !reader.copy) else { return false };
        let (key, since, until) = (reader.key(), reader.position().modified, reader.last_written());
        let current = std::fs::metadata(&self.path).ok().map(|metadata| FileKey::of(&metadata));
        let (copies, all) = self.successors(Some(key), since, now);
        let Some(reader) = self.readers.get_mut(at) else { return false };
        // What came after it isn't a copy: one that was renamed since has successors, of perhaps the same tick.
        let before = |copy: &Reader| match Some(key) == current {
            true => copy.last_written() <= until,
            false => Some(copy.key()) != current && copy.last_written() < until,
        };
        let saved: Vec<_> = copies
            .into_iter()
            .filter(before)
            .filter(|copy| !copy.is_beginning_of(reader).unwrap_or(true))
            .collect();
        let Some(newest) = saved.iter().map(Reader::last_written).max() else { return false };
        reader.rewind();
        reader.is_followed_after(newest);
        self.reports.push(Report::Truncated { unread: Some(0) });
        self.insert_copies(at, saved, all);
        true
    }

    /// The newest of `candidates` that holds what `position` had read, opened there.
    pub(super) fn copy(
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
            .filter(|sibling| sibling.packed || sibling.size >= position.offset)
            .filter(|sibling| !self.reads(sibling.key))
            .find_map(|sibling| {
                let file = sibling.open().ok()?;
                if sibling.packed {
                    let same = archive::begins_with(position.head, &file).ok()?;
                    return same
                        .then(|| Reader::unpacking(file, Some(position), now).ok())
                        .flatten();
                }
                if !position.head.matches(&file).ok()? {
                    return None;
                }
                let mut reader = Reader::resume(file, position, now).ok()?;
                reader.copy = true;
                Some(reader)
            })
    }

    /// The file that has the path now, opened where it is to be read from.
    pub(super) fn newcomer(&self, file: File, now: Instant) -> io::Result<Reader> {
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
    pub(super) fn successors(
        &self,
        current: Option<FileKey>,
        since: i64,
        now: Instant,
    ) -> (Vec<Reader>, bool) {
        for _ in 1..ATTEMPTS {
            if let Ok(found) = self.try_successors(current, since, now, false) {
                return found;
            }
        }
        self.try_successors(current, since, now, true).unwrap_or_default()
    }

    /// The same; an error where a rotation came in between, unless that is `tolerated`.
    fn try_successors(
        &self,
        current: Option<FileKey>,
        since: i64,
        now: Instant,
        tolerated: bool,
    ) -> io::Result<(Vec<Reader>, bool)> {
        let mut found: Vec<Reader> = Vec::new();
        for sibling in siblings(&self.path).unwrap_or_default() {
            let ours = Some(sibling.key) == current || self.reads(sibling.key);
            if ours || !sibling.is_successor(since) {
                continue;
            }
            if found.len() == OPEN {
                return Ok((found, false));
            }
            match self.successor(&sibling, now) {
                Ok(reader) => found.extend(reader),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !tolerated => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok((found, true))
    }

    /// Opens a successor; `None` where it is, under another name, what was read already.
    pub(super) fn successor(&self, sibling: &Sibling, now: Instant) -> io::Result<Option<Reader>> {
        let file = sibling.open()?;
        if sibling.packed {
            return self.packed_successor(file, sibling, now);
        }
        let read = self.readers.iter().map(Reader::position).chain(self.left.iter().copied());
        for known in read.filter(|known| known.offset > 0) {
            if known.head.matches(&file)? {
                // Left, and written to since.
                let grown = FileKey::at(&known) == sibling.key && known.offset < sibling.size;
                return grown.then(|| Reader::resume(file, &known, now)).transpose();
            }
        }
        Reader::at_beginning(file, now).map(Some)
    }

    /// The same of what is packed by now. What was left may have had more than was read of it.
    fn packed_successor(
        &self,
        file: File,
        sibling: &Sibling,
        now: Instant,
    ) -> io::Result<Option<Reader>> {
        // Empty, or broken from the start, and told.
        let is_over = |left: &&FilePosition| {
            left.offset == 0
                && FileKey::at(left) == sibling.key
                && left.modified == sibling.modified
        };
        if self.left.iter().any(|left| is_over(&left)) {
            return Ok(None);
        }
        for open in &self.readers {
            // What is in it now, which may not be what was read of it.
            let head = open.beginning()?;
            if head != Head::EMPTY && archive::begins_with(head, &file)? {
                return Ok(None);
            }
        }
        for left in self.left.iter().rev().filter(|left| left.offset > 0) {
            if archive::begins_with(left.head, &file)? {
                let whole = FileKey::at(left) == sibling.key;
                return (!whole).then(|| Reader::unpacking(file, Some(left), now)).transpose();
            }
        }
        Reader::unpacking(file, None, now).map(Some)
    }

    /// Reads these copies before the file at `at`, of which they were made and nothing is read yet. Where
    /// they aren't all, it has to be found anew behind the others.
    pub(super) fn insert_copies(&mut self, at: usize, copies: Vec<Reader>, all: bool) {
        if !all && at + 1 == self.readers.len() {
            self.readers.pop_back();
        }
        for mut copy in copies.into_iter().rev() {
            copy.copy = true;
            self.readers.insert(at, copy);
        }
    }
}

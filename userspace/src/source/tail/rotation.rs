//! What rotation made of a log: copies of an emptied file, files that came and went between two looks,
//! and where the file that has the path now is to be entered.

use std::fs::File;
use std::io;
use std::time::Instant;

use super::reader::{FileKey, Reader};
use super::siblings::{Sibling, open, siblings};
use super::{FilePosition, OPEN, Report, Start, Tail};

impl Tail {
    /// The file at `at` was emptied: what was in it may survive in a copy (logrotate's copytruncate).
    pub(super) fn replaced(&mut self, at: usize, unread: u64, now: Instant) {
        let Some(reader) = self.readers.get_mut(at) else { return };
        let was = reader.position();
        reader.rewind();
        let found = siblings(&self.path).unwrap_or_default();
        let found: Vec<_> = found.iter().filter(|sibling| sibling.rotated).collect();
        let copy = self.copy(&found, &was, now);
        let known = usize::from(copy.is_some());
        if let Some(copy) = copy {
            self.readers[at].is_followed_after(copy.last_written());
            self.readers.insert(at, copy);
        }
        // It may have been emptied more than once.
        let copies = self.successors(Some(FileKey::at(&was)), was.modified, now).0;
        let unread = if known + copies.len() > 0 { 0 } else { unread };
        self.reports.push(Report::Truncated { unread: Some(unread) });
        self.insert_copies(at + known, copies);
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
        let mut found = Vec::new();
        for sibling in siblings(&self.path).unwrap_or_default() {
            let ours = Some(sibling.key) == current || self.reads(sibling.key);
            if ours || !sibling.is_successor(since) {
                continue;
            }
            if found.len() == OPEN {
                return (found, false);
            }
            if let Ok(Some(reader)) = self.successor(&sibling, now) {
                found.push(reader);
            }
        }
        (found, true)
    }

    /// Opens a successor; `None` where it is, under another name, what was read already.
    fn successor(&self, sibling: &Sibling, now: Instant) -> io::Result<Option<Reader>> {
        let file = open(&sibling.path)?;
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

    /// Reads these copies before the file at `at`, of which they were made.
    pub(super) fn insert_copies(&mut self, at: usize, copies: Vec<Reader>) {
        for mut copy in copies.into_iter().rev() {
            copy.copy = true;
            self.readers.insert(at, copy);
        }
    }
}

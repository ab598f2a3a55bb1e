//! Finding a stored position on the disk again, whatever happened to the files meanwhile.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::archive;
use super::reader::{FileKey, Reader, modified};
use super::rotation::there;
use super::siblings::{SECOND, Sibling, open, siblings};
use super::{FilePosition, Report, State, Tail};

impl Tail {
    /// Finds the stored position on the disk. False as long as that must be tried again.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
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
                    packed: false,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        candidates.extend(here.clone());
        let mut readers = VecDeque::new();
        let mut reports = Vec::new();
        for (at, position) in stored.iter().enumerate() {
            let same = |file: &&Sibling| !file.packed && file.key == FileKey::at(position);
            if let Some(file) = candidates.iter().find(same)
                && let Some(file) = there(file.open())?
                && position.head.matches(&file)?
            {
                readers.push_back(Reader::resume(file, position, now)?);
                continue;
            }
            let copies = candidates.iter().filter(|file| file.rotated || file.packed);
            let copies = copies.chain(here.iter().filter(|_| position.head.is_full()));
            if let Some(mut copy) = self.copy(&copies.collect::<Vec<_>>(), position, now) {
                copy.copy = here.as_ref().is_none_or(|here| here.key != copy.key());
                readers.push_back(copy);
                continue;
            }
            if position.offset == 0
                && let Some(packed) = self.packed_unread(&candidates, (at, stored), &readers, now)
            {
                readers.push_back(packed);
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
        let last = stored.last().map_or(i64::MIN, |last| last.modified);
        let since = self.since.map_or(last, |since| since.max(last));
        let anything = here.is_some() || candidates.iter().any(|file| file.is_successor(since));
        if readers.is_empty() && !anything {
            return Ok(false);
        }
        self.since = Some(since);
        self.readers = readers;
        self.reports.extend(reports);
        if let Some(last) = stored.last().filter(|last| last.offset == 0) {
            self.emptied_before_read(last, now);
        }
        Ok(true)
    }

    /// A file of which nothing had been read, packed since: told by when it was last written to, which is
    /// before the next one was. (Of the last one that isn't known; what was written later succeeds it.)
    fn packed_unread(
        &self,
        candidates: &[Sibling],
        (at, stored): (usize, &[FilePosition]),
        readers: &VecDeque<Reader>,
        now: Instant,
    ) -> Option<Reader> {
        let is_anothers = |file: &Sibling| {
            readers.iter().any(|reader| reader.key() == file.key)
                || stored.iter().filter(|other| other.offset > 0).any(|other| {
                    let begins = |opened| archive::begins_with(other.head, &opened);
                    file.open().and_then(begins).unwrap_or(false)
                })
        };
        let from = stored[at].modified;
        let next = stored.get(at + 1).map(|next| next.modified);
        let fits = |file: &&Sibling| {
            file.modified.div_euclid(SECOND) == from.div_euclid(SECOND)
                || next.is_some_and(|next| (from..next).contains(&file.modified))
        };
        // Oldest first.
        candidates
            .iter()
            .filter(|file| file.packed && file.size > 0)
            .filter(fits)
            .filter(|file| !is_anothers(file))
            .find_map(|file| self.successor(file, now).ok().flatten())
    }

    /// Of a file of which nothing had been read, its own beginning can't tell whether it was emptied
    /// since; copies beside it that it doesn't begin like can.
    fn emptied_before_read(&mut self, position: &FilePosition, now: Instant) {
        let (copies, all) = self.successors(Some(FileKey::at(position)), position.modified, now);
        let Some(last) = self.readers.back().filter(|last| last.key() == FileKey::at(position))
        else {
            return;
        };
        let emptied = |copy: &Reader| !copy.is_beginning_of(last).unwrap_or(true);
        let saved: Vec<_> = copies.into_iter().filter(emptied).collect();
        if !saved.is_empty() {
            self.reports.push(Report::Truncated { unread: Some(0) });
        }
        self.insert_copies(self.readers.len() - 1, saved, all);
    }
}

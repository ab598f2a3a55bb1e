//! Finding a stored position on the disk again, whatever happened to the files meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::time::Instant;

use super::reader::{FileKey, Reader};
use super::rotation::Torn;
use super::siblings::{open, settled};
use super::{FilePosition, Report, State, Tail};

impl Tail {
    /// Finds the stored position on the disk. False as long as that must be tried again.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        let Some(stored) = self.stored.take() else { return true };
        match self.find(&stored, now) {
            Ok(true) => true,
            Ok(false) => {
                self.readers.clear();
                self.stored = Some(stored);
                self.enter(State::Waiting);
                false
            }
            Err(error) => {
                self.readers.clear();
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
        let here = match open(&self.path) {
            Ok(file) => Some((FileKey::of(&file.metadata()?), file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.readers = self.same_files(stored, here.as_ref(), now)?;
        let missing: Vec<_> = stored
            .iter()
            .enumerate()
            .filter(|(_, position)| !self.reads(FileKey::at(position)))
            .collect();
        let mut torn: Vec<_> = missing.iter().map(|(_, position)| Torn::new(**position)).collect();
        let current = here.as_ref().map(|(key, _)| *key);
        let gathered = self.gather(&mut torn, current, now);
        let anything = here.is_some()
            || !self.readers.is_empty()
            || !gathered.new.is_empty()
            || torn.iter().any(|torn| torn.goes_on.is_some());
        if !anything {
            return Ok(false);
        }
        let mut copies = Vec::new();
        for ((at, position), torn) in missing.into_iter().zip(torn) {
            if let Some(copy) = torn.goes_on {
                copies.push((at, copy));
                continue;
            }
            // An editor wrote it anew.
            if let Some((key, file)) = &here
                && position.head.is_full()
                && !self.reads(*key)
                && !copies.iter().any(|(_, copy)| copy.key() == *key)
                && file.metadata()?.len() >= position.offset
                && position.head.matches(file)?
            {
                copies.push((at, Reader::resume(file.try_clone()?, position, now)?));
                continue;
            }
            // A later file is read only when the earlier ones have nothing more.
            if position.offset > 0 && stored[at + 1..].iter().all(|later| later.offset == 0) {
                self.reports.push(match current == Some(FileKey::at(position)) {
                    true => Report::Truncated { unread: (!gathered.new.is_empty()).then_some(0) },
                    false => Report::Missing,
                });
            }
        }
        // It kept the path, and was emptied before any of it was read: what is new are copies of it.
        let unread = |last: &Reader| last.is_fresh() && Some(last.key()) == current;
        if !gathered.new.is_empty() && self.readers.back().is_some_and(unread) {
            self.reports.push(Report::Truncated { unread: Some(0) });
        }
        let place = |key: FileKey| stored.iter().position(|position| FileKey::at(position) == key);
        for (at, copy) in copies {
            let after = |reader: &Reader| place(reader.key()).is_some_and(|place| place > at);
            let before = self.readers.iter().position(after).unwrap_or(self.readers.len());
            self.readers.insert(before, copy);
        }
        self.insert(gathered, current);
        Ok(true)
    }

    /// The very files of these positions, opened there, as far as they are there.
    fn same_files(
        &self,
        stored: &[FilePosition],
        here: Option<&(FileKey, File)>,
        now: Instant,
    ) -> io::Result<VecDeque<Reader>> {
        let siblings = match settled(&self.path) {
            // The log may be readable where its directory isn't.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
            siblings => siblings?,
        };
        let mut found = VecDeque::new();
        for position in stored {
            let key = FileKey::at(position);
            let file = match here {
                Some((current, file)) if *current == key => Some(file.try_clone()?),
                _ => match siblings.iter().find(|file| file.key == key && file.may_be(position)) {
                    Some(sibling) => sibling.open_if_there()?,
                    None => None,
                },
            };
            if let Some(file) = file
                && position.head.matches(&file)?
            {
                found.push_back(Reader::resume(file, position, now)?);
            }
        }
        Ok(found)
    }
}

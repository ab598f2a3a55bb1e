//! Files beside the log that need no reading: what was read and left, and what was there before we came.
//!
//! Names and times can't tell what a rotated file is: it is renamed, packed, written to late, and a clock may be set
//! back. So each that needs no reading is remembered with its first bytes, and what isn't among them is new.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use super::super::position::{FilePosition, Head};
use super::archive;
use super::reader::{FileKey, line_start_before};
use super::siblings::Sibling;
use crate::event::Timestamp;

/// Files remembered. Those beyond it are told by their time.
const REMEMBERED: usize = 32;
/// So far the clock may be set back: a day, in nanoseconds. What is older than that is a backup that somebody put back.
const SET_BACK: i64 = 86_400 * 1_000_000_000;
/// The offset in a packed file that was there before we came: past all that is in it.
pub(super) const WHOLE: u64 = u64::MAX;

/// What needs no reading.
#[derive(Debug)]
pub(super) struct Known {
    files: VecDeque<FilePosition>,
    /// Files written to later are to be read, unless they are among those. `None`: nobody has looked yet.
    floor: Option<i64>,
}

impl Known {
    /// As a stored position has it.
    pub(super) fn new(files: Vec<FilePosition>, floor: Option<i64>) -> Self {
        let mut known = Self { files: VecDeque::new(), floor };
        files.into_iter().for_each(|file| known.remember(file));
        known
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &FilePosition> {
        self.files.iter()
    }

    pub(super) const fn floor(&self) -> Option<i64> {
        self.floor
    }

    /// It was read so far and left.
    pub(super) fn remember(&mut self, file: FilePosition) {
        self.forget(FileKey::at(&file));
        self.files.push_back(file);
        if self.files.len() > REMEMBERED {
            let oldest = self.files.iter().map(|file| file.modified).enumerate();
            let Some((at, modified)) = oldest.min_by_key(|(_, modified)| *modified) else { return };
            self.files.remove(at);
            self.floor = self.floor.max(Some(modified));
        }
    }

    /// It is being read again, or is another file by now.
    pub(super) fn forget(&mut self, key: FileKey) {
        self.files.retain(|file| FileKey::at(file) != key);
    }

    /// The first look: what is there is no concern of ours, but for what is added to it.
    pub(super) fn take_stock(&mut self, siblings: io::Result<Vec<Sibling>>) {
        let old: Vec<_> = match siblings {
            Ok(siblings) => siblings.into_iter().filter(Sibling::had_the_name).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            // If it may be read later, what was there now is old.
            Err(_) => {
                self.floor = Some(Timestamp::now().as_micros().saturating_mul(1_000));
                return;
            }
        };
        let newest = old.iter().map(|file| file.modified).max();
        self.floor = Some(newest.map_or(i64::MIN, |newest| newest.saturating_sub(SET_BACK)));
        for file in &old {
            self.remember(as_it_is(file));
        }
    }
}

/// A file that is there, as if it had been read, but for a line without an end.
fn as_it_is(file: &Sibling) -> FilePosition {
    let read = |opened: File| -> io::Result<(Head, u64)> {
        if file.packed {
            return Ok((archive::head(&opened)?, WHOLE));
        }
        let offset = line_start_before(&opened, file.size)?;
        Ok((Head::read(&opened, offset)?, offset))
    };
    let unread = (Head::EMPTY, if file.packed { WHOLE } else { file.size });
    let (head, offset) = file.open().and_then(read).unwrap_or(unread);
    let FileKey { device, inode } = file.key;
    FilePosition { device, inode, head, offset, modified: file.modified }
}

//! What rotation made of a log: copies of an emptied file, files that came and went between two looks, packed or
//! not, and where the file that has the path now is to be entered.
//!
//! Each file beside the log is weighed: it is open, or known ([`Known`](super::known::Known)), or goes on where
//! something was cut off (emptied in place, gone), or is new. What is open and known is told by its content.

use std::fs::File;
use std::io;
use std::time::Instant;

use super::super::position::Head;
use super::archive;
use super::known::WHOLE;
use super::reader::{self, FileKey, Reader, SAMPLE};
use super::siblings::{Sibling, settled};
use super::{FilePosition, OPEN, Report, Start, Tail};

/// How often the folder is listed before a rotation that goes on is let be.
const ATTEMPTS: usize = 4;

/// Something that was read, and isn't where it was any more.
#[derive(Debug)]
pub(super) struct Torn {
    /// How far it was read.
    pub(super) was: FilePosition,
    /// Bytes that are known to have been there unread.
    unread: u64,
    /// What has it now, opened there.
    pub(super) goes_on: Option<Reader>,
}

impl Torn {
    pub(super) const fn new(was: FilePosition) -> Self {
        Self { was, unread: 0, goes_on: None }
    }
}

/// What was found beside the log.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Files that hold unread lines, oldest first.
    pub(super) new: Vec<Reader>,
    /// Of many, a few are opened at a time.
    pub(super) all: bool,
    /// Known files under another key: the old one, and how it is known now.
    renamed: Vec<(FileKey, FilePosition)>,
}

/// What came of taking in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// There is something to be read.
    pub(super) any: bool,
    /// And nothing beyond that.
    pub(super) all: bool,
}

/// What a file beside the log is to us.
enum Standing {
    /// Open, known, or a copy of what is open that is being made.
    Known,
    /// This one that is known, under another key.
    Renamed(FilePosition),
    /// What is known has more than was read.
    Goes {
        from: FilePosition,
        copy: bool,
    },
    New,
}

/// A file beside the log, opened.
struct Candidate {
    sibling: Sibling,
    file: File,
}

impl Candidate {
    /// `None` where it can't be opened.
    ///
    /// # Errors
    ///
    /// `NotFound` where it has another name by now: a rotation is under way, and all is to be looked at again.
    fn open(sibling: Sibling) -> io::Result<Option<Self>> {
        Ok(sibling.open_if_there()?.map(|file| Self { sibling, file }))
    }

    fn begins_with(&self, head: Head) -> io::Result<bool> {
        match self.sibling.packed {
            true => archive::begins_with(head, &self.file),
            false => head.matches(&self.file),
        }
    }

    /// Whether it may hold what `position` was read of.
    fn holds(&self, position: &FilePosition) -> io::Result<bool> {
        Ok(position.offset > 0
            && position.head != Head::EMPTY
            && (self.sibling.packed || self.sibling.size >= position.offset)
            && self.begins_with(position.head)?)
    }

    fn read_on(&self, from: &FilePosition, copy: bool, now: Instant) -> io::Result<Reader> {
        let file = self.file.try_clone()?;
        if self.sibling.packed {
            return Reader::unpacking(file, Some(from), now);
        }
        let mut reader = Reader::resume(file, from, now)?;
        reader.copy = copy;
        Ok(reader)
    }

    fn read(&self, now: Instant) -> io::Result<Reader> {
        let file = self.file.try_clone()?;
        match self.sibling.packed {
            true => Reader::unpacking(file, None, now),
            false => Reader::at_beginning(file, now),
        }
    }

    /// Its first bytes.
    fn sample(&self) -> io::Result<Vec<u8>> {
        match self.sibling.packed {
            true => archive::first(&self.file, SAMPLE),
            false => reader::first(&self.file, SAMPLE),
        }
    }
}

impl Tail {
    /// Looks through what is beside the log, and puts what is to be read before what comes after it.
    pub(super) fn take_in(&mut self, current: Option<FileKey>, now: Instant) -> Taken {
        let mut torn = self.emptied();
        let gathered = self.gather(&mut torn, current, now);
        let any = self.reseat(torn, gathered.new.is_empty());
        let all = gathered.all;
        let any = self.insert(gathered, current) || any;
        // It has to be found anew behind the others.
        let is_current = |last: &Reader| Some(last.key()) == current && last.is_fresh();
        if !all && self.readers.back().is_some_and(is_current) {
            self.readers.pop_back();
        }
        Taken { any, all }
    }

    /// Open files that were emptied in place since they were read, each made ready to be read anew.
    pub(super) fn emptied(&mut self) -> Vec<Torn> {
        let mut torn = Vec::new();
        for reader in &mut self.readers {
            if let Ok(true) = reader.is_emptied() {
                torn.push(Torn {
                    was: reader.position(),
                    unread: reader.undelivered(),
                    goes_on: None,
                });
                reader.rewind();
            }
        }
        torn
    }

    /// The copies of what was emptied before that; whether there are any.
    fn reseat(&mut self, torn: Vec<Torn>, nothing_else: bool) -> bool {
        let mut any = false;
        for Torn { was, unread, goes_on } in torn {
            let unread = if goes_on.is_none() && nothing_else { unread } else { 0 };
            self.reports.push(Report::Truncated { unread: Some(unread) });
            let at = self.readers.iter().position(|reader| reader.key() == FileKey::at(&was));
            if let Some(copy) = goes_on {
                self.readers.insert(at.unwrap_or(self.readers.len()), copy);
                any = true;
            }
        }
        any
    }

    /// Puts new files where they belong: before the current one, and before what was written to later and isn't begun.
    pub(super) fn insert(&mut self, gathered: Gathered, current: Option<FileKey>) -> bool {
        let any = !gathered.new.is_empty();
        for (was, known) in gathered.renamed {
            self.known.forget(was);
            self.known.remember(known);
            self.moved = true;
        }
        for new in gathered.new {
            self.known.forget(new.key());
            let after = |reader: &Reader| {
                Some(reader.key()) == current
                    || reader.is_fresh() && reader.last_written() > new.last_written()
            };
            let at = self.readers.iter().position(after).unwrap_or(self.readers.len());
            self.readers.insert(at, new);
        }
        any
    }

    /// Finds what goes on where something was torn, and what is new.
    pub(super) fn gather(
        &self,
        torn: &mut [Torn],
        current: Option<FileKey>,
        now: Instant,
    ) -> Gathered {
        for _ in 1..ATTEMPTS {
            if let Ok(gathered) = self.try_gather(torn, current, now, false) {
                return gathered;
            }
        }
        self.try_gather(torn, current, now, true).unwrap_or_default()
    }

    /// The same; an error where a rotation came in between, unless that is `tolerated`.
    fn try_gather(
        &self,
        torn: &mut [Torn],
        current: Option<FileKey>,
        now: Instant,
        tolerated: bool,
    ) -> io::Result<Gathered> {
        torn.iter_mut().for_each(|torn| torn.goes_on = None);
        let mut candidates = Vec::new();
        for sibling in settled(&self.path).unwrap_or_default() {
            let ours = Some(sibling.key) == current || self.reads(sibling.key);
            if ours || !sibling.had_the_name() {
                continue;
            }
            match Candidate::open(sibling) {
                Ok(candidate) => candidates.extend(candidate),
                Err(_) if tolerated => {}
                Err(error) => return Err(error),
            }
        }
        // The newest first: an older one may begin likewise.
        for torn in torn {
            for at in (0..candidates.len()).rev() {
                if candidates[at].holds(&torn.was)? {
                    let copy = candidates.remove(at);
                    torn.goes_on = copy.read_on(&torn.was, true, now).ok();
                    break;
                }
            }
        }
        let mut gathered = Gathered { all: true, ..Gathered::default() };
        for candidate in &candidates {
            if gathered.new.len() == OPEN {
                gathered.all = false;
                break;
            }
            let reader = match self.standing(candidate, &candidates)? {
                Standing::Known => continue,
                Standing::Renamed(known) => {
                    let FileKey { device, inode } = candidate.sibling.key;
                    let modified = candidate.sibling.modified;
                    let is = FilePosition { device, inode, modified, ..known };
                    gathered.renamed.push((FileKey::at(&known), is));
                    continue;
                }
                Standing::Goes { from, copy } => candidate.read_on(&from, copy, now),
                Standing::New => candidate.read(now),
            };
            gathered.new.extend(reader.ok());
        }
        Ok(gathered)
    }

    fn standing(&self, candidate: &Candidate, all: &[Candidate]) -> io::Result<Standing> {
        let Candidate { sibling, .. } = candidate;
        let known = self.known.iter().find(|known| FileKey::at(known) == sibling.key);
        if let Some(known) = known
            && candidate.begins_with(known.head)?
        {
            let untouched = known.modified == sibling.modified;
            if untouched || sibling.packed && known.offset > 0 {
                return Ok(Standing::Known);
            }
            if known.offset <= sibling.size {
                // Left, and written to since.
                return Ok(Standing::Goes { from: *known, copy: false });
            }
        }
        if !sibling.is_after(self.known.floor().unwrap_or(i64::MIN)) {
            return Ok(Standing::Known);
        }
        let sample = candidate.sample()?;
        let is_copy_of = |file: &File, size: u64| -> io::Result<bool> {
            let fits = sibling.packed || sibling.size <= size;
            Ok(fits && !sample.is_empty() && reader::first(file, sample.len())? == sample)
        };
        for reader in self.readers.iter().filter(|reader| !reader.is_packed()) {
            if is_copy_of(reader.file(), reader.file().metadata()?.len())? {
                return Ok(Standing::Known);
            }
        }
        for known in self.known.iter().rev().filter(|known| FileKey::at(known) != sibling.key) {
            if known.offset == WHOLE {
                if sibling.packed
                    && known.head != Head::EMPTY
                    && candidate.begins_with(known.head)?
                {
                    return Ok(Standing::Renamed(*known));
                }
                continue;
            }
            if !candidate.holds(known)? {
                continue;
            }
            // It is still there: this is another one that begins likewise, or a copy too many.
            let same = |other: &&Candidate| other.sibling.key == FileKey::at(known);
            if let Some(other) = all.iter().find(same).filter(|other| !other.sibling.packed)
                && known.head.matches(&other.file)?
            {
                if is_copy_of(&other.file, other.sibling.size)? {
                    return Ok(Standing::Known);
                }
                continue;
            }
            let whole =
                sibling.is_of(known.modified) || !sibling.packed && sibling.size == known.offset;
            return Ok(match whole {
                true => Standing::Renamed(*known),
                false => Standing::Goes { from: *known, copy: true },
            });
        }
        Ok(Standing::New)
    }

    /// Of the file at `at`, of which the first lines have just been read, its beginning couldn't tell whether it
    /// was emptied before that: copies that were made of it meanwhile can. Where there are, the lines are
    /// put back, to be read after the copies.
    pub(super) fn is_put_back(&mut self, at: usize, now: Instant) -> bool {
        let Some(reader) = self.readers.get(at).filter(|reader| !reader.copy) else { return false };
        let (key, written) = (reader.key(), reader.last_written());
        let current = self.current();
        let mut torn = self.emptied();
        // These very lines are in a copy by now, which goes on behind them.
        let is_torn = torn.iter().any(|torn| FileKey::at(&torn.was) == key);
        let gathered = self.gather(&mut torn, current, now);
        self.reseat(torn, gathered.new.is_empty());
        let before =
            gathered.new.iter().any(|new| Some(key) == current || new.last_written() <= written);
        let put_back = before && !is_torn;
        if put_back && let Some(reader) = self.readers.iter_mut().find(|reader| reader.key() == key)
        {
            reader.rewind();
            if Some(key) == current {
                self.reports.push(Report::Truncated { unread: Some(0) });
            }
        }
        self.insert(gathered, current);
        put_back
    }

    /// The file that has the path now, opened where it is to be read from.
    pub(super) fn newcomer(&mut self, file: File, now: Instant) -> io::Result<Reader> {
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
        let known: Vec<_> = self.known.iter().copied().chain(last).collect();
        for known in known {
            let same = FileKey::at(&known) == key || known.head.is_full();
            if same && known.offset <= size && known.offset > 0 && known.head.matches(&file)? {
                self.known.forget(FileKey::at(&known));
                return Reader::resume(file, &known, now);
            }
        }
        self.known.forget(key);
        Reader::at_beginning(file, now)
    }
}

//! One open file: from an offset to complete lines, and whether it still is the file it was.
//!
//! Nothing that was read is kept between two steps: a line whose end isn't there yet is read again
//! when the file has grown. So the position always is the beginning of a line, and no stale bytes can
//! be delivered after a truncation.

use std::fs::{File, Metadata};
use std::io;
use std::iter;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Instant;

use memchr::{memchr, memrchr};
use rustix::buffer::spare_capacity;

use super::super::batch::Lines;
use super::super::lines::{LineCap, kept, split};
use super::super::position::{FilePosition, Head, read_up_to};
use super::archive::Archive;

/// Bytes read at once: a batch is at most this, or one line where that is longer.
pub(super) const CHUNK: usize = 64 << 10;
/// Of two files that begin alike so far, one is a copy of the other.
pub(super) const SAMPLE: usize = CHUNK;
/// Lines in one batch.
pub(super) const LINES: usize = 1000;
/// How far back the beginning of an unfinished line is sought when a file is entered at its end.
const BACK: u64 = 1 << 20;

/// What makes two names the same file.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in super::super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(in super::super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// That of a stored position.
    pub(super) const fn at(position: &FilePosition) -> Self {
        Self { device: position.device, inode: position.inode }
    }
}

/// Time of last modification, in nanoseconds since the epoch.
pub(in super::super) fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// What one step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Complete lines; the offset stands after them.
    Lines { lines: Lines, overlong: u64, cut: u64 },
    /// In the middle of a line that is too long; there is more to read.
    Onward,
    /// So many bytes of a line without a beginning were passed over; there may be more to read.
    Skipped(u64),
    /// Nothing more for now.
    End,
    /// The file shrank, its beginning is the same; so many bytes were lost unread.
    Shortened(u64),
    /// The file's beginning is another: emptied, perhaps written anew.
    Replaced,
    /// An archive that can't be unpacked any further, in one line; there is nothing after it.
    Broken(String),
}

/// How the bytes at the offset are to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// A line begins there.
    Lines,
    /// A line begins there that is too long; no end of it before `upto`.
    Overlong { upto: u64 },
    /// A line goes on there whose beginning we don't have.
    Fragment,
}

/// Size and time of last modification at a look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Look {
    size: u64,
    modified: i64,
}

/// One open file and how far it has been read.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    key: FileKey,
    head: Head,
    offset: u64,
    mode: Mode,
    last: Look,
    /// No line ends between the offset and here, unless a step says otherwise.
    looked_at: u64,
    /// The look at which there was nothing more.
    ended: Option<Look>,
    /// It is packed.
    pub(super) archive: Option<Archive>,
    /// A copy that a rotation made: it doesn't grow, so its end is its end.
    pub(super) copy: bool,
    /// Since when it has given nothing.
    pub(super) quiet_since: Instant,
}

impl Reader {
    /// Reads `file` from its beginning.
    pub(super) fn at_beginning(file: File, now: Instant) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            key: FileKey::of(&metadata),
            file,
            head: Head::EMPTY,
            offset: 0,
            mode: Mode::Lines,
            last: Look { size: metadata.len(), modified: modified(&metadata) },
            looked_at: 0,
            ended: None,
            archive: None,
            copy: false,
            quiet_since: now,
        })
    }

    /// Reads what is written to `file` beyond `size`, and the line that is unfinished there.
    pub(super) fn at_end(file: File, size: u64, now: Instant) -> io::Result<Self> {
        let mut reader = Self::at_beginning(file, now)?;
        reader.enter(line_start_before(&reader.file, size.min(reader.last.size))?);
        reader.head = Head::read(&reader.file, reader.offset)?;
        Ok(reader)
    }

    /// Goes on in `file` where `position` says.
    pub(super) fn resume(file: File, position: &FilePosition, now: Instant) -> io::Result<Self> {
        let mut reader = Self::at_beginning(file, now)?;
        reader.head = position.head;
        reader.enter(position.offset);
        Ok(reader)
    }

    /// The place before the first byte that wasn't delivered.
    pub(super) const fn position(&self) -> FilePosition {
        FilePosition {
            device: self.key.device,
            inode: self.key.inode,
            head: self.head,
            offset: self.offset,
            modified: self.last.modified,
        }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) const fn key(&self) -> FileKey {
        self.key
    }

    /// Whether anything was ever in it.
    pub(super) const fn has_content(&self) -> bool {
        self.last.size > 0
    }

    /// Bytes known to be there that weren't looked at.
    pub(super) const fn unread(&self) -> u64 {
        self.last.size.saturating_sub(self.looked_at)
    }

    /// Bytes known to be there that weren't delivered: `unread`, and the line without an end.
    pub(super) const fn undelivered(&self) -> u64 {
        self.last.size.saturating_sub(self.offset)
    }

    /// When it was last written to, as far as we saw.
    pub(super) const fn last_written(&self) -> i64 {
        self.last.modified
    }

    /// Whether it was deleted, under each of its names.
    pub(super) fn is_unnamed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Whether nothing of it was delivered.
    pub(super) const fn is_fresh(&self) -> bool {
        self.offset == 0
    }

    /// Whether it is unpacked as it is read.
    pub(super) const fn is_packed(&self) -> bool {
        self.archive.is_some()
    }

    /// Whether it was emptied in place since it was looked at, perhaps written anew.
    pub(super) fn is_emptied(&self) -> io::Result<bool> {
        if self.is_packed() {
            return Ok(false);
        }
        let size = self.file.metadata()?.len();
        Ok(self.offset == 0 && size < self.last.size || !self.head.matches(&self.file)?)
    }

    /// Begins anew, after the file was emptied.
    pub(super) fn rewind(&mut self) {
        self.head = Head::EMPTY;
        self.last.size = 0;
        self.enter(0);
    }

    /// Reads on. `Err` leaves everything as it was.
    pub(super) fn step(&mut self, cap: LineCap) -> io::Result<Step> {
        if self.archive.is_some() {
            return Ok(self.unpack(cap));
        }
        let metadata = self.file.metadata()?;
        let look = Look { size: metadata.len(), modified: modified(&metadata) };
        if self.ended == Some(look) {
            return Ok(Step::End);
        }
        // Together with the end of the line before, which tells whether a line begins here still.
        let lead = u64::from(self.mode == Mode::Lines && self.offset > 0);
        let from = match self.mode {
            Mode::Overlong { upto } => upto,
            Mode::Lines | Mode::Fragment => self.offset - lead,
        };
        let bytes = self.read(from, look.size, cap)?;
        // The beginning of an overlong line, now that its end is there.
        let line = match (self.mode, memchr(b'\n', &bytes)) {
            (Mode::Overlong { .. }, Some(_)) => self.read_exact(self.offset, cap.bytes())?,
            _ => None,
        };
        // After reading: were it before, another file's bytes could still come through.
        let emptied = self.offset == 0 && look.size < self.last.size;
        if emptied || !self.head.matches(&self.file)? {
            return Ok(Step::Replaced);
        }
        if look.size < from + lead {
            return Ok(self.shorten(look));
        }
        self.last = look;
        let read_to = from + bytes.len() as u64;
        let step = match self.mode {
            Mode::Lines => self.lines(bytes, from, cap),
            Mode::Overlong { upto } => self.overlong(&bytes, line, upto, cap),
            Mode::Fragment => self.fragment(&bytes),
        };
        self.looked_at = match (self.mode, &step) {
            (Mode::Overlong { upto }, _) => upto,
            (_, Step::End) => read_to,
            _ => self.offset,
        };
        self.ended = (self.looked_at == look.size).then_some(look);
        Ok(step)
    }

    fn lines(&mut self, bytes: Vec<u8>, from: u64, cap: LineCap) -> Step {
        let lead = usize::from(from < self.offset);
        match bytes.first() {
            None => return Step::End,
            Some(before) if lead > 0 && *before != b'\n' => {
                // Entered inside a line, or somebody has changed what lies before.
                self.mode = Mode::Fragment;
                return Step::Onward;
            }
            Some(_) => {}
        }
        let split = split(&bytes, lead, cap, LINES);
        if split.ranges.is_empty() {
            if bytes.len() - lead > cap.bytes() {
                self.mode = Mode::Overlong { upto: from + bytes.len() as u64 };
                return Step::Onward;
            }
            return Step::End;
        }
        self.advance(&bytes[lead..split.consumed]);
        let lines = Lines::new(bytes.into(), split.ranges, split.consumed - lead);
        Step::Lines { lines, overlong: split.overlong, cut: split.cut }
    }

    fn overlong(&mut self, bytes: &[u8], line: Option<Vec<u8>>, upto: u64, cap: LineCap) -> Step {
        let Some(end) = memchr(b'\n', bytes) else {
            self.mode = Mode::Overlong { upto: upto + bytes.len() as u64 };
            return if bytes.is_empty() { Step::End } else { Step::Onward };
        };
        // A short read: it is being truncated this moment, and the next step will see it.
        let Some(line) = line else { return Step::End };
        let length = upto + end as u64 - self.offset;
        self.head.extend(&line);
        self.offset += length + 1;
        self.mode = Mode::Lines;
        let kept = kept(&line, cap);
        let taken = usize::try_from(length + 1).unwrap_or(usize::MAX);
        let lines = Lines::new(line.into(), iter::once(0..kept).collect(), taken);
        Step::Lines { lines, overlong: 1, cut: length.saturating_sub(cap.bytes() as u64) }
    }

    fn fragment(&mut self, bytes: &[u8]) -> Step {
        let skipped = match memchr(b'\n', bytes) {
            Some(end) => {
                self.mode = Mode::Lines;
                &bytes[..=end]
            }
            None if bytes.is_empty() => return Step::End,
            None => bytes,
        };
        self.advance(skipped);
        Step::Skipped(skipped.len() as u64)
    }

    fn shorten(&mut self, look: Look) -> Step {
        let lost = self.last.size.saturating_sub(look.size.max(self.offset));
        self.last = look;
        self.enter(look.size.min(self.offset));
        Step::Shortened(lost)
    }

    pub(super) fn advance(&mut self, bytes: &[u8]) {
        self.advance_over(bytes, bytes.len() as u64);
    }

    /// Past a line that begins with `bytes` and is so long.
    pub(super) fn advance_over(&mut self, bytes: &[u8], length: u64) {
        self.head.extend(bytes);
        self.offset += length;
    }

    /// So many bytes after the offset are known to be there and weren't looked at.
    pub(super) const fn knows_of(&mut self, bytes: u64) {
        self.last.size = self.offset.saturating_add(bytes);
        self.looked_at = self.offset;
    }

    /// Sets the offset, to a place that may lie inside a line.
    const fn enter(&mut self, offset: u64) {
        self.offset = offset;
        self.looked_at = offset;
        self.mode = Mode::Lines;
        self.ended = None;
    }

    /// A chunk from `from`; more of it where a line needs more.
    fn read(&self, from: u64, size: u64, cap: LineCap) -> io::Result<Vec<u8>> {
        let there = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        self.fill(&mut bytes, from, there.min(CHUNK))?;
        let ends = |bytes: &[u8]| memchr(b'\n', bytes.get(1..).unwrap_or_default()).is_some();
        if self.mode == Mode::Lines && bytes.len() == CHUNK && !ends(&bytes) {
            self.fill(&mut bytes, from, there.min(cap.bytes() + 2))?;
        }
        Ok(bytes)
    }

    fn read_exact(&self, from: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.fill(&mut bytes, from, length)?;
        Ok((bytes.len() == length).then_some(bytes))
    }

    /// Appends what is at `from + bytes.len()` until there are `goal` bytes or no more are there.
    fn fill(&self, bytes: &mut Vec<u8>, from: u64, goal: usize) -> io::Result<()> {
        bytes.reserve_exact(goal.saturating_sub(bytes.len()));
        while bytes.len() < goal {
            let at = from + bytes.len() as u64;
            match rustix::io::pread(self.file.as_fd(), spare_capacity(bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(goal);
        Ok(())
    }
}

/// Where the line begins that is unfinished at `end`; `end` itself where none is, or its beginning is
/// too far away.
pub(in super::super) fn line_start_before(file: &File, end: u64) -> io::Result<u64> {
    let mut block = vec![0; CHUNK];
    let mut to = end;
    while to > 0 && end - to < BACK {
        let from = to.saturating_sub(CHUNK as u64);
        let length = usize::try_from(to - from).unwrap_or(CHUNK);
        file.read_exact_at(&mut block[..length], from)?;
        if let Some(newline) = memrchr(b'\n', &block[..length]) {
            return Ok(from + newline as u64 + 1);
        }
        to = from;
    }
    Ok(if to == 0 { 0 } else { end })
}

/// The first bytes of a file.
pub(super) fn first(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let filled = read_up_to(file, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

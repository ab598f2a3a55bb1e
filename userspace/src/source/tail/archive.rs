//! A file that rotation has packed: read once, from where the plain file was left to its end.
//!
//! Positions in it are those of what is unpacked, as they were in the plain file. It is unpacked as it is
//! read, so that its size doesn't matter.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::iter;
use std::time::Instant;

use memchr::memchr;

use super::super::batch::Lines;
use super::super::lines::{LineCap, kept, split};
use super::super::position::{FilePosition, Head};
use super::super::whole::{Progress, unpacked};
use super::reader::{CHUNK, LINES, Reader, Step};

/// Bytes passed over in one step.
const STRIDE: u64 = 4 << 20;

/// The unpacking.
pub(super) struct Archive {
    /// `None`: not begun, or ended.
    unpacker: Option<Box<dyn Read + Send>>,
    begun: bool,
    /// Of the packed bytes.
    progress: Progress,
    size: u64,
    /// Bytes that lie before the position.
    skip: u64,
    /// Unpacked, without a line's end in it yet.
    buffer: Vec<u8>,
    /// Bytes passed over of a line that is too long, whose beginning is in the buffer.
    passed: u64,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("skip", &self.skip).finish_non_exhaustive()
    }
}

/// Whether what is packed in `file` begins with what `head` covers.
///
/// # Errors
///
/// Where it can't be read. What can't be unpacked begins with nothing.
pub(super) fn begins_with(head: Head, file: &File) -> io::Result<bool> {
    let mut found = Head::EMPTY;
    found.extend(&first(file, head.len())?);
    Ok(found == head)
}

/// The fingerprint of what is packed in `file`.
///
/// # Errors
///
/// Where it can't be read.
pub(super) fn head(file: &File) -> io::Result<Head> {
    let mut head = Head::EMPTY;
    head.extend(&first(file, Head::MOST)?);
    Ok(head)
}

/// The first bytes of what is packed in `file`, as far as it can be unpacked.
///
/// # Errors
///
/// Where it can't be read.
pub(super) fn first(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    match unpacker(file, Progress::default())?.take(most as u64).read_to_end(&mut first) {
        Err(error) if error.raw_os_error().is_some() => Err(error),
        _ => Ok(first),
    }
}

fn unpacker(file: &File, progress: Progress) -> io::Result<Box<dyn Read + Send>> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    unpacked(Box::new(file), progress)
}

impl Archive {
    fn new(size: u64, skip: u64) -> Self {
        Self {
            unpacker: None,
            begun: false,
            progress: Progress::default(),
            size,
            skip,
            buffer: Vec::new(),
            passed: 0,
        }
    }

    /// Bytes without a line's end at the end.
    const fn rest(&self) -> u64 {
        self.buffer.len() as u64 + self.passed
    }

    /// Unpacks at most `most` bytes more into the buffer; 0 at the end.
    fn fill(&mut self, file: &File, most: u64) -> io::Result<u64> {
        if !self.begun {
            self.begun = true;
            self.unpacker = Some(unpacker(file, self.progress.clone())?);
        }
        let Some(unpacker) = &mut self.unpacker else { return Ok(0) };
        let read = unpacker.by_ref().take(most).read_to_end(&mut self.buffer)?;
        if read == 0 {
            // It may hold a large window.
            self.unpacker = None;
        }
        Ok(read as u64)
    }

    /// Comes nearer to the position; whether it is reached. `None`: it lies behind the end.
    fn pass_over(&mut self, file: &File) -> io::Result<Option<bool>> {
        let read = self.fill(file, self.skip.min(STRIDE))?;
        self.buffer.clear();
        self.skip -= read;
        Ok((read > 0).then_some(self.skip == 0))
    }
}

impl Reader {
    /// Reads what is packed in `file`, from `position` on, or whole.
    pub(super) fn unpacking(
        file: File,
        position: Option<&FilePosition>,
        now: Instant,
    ) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let skip = position.map_or(0, |position| position.offset);
        let mut reader = match position {
            Some(position) => Self::resume(file, position, now)?,
            None => Self::at_beginning(file, now)?,
        };
        reader.copy = true;
        reader.archive = Some(Archive::new(size, skip));
        Ok(reader)
    }

    /// [`Reader::step`], of what is packed.
    pub(super) fn unpack(&mut self, cap: LineCap) -> Step {
        let Some(mut archive) = self.archive.take() else { return Step::End };
        let step = self.unpack_from(&mut archive, cap).unwrap_or_else(|error| {
            archive.unpacker = None;
            Step::Broken(error.to_string())
        });
        let packed = archive.size.saturating_sub(archive.progress.bytes());
        let waits =
            if archive.unpacker.is_some() { packed.max(archive.rest()) } else { archive.rest() };
        self.knows_of(waits);
        self.archive = Some(archive);
        step
    }

    fn unpack_from(&mut self, archive: &mut Archive, cap: LineCap) -> io::Result<Step> {
        if archive.skip > 0 {
            return Ok(match archive.pass_over(self.file())? {
                Some(_) => Step::Onward,
                None => Step::Broken("it ends before what was read of it".to_owned()),
            });
        }
        loop {
            if archive.passed > 0 {
                if let Some(step) = self.end_of_overlong(archive, cap) {
                    return Ok(step);
                }
            } else if memchr(b'\n', &archive.buffer).is_some() {
                return Ok(self.take_lines(archive, cap));
            } else if archive.buffer.len() > cap.bytes() {
                archive.passed = (archive.buffer.len() - cap.bytes()) as u64;
                archive.buffer.truncate(cap.bytes());
            }
            if archive.fill(self.file(), CHUNK as u64)? == 0 {
                return Ok(Step::End);
            }
        }
    }

    fn take_lines(&mut self, archive: &mut Archive, cap: LineCap) -> Step {
        let split = split(&archive.buffer, 0, cap, LINES);
        let rest = archive.buffer.split_off(split.consumed);
        let bytes = std::mem::replace(&mut archive.buffer, rest);
        self.advance(&bytes);
        let lines = Lines::new(bytes.into(), split.ranges, split.consumed);
        Step::Lines { lines, overlong: split.overlong, cut: split.cut }
    }

    /// Passes over the rest of a line that is too long; the line, where its end is there.
    fn end_of_overlong(&mut self, archive: &mut Archive, cap: LineCap) -> Option<Step> {
        let more = archive.buffer.get(cap.bytes()..).unwrap_or_default();
        let Some(end) = memchr(b'\n', more) else {
            archive.passed += more.len() as u64;
            archive.buffer.truncate(cap.bytes());
            return None;
        };
        let rest = archive.buffer.split_off(cap.bytes() + end + 1);
        let mut line = std::mem::replace(&mut archive.buffer, rest);
        line.truncate(cap.bytes());
        let cut = std::mem::take(&mut archive.passed) + end as u64;
        let taken = line.len() as u64 + cut + 1;
        self.advance_over(&line, taken);
        let kept = kept(&line, cap);
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        let lines = Lines::new(line.into(), iter::once(0..kept).collect(), taken);
        Some(Step::Lines { lines, overlong: 1, cut })
    }
}

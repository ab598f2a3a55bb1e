//! What a source hands to the engine: lines, the position after them, and what happened on the way.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{Position, SourceId};
use crate::event::{Line, Timestamp};

/// Lines of one source, with the position to commit together with their effects.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose.
    pub source: SourceId,
    /// When they were read.
    pub arrived: Timestamp,
    /// The lines; there may be none where only the position moved or something is to be reported.
    pub lines: Lines,
    /// Whether they may ban: nobody but root and the system could have written them.
    pub trusted: bool,
    /// The place after the last of the lines.
    pub position: Position,
    /// What happened before the lines.
    pub reports: Vec<Report>,
}

impl Batch {
    /// The lines, in order.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        self.lines.iter().map(|bytes| Line { bytes, arrived: self.arrived })
    }
}

/// Lines in one buffer.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    bytes: Bytes,
    ranges: Vec<Range<usize>>,
    taken: usize,
}

impl Lines {
    /// `ranges` of `bytes`, which took so many bytes in the source.
    pub(super) fn new(bytes: Bytes, ranges: Vec<Range<usize>>, taken: usize) -> Self {
        debug_assert!(ranges.iter().all(|range| range.end <= bytes.len()));
        Self { bytes, ranges, taken }
    }

    /// The lines, in order, without their ends.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ranges.iter().map(|range| &self.bytes[range.clone()])
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes they took in the source: with their ends, and with what was cut off.
    pub const fn taken(&self) -> usize {
        self.taken
    }
}

/// Something that happened to a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// The file, absent until now, is there, and is read from its beginning.
    Appeared,
    /// Another file has taken the path; the old one is read to its end first.
    Rotated,
    /// The file was emptied or shortened in place.
    Truncated {
        /// Bytes that were known to be in it unread and are gone; `None` where it happened while
        /// nobody looked, so that it can't be known.
        unread: Option<u64>,
    },
    /// The file that was being read when we stopped is nowhere any more.
    Missing,
    /// What rotation packed can't be unpacked to its end.
    Damaged {
        /// Why, in one line.
        error: String,
    },
    /// A line without an end was left behind by a rotation or begun before our position; it wasn't
    /// delivered, for a part of a line can blame the wrong address.
    Fragment {
        /// Its bytes.
        bytes: u64,
    },
    /// Lines longer than the cap were cut.
    Overlong {
        /// How many.
        lines: u64,
        /// Bytes cut off.
        bytes: u64,
    },
    /// It can't be read; tried again until it can.
    Failed {
        /// Why, in one line.
        error: String,
    },
    /// It can be read again.
    Recovered,
    /// The kernel doesn't wake us; it is polled instead, a little later.
    Unwatched {
        /// Why, in one line.
        error: String,
    },
}

/// What a report says about lines that will never be delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// None that is known.
    None,
    /// Possible; nobody can know.
    Possible,
    /// At least this many bytes.
    Bytes(u64),
}

impl Report {
    /// What it says about loss; anything but [`Loss::None`] deserves an alert.
    pub const fn loss(&self) -> Loss {
        match *self {
            Self::Truncated { unread: None } | Self::Missing | Self::Damaged { .. } => {
                Loss::Possible
            }
            Self::Truncated { unread: Some(bytes @ 1..) } | Self::Fragment { bytes } => {
                Loss::Bytes(bytes)
            }
            Self::Truncated { unread: Some(0) }
            | Self::Appeared
            | Self::Rotated
            | Self::Overlong { .. }
            | Self::Failed { .. }
            | Self::Recovered
            | Self::Unwatched { .. } => Loss::None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appeared => f.write_str("the file is there now, read from its beginning"),
            Self::Rotated => f.write_str("rotated, the old file is finished first"),
            Self::Truncated { unread: Some(0) } => {
                f.write_str("truncated, all of it had been read")
            }
            Self::Truncated { unread: Some(bytes) } => {
                write!(f, "truncated with {bytes} bytes unread, which are lost")
            }
            Self::Truncated { unread: None } => {
                f.write_str("truncated while nobody looked, lines may be lost")
            }
            Self::Missing => {
                f.write_str("the file read last is gone with what was unread in it, if anything")
            }
            Self::Damaged { error } => {
                write!(f, "what rotation packed of it can't be read on: {error}")
            }
            Self::Fragment { bytes } => write!(f, "a line without end, {bytes} bytes, was dropped"),
            Self::Overlong { lines, bytes } => {
                write!(f, "{lines} lines were too long, {bytes} bytes of them cut off")
            }
            Self::Failed { error } => write!(f, "can't be read: {error}"),
            Self::Recovered => f.write_str("can be read again"),
            Self::Unwatched { error } => write!(f, "polled, since inotify fails: {error}"),
        }
    }
}

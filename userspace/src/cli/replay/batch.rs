//! Lines that are taken through the engine together.
//!
//! What is remembered of a line's offender mostly lies in memory, not in the cache, and behind two references: for
//! a line alone that is three waits, as long as all that is done with it. Several lines wait together.

use std::ops::Range;

/// Lines of a batch: so few that all that is made of them stays in the first-level cache.
pub(super) const LINES: usize = 8;

/// Lines that were read, and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl Batch {
    /// Adds a line; says whether it is full now.
    #[inline]
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.lines.push(from..self.bytes.len());
        self.lines.len() >= LINES
    }

    /// How many lines it has.
    pub(super) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Its lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|line| &self.bytes[line.clone()])
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }
}

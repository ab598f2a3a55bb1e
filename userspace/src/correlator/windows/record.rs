//! How a window or a cooldown is laid out in words.

use crate::correlator::entry::Place;
use crate::correlator::ladder::{Evidence, RUNGS};

/// What a record is about, within its owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::correlator) struct Id {
    /// The kind in the lowest bits, then the evidence, and the group in the upper half.
    pub(super) name: u32,
    pub(super) subkey: u32,
}

pub(super) const KIND: u32 = 0b11;
/// Times, counted by a ladder.
pub(super) const EVENTS: u32 = 0;
/// Values with times.
pub(super) const VALUES: u32 = 1;
/// Times that another rule asks for.
const MEMORY: u32 = 2;
/// The time of a firing, after which a rule is quiet.
pub(super) const COOLDOWN: u32 = 3;
/// Evidence that may not ban is among it.
pub(super) const ALL: u32 = 0b100;

/// Words of a record before its size or, of a cooldown, its rule.
pub(super) const ID: usize = 2;
/// Words of a window before its list, where no ladder counts.
pub(super) const HEAD: usize = ID + 1;
/// Words of a cooldown.
pub(super) const COOLDOWN_WORDS: usize = ID + 2;

impl Id {
    #[inline]
    pub(super) const fn new(kind: u32, place: Place, evidence: Evidence) -> Self {
        let evidence = match evidence {
            Evidence::Bannable => 0,
            Evidence::All => ALL,
        };
        Self { name: (place.group as u32) << 16 | evidence | kind, subkey: place.subkey }
    }

    /// A ladder's window.
    #[inline]
    pub(in crate::correlator) const fn events(place: Place, evidence: Evidence) -> Self {
        Self::new(EVENTS, place, evidence)
    }

    /// A window of different values.
    #[inline]
    pub(in crate::correlator) const fn values(place: Place, evidence: Evidence) -> Self {
        Self::new(VALUES, place, evidence)
    }

    /// Where events wait for the rule that asks for them.
    #[inline]
    pub(in crate::correlator) const fn memory(place: Place) -> Self {
        Self::new(MEMORY, place, Evidence::All)
    }

    /// The same window for other evidence.
    #[inline]
    pub(in crate::correlator) const fn of(self, evidence: Evidence) -> Self {
        let name = match evidence {
            Evidence::Bannable => self.name & !ALL,
            Evidence::All => self.name | ALL,
        };
        Self { name, ..self }
    }

    pub(super) const fn kind(self) -> u32 {
        self.name & KIND
    }

    pub(super) const fn group(self) -> u16 {
        (self.name >> 16) as u16
    }
}

/// A window's size in items, and room for so many, in one word. An item is a time, or a value and its time.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) len: u16,
    pub(super) room: u16,
}

impl Size {
    #[inline]
    pub(super) const fn of(word: u32) -> Self {
        Self { len: (word & 0xffff) as u16, room: (word >> 16) as u16 }
    }

    #[inline]
    pub(super) const fn word(self) -> u32 {
        self.len as u32 | (self.room as u32) << 16
    }
}

/// By kind: words of an item, of which a cooldown has none, and of what comes before the first.
const SHAPES: [(usize, usize); 4] = {
    let mut shapes = [(1, HEAD); 4];
    shapes[EVENTS as usize] = (1, HEAD + RUNGS / 2);
    shapes[VALUES as usize] = (2, HEAD);
    shapes[COOLDOWN as usize] = (0, COOLDOWN_WORDS);
    shapes
};

/// Words of an item, and of what comes before the first.
#[inline]
pub(super) const fn shape(kind: u32) -> (usize, usize) {
    SHAPES[(kind & KIND) as usize]
}

/// Words of the record that begins with these. (Without a branch: owners' records come in any order.)
#[inline]
pub(super) const fn extent(id: Id, size: u32) -> usize {
    let (item, head) = shape(id.kind());
    head + item * Size::of(size).room as usize
}

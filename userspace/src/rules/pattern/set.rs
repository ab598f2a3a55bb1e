//! A set of bytes.

use regex_syntax::hir::{Class, ClassBytes};

/// A set of bytes, for the analyses that run once, at load.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    /// Every byte.
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    /// Just these.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut set = Self::default();
        for &byte in bytes {
            set.insert(byte);
        }
        set
    }

    /// The bytes of a class; `None` for one that isn't about bytes.
    pub(super) fn of_class(class: &Class) -> Option<Self> {
        match class {
            Class::Bytes(class) => Some(Self::of_ranges(class)),
            Class::Unicode(class) => class.to_byte_class().map(|class| Self::of_ranges(&class)),
        }
    }

    fn of_ranges(class: &ClassBytes) -> Self {
        let mut set = Self::default();
        for range in class.ranges() {
            (range.start()..=range.end()).for_each(|byte| set.insert(byte));
        }
        set
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Whether `byte` is in it.
    pub(super) const fn contains(self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] >> (byte & 63) & 1 == 1
    }

    /// Whether all of `bytes` are in it.
    pub(super) fn holds(self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.contains(byte))
    }

    /// Whether the two have a byte in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// What is in either.
    pub(super) fn union(self, other: Self) -> Self {
        let mut words = self.0;
        for (mine, theirs) in words.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
        Self(words)
    }

    /// The byte that alone is missing.
    pub(super) fn all_but(self) -> Option<u8> {
        let mut missing = (0..=u8::MAX).filter(|&byte| !self.contains(byte));
        let byte = missing.next()?;
        missing.next().is_none().then_some(byte)
    }

    /// As a table, for the loops that run on every line.
    pub(super) fn table(self) -> Box<[bool; 256]> {
        let mut table = Box::new([false; 256]);
        for byte in 0..=u8::MAX {
            table[usize::from(byte)] = self.contains(byte);
        }
        table
    }
}

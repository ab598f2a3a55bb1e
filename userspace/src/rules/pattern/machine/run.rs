//! Runs: as many bytes of a set as there are.

use std::sync::Arc;

use super::literal::{TOPS, word, zeros};
use crate::rules::pattern::set::ByteSet;

/// Below it, memchr takes longer to set out than to look word by word.
const SHORT: usize = 96;

/// A class with its counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) set: ByteSet,
    pub(super) min: u32,
    /// `None`: any number.
    pub(super) max: Option<u32>,
}

/// The same, to be run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    sweep: Sweep,
    /// Which bytes are in the set.
    table: Arc<[bool; 256]>,
    min: u32,
    max: u32,
}

/// What is asked of eight bytes at once.
#[derive(Clone, Copy, Debug)]
enum Sweep {
    /// The set is every byte but this one.
    Until { stop: u8, stops: u64 },
    /// These are in the set, which may have others.
    Within(Within),
    /// Nothing.
    ByByte,
}

/// A range of ASCII, and a byte beside it.
#[derive(Clone, Copy, Debug)]
struct Within {
    /// What lifts the first of the range, and the first behind it, to the top bit.
    to_first: u64,
    to_behind: u64,
    beside: u64,
}

impl Run {
    pub(super) fn new(Counted { set, min, max }: Counted) -> Self {
        let sweep = match (set.all_but(), Within::of(set)) {
            (Some(stop), _) => Sweep::Until { stop, stops: each(stop) },
            (None, Some(within)) => Sweep::Within(within),
            (None, None) => Sweep::ByByte,
        };
        Self {
            sweep,
            table: set.table().into(),
            min,
            // No line is longer.
            max: max.unwrap_or(u32::MAX),
        }
    }

    /// So many there have to be.
    pub(super) const fn min(&self) -> usize {
        self.min as usize
    }

    /// Where the set's bytes that stand from `at` on end: at most `max` of them. `None`: they are fewer than `min`.
    #[inline(always)]
    pub(super) fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let most = text.len().min(at + self.max as usize);
        let end = match &self.sweep {
            Sweep::Until { stop, stops } => until(text, at, most, *stop, *stops),
            Sweep::Within(within) => match within.end(text, at, most) {
                end if end < most && self.has(text[end]) => self.end_by_byte(text, end, most),
                end => end,
            },
            Sweep::ByByte => self.end_by_byte(text, at, most),
        };
        (end >= at + self.min as usize).then_some(end)
    }

    #[inline(never)]
    fn end_by_byte(&self, text: &[u8], at: usize, most: usize) -> usize {
        let others = text[at..most].iter().position(|byte| !self.has(*byte));
        others.map_or(most, |more| at + more)
    }

    /// Whether the set has this byte.
    #[inline(always)]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.table[usize::from(byte)]
    }
}

/// Where `stop` stands first from `at` to `end`.
#[inline(always)]
fn until(text: &[u8], mut at: usize, end: usize, stop: u8, stops: u64) -> usize {
    // What ends at a space is a word, so short.
    if end > at + SHORT && stop != b' ' {
        return memchr::memchr(stop, &text[at..end]).map_or(end, |found| at + found);
    }
    while at < end {
        let found = zeros(word(text, at) ^ stops);
        if found != 0 {
            return end.min(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    end
}

impl Within {
    /// The longest range of a set, and one more of its bytes; `None` where it has no ASCII.
    fn of(set: ByteSet) -> Option<Self> {
        // Not NUL, which seems to stand behind the text's end.
        let ascii = 1..0x80_u8;
        let (mut first, mut behind, mut from) = (1, 1, 1);
        for byte in 1..=0x80_u8 {
            if byte == 0x80 || !set.contains(byte) {
                if byte - from >= behind - first {
                    (first, behind) = (from, byte);
                }
                from = byte + 1;
            }
        }
        let beside = |byte: &u8| set.contains(*byte) && !(first..behind).contains(byte);
        let usual = b".-_0 ".iter().copied().find(beside);
        let beside = usual.or_else(|| ascii.clone().find(beside));
        let beside = beside.or_else(|| ascii.clone().find(|byte| set.contains(*byte)))?;
        Some(Self {
            to_first: each(0x80 - first),
            to_behind: each(0x80 - behind),
            beside: each(beside),
        })
    }

    /// Where from `at` to `end` the first byte stands that isn't one of these.
    #[inline(always)]
    fn end(&self, text: &[u8], mut at: usize, end: usize) -> usize {
        while at < end {
            let word = word(text, at);
            let low = word & !TOPS;
            let ranged = (low + self.to_first) & !(low + self.to_behind) & !word;
            let others = !(ranged | zeros(word ^ self.beside)) & TOPS;
            if others != 0 {
                return end.min(at + others.trailing_zeros() as usize / 8);
            }
            at += 8;
        }
        end
    }
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_ends_where_the_set_does(
            bytes in prop::collection::vec(prop_oneof![0x2c_u8..0x40, 0x5f_u8..0x68, any::<u8>()], 0..30),
            but in any::<bool>(),
            min in 0_u32..3,
            more in prop::option::of(0_u32..40),
            text in prop::collection::vec(prop_oneof![0x2c_u8..0x40, 0x5f_u8..0x68, any::<u8>()], 0..90),
        ) {
            let mut set = ByteSet::of(&bytes);
            if but {
                // All but some, or but one.
                let few = if min == 0 { 1 } else { 4 };
                let others = (0..=u8::MAX).filter(|byte| !bytes.iter().take(few).any(|it| it == byte));
                set = ByteSet::of(&others.collect::<Vec<u8>>());
            }
            let run = Run::new(Counted { set, min, max: more });
            for at in 0..=text.len() {
                let most = &text[at..];
                let most = &most[..most.len().min(run.max as usize)];
                let expected = most.iter().position(|byte| !set.contains(*byte));
                let expected = Some(expected.unwrap_or(most.len()));
                let expected = expected.filter(|len| *len >= run.min()).map(|len| at + len);
                prop_assert_eq!(run.end(&text, at), expected);
            }
            // And of nothing else than the set.
            let own: Vec<u8> = (0..200).filter_map(|at| bytes.get(at % 31).copied()).collect();
            let run = Run::new(Counted { set, min: 0, max: None });
            let expected = own.iter().position(|byte| !set.contains(*byte));
            prop_assert_eq!(run.end(&own, 0), Some(expected.unwrap_or(own.len())));
        }
    }
}

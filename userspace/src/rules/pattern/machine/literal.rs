//! Literals: compared by words, and looked for.

use crate::event::position;

/// The eight bytes that stand at `at`, the first of them lowest; zeros behind the end.
#[inline(always)]
pub(super) fn word(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + 8).map(<[u8; 8]>::try_from) {
        Some(Ok(word)) => u64::from_le_bytes(word),
        _ => last_word(text, at),
    }
}

/// [`word`] where fewer than eight bytes are left.
#[inline(never)]
fn last_word(text: &[u8], at: usize) -> u64 {
    let left = text.len().saturating_sub(at);
    if left == 0 {
        return 0;
    }
    if let Some(word) = text.last_chunk::<8>() {
        return u64::from_le_bytes(*word) >> (8 * (8 - left.min(8)));
    }
    let bytes = text[at..].iter().rev();
    bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Some bytes.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    /// The first eight, and which bits of them are of the literal.
    head: u64,
    mask: u64,
    /// The last eight of more than eight.
    tail: u64,
    len: usize,
    bytes: Box<[u8]>,
}

impl Literal {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mask = match bytes.len() {
            len @ 0..8 => (1 << (8 * len)) - 1,
            _ => u64::MAX,
        };
        Self {
            head: word(bytes, 0),
            mask,
            tail: word(bytes, bytes.len().saturating_sub(8)),
            len: bytes.len(),
            bytes: bytes.into(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it stands at `at`.
    #[inline(always)]
    pub(super) fn is_at(&self, text: &[u8], at: usize) -> bool {
        (word(text, at) ^ self.head) & self.mask == 0
            && at + self.len <= text.len()
            && (self.len <= 8 || self.goes_on(text, at))
    }

    /// Whether what is behind the first eight bytes stands there too.
    #[inline]
    fn goes_on(&self, text: &[u8], at: usize) -> bool {
        match self.len {
            len @ ..=16 => word(text, at + len - 8) == self.tail,
            len => text[at + 8..at + len] == self.bytes[8..],
        }
    }
}

/// A literal that is looked for, and its byte that is most worth looking for.
#[derive(Debug)]
pub(in crate::rules::pattern) struct Needle {
    literal: Literal,
    probe: usize,
    byte: u8,
}

/// Beyond it, memchr's way of looking pays.
const SHORT: usize = 64;

impl Needle {
    pub(in crate::rules::pattern) fn new(bytes: &[u8]) -> Self {
        let literal = Literal::new(bytes);
        // Letters are rarer than what stands between words and in addresses.
        let common =
            |byte: u8| byte == b' ' || byte == b'.' || byte == b':' || byte.is_ascii_digit();
        let probe = bytes.iter().position(|&byte| !common(byte)).unwrap_or(0);
        let byte = bytes.get(probe).copied().unwrap_or(0);
        Self { literal, probe, byte }
    }

    pub(in crate::rules::pattern) const fn len(&self) -> usize {
        self.literal.len()
    }

    /// The first place from `at` on where the literal stands.
    pub(in crate::rules::pattern) fn first(&self, text: &[u8], at: usize) -> Option<usize> {
        let mut from = at + self.probe;
        loop {
            let found = from + first_position(text.get(from..)?, self.byte)?;
            if self.literal.is_at(text, found - self.probe) {
                return Some(found - self.probe);
            }
            from = found + 1;
        }
    }

    /// The last place from `lowest` to `highest` where the literal stands.
    #[inline]
    pub(super) fn last(&self, text: &[u8], lowest: usize, highest: usize) -> Option<usize> {
        let mut window = text.get(lowest + self.probe..)?;
        window = &window[..window.len().min(highest - lowest + 1)];
        while let Some(found) = last_position(window, self.byte) {
            if self.literal.is_at(text, lowest + found) {
                return Some(lowest + found);
            }
            window = &window[..found];
        }
        None
    }
}

/// Where `byte` stands first in `text`.
#[inline]
fn first_position(text: &[u8], byte: u8) -> Option<usize> {
    if text.len() > SHORT { memchr::memchr(byte, text) } else { position(text, byte) }
}

/// Where `byte` stands last in `text`.
#[inline]
fn last_position(text: &[u8], byte: u8) -> Option<usize> {
    if text.len() > SHORT {
        return memchr::memrchr(byte, text);
    }
    let wanted = u64::from_ne_bytes([byte; 8]);
    let (rest, words) = text.as_rchunks::<8>();
    for (at, word) in words.iter().enumerate().rev() {
        let found = zeros(u64::from_le_bytes(*word) ^ wanted);
        if found != 0 {
            return Some(rest.len() + 8 * at + 7 - found.leading_zeros() as usize / 8);
        }
    }
    rest.iter().rposition(|there| *there == byte)
}

/// The top bit of each byte that is zero, and no other.
#[inline]
pub(super) const fn zeros(word: u64) -> u64 {
    !(((word & !TOPS) + !TOPS) | word) & TOPS
}

/// The top bit of every byte.
pub(super) const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_literal_is_found_where_it_stands(
            text in prop::collection::vec(0_u8..3, 0..90),
            bytes in prop::collection::vec(0_u8..3, 0..40),
            from in 0_usize..90,
            len in 0_usize..40,
        ) {
            // One that stands somewhere, and one that may.
            let from = from.min(text.len());
            let there = &text[from..(from + len).min(text.len())];
            for bytes in [there, &bytes[..]] {
                let literal = Literal::new(bytes);
                for at in 0..=text.len() {
                    prop_assert_eq!(literal.is_at(&text, at), text[at..].starts_with(bytes));
                }
            }
        }

        #[test]
        fn the_first_and_the_last_one_are_found(
            text in prop::collection::vec(prop_oneof![0_u8..3, 126_u8..130, 254_u8..], 0..90),
            bytes in prop::collection::vec(0_u8..3, 1..3),
            lowest in 0_usize..90,
            highest in 0_usize..90,
        ) {
            let lowest = lowest.min(text.len());
            let highest = highest.clamp(lowest, text.len());
            let expected = (lowest..=highest).rev().find(|at| text[*at..].starts_with(&bytes));
            let needle = Needle::new(&bytes);
            prop_assert_eq!(needle.last(&text, lowest, highest), expected);
            let expected = (lowest..text.len()).find(|at| text[*at..].starts_with(&bytes));
            prop_assert_eq!(needle.first(&text, lowest), expected);
            let last = text.iter().rposition(|byte| *byte == bytes[0]);
            prop_assert_eq!(last_position(&text, bytes[0]), last);
        }
    }
}

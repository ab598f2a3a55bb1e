//! Looking for a byte over a short way.

/// Where `byte` stands first in `text`. A word is a few bytes long: memchr, which is built for longer
/// ways, takes longer to set out.
#[inline]
pub(crate) fn position(text: &[u8], byte: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let wanted = u64::from_ne_bytes([byte; 8]);
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // The lowest byte that is zero here is where it stands first.
        let differs = u64::from_le_bytes(*word) ^ wanted;
        let found = differs.wrapping_sub(ONES) & !differs & TOPS;
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|there| *there == byte)?;
    Some(text.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_place_is_that_of_memchr(
            text in proptest::collection::vec(prop_oneof![0u8..4, 126u8..130, 254u8..], 0..40),
            byte in prop_oneof![0u8..4, 126u8..130, 254u8..],
        ) {
            prop_assert_eq!(position(&text, byte), memchr::memchr(byte, &text));
        }
    }
}

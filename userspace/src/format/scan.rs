//! Small steps over bytes that several formats take.

pub(super) use crate::event::position;

/// The number that all of `text`'s bytes spell; `None` where it isn't one or doesn't fit.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    if let 1..=9 = text.len() {
        // Too few to overflow: whether all were digits can be asked at the end.
        let (mut sum, mut digits) = (0u32, true);
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            digits &= digit <= 9;
            sum = sum.wrapping_mul(10).wrapping_add(u32::from(digit));
        }
        return digits.then_some(sum);
    }
    text.iter().try_fold(0u32, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// The number that `text` begins with, of at most nine digits, and what stands behind it.
#[inline]
pub(super) fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    if let Some(word) = text.first_chunk::<8>()
        && let Some((number, len)) = leading_digits(u64::from_le_bytes(*word))
    {
        return Some((number, &text[len..]));
    }
    let len = digits(text);
    let (digits, rest) = text.split_at(len);
    Some((number(digits).filter(|_| len < 10)?, rest))
}

/// The number that a word's lower bytes spell, and how many they are; `None` where that is none or all of them.
#[inline]
fn leading_digits(word: u64) -> Option<(u32, usize)> {
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let values = word ^ u64::from_ne_bytes(*b"00000000");
    // The top bit of each byte that is above nine.
    let others = (((values & !TOPS) + u64::from_ne_bytes([0x76; 8])) | values) & TOPS;
    let len = others.trailing_zeros() as usize / 8;
    if !matches!(len, 1..8) {
        return None;
    }
    // Eight digits, those in front zeros; then pairs, then fours, then all.
    let digits = values << (8 * (8 - len));
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let number = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    Some((u32::try_from(number).ok()?, len))
}

/// How many digits `text` begins with.
pub(super) fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// `text` without the spaces it begins with. Only spaces: a tab may belong to a message.
pub(super) fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    &text[spaces..]
}

/// The first word of `text`, and what follows its space; the whole where there is no space.
pub(super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match position(text, b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

/// Where `needle` begins for the last time in `text`. `rare` indexes the byte of it that is searched
/// for; memchr's own `rfind` is built for long texts and costs more than ours are.
pub(super) fn rfind(text: &[u8], needle: &[u8], rare: usize) -> Option<usize> {
    let mut end = text.len();
    loop {
        end = memchr::memrchr(needle[rare], &text[..end])?;
        let start = end.checked_sub(rare)?;
        if text[start..].starts_with(needle) {
            return Some(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_leading_number_is_what_its_digits_spell(
            text in "[0-9]{0,12}([\\]: /a:\\u{e9}].{0,9})?",
        ) {
            let text = text.as_bytes();
            let len = digits(text);
            let spelled = std::str::from_utf8(&text[..len]).unwrap().parse::<u32>().ok();
            let expected = spelled.filter(|_| len < 10).map(|number| (number, &text[len..]));
            prop_assert_eq!(leading_number(text), expected);
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"4294967296", b"00000000001", b"1a", b"-1", b"\xff"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn the_last_occurrence_is_found() {
        for rare in 0..4 {
            assert_eq!(rfind(b"a -> b -> c >", b" -> ", rare), Some(6));
            assert_eq!(rfind(b"-> b ->", b" -> ", rare), None);
            assert_eq!(rfind(b"", b" -> ", rare), None);
        }
    }

    #[test]
    fn words_end_at_a_space() {
        assert_eq!(split_word(b"a b c"), (&b"a"[..], &b"b c"[..]));
        assert_eq!(split_word(b"a"), (&b"a"[..], &b""[..]));
        assert_eq!(skip_spaces(b"  \ta"), b"\ta");
        assert_eq!(digits(b"12x3"), 2);
    }
}

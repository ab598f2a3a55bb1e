//! A JSON reader for one line, that knows when it is out of its depth.
//!
//! It says `None` for whatever isn't plain: then serde_json has to say what it is, and where it is wrong. What it
//! accepts, serde_json accepts with the same outcome; being stricter costs nothing but time.

use std::net::IpAddr;

use crate::event::{canonical, parse_ipv4};

/// How deep objects and lists may lie within each other.
const DEEPEST: u32 = 24;

/// What is left of a line.
#[derive(Debug)]
pub(super) struct Json<'l> {
    rest: &'l [u8],
    depth: u32,
}

impl<'l> Json<'l> {
    pub(super) const fn new(line: &'l [u8]) -> Self {
        Self { rest: line, depth: 0 }
    }

    /// An object: `each` is given every key, and takes its value.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&'l [u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.enter(b'{')?;
        if self.next_is(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            let key = self.plain_string()?;
            if !key.is_ascii() {
                return None;
            }
            self.expect(b':')?;
            self.blanks();
            each(key, self)?;
            self.blanks();
            match self.byte()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.depth -= 1;
        Some(())
    }

    /// Whether nothing but blanks is left.
    pub(super) fn is_over(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    /// A text without escapes; the inner `None` is `null`.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Option<&'l str>> {
        if self.null() {
            return Some(None);
        }
        std::str::from_utf8(self.plain_string()?).ok().map(Some)
    }

    /// A number without sign, fraction or exponent.
    #[inline]
    pub(super) fn number<N: TryFrom<u32>>(&mut self) -> Option<Option<N>> {
        if self.null() {
            return Some(None);
        }
        let digits = super::scan::digits(self.rest);
        let (number, rest) = self.rest.split_at(digits);
        if matches!(rest, [b'.' | b'e' | b'E', ..]) || matches!(number, [b'0', _, ..]) {
            return None;
        }
        self.rest = rest;
        N::try_from(super::scan::number(number)?).ok().map(Some)
    }

    /// An address literal, v4-mapped ones folded to IPv4.
    #[inline]
    pub(super) fn address(&mut self) -> Option<Option<IpAddr>> {
        if self.null() {
            return Some(None);
        }
        let text = self.plain_string()?;
        Some(Some(match parse_ipv4(text) {
            Some(v4) => IpAddr::V4(v4),
            None => canonical(std::str::from_utf8(text).ok()?.parse().ok()?),
        }))
    }

    /// Passes over a value; says whether it was `null`.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<bool> {
        match self.rest.first()? {
            b'"' => self.string().map(|_| false),
            b'{' => self.skip_object().map(|()| false),
            b'[' => self.skip_list().map(|()| false),
            b'-' | b'0'..=b'9' => self.skip_number().map(|()| false),
            b't' => self.word(b"true").map(|()| false),
            b'f' => self.word(b"false").map(|()| false),
            _ => self.null().then_some(true),
        }
    }

    fn skip_object(&mut self) -> Option<()> {
        self.enter(b'{')?;
        if self.next_is(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            self.string()?;
            self.expect(b':')?;
            self.blanks();
            self.skip()?;
            self.blanks();
            match self.byte()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn skip_list(&mut self) -> Option<()> {
        self.enter(b'[')?;
        if self.next_is(b']') {
            return Some(());
        }
        loop {
            self.blanks();
            self.skip()?;
            self.blanks();
            match self.byte()? {
                b',' => {}
                b']' => break,
                _ => return None,
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn skip_number(&mut self) -> Option<()> {
        self.next_is_here(b'-');
        let whole = self.digits()?;
        if matches!(whole, [b'0', _, ..]) {
            return None;
        }
        if self.next_is_here(b'.') {
            self.digits()?;
        }
        // An exponent can be out of range.
        (!matches!(self.rest, [b'e' | b'E', ..])).then_some(())
    }

    fn digits(&mut self) -> Option<&'l [u8]> {
        let (digits, rest) = self.rest.split_at(super::scan::digits(self.rest));
        self.rest = rest;
        (!digits.is_empty() && digits.len() < 20).then_some(digits)
    }

    /// A string in which nothing is escaped.
    #[inline]
    fn plain_string(&mut self) -> Option<&'l [u8]> {
        let (text, escaped) = self.string()?;
        (!escaped).then_some(text)
    }

    /// What stands between quotes, and whether something in it is escaped.
    #[inline]
    fn string(&mut self) -> Option<(&'l [u8], bool)> {
        let [b'"', text @ ..] = self.rest else { return None };
        let (mut at, mut escaped) = (0, false);
        loop {
            at += plain(&text[at..]);
            match text.get(at)? {
                b'"' => {
                    self.rest = &text[at + 1..];
                    return Some((&text[..at], escaped));
                }
                b'\\' => {
                    escaped = true;
                    at += match text.get(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                        _ => return None,
                    };
                }
                // A control byte.
                _ => return None,
            }
        }
    }

    fn enter(&mut self, open: u8) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEEPEST && self.byte()? == open).then_some(())
    }

    /// Whether what was entered ends at once.
    fn next_is(&mut self, close: u8) -> bool {
        self.blanks();
        let is = self.next_is_here(close);
        self.depth -= u32::from(is);
        is
    }

    fn next_is_here(&mut self, wanted: u8) -> bool {
        match self.rest {
            [byte, rest @ ..] if *byte == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn null(&mut self) -> bool {
        self.rest.first() == Some(&b'n') && self.word(b"null").is_some()
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.blanks();
        (self.byte()? == wanted).then_some(())
    }

    #[inline]
    pub(super) fn blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// How many bytes `text` begins with that neither end a string nor escape something, and are no control bytes.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest top bit that is set is of the first such byte; those above it may be wrong.
        let is_zero = |differs: u64| differs.wrapping_sub(ONES) & !differs;
        let quote = is_zero(word ^ (ONES * 0x22));
        let escape = is_zero(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | escape | control) & TOPS;
        if found != 0 {
            return 8 * at + found.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    text.len() - rest.len() + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_bytes_are_counted_as_one_by_one(
            text in proptest::collection::vec(
                prop_oneof![Just(b'"'), Just(b'\\'), 0_u8..0x24, 0x5a_u8..0x5f, 0x7e_u8..0x82, 0x9d_u8..0xa4, any::<u8>(), Just(b'a'), Just(b'a'), Just(b'a'), Just(b'a')],
                0..40,
            ),
        ) {
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            prop_assert_eq!(plain(&text), text.iter().position(ends).unwrap_or(text.len()));
        }

        /// What is passed over is JSON.
        #[test]
        fn what_is_skipped_is_json(
            parts in proptest::collection::vec(prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"a\""),
                Just("\"\\u00e9\\\"\""), Just("\"\\ud800\""), Just("\"\\x\""), Just("0"), Just("-1.5"),
                Just("01"), Just("1e5"), Just("1."), Just("-"), Just("true"), Just("null"), Just("nul"),
                Just(" "), Just("\t"), Just("\"\u{1}\""), Just("\"\u{e9}\""),
                Just("99999999999999999999999"), Just("{\"a\":1}"), Just("[1,{}]"), Just("\"a\":"),
            ], 0..9),
        ) {
            let text = parts.concat();
            let mut json = Json::new(text.as_bytes());
            if json.skip().is_some() && json.is_over() {
                let whole = serde_json::from_str::<serde::de::IgnoredAny>(&text);
                prop_assert!(whole.is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn whole_documents_are_read() {
        for text in [
            r#"{"a":[1,-2.5,true,false,null,"x\n\u00e9"],"b":{},"c":[],"d":{"e":[[]]}}"#,
            r#" { "a" : [ 1 , 2 ] } "#,
            "0",
        ] {
            let mut json = Json::new(text.trim_start().as_bytes());
            assert!(json.skip().is_some() && json.is_over(), "{text}");
        }
        let deep = "[".repeat(100);
        assert_eq!(Json::new(deep.as_bytes()).skip(), None);
    }
}

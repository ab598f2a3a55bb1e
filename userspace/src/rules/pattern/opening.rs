//! How a pattern's matches begin, read off its text: what tells whether a line is worth compiling it for.
//!
//! It errs on the safe side only: a line that the pattern matches always begins in a way that is told here.

use super::macros;
use super::set::ByteSet;

/// What every match begins with.
#[derive(Debug)]
pub(in crate::rules) struct Opening {
    /// The first byte, where there is one.
    first: ByteSet,
    /// A match may be empty.
    empty: bool,
    /// The literal that every match begins with, as far as it is known.
    prefix: Box<[u8]>,
}

impl Opening {
    /// Of a pattern that has been compiled.
    pub(super) fn new(first: ByteSet, empty: bool, prefix: &[u8]) -> Self {
        Self { first, empty, prefix: prefix.into() }
    }

    /// Of a pattern's text.
    pub(super) fn read(text: &str) -> Self {
        let mut reader = Reader { rest: text.as_bytes() };
        let read = reader.alternatives().filter(|_| reader.rest.is_empty());
        let start = read.unwrap_or(Start::ANYTHING);
        Self { first: start.bytes, empty: start.empty, prefix: prefix(text).into() }
    }

    /// Whether a line that begins with `byte` can match.
    pub(in crate::rules) const fn admits(&self, byte: u8) -> bool {
        self.first.contains(byte)
    }

    /// Whether the empty line can match.
    pub(in crate::rules) const fn may_be_empty(&self) -> bool {
        self.empty
    }

    /// The literal that every match begins with; empty where none is known.
    pub(in crate::rules) fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

/// The names of a pattern's captures.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    // What is behind a backslash, or in a class, would be no group; no pattern has `(?<` there.
    text.split("(?<").skip(1).filter_map(|rest| rest.split_once('>').map(|(name, _)| name))
}

/// The literal that `text` begins with behind its `^`; empty where it has more than one way at the top.
fn prefix(text: &str) -> Vec<u8> {
    let mut literal = Vec::new();
    let mut reader = Reader { rest: text.as_bytes() };
    let only_way = reader.sequence().is_some() && reader.rest.is_empty();
    let Some(mut rest) = text.as_bytes().strip_prefix(b"^").filter(|_| only_way) else {
        return literal;
    };
    loop {
        rest = match rest {
            [b'\\', byte, rest @ ..] if byte.is_ascii_punctuation() => {
                literal.push(*byte);
                rest
            }
            [byte, rest @ ..] if is_literal(*byte) => {
                literal.push(*byte);
                rest
            }
            // It may be there less than once.
            [b'?' | b'*' | b'{', ..] => {
                literal.pop();
                return literal;
            }
            _ => return literal,
        };
    }
}

const fn is_literal(byte: u8) -> bool {
    !matches!(
        byte,
        b'\\'
            | b'^'
            | b'$'
            | b'.'
            | b'['
            | b']'
            | b'('
            | b')'
            | b'|'
            | b'?'
            | b'*'
            | b'+'
            | b'{'
            | b'}'
    ) && byte.is_ascii()
}

/// What a part of a pattern can begin with.
#[derive(Clone, Copy, Debug)]
struct Start {
    bytes: ByteSet,
    empty: bool,
}

impl Start {
    const ANYTHING: Self = Self { bytes: ByteSet::ALL, empty: true };

    fn or(self, other: Self) -> Self {
        Self { bytes: self.bytes.union(other.bytes), empty: self.empty || other.empty }
    }
}

/// Reads a pattern from the left; `None` for what it doesn't know.
struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn skip(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn alternatives(&mut self) -> Option<Start> {
        let mut start = self.sequence()?;
        while self.skip(b"|") {
            start = start.or(self.sequence()?);
        }
        Some(start)
    }

    /// Up to what ends it: `|`, `)` or the end.
    fn sequence(&mut self) -> Option<Start> {
        let mut start = Start { bytes: ByteSet::default(), empty: true };
        while !matches!(self.rest, [] | [b'|' | b')', ..]) {
            let mut part = self.part()?;
            part.empty |= self.may_be_absent()?;
            if start.empty {
                start = Start { empty: part.empty, bytes: start.bytes.union(part.bytes) };
            }
        }
        Some(start)
    }

    fn part(&mut self) -> Option<Start> {
        let anything = Start { bytes: ByteSet::ALL, empty: false };
        Some(match self.take()? {
            b'^' | b'$' => Start { bytes: ByteSet::default(), empty: true },
            b'.' => anything,
            b'[' => {
                self.class()?;
                anything
            }
            b'(' => {
                if self.skip(b"?<") {
                    while self.take()? != b'>' {}
                } else if self.skip(b"?") && !self.skip(b":") {
                    return None;
                }
                let inner = self.alternatives()?;
                self.skip(b")").then_some(inner)?
            }
            b'{' => {
                let end = self.rest.iter().position(|byte| *byte == b'}')?;
                let name = std::str::from_utf8(&self.rest[..end]).ok()?;
                macros::names().any(|known| known == name).then_some(())?;
                self.rest = &self.rest[end + 1..];
                Start::ANYTHING
            }
            b'\\' => match self.take()? {
                byte if byte.is_ascii_punctuation() => {
                    Start { bytes: ByteSet::of(&[byte]), empty: false }
                }
                b'd' | b's' | b'w' | b'D' | b'S' | b'W' => anything,
                _ => return None,
            },
            byte if is_literal(byte) => Start { bytes: ByteSet::of(&[byte]), empty: false },
            _ => return None,
        })
    }

    /// The rest of a class.
    fn class(&mut self) -> Option<()> {
        self.skip(b"^");
        self.skip(b"]");
        loop {
            match self.take()? {
                b']' => return Some(()),
                b'\\' => self.take().map(|_| ())?,
                b'[' | b'&' | b'~' => return None,
                _ => {}
            }
        }
    }

    /// Passes over a quantifier; says whether what it stands behind may be there not at all.
    fn may_be_absent(&mut self) -> Option<bool> {
        let absent = match self.rest {
            [b'?' | b'*', ..] => true,
            [b'+', ..] => false,
            [b'{', b'0'..=b'9', ..] => {
                while self.rest.first()? != &b'}' {
                    self.take()?;
                }
                true
            }
            _ => return Some(false),
        };
        self.take()?;
        self.skip(b"?");
        // One behind another.
        (!matches!(self.rest, [b'?' | b'*' | b'+', ..])).then_some(absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::pattern::Pattern;

    fn shown(text: &str) -> (String, bool, String) {
        let opening = Opening::read(text);
        let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| opening.admits(*byte)).collect();
        let bytes = match bytes.len() {
            256 => "all".to_owned(),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        };
        (bytes, opening.may_be_empty(), String::from_utf8_lossy(opening.prefix()).into_owned())
    }

    #[test]
    fn what_a_match_begins_with() {
        for (text, first, empty, prefix) in [
            ("^Failed (?<method>a|b) x", "F", false, "Failed "),
            ("^(?:error: |fatal: )?Bad x$", "Bef", false, ""),
            ("^(?:(?<a>x)|y{2})z", "xyz", false, ""),
            ("^a|^b", "ab", false, ""),
            (r"^\(pam\) x?y", "(", false, "(pam) "),
            ("^ab+c", "a", false, "ab"),
            ("^ab{2}c", "a", false, "a"),
            ("^a?$", "a", true, ""),
            ("^{ip} x", "all", false, ""),
            ("^[^ ]x", "all", false, ""),
            ("^.*x", "all", false, ""),
            (r"^\bx", "all", true, ""),
            ("^(?i)x", "all", true, ""),
        ] {
            assert_eq!(shown(text), (first.to_owned(), empty, prefix.to_owned()), "{text}");
        }
        let named: Vec<&str> = names(r"^(?<a>x) \(?<(?<b>[(]y)").collect();
        assert!(named.contains(&"a") && named.contains(&"b"));
    }

    /// What is read off the text of each shipped pattern never says less than the pattern itself.
    #[test]
    fn what_is_read_never_says_less_than_the_pattern() {
        let mut closed = 0;
        for text in crate::rules::tests::shipped_patterns() {
            let (read, pattern) = (Opening::read(&text), Pattern::new(&text).unwrap());
            let own = pattern.opening();
            for byte in 0..=u8::MAX {
                assert!(read.admits(byte) || !own.admits(byte), "{text}: {byte}");
            }
            assert!(read.may_be_empty() || !own.may_be_empty(), "{text}");
            // `a +` is one literal less for the compiled one.
            let shown = own.prefix().len().min(read.prefix().len());
            assert_eq!(own.prefix()[..shown], read.prefix()[..shown], "{text}");
            let own: Vec<&str> = pattern.captures().iter().map(|it| &*it.name).collect();
            assert_eq!(names(&text).collect::<Vec<_>>(), own, "{text}");
            closed += usize::from(!read.admits(b'~'));
        }
        assert!(closed > 200, "{closed}");
    }
}

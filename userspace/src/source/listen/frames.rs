//! What a line is on a socket: ended by `\n`, counted beforehand (RFC 6587), or a datagram by itself.
//!
//! Lines are those of files (`lines.rs`). A message that is counted or a datagram may hold line ends, which
//! become blanks: none of it may pass for a line of its own.

use std::ops::Range;

use memchr::memchr;

use crate::source::lines::kept;
use crate::source::{LineCap, Lines};

/// Digits of a counted message's length; more are no length.
const DIGITS: usize = 7;

/// Lines on their way into a batch.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    text: Vec<u8>,
    ranges: Vec<Range<usize>>,
    taken: usize,
    cut: u64,
    broken: u64,
}

impl Gathered {
    /// A line, its end stripped.
    fn line(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let from = self.text.len();
        self.text.extend_from_slice(line);
        self.ranges.push(from..self.text.len());
    }

    /// A message that may hold line ends; `size` bytes long where it came from.
    pub(super) fn message(&mut self, message: &[u8], size: usize, cap: LineCap) {
        self.taken += size;
        let kept = message.len().min(cap.bytes());
        self.cut += u64::from(size > kept);
        let message = message[..kept].trim_ascii_end();
        let message = message.strip_suffix(b"\0").unwrap_or(message);
        if message.is_empty() {
            return;
        }
        let from = self.text.len();
        self.text.extend(message.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        self.ranges.push(from..self.text.len());
    }

    /// A line was begun and will never end.
    pub(super) fn broken_off(&mut self) {
        self.broken += 1;
    }

    /// Bytes of the lines.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// How many lines.
    pub(super) fn lines(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are no lines.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Lines that were cut, and lines that were broken off, which aren't among them.
    pub(super) const fn damaged(&self) -> (u64, u64) {
        (self.cut, self.broken)
    }

    /// The lines.
    pub(super) fn finish(self) -> Lines {
        Lines::new(self.text.into(), self.ranges, self.taken)
    }
}

/// How a stream is cut into lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// By line ends.
    Lines,
    /// By line ends, or octet counting, told frame by frame: `18 <38>...` is counted, since no message
    /// begins with a number, a blank and a `<`.
    Syslog,
}

/// Cuts what one peer sends.
#[derive(Debug)]
pub(super) struct Framer {
    framing: Framing,
    cap: LineCap,
    /// What has no end yet.
    buffer: Vec<u8>,
    /// How much of it was searched for an end.
    searched: usize,
    skip: Skip,
}

/// What is passed over, being the rest of something too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Skip {
    Nothing,
    Line,
    Bytes(usize),
}

/// What stands at the beginning of a frame.
enum Opening {
    /// It takes more bytes to know.
    Unclear,
    /// A line.
    Line,
    /// After so many bytes, a message of this length.
    Counted { header: usize, length: usize },
}

impl Framer {
    pub(super) const fn new(framing: Framing, cap: LineCap) -> Self {
        Self { framing, cap, buffer: Vec::new(), searched: 0, skip: Skip::Nothing }
    }

    /// Bytes that wait for their end, or are passed over until one comes.
    pub(super) fn is_amid(&self) -> bool {
        !self.buffer.is_empty() || self.skip != Skip::Nothing
    }

    /// Whether a line would be lost if nothing more came.
    pub(super) fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes what was read, and gives what is whole. Says whether a line ended.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Gathered) -> bool {
        self.buffer.extend_from_slice(bytes);
        let (mut at, mut ended) = (0, false);
        while at < self.buffer.len() {
            let Some(used) = self.step(at, out) else { break };
            at += used;
            ended |= self.skip == Skip::Nothing;
        }
        self.buffer.drain(..at);
        if self.buffer.is_empty() {
            // One long line in a year must not hold its memory for that long.
            self.buffer.shrink_to(4096);
        }
        ended
    }

    /// Uses up some bytes from `at` on; `None`: they have to wait for more.
    fn step(&mut self, at: usize, out: &mut Gathered) -> Option<usize> {
        let rest = &self.buffer[at..];
        let cap = self.cap.bytes();
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(left) => {
                let used = left.min(rest.len());
                out.taken += used;
                self.skip = if used == left { Skip::Nothing } else { Skip::Bytes(left - used) };
                return Some(used);
            }
            Skip::Line => {
                let end = memchr(b'\n', rest);
                if end.is_some() {
                    self.skip = Skip::Nothing;
                }
                let used = end.map_or(rest.len(), |end| end + 1);
                out.taken += used;
                return Some(used);
            }
        }
        let opening = match self.framing {
            Framing::Lines => Opening::Line,
            Framing::Syslog => opening(rest),
        };
        match opening {
            Opening::Unclear => None,
            Opening::Counted { header, length } => {
                let message = &rest[header..];
                let whole = length.min(cap);
                if message.len() < whole {
                    return None;
                }
                out.message(&message[..whole], length, self.cap);
                out.taken += header;
                // Of what is cut off, `message` has counted all.
                out.taken -= length - whole;
                if length > whole {
                    self.skip = Skip::Bytes(length - whole);
                }
                Some(header + whole)
            }
            Opening::Line => {
                let from = self.searched.min(rest.len());
                if let Some(more) = memchr(b'\n', &rest[from..]) {
                    let line = &rest[..from + more];
                    out.taken += line.len() + 1;
                    out.cut += u64::from(line.len() > cap);
                    out.line(&line[..kept(line, self.cap)]);
                    self.searched = 0;
                    return Some(from + more + 1);
                }
                if rest.len() <= cap {
                    self.searched = rest.len();
                    return None;
                }
                out.taken += cap;
                out.cut += 1;
                out.line(&rest[..cap]);
                (self.skip, self.searched) = (Skip::Line, 0);
                Some(cap)
            }
        }
    }
}

/// RFC 6587: `MSG-LEN SP SYSLOG-MSG`, where `MSG-LEN` doesn't begin with a 0 and a message with `<`.
fn opening(bytes: &[u8]) -> Opening {
    let digits = bytes.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS || bytes[0] == b'0' {
        return Opening::Line;
    }
    match bytes[digits..] {
        [] | [b' '] => Opening::Unclear,
        [b' ', b'<', ..] => {
            let length =
                bytes[..digits].iter().fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
            Opening::Counted { header: digits + 1, length }
        }
        _ => Opening::Line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: LineCap = LineCap::new(256);

    fn lines(framing: Framing, pieces: &[&[u8]]) -> (Vec<String>, Framer, Gathered) {
        let mut framer = Framer::new(framing, CAP);
        let mut out = Gathered::default();
        for piece in pieces {
            framer.feed(piece, &mut out);
        }
        let texts = out
            .ranges
            .iter()
            .map(|range| String::from_utf8_lossy(&out.text[range.clone()]).into_owned());
        (texts.collect(), framer, out)
    }

    #[test]
    fn octet_counting_is_told_from_lines_frame_by_frame() {
        for (sent, expected) in [
            (&b"<38>one\n<38>two\n"[..], &["<38>one", "<38>two"][..]),
            (b"7 <38>one7 <38>two", &["<38>one", "<38>two"]),
            (b"8 <38>one\n8 <38>two\n", &["<38>one", "<38>two"]),
            (b"7 <38>one<38>two\n7 <38>six", &["<38>one", "<38>two", "<38>six"]),
            // A message's own line end isn't the end of it.
            (b"15 <38>one\n<38>two", &["<38>one <38>two"]),
            // No lengths.
            (b"2026 was a year\n", &["2026 was a year"]),
            (b"07 <38>one\n", &["07 <38>one"]),
            (b"12345678 <38>one\n", &["12345678 <38>one"]),
            (b"7<38>one\r\n", &["7<38>one"]),
            (b"<38>no end", &[]),
            (b"9 <38>one", &[]),
        ] {
            let (whole, ..) = lines(Framing::Syslog, &[sent]);
            assert_eq!(whole, expected, "{:?}", sent.escape_ascii().to_string());
            let bytes: Vec<&[u8]> = sent.chunks(1).collect();
            assert_eq!(lines(Framing::Syslog, &bytes).0, expected, "byte by byte");
        }
        let (numbers, ..) = lines(Framing::Lines, &[b"7 <38>one\n"]);
        assert_eq!(numbers, ["7 <38>one"], "only syslog is counted");
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_line_is_whole() {
        let long = [b'x'; 1000];
        let counted = [b"1000 <".as_slice(), &long[1..], b"7 <38>one"].concat();
        let ended = [&long[..], b"\n<38>one\n"].concat();
        for sent in [&counted, &ended] {
            for size in [1, 7, 255, 256, 257, 2000] {
                let pieces: Vec<&[u8]> = sent.chunks(size).collect();
                let (texts, framer, out) = lines(Framing::Syslog, &pieces);
                assert_eq!(texts.len(), 2, "{size}");
                assert_eq!((texts[0].len(), texts[1].as_str()), (256, "<38>one"));
                assert_eq!((out.cut, out.taken), (1, sent.len()), "{size}");
                assert!(!framer.is_amid());
                assert!(framer.buffer.capacity() <= 4096);
            }
        }
    }

    #[test]
    fn a_datagram_is_one_line_whatever_is_in_it() {
        let mut out = Gathered::default();
        for message in [&b"<38>one\n"[..], b"<38>two\n<38>three\r\n", b"\n", b"", b"four\0"] {
            out.message(message, message.len(), CAP);
        }
        assert_eq!(out.damaged(), (0, 0));
        let lines = out.finish();
        let texts: Vec<&[u8]> = lines.iter().collect();
        assert_eq!(texts, [&b"<38>one"[..], b"<38>two <38>three", b"four"]);
        assert_eq!(lines.taken(), 8 + 19 + 1 + 5);
    }

    proptest! {
        /// However it comes in pieces, and whatever it is, nothing is lost, doubled or held without bound.
        #[test]
        fn pieces_make_no_difference(
            sent in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'<'), Just(b' '), b'0'..=b'9', prop::num::u8::ANY],
                0..2000,
            ),
            sizes in proptest::collection::vec(1_usize..300, 1..6),
        ) {
            let (whole, at_once, out) = lines(Framing::Syslog, &[&sent]);
            let mut pieces = Vec::new();
            let (mut rest, mut turn) = (&sent[..], 0);
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(sizes[turn % sizes.len()].min(rest.len()));
                pieces.push(piece);
                (rest, turn) = (more, turn + 1);
            }
            let (by_pieces, framer, pieced) = lines(Framing::Syslog, &pieces);
            prop_assert_eq!(by_pieces, whole);
            prop_assert_eq!(&framer.buffer, &at_once.buffer);
            prop_assert_eq!(pieced.taken, out.taken);
            prop_assert_eq!(out.taken + at_once.buffer.len(), sent.len());
            prop_assert!(at_once.buffer.len() <= CAP.bytes() + DIGITS + 1);
        }
    }
}

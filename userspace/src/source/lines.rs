//! What a line is: the same rules for a followed file and for one that is read once.
//!
//! A line ends at `\n`; a `\r` before it is stripped; NUL and everything else is kept. What exceeds the
//! cap is cut there, and the rest up to the `\n` is discarded and counted.

use std::ops::Range;

use memchr::memchr;

/// The most bytes of a line that are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LineCap(usize);

impl LineCap {
    /// 64 KiB: eight times what rsyslog writes by default.
    pub const TEXT: Self = Self(64 << 10);
    /// 1 MiB: an eve.json alert with payload and packet.
    pub const EVE: Self = Self(1 << 20);

    /// A cap of its own, in bytes, held between 256 and 16 MiB: a buffer of this size is allocated,
    /// and a cut line must be longer than a [`Head`](super::Head).
    pub const fn new(bytes: usize) -> Self {
        match bytes {
            0..=255 => Self(256),
            256..=0x0100_0000 => Self(bytes),
            _ => Self(0x0100_0000),
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// Complete lines of a buffer.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// Where each lies, ends stripped.
    pub(super) ranges: Vec<Range<usize>>,
    /// Where the last of them ends, its end included.
    pub(super) consumed: usize,
    /// How many of them were cut.
    pub(super) overlong: u64,
    /// Bytes cut off them.
    pub(super) cut: u64,
}

/// Splits at most `most` complete lines off `bytes`, the first of which begins at `from`.
pub(super) fn split(bytes: &[u8], from: usize, cap: LineCap, most: usize) -> Split {
    let mut split = Split { consumed: from, ..Split::default() };
    while split.ranges.len() < most {
        let start = split.consumed;
        let Some(length) = memchr(b'\n', &bytes[start..]) else { break };
        split.consumed = start + length + 1;
        let kept = kept(&bytes[start..start + length], cap);
        if length > cap.0 {
            split.overlong += 1;
            split.cut += (length - cap.0) as u64;
        }
        split.ranges.push(start..start + kept);
    }
    split
}

/// How many bytes of `line` (without its `\n`) are kept.
pub(super) fn kept(line: &[u8], cap: LineCap) -> usize {
    match line {
        _ if line.len() > cap.0 => cap.0,
        [text @ .., b'\r'] => text.len(),
        _ => line.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> (Vec<&[u8]>, Split) {
        let split = split(bytes, 0, LineCap::new(256), 4);
        (split.ranges.iter().map(|range| &bytes[range.clone()]).collect(), split)
    }

    #[test]
    fn ends_are_stripped_and_everything_else_is_kept() {
        for (bytes, expected, consumed) in [
            (&b""[..], &[][..], 0),
            (b"partial", &[], 0),
            (b"\n", &[&b""[..]], 1),
            (b"a\nb", &[b"a"], 2),
            (b"a\r\n\r\n\0\xff\r\r\n", &[b"a", b"", b"\0\xff\r"], 10),
            (b"1\n2\n3\n4\n5\n", &[b"1", b"2", b"3", b"4"], 8),
        ] {
            let (lines, split) = texts(bytes);
            assert_eq!(lines, expected, "{bytes:?}");
            assert_eq!(split.consumed, consumed, "{bytes:?}");
            assert_eq!((split.overlong, split.cut), (0, 0));
        }
    }

    #[test]
    fn a_long_line_is_cut_at_the_cap() {
        let bytes = [&[b'x'; 256][..], b"\n", &[b'y'; 259], b"\r\nz\n"].concat();
        let (lines, split) = texts(&bytes);
        assert_eq!(lines, [&[b'x'; 256][..], &[b'y'; 256], b"z"]);
        assert_eq!((split.overlong, split.cut), (1, 4));
        assert_eq!(split.consumed, bytes.len());
    }

    #[test]
    fn a_cap_is_within_bounds() {
        assert_eq!(LineCap::new(0).bytes(), 256);
        assert_eq!(LineCap::new(usize::MAX).bytes(), 16 << 20);
        assert_eq!(LineCap::new(1000).bytes(), 1000);
    }
}

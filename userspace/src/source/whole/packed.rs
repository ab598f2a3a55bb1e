//! Compressed files, as they come out of log rotation: gzip, Zstandard and xz, told by their first bytes.
//!
//! They are unpacked as they are read, so that an archive of any size takes as much memory as its window,
//! and one that asks for a larger window than [`WINDOW`] is refused. Archives put one behind the other are
//! one. Of an archive that is cut short or damaged, all that can be unpacked is given, then the error.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

/// Compressed bytes read at once.
const CHUNK: usize = 64 << 10;
/// The largest window that an archive may ask for, as a power of two: 128 MiB, twice what `xz -9` takes,
/// and as much as `zstd --long` without a number.
const WINDOW: u32 = 27;
/// The longest of the first bytes that are looked at.
const MAGIC: u64 = 6;

/// How a file is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Packing {
    Gzip,
    Zstd,
    Xz,
}

impl Packing {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // Also a frame to be skipped, with which `pzstd` begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        })
    }
}

/// What stopped the unpacking. The source, where there is one, is the decoder's complaint.
#[derive(Debug, thiserror::Error)]
enum PackedError {
    #[error("the {packing} archive is cut short at byte {offset}; what came before was read")]
    CutShort { packing: Packing, offset: u64 },
    #[error("the {packing} archive is damaged at byte {offset}: {why}; what came before was read")]
    Damaged { packing: Packing, offset: u64, why: String },
}

/// How many bytes of an input have been read as they lie on disk, for whoever shows progress.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// An input that tells how much of it was read.
struct Watched<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read);
        Ok(read)
    }
}

/// What `input` says once it is unpacked; as it is, where it isn't packed.
///
/// # Errors
///
/// Where its first bytes can't be read, or the decoder has no memory.
pub(in super::super) fn unpacked(
    input: Box<dyn Read + Send>,
    progress: Progress,
) -> io::Result<Box<dyn Read + Send>> {
    let mut input = Watched { inner: input, progress };
    let mut head = Vec::new();
    Read::by_ref(&mut input).take(MAGIC).read_to_end(&mut head)?;
    let packing = Packing::of(&head);
    let whole = Cursor::new(head).chain(input);
    let Some(packing) = packing else { return Ok(Box::new(whole)) };
    let taken = Progress::default();
    let source = Counted { inner: BufReader::with_capacity(CHUNK, whole), taken: taken.clone() };
    let decoder: Box<dyn Read + Send> = match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
        Packing::Zstd => {
            let mut decoder = ZstdDecoder::with_buffer(source)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
        // The window and what the decoder itself takes, in KiB.
        Packing::Xz => {
            Box::new(XzReader::new_mem_limit(source, true, (1 << (WINDOW - 10)) + (4 << 10)))
        }
    };
    Ok(Box::new(Packed { decoder: Some(decoder), packing, taken }))
}

/// A decoder, whose complaints get a place; it isn't asked again after one.
struct Packed {
    decoder: Option<Box<dyn Read + Send>>,
    packing: Packing,
    taken: Progress,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let error = match decoder.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => error,
            read => return read,
        };
        self.decoder = None;
        if error.raw_os_error().is_some() {
            return Err(error);
        }
        let (packing, offset) = (self.packing, self.taken.bytes());
        Err(io::Error::new(
            error.kind(),
            match error.kind() {
                io::ErrorKind::UnexpectedEof => PackedError::CutShort { packing, offset },
                _ => PackedError::Damaged { packing, offset, why: error.to_string() },
            },
        ))
    }
}

/// What a decoder reads from, which knows how far it got.
struct Counted<R> {
    inner: R,
    taken: Progress,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.add(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.taken.add(amount);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::super::{WholeLines, tests::lines};
    use super::*;
    use crate::source::LineCap;

    /// Lines that don't pack to nothing.
    fn text(lines: u32) -> Vec<u8> {
        let line = |n: u32| format!("line {n} {:08x} {:08x}\n", n.wrapping_mul(2_654_435_761), !n);
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    fn pack(packing: Packing, text: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Packing::Zstd => {
                let mut packer = zstd::Encoder::new(Vec::new(), 3).unwrap();
                packer.include_checksum(true).unwrap();
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Packing::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
        }
    }

    const ALL: [Packing; 3] = [Packing::Gzip, Packing::Zstd, Packing::Xz];

    fn whole(bytes: Vec<u8>) -> WholeLines {
        WholeLines::new(PathBuf::from("old.log"), Box::new(Cursor::new(bytes)), LineCap::TEXT)
    }

    /// Its lines, and what stopped it.
    fn read(bytes: Vec<u8>) -> (Vec<Vec<u8>>, Option<String>) {
        let mut whole = whole(bytes);
        let mut lines = Vec::new();
        loop {
            match whole.next_line() {
                Ok(Some(line)) => lines.push(line.bytes.to_vec()),
                Ok(None) => return (lines, None),
                Err(error) => {
                    assert!(whole.next_line().unwrap().is_none(), "the end stays the end");
                    return (lines, Some(error.to_string()));
                }
            }
        }
    }

    #[test]
    fn archives_are_known_by_their_first_bytes_and_go_on_behind_each_other() {
        let text = text(20_000);
        let expected = lines(whole(text.clone()));
        for packing in ALL {
            let (first, second) = text.split_at(text.len() / 3);
            let bytes = [pack(packing, first), pack(packing, second)].concat();
            assert!(bytes.len() < text.len());
            assert_eq!(lines(whole(bytes)), expected, "{packing}");
        }
    }

    #[test]
    fn what_is_short_or_looks_alike_is_read_as_it_is() {
        for plain in [&b""[..], b"\x1f", b"\x1f\x8b", b"7zXZ\n", b"\xfd7zX\n"] {
            let (lines, error) = read(plain.to_vec());
            assert_eq!(error, None);
            assert_eq!(lines.concat().len(), plain.iter().filter(|byte| **byte != b'\n').count());
        }
    }

    #[test]
    fn a_cut_archive_gives_what_it_has_and_says_where_it_ends() {
        let text = text(60_000);
        let all = lines(whole(text.clone()));
        for packing in ALL {
            let mut bytes = pack(packing, &text);
            bytes.truncate(bytes.len() * 2 / 3);
            let size = bytes.len();
            let (lines, error) = read(bytes);
            let error = error.unwrap();
            assert!(
                error.contains(&format!(
                    "`old.log`: the {packing} archive is cut short at byte {size}"
                )),
                "{error}"
            );
            assert!(lines.len() > 20_000, "{packing}: {} lines", lines.len());
            for (line, (expected, _)) in lines.iter().zip(&all) {
                assert_eq!(line, expected, "{packing}");
            }
        }
    }

    #[test]
    fn a_damaged_archive_is_named_and_nothing_of_what_follows_believed() {
        let text = text(60_000);
        for packing in ALL {
            let mut bytes = pack(packing, &text);
            let at = bytes.len() / 2;
            bytes[at..at + 64].fill(0xff);
            let (_, error) = read(bytes);
            let error = error.unwrap();
            assert!(
                error.contains(&format!("the {packing} archive is damaged at byte ")),
                "{error}"
            );
            // What stands behind the archive isn't text.
            let bytes = [pack(packing, b"one\n"), b"two\n".to_vec()].concat();
            let (lines, error) = read(bytes);
            assert_eq!(lines, [b"one"], "{packing}");
            assert!(error.is_some(), "{packing}");
        }
    }

    #[test]
    fn a_bomb_is_read_in_pieces() {
        // A gigabyte of nothing is one line: cut, and the rest passed over.
        let nothing = io::repeat(b'a').take(256 << 20);
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut { nothing }, &mut packer).unwrap();
        let bytes = packer.finish().unwrap();
        assert!(bytes.len() < 1 << 20);
        let mut whole = whole(bytes);
        let line = whole.next_line().unwrap().unwrap();
        assert!(line.cut && line.bytes.len() == LineCap::TEXT.bytes());
        assert!(whole.next_line().unwrap().is_none());
    }

    #[test]
    fn too_large_a_window_is_refused() {
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packer.window_log(WINDOW + 1).unwrap();
        packer.write_all(&text(10)).unwrap();
        let bytes = packer.finish().unwrap();
        let (lines, error) = read(bytes);
        assert!(lines.is_empty());
        assert!(error.unwrap().contains("damaged at byte"));
    }

    #[test]
    fn progress_is_in_bytes_on_disk() {
        let bytes = pack(Packing::Gzip, &text(5_000));
        let size = u64::try_from(bytes.len()).unwrap();
        let mut whole = whole(bytes);
        let progress = whole.progress();
        while whole.next_line().unwrap().is_some() {}
        assert_eq!(progress.bytes(), size);
    }
}

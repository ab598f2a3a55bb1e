//! A file or stdin, read once from beginning to end: for `explain` and `replay`.
//!
//! The same lines as a followed file gives, and also a last one without an end. What is packed is unpacked
//! on the way, see `packed.rs`.

mod packed;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::memchr;

pub use self::packed::Progress;
pub(super) use self::packed::unpacked;
use super::journal::entry::{self, Entry};
use super::lines::{LineCap, kept};

/// Bytes read at once: few enough that they are still in the second-level cache when they are looked at.
const CHUNK: usize = 128 << 10;

/// The lines of one input.
pub struct WholeLines {
    name: PathBuf,
    input: Input,
    progress: Progress,
    size: Option<u64>,
    cap: LineCap,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet given.
    filled: Range<usize>,
    ended: bool,
    number: u64,
    export: Export,
    /// An entry as a line of syslog.
    entry: Vec<u8>,
}

/// Whether the input is an export of the journal, `journalctl -o json`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Export {
    /// Its first record tells.
    Perhaps,
    /// It is.
    Yes,
    /// It isn't.
    No,
}

/// What is read from.
enum Input {
    /// It isn't known yet whether it is packed.
    Unopened(Box<dyn Read + Send>),
    Open(Box<dyn Read + Send>),
    /// It failed.
    Closed,
}

/// One line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WholeLine<'w> {
    /// Counted from 1.
    pub number: u64,
    /// Its bytes, without its end.
    pub bytes: &'w [u8],
    /// Whether it was longer than the cap and was cut.
    pub cut: bool,
    /// What it is of an export of the journal, where it is one.
    pub entry: Option<EntryOf>,
}

/// A line of an export of the journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryOf {
    /// An entry, made a line of syslog.
    Journal,
    /// No entry; the line is empty.
    Nothing,
}

/// An input that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`: {source}", name.display())]
pub struct WholeError {
    /// Its path, or `stdin`.
    pub name: PathBuf,
    #[source]
    source: io::Error,
}

impl WholeLines {
    /// Of a file; also of a FIFO or device, until it ends.
    ///
    /// # Errors
    ///
    /// [`WholeError`] where it can't be opened, or is a directory.
    pub fn open(path: &Path, cap: LineCap) -> Result<Self, WholeError> {
        let failed = |source| WholeError { name: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::Error::other("expected a file, got a directory")));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { size, ..Self::new(path.to_owned(), Box::new(file), cap) })
    }

    /// Of standard input.
    pub fn stdin(cap: LineCap) -> Self {
        Self::new(PathBuf::from("stdin"), Box::new(io::stdin()), cap)
    }

    /// Of anything, under a name for errors.
    pub fn new(name: PathBuf, input: Box<dyn Read + Send>, cap: LineCap) -> Self {
        let buffer = vec![0; CHUNK + cap.bytes()];
        Self {
            name,
            input: Input::Unopened(input),
            progress: Progress::default(),
            size: None,
            cap,
            buffer,
            filled: 0..0,
            ended: false,
            number: 0,
            export: Export::No,
            entry: Vec::new(),
        }
    }

    /// Where the input is an export of the journal, its entries come as lines of syslog, as those of the
    /// journal itself do.
    pub fn exported(self, export: Export) -> Self {
        Self { export, ..self }
    }

    /// How much of it is read.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Its length on disk in bytes, where it is a file.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The path, or `stdin`.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`WholeError`] where reading fails, or what is packed is damaged; there is nothing after it.
    // Not an `Iterator`: the line is borrowed from the buffer.
    pub fn next_line(&mut self) -> Result<Option<WholeLine<'_>>, WholeError> {
        let found = self.find();
        let found = found.map_err(|source| WholeError { name: self.name.clone(), source })?;
        let Some((range, cut)) = found else { return Ok(None) };
        self.number += 1;
        let bytes = &self.buffer[range];
        if self.export == Export::Perhaps && bytes.trim_ascii_start().starts_with(b"{") {
            self.export = if entry::looks_like(bytes) { Export::Yes } else { Export::No };
        }
        if self.export != Export::Yes {
            return Ok(Some(WholeLine { number: self.number, bytes, cut, entry: None }));
        }
        self.entry.clear();
        let entry = match Entry::parse(bytes) {
            Some(entry) => {
                entry.write_line(LineCap::TEXT.bytes(), &mut self.entry);
                EntryOf::Journal
            }
            None => EntryOf::Nothing,
        };
        Ok(Some(WholeLine { number: self.number, bytes: &self.entry, cut, entry: Some(entry) }))
    }

    /// Where in the buffer the next line lies, and whether it was cut.
    fn find(&mut self) -> io::Result<Option<(Range<usize>, bool)>> {
        let mut searched = 0;
        loop {
            let there = &self.buffer[self.filled.clone()];
            if let Some(more) = memchr(b'\n', &there[searched..]) {
                let line = &there[..searched + more];
                let range = self.filled.start..self.filled.start + kept(line, self.cap);
                let cut = line.len() > self.cap.bytes();
                self.filled.start += line.len() + 1;
                return Ok(Some((range, cut)));
            }
            if there.len() > self.cap.bytes() {
                return self.cut().map(|range| Some((range, true)));
            }
            searched = there.len();
            if self.fill()? == 0 {
                let line = &self.buffer[self.filled.clone()];
                let range = self.filled.start..self.filled.start + kept(line, self.cap);
                let any = !self.filled.is_empty();
                self.filled.start = self.filled.end;
                return Ok(any.then_some((range, false)));
            }
        }
    }

    /// Keeps the beginning of a line without an end, and passes over the rest of it.
    fn cut(&mut self) -> io::Result<Range<usize>> {
        let cap = self.cap.bytes();
        self.buffer.copy_within(self.filled.start..self.filled.start + cap, 0);
        loop {
            self.filled = cap..cap;
            if self.read_into(cap)? == 0 {
                return Ok(0..cap);
            }
            if let Some(end) = memchr(b'\n', &self.buffer[self.filled.clone()]) {
                self.filled.start += end + 1;
                return Ok(0..cap);
            }
        }
    }

    /// Moves what is there to the front and reads on behind it; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        self.read_into(self.filled.end)
    }

    /// Reads to `at`, which is where the filled part ends.
    fn read_into(&mut self, at: usize) -> io::Result<usize> {
        while !self.ended {
            let end = self.buffer.len().min(at + CHUNK);
            let input = match &mut self.input {
                Input::Open(input) => input,
                closed => {
                    // What is read first says how.
                    let Input::Unopened(input) = std::mem::replace(closed, Input::Closed) else {
                        self.ended = true;
                        return Ok(0);
                    };
                    *closed = Input::Open(unpacked(input, self.progress.clone())?);
                    continue;
                }
            };
            match input.read(&mut self.buffer[at..end]) {
                Ok(read) => {
                    self.ended = read == 0;
                    self.filled.end = at + read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Of what was read, an unfinished line is no line.
                    self.input = Input::Closed;
                    self.filled = 0..0;
                    return Err(error);
                }
            }
        }
        Ok(0)
    }
}

impl fmt::Debug for WholeLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeLines")
            .field("name", &self.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of these sizes.
    struct Pieces {
        bytes: Vec<u8>,
        sizes: Vec<usize>,
        at: usize,
        turn: usize,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes[self.turn % self.sizes.len()];
            self.turn += 1;
            let there = &self.bytes[self.at..];
            let read = size.min(there.len()).min(buffer.len());
            buffer[..read].copy_from_slice(&there[..read]);
            self.at += read;
            Ok(read)
        }
    }

    pub(super) fn lines(mut whole: WholeLines) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Vec::new();
        while let Some(line) = whole.next_line().unwrap() {
            lines.push((line.bytes.to_vec(), line.cut));
            assert_eq!(line.number, lines.len() as u64);
        }
        assert!(whole.next_line().unwrap().is_none(), "the end stays the end");
        lines
    }

    #[test]
    fn reads_a_file_to_its_unfinished_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\r\n\ntw\0o\nlast").unwrap();
        let texts = lines(WholeLines::open(file.path(), LineCap::TEXT).unwrap());
        let expected: Vec<(Vec<u8>, bool)> =
            [&b"one"[..], b"", b"tw\0o", b"last"].map(|line| (line.to_vec(), false)).to_vec();
        assert_eq!(texts, expected);
    }

    #[test]
    fn an_export_of_the_journal_comes_as_lines_of_syslog() {
        let entry = |uid: u32, message: &str| {
            format!(
                r#"{{"MESSAGE":"{message}","_UID":"{uid}","_PID":"812","_COMM":"sshd","SYSLOG_IDENTIFIER":"sshd","_HOSTNAME":"web1","__REALTIME_TIMESTAMP":"1795478400000000","__CURSOR":"s=1;i=2"}}"#
            )
        };
        let eve = r#"{"timestamp":"2026-11-24T00:00:00.000000+0000","event_type":"alert"}"#;
        let export = [&entry(0, "one"), &entry(1000, "two"), eve, "x"].join("\n");
        let read = |text: &str, export| {
            let input = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
            let mut whole =
                WholeLines::new(PathBuf::from("export"), input, LineCap::EVE).exported(export);
            let mut lines = Vec::new();
            while let Some(line) = whole.next_line().unwrap() {
                lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.entry));
            }
            lines
        };
        let nothing = (String::new(), Some(EntryOf::Nothing));
        let one = "2026-11-24T00:00:00.000000Z web1 sshd[812]: one".to_owned();
        let two = "2026-11-24T00:00:00.000000Z web1 uid-1000/sshd[812]: two".to_owned();
        let expected = [
            (one, Some(EntryOf::Journal)),
            (two, Some(EntryOf::Journal)),
            nothing.clone(),
            nothing.clone(),
        ];
        assert_eq!(read(&export, Export::Yes), expected);
        assert_eq!(read(&export, Export::Perhaps), expected);
        let plain: Vec<_> = export.lines().map(|line| (line.to_owned(), None)).collect();
        assert_eq!(read(&export, Export::No), plain);
        // Another's JSON isn't taken for it, whatever it says.
        let other = format!("x\n{eve}\n{}", entry(0, "one"));
        let plain: Vec<_> = other.lines().map(|line| (line.to_owned(), None)).collect();
        assert_eq!(read(&other, Export::Perhaps), plain);
        assert_eq!(read("x", Export::Yes), [nothing]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("absent")] {
            let error = WholeLines::open(&path, LineCap::TEXT).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            texts in proptest::collection::vec((0_usize..700, prop::bool::ANY), 0..12),
            end in prop::bool::ANY,
            sizes in proptest::collection::vec(1_usize..600, 1..5),
        ) {
            let cap = LineCap::new(256);
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (at, &(length, carriage)) in texts.iter().enumerate() {
                let line = vec![b'a' + u8::try_from(at).unwrap(); length];
                bytes.extend_from_slice(&line);
                let carriage = carriage && length < 256;
                bytes.extend_from_slice(if carriage { b"\r\n" } else { b"\n" });
                expected.push((line[..length.min(256)].to_vec(), length > 256));
            }
            if end && expected.last().is_some_and(|(line, _)| !line.is_empty()) {
                bytes.pop();
            }
            let input = Pieces { bytes, sizes, at: 0, turn: 0 };
            let whole = WholeLines::new(PathBuf::from("pieces"), Box::new(input), cap);
            prop_assert_eq!(lines(whole), expected);
        }
    }
}

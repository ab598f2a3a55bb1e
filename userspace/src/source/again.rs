//! Lines that were read before and had their effect, read once more from an earlier place on: how what is
//! kept in memory only comes back after a restart.
//!
//! Nothing here follows anything: what lies between two places is read, as far as it is still there.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Take};
use std::path::{Path, PathBuf};

use super::journal::JournalAgain;
use super::lines::{LineCap, kept};
use super::position::{FilePosition, Position};
use super::tail::{self, FileKey, Found};
use crate::config::Input;

/// Bytes read at once.
const CHUNK: usize = 128 << 10;

/// The lines between places of one source.
#[derive(Debug)]
pub struct Again {
    lines: Lines,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Lines {
    Files(Files),
    Journal(Box<JournalAgain>),
    None,
}

/// One line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LineAgain<'l> {
    /// Its bytes, without its end.
    pub bytes: &'l [u8],
    /// The last of the places that it comes after, by index.
    pub after: usize,
}

impl Again {
    /// What of a source lies between the first and the last of these places, which are in their order.
    ///
    /// # Errors
    ///
    /// One line for people: what can't be read.
    pub fn between(input: &Input, cap: LineCap, places: &[Position]) -> Result<Self, String> {
        let lines = match input {
            Input::File(path) => Lines::Files(Files::new(path, cap, places)),
            Input::Journal { directory } => JournalAgain::start(directory.as_deref(), places)?
                .map_or(Lines::None, |journal| Lines::Journal(Box::new(journal))),
            // Each file that matches is a source of its own; what came to a socket is kept nowhere.
            Input::Glob(_) | Input::Socket(_) | Input::Port(_) => Lines::None,
        };
        Ok(Self { lines, line: Vec::new() })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// One line for people; what comes after it is lost.
    pub fn next_line(&mut self) -> Result<Option<LineAgain<'_>>, String> {
        let after = match &mut self.lines {
            Lines::Files(files) => {
                files.next_line(&mut self.line).map_err(|error| error.to_string())?
            }
            Lines::Journal(journal) => journal.next_line(&mut self.line)?,
            Lines::None => None,
        };
        Ok(after.map(|after| LineAgain { bytes: &self.line, after }))
    }

    /// Whether a file that was read before isn't there any more.
    pub const fn is_incomplete(&self) -> bool {
        match &self.lines {
            Lines::Files(files) => files.incomplete,
            Lines::Journal(_) | Lines::None => false,
        }
    }
}

/// A log and what rotation has made of it since.
#[derive(Debug)]
struct Files {
    cap: LineCap,
    /// Still to be read, the last one first.
    stretches: Vec<Stretch>,
    open: Option<Open>,
    incomplete: bool,
}

/// What is to be read of one file.
#[derive(Debug)]
struct Stretch {
    key: FileKey,
    path: PathBuf,
    from: u64,
    to: u64,
    /// Where in it those of the places lie that are in it.
    marks: Vec<(u64, usize)>,
    /// The last of the places that name it, and where in that.
    named: (usize, usize),
}

#[derive(Debug)]
struct Open {
    stretch: Stretch,
    input: BufReader<Take<File>>,
    at: u64,
}

impl Files {
    fn new(path: &Path, cap: LineCap, places: &[Position]) -> Self {
        let found = Found::beside(path);
        // Most of what one place knows, the next one does.
        let mut sought: HashMap<FilePosition, Option<(FileKey, PathBuf)>> = HashMap::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut incomplete = false;
        for (place, position) in places.iter().enumerate() {
            let Position::File { files, left, .. } = position else { continue };
            for (at, known) in left.iter().chain(files).enumerate() {
                let place_of = sought.entry(*known).or_insert_with(|| found.find(known)).clone();
                let Some((key, path)) = place_of else {
                    incomplete |= known.offset > 0 && !left.contains(known);
                    continue;
                };
                let stretch = match stretches.iter_mut().find(|stretch| stretch.key == key) {
                    Some(stretch) => stretch,
                    None => {
                        // In the first place's files, what lies before was read before.
                        let from = if place == 0 { known.offset } else { 0 };
                        stretches.push(Stretch::new(key, path, from));
                        let Some(new) = stretches.last_mut() else { continue };
                        new
                    }
                };
                stretch.reaches(known, (place, at));
            }
        }
        let last = places.len().saturating_sub(1);
        for stretch in &mut stretches {
            // Rotated, read to its end and left, so long ago that nothing tells of it any more.
            if stretch.named.0 < last && stretch.path != path {
                stretch.to = found.size(stretch.key).unwrap_or(stretch.to).max(stretch.to);
            }
        }
        stretches.retain(|stretch| stretch.from < stretch.to);
        // A file that was emptied in place is named before the copy of what was in it, and after it.
        stretches.sort_by_key(|stretch| Reverse(stretch.named));
        Self { cap, stretches, open: None, incomplete }
    }

    /// The next line into `line`; gives the place it comes after.
    fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
        loop {
            if self.open.is_none() {
                let Some(stretch) = self.stretches.pop() else { return Ok(None) };
                self.open = Some(Open::new(stretch)?);
            }
            if let Some(open) = &mut self.open
                && let Some(after) = open.next_line(self.cap, line)?
            {
                return Ok(Some(after));
            }
            self.open = None;
        }
    }
}

impl Stretch {
    fn new(key: FileKey, path: PathBuf, from: u64) -> Self {
        Self { key, path, from, to: from, marks: Vec::new(), named: (0, 0) }
    }

    /// At this place it had been read up to there.
    fn reaches(&mut self, known: &FilePosition, named: (usize, usize)) {
        self.named = named;
        self.to = self.to.max(known.offset);
        self.marks.push((known.offset, named.0));
    }

    /// The last of the places that come before this offset.
    fn after(&self, offset: u64) -> usize {
        let passed = self.marks.iter().take_while(|(at, _)| *at <= offset);
        // One that began to be read between two places comes after the former.
        let first = self.marks.first().map_or(0, |(_, place)| place.saturating_sub(1));
        passed.last().map_or(first, |(_, place)| *place)
    }
}

impl Open {
    fn new(stretch: Stretch) -> io::Result<Self> {
        let mut file = tail::open(&stretch.path)?;
        file.seek(SeekFrom::Start(stretch.from))?;
        let input = file.take(stretch.to - stretch.from);
        Ok(Self { at: stretch.from, input: BufReader::with_capacity(CHUNK, input), stretch })
    }

    fn next_line(&mut self, cap: LineCap, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
        line.clear();
        let most = cap.bytes() as u64 + 1;
        let mut read = (&mut self.input).take(most).read_until(b'\n', line)?;
        if read == 0 {
            return Ok(None);
        }
        let after = self.stretch.after(self.at);
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > cap.bytes() {
            read += self.input.skip_until(b'\n')?;
        } else {
            // A line without an end, left behind by a rotation: it wasn't delivered before either.
            return Ok(None);
        }
        self.at += read as u64;
        line.truncate(kept(line, cap));
        Ok(Some(after))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::time::Instant;

    use super::super::{Polled, SourceId, Tail};
    use super::*;

    /// A log that is followed, and the places where it stood.
    struct Bench {
        dir: tempfile::TempDir,
        tail: Tail,
        places: Vec<Position>,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            File::create(&log).unwrap();
            let tail = Tail::new(SourceId::new(0), log, LineCap::new(300), None, Instant::now());
            let mut bench = Self { dir, tail, places: Vec::new() };
            bench.mark();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, text: &str) {
            let mut log =
                OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap();
            log.write_all(text.as_bytes()).unwrap();
        }

        /// Everything is read, and that is a place.
        fn mark(&mut self) {
            while !matches!(self.tail.poll(Instant::now()), Polled::Idle) {}
            self.places.push(self.tail.position());
        }

        fn again(&self, from: usize) -> (Vec<(String, usize)>, bool) {
            let input = Input::File(self.path("log"));
            let mut again =
                Again::between(&input, LineCap::new(300), &self.places[from..]).unwrap();
            let mut lines = Vec::new();
            while let Some(line) = again.next_line().unwrap() {
                lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.after));
            }
            (lines, again.is_incomplete())
        }

        fn texts(&self, from: usize) -> String {
            let (lines, incomplete) = self.again(from);
            assert!(!incomplete);
            lines.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn what_lies_between_two_places_is_read_and_nothing_else() {
        let mut bench = Bench::new();
        bench.write("1\r\n2\n");
        bench.mark();
        bench.write("3\npart");
        bench.mark();
        bench.write(" of 4\n5\n");
        let (lines, _) = bench.again(0);
        let texts: Vec<_> = lines.iter().map(|(text, after)| (text.as_str(), *after)).collect();
        assert_eq!(texts, [("1", 0), ("2", 0), ("3", 1)]);
        assert_eq!(bench.texts(1), "3");
        assert_eq!(bench.texts(2), "");
    }

    #[test]
    fn lines_over_the_cap_are_cut_as_they_were() {
        let mut bench = Bench::new();
        bench.write(&format!("{}\n{}\nz\n", "x".repeat(300), "y".repeat(900)));
        bench.mark();
        let (lines, _) = bench.again(0);
        let lengths: Vec<usize> = lines.iter().map(|(text, _)| text.len()).collect();
        assert_eq!(lengths, [300, 300, 1]);
    }

    #[test]
    fn rotations_by_renaming_are_followed_backwards() {
        let mut bench = Bench::new();
        bench.write("1\n");
        bench.mark();
        fs::rename(bench.path("log"), bench.path("log.1")).unwrap();
        bench.write("3\n");
        bench.mark();
        fs::rename(bench.path("log.1"), bench.path("log.2")).unwrap();
        fs::rename(bench.path("log"), bench.path("log.1")).unwrap();
        bench.write("4\n");
        bench.mark();
        bench.write("5\n");
        assert_eq!(bench.texts(0), "1 3 4");
        assert_eq!(bench.texts(1), "3 4");
        fs::remove_file(bench.path("log.2")).unwrap();
        let (lines, incomplete) = bench.again(0);
        assert!(incomplete);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_log_that_was_copied_and_truncated_is_read_from_the_copy() {
        let mut bench = Bench::new();
        bench.write("1 first\n2\n");
        bench.mark();
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        OpenOptions::new().write(true).open(bench.path("log")).unwrap().set_len(0).unwrap();
        bench.write("3 third\n");
        bench.mark();
        assert_eq!(bench.texts(0), "1 first 2 3 third");
        assert_eq!(bench.texts(1), "3 third");
        // Once more, while nobody looked: what came since isn't read yet.
        fs::rename(bench.path("log.1"), bench.path("log.2")).unwrap();
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        OpenOptions::new().write(true).open(bench.path("log")).unwrap().set_len(0).unwrap();
        bench.write("5\n");
        assert_eq!(bench.texts(0), "1 first 2 3 third");
    }

    #[test]
    fn a_log_that_appeared_later_is_read_from_its_beginning() {
        let mut bench = Bench::new();
        fs::remove_file(bench.path("log")).unwrap();
        let log = bench.path("log");
        bench.tail = Tail::new(SourceId::new(0), log, LineCap::TEXT, None, Instant::now());
        bench.places.clear();
        bench.mark();
        bench.write("1\n2\n");
        bench.mark();
        assert_eq!(bench.texts(0), "1 2");
    }
}

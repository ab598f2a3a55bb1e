//! The last line that was read of a log, where it still lies: for whoever reads on elsewhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::lines::{LineCap, kept};
use super::position::{FilePosition, Position};
use super::tail::{files_of, line_start_before};
use crate::event::Timestamp;

/// The last line that was read of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastLine {
    /// Its bytes; none where it lies nowhere any more, or is packed.
    pub bytes: Vec<u8>,
    /// When the log was written to last, as far as we saw.
    pub written: Timestamp,
}

/// Of the log at this path; `None` where nothing was ever read of it.
pub fn last_line(log: &Path, position: &Position) -> Option<LastLine> {
    let Position::File { files, left, .. } = position else { return None };
    let last =
        files.iter().chain(left).filter(|file| file.offset > 0).max_by_key(|it| it.modified)?;
    let bytes = files_of(log).iter().find_map(|path| read(path, last)).unwrap_or_default();
    Some(LastLine { bytes, written: Timestamp::from_micros(last.modified.div_euclid(1_000)) })
}

fn read(path: &Path, position: &FilePosition) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() < position.offset || !position.head.matches(&file).ok()? {
        return None;
    }
    let end = position.offset.checked_sub(1)?;
    let start = line_start_before(&file, end).ok()?;
    let length = usize::try_from(end - start).ok()?.min(LineCap::TEXT.bytes());
    let mut line = vec![0; length];
    file.read_exact_at(&mut line, start).ok()?;
    line.truncate(kept(&line, LineCap::TEXT));
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::time::Instant;

    use super::super::{Polled, SourceId, Tail};
    use super::*;

    #[test]
    fn it_is_found_where_rotation_put_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let write = |text: &str| {
            let mut file = OpenOptions::new().append(true).create(true).open(&log).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write("old\n");
        let mut tail =
            Tail::new(SourceId::new(0), log.clone(), LineCap::TEXT, None, Instant::now());
        assert_eq!(last_line(&log, &tail.position()).unwrap().bytes, b"old");
        write("one\r\ntwo\r\nbegun");
        assert!(matches!(tail.poll(Instant::now()), Polled::Batch(_)));
        let position = tail.position();
        let found = |position| last_line(&log, position).unwrap().bytes;
        assert_eq!(found(&position), b"two");
        fs::rename(&log, dir.path().join("log.1")).unwrap();
        write("another\n");
        assert_eq!(found(&position), b"two");
        fs::remove_file(dir.path().join("log.1")).unwrap();
        assert_eq!(found(&position), b"");
        let nothing = Position::File { files: vec![], left: vec![], since: None };
        assert_eq!(last_line(&log, &nothing), None);
    }
}

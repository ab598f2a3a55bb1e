//! Entries that were read before, once more.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::{Entries, Heard, JOURNALCTL, LineCap, Position, Running, Taken, command, not_run};
use crate::source::watch::Stopper;

/// `journalctl` may be silent for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The entries between two cursors.
#[derive(Debug)]
pub(in super::super) struct JournalAgain {
    child: Running,
    stopper: Stopper,
    entries: Entries,
    taken: VecDeque<Taken>,
    complaint: Vec<u8>,
    /// Places still to come, and the index of the last one that has come.
    marks: VecDeque<(usize, String)>,
    after: usize,
    /// The last entry, and its time.
    last: String,
    until: Option<i64>,
    ended: bool,
}

impl JournalAgain {
    /// `None` where nothing lies between.
    pub(in super::super) fn start(
        directory: Option<&Path>,
        places: &[Position],
    ) -> Result<Option<Self>, String> {
        Self::start_with(Path::new(JOURNALCTL), directory, places)
    }

    pub(super) fn start_with(
        program: &Path,
        directory: Option<&Path>,
        places: &[Position],
    ) -> Result<Option<Self>, String> {
        let cursors = places.iter().map(|place| match place {
            Position::Journal { cursor } => cursor.clone(),
            Position::File { .. } | Position::Glob { .. } | Position::Socket => None,
        });
        let cursors: Vec<Option<String>> = cursors.collect();
        let Some(Some(last)) = cursors.last().cloned() else { return Ok(None) };
        let first = cursors.first().cloned().flatten();
        if first.as_ref() == Some(&last) {
            return Ok(None);
        }
        let mut command = command(program, directory);
        command.args(["--merge", "--all", super::FIELDS]);
        if let Some(first) = &first {
            command.arg(format!("--after-cursor={first}"));
        }
        let child = Running::start(&mut command).map_err(|error| not_run(program, &error))?;
        let stopper = Stopper::new().map_err(|error| error.to_string())?;
        let marks = cursors.into_iter().enumerate().skip(1);
        Ok(Some(Self {
            child,
            stopper,
            entries: Entries::default(),
            taken: VecDeque::new(),
            complaint: Vec::new(),
            marks: marks.filter_map(|(at, cursor)| Some((at, cursor?))).collect(),
            after: 0,
            until: time_of(&last),
            last,
            ended: false,
        }))
    }

    /// The next entry as a line into `line`; gives the place it comes after.
    pub(in super::super) fn next_line(
        &mut self,
        line: &mut Vec<u8>,
    ) -> Result<Option<usize>, String> {
        while !self.ended {
            let Some(taken) = self.taken.pop_front() else {
                self.hear()?;
                continue;
            };
            let Some(entry) = Entry::parse(&taken.json) else { continue };
            // The last one may be gone: what is later than it will be read as new.
            if self.until.is_some_and(|until| entry.micros() > until) {
                break;
            }
            line.clear();
            entry.write_line(LineCap::TEXT.bytes(), line);
            let after = self.after;
            self.ended = entry.cursor == self.last;
            if let Some(at) = self.marks.iter().position(|(_, mark)| *mark == entry.cursor) {
                self.after = self.marks[at].0;
                self.marks.drain(..=at);
            }
            return Ok(Some(after));
        }
        self.ended = true;
        Ok(None)
    }

    fn hear(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let buffer = &mut self.entries.buffer;
            let heard = self.child.read(&self.stopper, Some(deadline), buffer, &mut self.complaint);
            match heard.map_err(|error| error.to_string())? {
                Heard::Stop => {
                    self.ended = true;
                    return Ok(());
                }
                Heard::End => {
                    self.ended = true;
                    return match self.child.ended_well() {
                        true => Ok(()),
                        false => Err(self.child.last_words(Path::new(JOURNALCTL), &self.complaint)),
                    };
                }
                Heard::Bytes => {
                    self.taken.extend(self.entries.split());
                    if !self.taken.is_empty() {
                        return Ok(());
                    }
                }
                Heard::Nothing if Instant::now() >= deadline => {
                    return Err(format!("{JOURNALCTL} doesn't answer"));
                }
                Heard::Nothing => {}
            }
        }
    }
}

/// The time that a cursor holds, in microseconds since the epoch.
fn time_of(cursor: &str) -> Option<i64> {
    let time = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    i64::from_str_radix(time, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_tells_its_time() {
        let cursor = "s=ab;i=4;b=cd;m=1;t=64b8c1d2e3f40;x=9";
        assert_eq!(time_of(cursor), Some(0x0006_4b8c_1d2e_3f40));
        assert_eq!(time_of("s=ab"), None);
    }
}

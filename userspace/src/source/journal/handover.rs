//! Taking over from a file that carried the same records: where in the journal its last line lies.

use std::path::Path;

use memchr::memmem;

use super::entry::Entry;
use super::{Journal, query};
use crate::event::Timestamp;

/// In microseconds.
const SECOND: i64 = 1_000_000;

/// What was read last of a file that a syslogd filled out of the journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handover {
    /// The file, for the log.
    pub log: String,
    /// When its last line was written, as far as is known: stamps may lack fractions of a second.
    pub at: Timestamp,
    /// That line, where it still is there.
    pub line: Vec<u8>,
}

impl Journal {
    /// The place after the entry that became the file's last line; where that isn't found, the beginning of
    /// the second that it was written in, since a line twice is better than one that is lost.
    pub(super) fn place_after(&self, handover: &Handover) -> Result<Option<String>, String> {
        let Self { program, directory, stopper, .. } = self;
        let place = |args: &[String]| query(program, directory.as_deref(), args, stopper);
        let second = handover.at.as_micros().div_euclid(SECOND) * SECOND;
        // A syslogd may stamp later than journald did.
        let window = [since(second - SECOND), until(second + SECOND)];
        let near = place(&window)?;
        let entries = near.split(|byte| *byte == b'\n').filter_map(Entry::parse);
        if let Some(entry) = entries.into_iter().find(|entry| entry.is_line(&handover.line)) {
            return Ok(Some(entry.cursor.into_owned()));
        }
        // Without `--reverse` older versions count the lines from the end of the journal.
        let before = [until(second - 1), "--reverse".to_owned(), "--lines=1".to_owned()];
        last_of(&place(&before)?, program)
    }
}

fn since(micros: i64) -> String {
    format!("--since=@{}.{:06}", micros.div_euclid(SECOND), micros.rem_euclid(SECOND))
}

fn until(micros: i64) -> String {
    format!("--until=@{}.{:06}", micros.div_euclid(SECOND), micros.rem_euclid(SECOND))
}

/// The cursor of the last entry in what `journalctl` printed; `None`: there is no entry.
pub(super) fn last_of(text: &[u8], program: &Path) -> Result<Option<String>, String> {
    let last = text.trim_ascii().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if last.is_empty() {
        return Ok(None);
    }
    match Entry::parse(last) {
        Some(entry) => Ok(Some(entry.cursor.into_owned())),
        None => Err(format!("{} tells no cursor", program.display())),
    }
}

impl Entry<'_> {
    /// Whether a syslogd made this line of it: `sshd[812]: MESSAGE`, whatever stands before.
    fn is_line(&self, line: &[u8]) -> bool {
        let (message, pid) = self.message_and_pid();
        let Some(rest) = line.strip_suffix(message) else { return false };
        !message.is_empty()
            && match pid {
                Some(pid) => memmem::find(rest, format!("[{pid}]").as_bytes()).is_some(),
                None => true,
            }
    }
}

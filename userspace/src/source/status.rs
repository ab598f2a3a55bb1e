//! How a source is doing, for `status`: written by its thread, read by anybody.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Trust;

/// What a source is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It is there and read.
    Reading,
    /// Its file isn't there yet.
    Waiting,
    /// It can't be read, for this reason; tried again until it can.
    Failed(String),
    /// Another source carries the same records.
    Standby,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("reading"),
            Self::Waiting => f.write_str("waiting"),
            Self::Failed(error) => write!(f, "error: {error}"),
            Self::Standby => f.write_str("standby"),
        }
    }
}

/// Counters and state of one source.
#[derive(Debug)]
pub struct SourceStatus {
    name: String,
    state: Mutex<State>,
    trust: Mutex<Trust>,
    lines: AtomicU64,
    bytes: AtomicU64,
    unread: AtomicU64,
    queued: AtomicU64,
    /// Seconds, and one; 0: that can't be told.
    behind: AtomicU64,
}

/// One of `status --json`'s `sources`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StatusRow {
    /// The file's path.
    pub name: String,
    /// `reading`, `waiting`, `standby` or `error: ...`.
    pub state: String,
    /// `file`, `journald`, `configured`, `untrusted: ...`, or `unknown` where it isn't read.
    pub trust: String,
    /// Lines handed to the engine since the start.
    pub lines: u64,
    /// Bytes they took in the file.
    pub bytes: u64,
    /// Bytes that are known to be in the file, or wait for the engine.
    pub lag_bytes: u64,
    /// Of the journal: how old, in seconds, the newest entry was when it was read; 0 where there is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<u64>,
}

impl SourceStatus {
    /// Of a source that begins in this state.
    pub fn new(name: String, state: State) -> Self {
        Self {
            name,
            state: Mutex::new(state),
            trust: Mutex::default(),
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }

    /// The file's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far its lines are believed.
    pub fn trust(&self) -> Trust {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, as it is now.
    pub fn row(&self) -> StatusRow {
        StatusRow {
            name: self.name.clone(),
            state: self.state().to_string(),
            trust: self.trust().to_string(),
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            lag_bytes: self.unread.load(Relaxed).saturating_add(self.queued.load(Relaxed)),
            lag_s: self.behind().map(|behind| behind.as_secs()),
        }
    }

    /// Bytes handed to the engine since the start, and bytes that wait.
    pub fn progress(&self) -> (u64, u64) {
        let unread = self.unread.load(Relaxed).saturating_add(self.queued.load(Relaxed));
        (self.bytes.load(Relaxed), unread)
    }

    /// How far what is read lies behind what is written, where times tell it and bytes don't.
    pub fn behind(&self) -> Option<Duration> {
        self.behind.load(Relaxed).checked_sub(1).map(Duration::from_secs)
    }

    pub(super) fn set_behind(&self, behind: Duration) {
        self.behind.store(behind.as_secs().saturating_add(1), Relaxed);
    }

    pub(super) fn set_state(&self, state: &State) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != *state {
            current.clone_from(state);
        }
    }

    pub(super) fn set_trust(&self, trust: &Trust) {
        let mut current = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != *trust {
            current.clone_from(trust);
        }
    }

    pub(super) fn set_unread(&self, bytes: u64) {
        self.unread.store(bytes, Relaxed);
    }

    pub(super) fn queued(&self, bytes: usize) {
        self.queued.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn taken(&self, lines: usize, bytes: usize) {
        self.queued.fetch_sub(bytes as u64, Relaxed);
        self.lines.fetch_add(lines as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_the_engine_has_not_taken() {
        let status = SourceStatus::new("/var/log/auth.log".to_owned(), State::Waiting);
        status.set_unread(100);
        status.queued(40);
        assert_eq!(status.row().lag_bytes, 140);
        status.taken(2, 40);
        status.set_state(&State::Failed("permission denied".to_owned()));
        assert_eq!(status.row().trust, "unknown");
        status.set_trust(&Trust::File);
        let row = status.row();
        assert_eq!((row.lines, row.bytes, row.lag_bytes), (2, 40, 100));
        assert_eq!(row.state, "error: permission denied");
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"name":"/var/log/auth.log","state":"error: permission denied","trust":"file","lines":2,"bytes":40,"lag_bytes":100}"#
        );
    }
}

//! When it is time to note where a source stands, to read from there once more after a restart.

use std::time::{Duration, Instant};

/// While lines come, one each so often, ...
const EVERY: Duration = Duration::from_secs(5 * 60);
/// ... or after so many bytes: as much as that is read in vain at most.
const BYTES: u64 = 16 << 20;

/// A source's checkpoints.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    last: Option<Instant>,
    bytes: u64,
    /// How much its stamps lag behind, in microseconds.
    behind: i64,
}

impl Checkpoints {
    /// It was noted where the source is taken up.
    pub(super) const fn noted(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// So many bytes were read: if a checkpoint is due now, how many were since the one before.
    pub(super) fn read(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        if !due && self.bytes < BYTES {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.bytes))
    }

    /// A line that was read live had a stamp so much before its arrival; 0: close enough.
    pub(super) const fn lags(&mut self, behind: i64) {
        self.behind = behind;
    }

    /// How much stamps lag.
    pub(super) const fn behind(&self) -> i64 {
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_once_and_then_by_time_or_bytes() {
        let start = Instant::now();
        let mut checkpoints = Checkpoints::default();
        assert_eq!(checkpoints.read(7, start), Some(7));
        assert_eq!(checkpoints.read(7, start + EVERY - Duration::from_secs(1)), None);
        assert_eq!(checkpoints.read(7, start + EVERY), Some(14));
        assert_eq!(checkpoints.read(16 << 20, start + EVERY), Some(16 << 20));
        assert_eq!(checkpoints.read(0, start + EVERY), None);
    }
}

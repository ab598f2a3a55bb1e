//! What a source does when all is well, and when it doesn't any more: lagging, silent, not understood.
//! No clock of their own, so that they can be tested.

use std::time::{Duration, Instant};

/// What was written may wait so long.
const LAG: Duration = Duration::from_secs(5);
/// Habits are those of this long, and of as long before.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// So many times the longest usual pause is silence, ...
const TIMES: u32 = 3;
/// ... but nothing shorter is.
const SHORTEST: Duration = Duration::from_secs(10 * 60);
/// Lines after which they are looked at together.
const LINES: u32 = 100;

/// Whether what is written is read in time.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When there was something unread, and up to which byte.
    mark: Option<(Instant, u64)>,
    lags: bool,
}

impl Lag {
    /// `taken` bytes were read ever, `unread` wait; whether some of them have for too long.
    pub(super) fn look(&mut self, taken: u64, unread: u64, now: Instant) -> bool {
        if unread == 0 {
            *self = Self::default();
            return false;
        }
        let late = |since: Instant| now.saturating_duration_since(since) > LAG;
        match self.mark {
            Some((since, upto)) if taken < upto => self.lags |= late(since),
            other => {
                // All that waited then was read: in time or not.
                self.lags = other.is_some_and(|(since, _)| late(since));
                self.mark = Some((now, taken.saturating_add(unread)));
            }
        }
        self.lags
    }
}

/// The same, where the lines' times tell.
#[derive(Debug, Default)]
pub(super) struct Delay {
    since: Option<Instant>,
}

impl Delay {
    /// What is read is so old; whether it has been too old for too long.
    pub(super) fn look(&mut self, behind: Duration, now: Instant) -> bool {
        if behind <= LAG {
            self.since = None;
            return false;
        }
        now.saturating_duration_since(*self.since.get_or_insert(now)) > LAG
    }
}

/// Whether a source is silent beyond its habit: it takes a day to know it.
#[derive(Debug)]
pub(super) struct Silence {
    last: Instant,
    period: Instant,
    longest: Duration,
    /// Of the period before; `None` in the first one.
    before: Option<Duration>,
    heard: bool,
}

impl Silence {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, period: now, longest: Duration::ZERO, before: None, heard: false }
    }

    /// Lines came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
        if now.saturating_duration_since(self.period) >= PERIOD {
            // A period without a word teaches nothing.
            if self.heard {
                self.before = Some(self.longest);
            }
            (self.longest, self.period) = (Duration::ZERO, now);
        }
        self.heard = true;
    }

    /// For how long it has been silent, where that is beyond its habit.
    pub(super) fn look(&self, now: Instant) -> Option<Duration> {
        let usual = self.before?.max(self.longest);
        let pause = now.saturating_duration_since(self.last);
        (pause > (usual * TIMES).max(SHORTEST)).then_some(pause)
    }
}

/// Whether its lines are recognised, those of programs that no pack knows left out.
#[derive(Debug, Default)]
pub(super) struct Recognition {
    seen: u32,
    missed: u32,
}

impl Recognition {
    /// A line was recognised or wasn't. Every [`LINES`] lines: how many weren't, where those are most.
    pub(super) const fn line(&mut self, recognised: bool) -> Option<Verdict> {
        self.seen += 1;
        if !recognised {
            self.missed += 1;
        }
        if self.seen < LINES {
            return None;
        }
        let Self { seen, missed } = *self;
        (self.seen, self.missed) = (0, 0);
        Some(if missed * 2 > seen { Verdict::Foreign { missed, seen } } else { Verdict::Known })
    }
}

/// What [`Recognition`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Most lines are recognised.
    Known,
    /// Most aren't.
    Foreign {
        /// How many.
        missed: u32,
        /// Of how many.
        seen: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_waits_too_long_lags_and_a_busy_source_does_not() {
        let start = Instant::now();
        let mut lag = Lag::default();
        // There always is something, but what was there is read within a second.
        for n in 0..60 {
            assert!(!lag.look(u64::from(n) * 100, 100, start + n * SECOND));
        }
        // Then it stands still.
        let stood = start + 59 * SECOND;
        assert!(!lag.look(5_900, 5_000, stood + 5 * SECOND));
        assert!(lag.look(5_950, 5_000, stood + 7 * SECOND));
        // It goes on, but too slowly.
        assert!(lag.look(6_000, 5_000, stood + 8 * SECOND));
        assert!(lag.look(10_000, 1_000, stood + 9 * SECOND));
        // In time again.
        assert!(!lag.look(11_000, 1_000, stood + 10 * SECOND));
        assert!(!lag.look(12_000, 0, stood + 60 * SECOND));
    }

    #[test]
    fn a_backlog_is_read_for_a_while_before_it_counts_as_delay() {
        let start = Instant::now();
        let mut delay = Delay::default();
        assert!(!delay.look(3_600 * SECOND, start));
        assert!(!delay.look(1_800 * SECOND, start + LAG));
        assert!(delay.look(600 * SECOND, start + LAG + SECOND));
        assert!(!delay.look(LAG, start + LAG + 2 * SECOND));
        assert!(!delay.look(6 * SECOND, start + LAG + 3 * SECOND));
    }

    #[test]
    fn silence_is_measured_by_habit() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(silence.look(start + 10 * PERIOD), None, "nothing is known of it");
        let mut now = start;
        while now < start + PERIOD {
            assert_eq!(silence.look(now + 20 * SHORTEST), None, "it is still learning");
            now += 6 * SHORTEST;
            silence.heard(now);
        }
        assert_eq!(silence.look(now + 18 * SHORTEST), None);
        assert_eq!(silence.look(now + 18 * SHORTEST + SECOND), Some(18 * SHORTEST + SECOND));
        silence.heard(now + 19 * SHORTEST);
        assert_eq!(silence.look(now + 20 * SHORTEST), None);
        // A chatty one may pause for a while all the same.
        let mut silence = Silence::new(start);
        let mut now = start;
        while now < start + 2 * PERIOD {
            now += 30 * SECOND;
            silence.heard(now);
        }
        assert_eq!(silence.look(now + SHORTEST), None);
        assert!(silence.look(now + SHORTEST + SECOND).is_some());
    }

    #[test]
    fn a_source_full_of_foreign_lines_is_told_from_one_with_some() {
        let mut recognition = Recognition::default();
        let mut hundred = |missed: u32| {
            (0..LINES).filter_map(|n| recognition.line(n >= missed)).collect::<Vec<_>>()
        };
        assert_eq!(hundred(50), [Verdict::Known]);
        assert_eq!(hundred(51), [Verdict::Foreign { missed: 51, seen: 100 }]);
        assert_eq!(hundred(0), [Verdict::Known]);
    }
}

//! The kernel's clock and the wall's: where one becomes the other.
//!
//! Expiries in the maps are `CLOCK_MONOTONIC` of the host's own time namespace, which stands still
//! while the machine is suspended and begins anew at boot.

use std::io;

use rustix::time::{ClockId, Timespec, clock_gettime};

use ravelin_common::PERMANENT;

use super::sys;
use crate::event::Timestamp;

const NS_PER_S: u64 = 1_000_000_000;

/// When a ban lapses. A later expiry is the greater one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Expiry {
    /// At this moment, in nanoseconds of `CLOCK_MONOTONIC`.
    At(u64),
    /// Never.
    Permanent,
}

impl Expiry {
    /// From the maps' form.
    pub const fn from_ns(ns: u64) -> Self {
        if ns == PERMANENT { Self::Permanent } else { Self::At(ns) }
    }

    /// In the maps' form.
    pub const fn as_ns(self) -> u64 {
        match self {
            // The last nanosecond of a clock that has run for 584 years isn't "never".
            Self::At(PERMANENT) => PERMANENT - 1,
            Self::At(ns) => ns,
            Self::Permanent => PERMANENT,
        }
    }

    /// Whether it has come at `now_ns`, as the program sees it.
    pub const fn lapsed(self, now_ns: u64) -> bool {
        match self {
            Self::At(ns) => ns <= now_ns,
            Self::Permanent => false,
        }
    }

    /// This much earlier.
    pub(super) const fn earlier(self, by_ns: u64) -> Self {
        match self {
            Self::At(ns) => Self::At(ns.saturating_sub(by_ns)),
            Self::Permanent => Self::Permanent,
        }
    }
}

/// The clocks, read at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clock {
    wall: Timestamp,
    monotonic_ns: u64,
    suspended_ns: u64,
}

impl Clock {
    /// Reads them.
    pub fn read() -> Self {
        let monotonic_ns = nanoseconds(clock_gettime(ClockId::Monotonic));
        let boottime_ns = nanoseconds(clock_gettime(ClockId::Boottime));
        Self::of_readings(Timestamp::now(), monotonic_ns, boottime_ns)
    }

    /// Whether somebody (NTP, PTP) keeps the wall's clock right, as the kernel knows it.
    ///
    /// # Errors
    /// Where a sandbox doesn't let us ask.
    pub fn is_synchronised() -> io::Result<bool> {
        sys::clock_is_synchronised()
    }

    /// From readings of the wall's clock, `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` at one moment.
    pub const fn of_readings(wall: Timestamp, monotonic_ns: u64, boottime_ns: u64) -> Self {
        Self { wall, monotonic_ns, suspended_ns: boottime_ns.saturating_sub(monotonic_ns) }
    }

    /// The wall's time.
    pub const fn wall(&self) -> Timestamp {
        self.wall
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns
    }

    /// The wall's time when the machine was booted, by the wall's clock of now, in microseconds: it changes
    /// when that clock is set, and in no other way.
    pub fn booted_us(&self) -> i64 {
        let up = self.monotonic_ns.saturating_add(self.suspended_ns) / 1_000;
        self.wall.as_micros().saturating_sub(i64::try_from(up).unwrap_or(i64::MAX))
    }

    /// How long the machine has been suspended since boot, give or take the time between two readings.
    pub const fn suspended_ns(&self) -> u64 {
        self.suspended_ns
    }

    /// A point of the wall's time as an expiry; `None` for never. What lies before boot has lapsed.
    pub fn expiry(&self, expires: Option<Timestamp>) -> Expiry {
        let Some(expires) = expires else { return Expiry::Permanent };
        let ahead_us = i128::from(expires.as_micros()) - i128::from(self.wall.as_micros());
        let ns = i128::from(self.monotonic_ns) + ahead_us * 1_000;
        Expiry::At(u64::try_from(ns.max(0)).unwrap_or(PERMANENT - 1))
    }

    /// An expiry as a point of the wall's time; `None` for never.
    pub fn timestamp(&self, expires: Expiry) -> Option<Timestamp> {
        match expires {
            Expiry::At(ns) => Some(self.wall_at(ns)),
            Expiry::Permanent => None,
        }
    }

    /// A reading of `CLOCK_MONOTONIC` as a point of the wall's time.
    pub fn wall_at(&self, monotonic_ns: u64) -> Timestamp {
        let ahead_us = (i128::from(monotonic_ns) - i128::from(self.monotonic_ns)).div_euclid(1_000);
        let us = i128::from(self.wall.as_micros()) + ahead_us;
        Timestamp::from_micros(i64::try_from(us).unwrap_or(i64::MAX))
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn clock() -> Clock {
        Clock {
            wall: Timestamp::from_secs(1_800_000_000),
            monotonic_ns: 50 * NS_PER_S,
            suspended_ns: 0,
        }
    }

    #[test]
    fn converts_there_and_back() {
        let clock = clock();
        let later = clock.wall.saturating_add(Duration::from_secs(300));
        assert_eq!(clock.expiry(Some(later)), Expiry::At(350 * NS_PER_S));
        assert_eq!(clock.timestamp(Expiry::At(350 * NS_PER_S)), Some(later));
        assert_eq!(clock.expiry(None), Expiry::Permanent);
        assert_eq!(clock.timestamp(Expiry::Permanent), None);
    }

    #[test]
    fn what_lies_before_boot_or_after_all_time_stays_finite() {
        let clock = clock();
        assert_eq!(clock.expiry(Some(Timestamp::from_secs(0))), Expiry::At(0));
        let end = clock.expiry(Some(Timestamp::from_micros(i64::MAX)));
        assert!(end < Expiry::Permanent);
        assert_ne!(end.as_ns(), PERMANENT);
        assert_ne!(Expiry::At(u64::MAX).as_ns(), PERMANENT);
    }

    #[test]
    fn permanent_outlasts_everything() {
        assert!(Expiry::Permanent > Expiry::At(u64::MAX));
        assert!(!Expiry::Permanent.lapsed(u64::MAX));
        assert!(Expiry::At(5).lapsed(5));
        assert!(!Expiry::At(6).lapsed(5));
    }
}

//! A start that waits for a person to confirm it: what [`Settings::off`](ravelin_common::Settings::off) says of it.
//!
//! The deadline lies in the pinned map and the program itself keeps it, so that it holds whatever becomes of the
//! daemon. Who lives then, or starts after it, takes the program off the interfaces as well.

use std::time::Duration;

use ravelin_common::OFF_FROM;

use super::{Blocklist, BlocklistError, Expiry, Pinned};

/// Everything passes while the daemon only observes.
pub(super) const OBSERVED: u32 = 1;
/// By a person's hand, which no start of the daemon takes back.
pub(super) const PANIC: u32 = 2;
/// Nobody confirmed a start in time; that too is for a person to take back.
pub(super) const UNCONFIRMED: u32 = 3;

const NS_PER_S: u64 = 1_000_000_000;

/// How it stands with a start that somebody has to confirm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probation {
    /// Nothing waits for a person.
    Over,
    /// From then on everything passes, unless somebody says so before.
    Until(Expiry),
    /// Nobody did.
    Failed,
}

impl Probation {
    /// What `off` says at `now_ns` of the kernel's monotonic clock.
    pub(super) const fn of(off: u32, now_ns: u64) -> Self {
        match off.checked_sub(OFF_FROM) {
            None if off == UNCONFIRMED => Self::Failed,
            None => Self::Over,
            Some(second) => {
                let deadline = Expiry::At(second as u64 * NS_PER_S);
                if deadline.lapsed(now_ns) { Self::Failed } else { Self::Until(deadline) }
            }
        }
    }
}

/// What `off` becomes at a start at `now_ns` that is to be confirmed `within` a time, or is an ordinary one.
/// A deadline that stands stays as it is, or a daemon that dies and comes back could put it off for ever.
pub(super) fn begin(off: u32, within: Option<Duration>, now_ns: u64) -> u32 {
    match (Probation::of(off, now_ns), within) {
        (Probation::Failed, _) => UNCONFIRMED,
        (Probation::Over, Some(within)) if off != PANIC => deadline(within, now_ns),
        (Probation::Over | Probation::Until(_), _) => off,
    }
}

/// `off` for a deadline.
pub(super) fn deadline(within: Duration, now_ns: u64) -> u32 {
    let now = Duration::from_nanos(now_ns);
    let second = now.saturating_add(within).as_nanos().div_ceil(u128::from(NS_PER_S));
    u32::try_from(second).unwrap_or(u32::MAX).saturating_add(OFF_FROM)
}

impl Blocklist {
    /// How it stands with a start that somebody has to confirm, at `now_ns` of the kernel's monotonic clock.
    pub const fn probation(&self, now_ns: u64) -> Probation {
        Probation::of(self.settings.off, now_ns)
    }

    /// A person has seen that the host can be reached: the deadline is gone. Only where one stands.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn confirm(&mut self) -> Result<(), BlocklistError> {
        self.settings.off = 0;
        self.maps.set_settings(self.settings)
    }

    /// Enforces from now on until somebody has to have confirmed it; after a panic, or after a deadline that
    /// nobody kept.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn try_again(&mut self, within: Duration, now_ns: u64) -> Result<(), BlocklistError> {
        self.settings.off = deadline(within, now_ns);
        self.maps.set_settings(self.settings)
    }

    /// Nobody confirmed it: everything passes, and the program comes off all interfaces; which those were.
    ///
    /// # Errors
    /// Where a map can't be written or a pin not be removed.
    pub fn withdraw(&mut self) -> Result<Vec<String>, BlocklistError> {
        self.settings.off = UNCONFIRMED;
        self.maps.set_settings(self.settings)?;
        self.detach()
    }
}

impl Pinned {
    /// As [`Blocklist::probation`].
    ///
    /// # Errors
    /// Where the map can't be read.
    pub fn probation(&self, now_ns: u64) -> Result<Probation, BlocklistError> {
        Ok(Probation::of(self.maps.settings()?.off, now_ns))
    }

    /// As [`Blocklist::confirm`].
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn confirm(&mut self) -> Result<(), BlocklistError> {
        let mut settings = self.maps.settings()?;
        settings.off = 0;
        self.maps.set_settings(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * NS_PER_S + 1;

    #[test]
    fn a_deadline_is_kept_over_restarts_and_not_put_off() {
        let off = begin(0, Some(Duration::from_secs(10)), NOW);
        assert_eq!(off, OFF_FROM + 111, "never sooner than was asked");
        assert_eq!(begin(OBSERVED, Some(Duration::from_secs(10)), NOW), off);
        let until = Probation::Until(Expiry::At(111 * NS_PER_S));
        assert_eq!(Probation::of(off, 111 * NS_PER_S - 1), until);
        assert_eq!(Probation::of(off, 111 * NS_PER_S), Probation::Failed);
        // Starts with or without the flag, before and after.
        for within in [None, Some(Duration::from_mins(10))] {
            assert_eq!(begin(off, within, NOW + NS_PER_S), off);
            assert_eq!(begin(off, within, 111 * NS_PER_S), UNCONFIRMED);
            assert_eq!(begin(UNCONFIRMED, within, NOW), UNCONFIRMED);
            assert_eq!(begin(PANIC, within, NOW), PANIC);
        }
        assert_eq!(begin(0, None, NOW), 0);
        for off in [0, OBSERVED, PANIC] {
            assert_eq!(Probation::of(off, NOW), Probation::Over);
        }
        assert_eq!(deadline(Duration::MAX, NOW), u32::MAX);
    }
}

//! The wall's clock, and what happens when somebody sets it.
//!
//! What was awaited, forgotten or banned until a time by that clock should come after as long as before it
//! was set. In the kernel bans run by a clock that nobody can set; everything else is moved along.

use std::fs;

use super::pipeline::Pipeline;
use crate::blocklist::Clock;
use crate::event::Timestamp;
use crate::store::{Anchor, Effect, Store};

/// A clock that is set by less is as good as one that wasn't; NTP slews what is less than this.
const STEP_US: i64 = 1_000_000;

/// How the wall's clock stood when it was looked at last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WallClock {
    anchor: Anchor,
}

impl WallClock {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { anchor: Anchor { boot: boot_id(), booted_us: clock.booted_us() } }
    }

    /// By how many microseconds it was set since, if it was.
    fn look(&mut self, clock: &Clock) -> Option<i64> {
        let booted_us = clock.booted_us();
        let by = booted_us.saturating_sub(self.anchor.booted_us);
        self.anchor.booted_us = booted_us;
        (by.saturating_abs() >= STEP_US).then_some(by)
    }

    /// By how many it was set since an earlier daemon looked at it last; 0 where it wasn't, or where that
    /// was before a reboot, so that nobody can know.
    fn since(&self, earlier: &Anchor) -> i64 {
        let by = self.anchor.booted_us.saturating_sub(earlier.booted_us);
        let known = earlier.boot == self.anchor.boot && !earlier.boot.is_empty();
        if known && by.saturating_abs() >= STEP_US { by } else { 0 }
    }
}

/// Puts right what the database says where the clock was set while no daemon ran.
pub(super) fn bring_up_to_date(store: &mut Store, clock: &Clock) -> WallClock {
    let wall = WallClock::new(clock);
    // What can't be read now will be missed by those who need it more.
    let earlier = store.read().anchor().ok().flatten();
    let stepped = earlier.map_or(0, |earlier| wall.since(&earlier));
    if stepped != 0 {
        tell(stepped);
    }
    if let Err(error) = store.commit(&[Effect::Clock { anchor: wall.anchor.clone(), stepped }]) {
        tracing::warn!(%error, "How the clock stands can't be written down.");
    }
    wall
}

fn tell(stepped: i64) {
    let seconds = stepped / 1_000_000;
    tracing::warn!(seconds, "The clock was set; all that lasts until a time is moved along.");
}

/// Which boot of the machine this is; empty where that can't be told.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

impl Pipeline {
    /// Whether the wall's clock was set, and what that means. Gives what it says.
    pub(super) fn look_at_clock(&mut self) -> Timestamp {
        let clock = Clock::read();
        if let Some(by) = self.parts.wall.look(&clock) {
            tell(by);
            self.step_clock(by);
        }
        clock.wall()
    }

    fn step_clock(&mut self, by: i64) {
        let parts = &mut self.parts;
        let moved = |time: &mut Timestamp| {
            *time = Timestamp::from_micros(time.as_micros().saturating_add(by));
        };
        parts.engine.step_clock(by);
        parts.bans.values_mut().for_each(|order| moved(&mut order.since));
        self.undropped.values_mut().for_each(moved);
        moved(&mut self.awake);
        let anchor = parts.wall.anchor.clone();
        parts.store.push([Effect::Clock { anchor, stepped: by }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;
    const SECOND_NS: u64 = 1_000_000_000;

    /// So many seconds after the first look, with the wall's clock set by so many microseconds.
    fn clock(seconds: u64, suspended: u64, set_us: i64) -> Clock {
        let up = i64::try_from(seconds + suspended).unwrap() * 1_000_000;
        let wall = Timestamp::from_micros(1_700_000_000_000_000 + up + set_us);
        let monotonic = (1_000 + seconds) * SECOND_NS;
        Clock::of_readings(wall, monotonic, monotonic + suspended * SECOND_NS)
    }

    #[test]
    fn a_step_is_told_from_time_that_passes_and_from_sleep() {
        let mut wall = WallClock::new(&clock(0, 0, 0));
        assert_eq!(wall.look(&clock(1, 0, 0)), None);
        assert_eq!(wall.look(&clock(2, 90_000, 0)), None, "a suspended machine");
        assert_eq!(wall.look(&clock(3, 90_000, DAY_US)), Some(DAY_US));
        assert_eq!(wall.look(&clock(4, 90_000, DAY_US)), None, "once");
        assert_eq!(wall.look(&clock(5, 90_000, DAY_US + 400_000)), None, "slewed");
        assert_eq!(wall.look(&clock(6, 90_000, 400_000)), Some(-DAY_US));
    }

    #[test]
    fn what_happened_before_a_reboot_is_not_known() {
        let before = WallClock::new(&clock(0, 0, 0)).anchor;
        let now = WallClock::new(&clock(50, 0, -DAY_US));
        assert_eq!(now.since(&before), -DAY_US);
        assert_eq!(WallClock::new(&clock(50, 0, 0)).since(&before), 0);
        assert_eq!(now.since(&Anchor { boot: "another".to_owned(), ..before }), 0);
    }
}

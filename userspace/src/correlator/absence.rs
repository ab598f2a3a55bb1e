//! Events that should have come and didn't.
//!
//! Each expectation has a deadline on the lines' own time; it is met, or found to have passed. Whether it
//! was met depends on the times of the events alone: an event that is read late but was written in time
//! meets it where that is read before anybody says that the time is over ([`Absences::advance`]).

use std::collections::{BTreeMap, HashMap};

use super::owner::Owner;
use crate::event::Target;

/// Expectations at a time. Attackers may choose the keys: what comes beyond isn't watched, and is counted.
const MOST: usize = 1 << 16;

/// What is expected, and of whom: the group, the owner of the key, and what the key has beside it.
pub(super) type Expected = (u16, Owner, u32);

/// All expectations that are open.
#[derive(Debug, Default)]
pub(super) struct Absences {
    open: HashMap<Expected, Open>,
    /// By deadline, and then in order of their beginning.
    deadlines: BTreeMap<(i64, u64), Expected>,
    /// No deadline is before this.
    soonest: i64,
    /// Found to have passed, and not told yet.
    due: Vec<Passed>,
    begun: u64,
    turned_away: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: i64,
    place: (i64, u64),
    target: Option<Target>,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Passed {
    pub(super) group: u16,
    pub(super) since: i64,
    pub(super) deadline: i64,
    pub(super) target: Option<Target>,
}

impl Absences {
    /// From `now` on something is expected within `within`. One that is open already stays as it is, unless
    /// this `renews` it.
    pub(super) fn expect(
        &mut self,
        what: Expected,
        now: i64,
        within: i64,
        renews: bool,
        target: Option<Target>,
    ) {
        let deadline = now.saturating_add(within);
        if let Some(open) = self.open.get(&what) {
            if open.place.0 < now {
                self.pass(what);
            } else if !renews || deadline <= open.place.0 {
                return;
            }
            self.close(what);
        }
        if self.open.len() >= MOST {
            self.turned_away += 1;
            return;
        }
        self.begun += 1;
        let place = (deadline, self.begun);
        self.soonest = self.soonest.min(deadline);
        self.deadlines.insert(place, what);
        self.open.insert(what, Open { since: now, place, target });
    }

    /// It came at `now`: in time, or too late.
    pub(super) fn came(&mut self, what: Expected, now: i64) {
        let Some(open) = self.open.get(&what) else { return };
        if now < open.since {
            return;
        }
        if open.place.0 < now {
            self.pass(what);
        }
        self.close(what);
    }

    /// Whether [`Self::advance`] to `now` has something to tell.
    #[inline]
    pub(super) fn has_passed(&mut self, now: i64) -> bool {
        if now > self.soonest {
            let first = self.deadlines.first_key_value();
            self.soonest = first.map_or(i64::MAX, |((deadline, _), _)| *deadline);
        }
        !self.due.is_empty() || self.soonest < now
    }

    /// What was to come by a time before `now` doesn't come any more.
    pub(super) fn advance(&mut self, now: i64) -> Vec<Passed> {
        while let Some(((deadline, _), what)) = self.deadlines.first_key_value()
            && *deadline < now
        {
            let what = *what;
            self.pass(what);
            self.close(what);
        }
        let mut due = std::mem::take(&mut self.due);
        due.sort_by_key(|passed| passed.deadline);
        due
    }

    /// Gives expectations their group's new index, and drops those whose group is gone.
    pub(super) fn regroup(&mut self, new_group: impl Fn(u16) -> Option<u16>) {
        let open = std::mem::take(&mut self.open);
        self.deadlines.clear();
        self.soonest = i64::MIN;
        self.due.clear();
        for ((group, owner, subkey), open) in open {
            if let Some(group) = new_group(group) {
                self.deadlines.insert(open.place, (group, owner, subkey));
                self.open.insert((group, owner, subkey), open);
            }
        }
    }

    /// The clock has stepped by so many milliseconds.
    pub(super) fn step_clock(&mut self, by: i64) {
        self.soonest = i64::MIN;
        self.deadlines.clear();
        for (what, open) in &mut self.open {
            open.since = open.since.saturating_add(by);
            open.place.0 = open.place.0.saturating_add(by);
            self.deadlines.insert(open.place, *what);
        }
    }

    /// Expectations that there was no room for.
    pub(super) const fn turned_away(&self) -> u64 {
        self.turned_away
    }

    fn pass(&mut self, what: Expected) {
        // What nobody takes is bounded too.
        if let Some(open) = self.open.get(&what)
            && self.due.len() < MOST
        {
            let Open { since, place: (deadline, _), target } = *open;
            self.due.push(Passed { group: what.0, since, deadline, target });
        }
    }

    fn close(&mut self, what: Expected) {
        if let Some(open) = self.open.remove(&what) {
            self.deadlines.remove(&open.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: Expected = (1, Owner::VACANT, 0);

    fn passed(absences: &mut Absences, now: i64) -> Vec<(i64, i64)> {
        absences.advance(now).iter().map(|passed| (passed.since, passed.deadline)).collect()
    }

    #[test]
    fn what_comes_in_time_meets_it_and_what_comes_late_does_not() {
        let mut absences = Absences::default();
        absences.expect(WHAT, 10, 100, false, None);
        absences.expect(WHAT, 50, 100, false, None);
        assert!(!absences.has_passed(110));
        absences.came(WHAT, 110);
        assert_eq!(passed(&mut absences, 1_000), []);
        absences.expect(WHAT, 10, 100, false, None);
        assert!(absences.has_passed(111));
        assert_eq!(passed(&mut absences, 111), [(10, 110)]);
        assert_eq!(passed(&mut absences, 1_000), [], "once");
        // Nobody looked in between; what came says so itself.
        absences.expect(WHAT, 10, 100, false, None);
        absences.came(WHAT, 5);
        absences.came(WHAT, 111);
        assert_eq!(passed(&mut absences, 0), [(10, 110)]);
        absences.expect(WHAT, 10, 100, true, None);
        absences.expect(WHAT, 60, 100, true, None);
        absences.expect(WHAT, 300, 100, true, None);
        assert_eq!(passed(&mut absences, 401), [(60, 160), (300, 400)]);
    }

    #[test]
    fn it_is_awaited_as_long_when_the_clock_is_set() {
        let mut absences = Absences::default();
        absences.expect(WHAT, 10, 100, false, None);
        absences.step_clock(-1_000);
        assert!(!absences.has_passed(-890) && absences.has_passed(-889));
        absences.step_clock(5_000);
        assert_eq!(passed(&mut absences, 4_111), [(4_010, 4_110)]);
    }

    #[test]
    fn expectations_are_bounded() {
        let mut absences = Absences::default();
        for n in 0..3 * u32::try_from(MOST).unwrap() {
            absences.expect((1, Owner::VACANT, n), 0, 100, false, None);
        }
        assert_eq!((absences.open.len(), absences.deadlines.len()), (MOST, MOST));
        assert_eq!(absences.turned_away(), 2 * u64::try_from(MOST).unwrap());
        absences.regroup(|_| None);
        assert_eq!(passed(&mut absences, 1_000), []);
    }
}

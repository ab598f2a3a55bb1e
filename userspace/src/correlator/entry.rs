//! All that is remembered of one owner of evidence: its score, its windows, its cooldowns.

use super::ladder::{Evidence, Firings, Ladder, RUNGS, Rung, Tick};
use super::owner::Owner;
use super::scope::Scope;
use super::windows::{Id, Windows};

/// A first anchor lies this far in the past, so that lines that come late don't move it.
const SLACK_MS: i64 = 60_000;

/// A score below this tells nothing of whom it came from.
const FADED: f64 = 1.0;

/// A window within an entry: the group's index, and a hash of what the key has beside the owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) group: u16,
    pub(super) subkey: u32,
}

/// One owner's evidence.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    /// A ban of it stood when evidence last came, so that all of this is spent once it is over.
    banned: bool,
    /// It may have windows of evidence that may not ban.
    mixed: bool,
    /// Windows that gave way since the table last asked.
    dropped: u8,
    /// Which ports the score is about.
    scope: Scope,
    /// Points at `touched`.
    score: f64,
    /// The points among them that may ban.
    bannable: f64,
    /// The latest time of its evidence, in milliseconds since the epoch.
    touched: i64,
    /// Where its ticks begin, in milliseconds since the epoch.
    anchor: i64,
    windows: Windows,
}

impl Entry {
    pub(super) fn new(owner: Owner, now: i64) -> Self {
        Self {
            owner,
            banned: false,
            mixed: false,
            dropped: 0,
            scope: Scope::NONE,
            score: 0.0,
            bannable: 0.0,
            touched: now,
            anchor: now.saturating_sub(SLACK_MS),
            windows: Windows::default(),
        }
    }

    /// Takes note of whether a ban of it stands; once one is over, its evidence goes with it.
    #[inline]
    pub(super) fn under_ban(&mut self, banned: bool) {
        if self.banned && !banned {
            *self = Self::new(self.owner, self.touched);
        }
        self.banned = banned;
    }

    /// Somebody in this network isn't banned; so a ban of all of it, if there was one, is over, and its
    /// evidence goes with it.
    pub(super) fn has_one_free(&mut self) {
        self.under_ban(false);
    }

    /// A ban begins: the score starts again, the windows go on while it stands.
    pub(super) const fn consume(&mut self) {
        self.banned = true;
        self.score = 0.0;
        self.bannable = 0.0;
        self.scope = Scope::NONE;
    }

    /// What the rules' ports are called has changed: the score is about every port from now on.
    pub(super) fn forget_scope(&mut self) {
        if self.scope != Scope::NONE {
            self.scope = Scope::EVERY;
        }
    }

    /// Score, and the part of it that may ban, at `now`.
    #[inline]
    pub(super) fn score(&self, now: i64, half_life: f64) -> (f64, f64) {
        if self.score == 0.0 && self.bannable == 0.0 {
            return (0.0, 0.0);
        }
        let left = decay(now.saturating_sub(self.touched), half_life);
        (self.score * left, self.bannable * left)
    }

    /// Adds points that were earned at `now`; late ones have decayed on their way. Gives the scope of the whole
    /// score.
    pub(super) fn add(
        &mut self,
        points: f64,
        bannable: f64,
        scope: Scope,
        now: i64,
        half_life: f64,
    ) -> Scope {
        self.touch(now, half_life);
        if self.score < FADED {
            self.scope = Scope::NONE;
        }
        self.scope |= scope;
        let left = decay(self.touched.saturating_sub(now), half_life);
        self.score = (self.score + points * left).max(0.0);
        self.bannable = (self.bannable + bannable * left).max(0.0);
        self.scope
    }

    /// All times by so many milliseconds: the clock that they are of has stepped.
    pub(super) const fn step_clock(&mut self, by: i64) {
        self.touched = self.touched.saturating_add(by);
        self.anchor = self.anchor.saturating_add(by);
    }

    /// Moves the score to `now`, if that is later.
    pub(super) fn touch(&mut self, now: i64, half_life: f64) {
        if now > self.touched {
            (self.score, self.bannable) = self.score(now, half_life);
            self.touched = now;
        }
    }

    /// How much there is against it at `now`: points and counted events, both fading.
    pub(super) fn suspicion(&self, now: i64, half_life: f64) -> f64 {
        (self.score + f64::from(self.windows.events().min(u16::MAX.into())))
            * decay(now.saturating_sub(self.touched), half_life)
    }

    /// Whether nothing in it can matter any more: its windows and cooldowns are older than `horizon`
    /// and its score has faded.
    pub(super) fn lapsed(&self, now: i64, horizon: i64, half_life: f64) -> bool {
        now.saturating_sub(self.touched) > horizon && self.score(now, half_life).0 < 0.01
    }

    /// `now` as a tick; `None` where it is weeks before what the entry knows already.
    #[inline]
    pub(super) fn tick(&mut self, now: i64) -> Option<Tick> {
        let since = now.saturating_sub(self.anchor);
        Tick::try_from(since).ok().or_else(|| self.tick_afar(now, since))
    }

    #[cold]
    fn tick_afar(&mut self, now: i64, since: i64) -> Option<Tick> {
        let latest = self.windows.latest();
        let anchor = if since < 0 {
            // Back to a little before the late line, as far as the latest tick allows.
            let room = i64::from(Tick::MAX - latest).saturating_add(since);
            if room < 0 {
                return None;
            }
            now.saturating_sub(room.min(SLACK_MS))
        } else {
            now.saturating_sub(i64::from(Tick::MAX / 2))
        };
        self.windows.shift(self.anchor.saturating_sub(anchor));
        self.anchor = anchor;
        Tick::try_from(now.saturating_sub(anchor)).ok()
    }

    /// Counts `weight` events in a ladder. Says how often each rung fired, and how often on evidence
    /// that may ban.
    #[inline]
    pub(super) fn count(
        &mut self,
        place: Place,
        evidence: Evidence,
        now: Tick,
        weight: u32,
        ladder: &Ladder,
    ) -> (Firings, Firings) {
        self.count_both(Id::events(place, evidence), evidence, now, ladder, |windows, at| {
            windows.count(at, now, weight, ladder)
        })
    }

    /// Counts a value, likewise.
    #[inline]
    pub(super) fn count_distinct(
        &mut self,
        place: Place,
        evidence: Evidence,
        now: Tick,
        value: u32,
        ladder: &Ladder,
    ) -> (Firings, Firings) {
        self.count_both(Id::values(place, evidence), evidence, now, ladder, |windows, at| {
            let mut firings = [0; RUNGS];
            firings[0] = u32::from(windows.count_distinct(at, now, value, ladder));
            firings
        })
    }

    #[inline]
    fn count_both(
        &mut self,
        id: Id,
        evidence: Evidence,
        now: Tick,
        ladder: &Ladder,
        mut count: impl FnMut(&mut Windows, usize) -> Firings,
    ) -> (Firings, Firings) {
        if evidence == Evidence::Bannable && !self.mixed {
            let at = self.window(id);
            let firings = count(&mut self.windows, at);
            return (firings, firings);
        }
        self.count_mixed(id, evidence, now, ladder, &mut count)
    }

    /// Counts in the window of evidence that may ban and, once something came that may not, beside it in
    /// one of all evidence, which begins as the other's copy.
    fn count_mixed(
        &mut self,
        id: Id,
        evidence: Evidence,
        now: Tick,
        ladder: &Ladder,
        count: &mut dyn FnMut(&mut Windows, usize) -> Firings,
    ) -> (Firings, Firings) {
        let (bannable, all) = (id.of(Evidence::Bannable), id.of(Evidence::All));
        let is_mixed = self.windows.find(all).is_some();
        if evidence == Evidence::All {
            self.mixed = true;
            if !is_mixed && let Some(at) = self.windows.find(bannable) {
                let (_, gave_way) = self.windows.twin(at, all);
                self.dropped = self.dropped.saturating_add(gave_way.into());
            }
            let at = self.window(all);
            return (count(&mut self.windows, at), [0; RUNGS]);
        }
        let at = self.window(bannable);
        let solid = count(&mut self.windows, at);
        if !is_mixed {
            return (solid, solid);
        }
        let at = self.window(all);
        let latest = self.windows.latest_of(at);
        if latest.is_none_or(|latest| now.saturating_sub(latest) > ladder.reach) {
            self.windows.remove(at);
            self.mixed = self.windows.is_mixed();
            return (solid, solid);
        }
        let firings = count(&mut self.windows, at);
        (std::array::from_fn(|rung| firings[rung].max(solid[rung])), solid)
    }

    /// How many events, or values, a rung has counted since it last fired, on whatever evidence.
    pub(super) fn counted(
        &self,
        place: Place,
        distinct: bool,
        now: Tick,
        rung: (usize, &Rung),
    ) -> u32 {
        let id = if distinct { Id::values } else { Id::events };
        let windows = [Evidence::Bannable, Evidence::All]
            .map(|evidence| self.windows.find(id(place, evidence)));
        let counts = windows.into_iter().flatten().map(|at| self.windows.counted(at, now, rung));
        counts.max().unwrap_or(0)
    }

    /// Puts down events for a rule that asks what came before.
    #[inline]
    pub(super) fn record(
        &mut self,
        place: Place,
        now: Tick,
        weight: u32,
        within: Tick,
        capacity: u16,
    ) {
        let at = self.window(Id::memory(place));
        self.windows.record_events(at, now, weight, within, capacity);
    }

    /// How many of those came at most `within` before.
    pub(super) fn seen(&self, place: Place, now: Tick, within: Tick) -> usize {
        let found = self.windows.find(Id::memory(place));
        found.map_or(0, |at| self.windows.since(at, now.saturating_sub(within)))
    }

    /// What they were put down for has come.
    pub(super) fn answered(&mut self, place: Place) {
        if let Some(at) = self.windows.find(Id::memory(place)) {
            self.windows.remove(at);
        }
    }

    /// Whether a rule that fires for this key is quiet; where it isn't, it is from now on.
    pub(super) fn quiet(
        &mut self,
        rule: u32,
        subkey: u32,
        evidence: Evidence,
        now: Tick,
        ignore: Tick,
    ) -> bool {
        self.windows.quiet(rule, subkey, evidence, now, ignore)
    }

    /// Gives its windows their group's new index, and drops those whose group is gone.
    pub(super) fn regroup(&mut self, new_group: impl Fn(u16) -> Option<u16>) {
        self.windows.regroup(new_group);
        self.mixed = self.windows.is_mixed();
    }

    /// Looks at each part of it, for what it costs to bring it into the cache.
    #[inline]
    pub(super) fn glance(&self) -> u32 {
        self.windows.glance()
    }

    /// Bytes it holds beside itself.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.windows.heap_bytes()
    }

    /// Windows that gave way since this was last asked.
    pub(super) const fn take_dropped(&mut self) -> u8 {
        std::mem::replace(&mut self.dropped, 0)
    }

    #[inline]
    fn window(&mut self, id: Id) -> usize {
        let (at, gave_way) = self.windows.find_or_push(id);
        self.dropped = self.dropped.saturating_add(gave_way.into());
        at
    }
}

/// What is left of one point after so many milliseconds.
fn decay(elapsed: i64, half_life: f64) -> f64 {
    if elapsed <= 0 {
        return 1.0;
    }
    // Beyond 2^53 ms precision doesn't matter: nothing is left.
    #[expect(clippy::cast_precision_loss, reason = "nothing is left long before 2^53 ms")]
    let elapsed = elapsed as f64;
    (-elapsed / half_life).exp2()
}

#[cfg(test)]
mod tests {
    use super::super::windows::MOST;
    use super::*;

    const PLACE: Place = Place { group: 1, subkey: 0 };

    fn entry() -> Entry {
        Entry::new(Owner::shared(1, 1), 1_000_000)
    }

    fn ladder(count: u16, within: Tick) -> Ladder {
        Ladder::new([Rung { rule: 0, count, within }].into_iter().collect())
    }

    #[test]
    fn the_score_halves_and_late_points_arrive_decayed() {
        let mut entry = entry();
        entry.add(80.0, 40.0, Scope::EVERY, 1_000_000, 1_000.0);
        assert_eq!(entry.score(1_001_000, 1_000.0), (40.0, 20.0));
        entry.add(8.0, 0.0, Scope::EVERY, 1_002_000, 1_000.0);
        assert_eq!(entry.score(1_002_000, 1_000.0), (28.0, 10.0));
        entry.add(8.0, 8.0, Scope::EVERY, 1_001_000, 1_000.0);
        assert_eq!(entry.score(1_002_000, 1_000.0), (32.0, 14.0));
        assert_eq!(entry.score(0, 1_000.0), (32.0, 14.0), "time that goes back doesn't grow it");
        assert!(entry.score(i64::MAX, 1_000.0).0 < f64::MIN_POSITIVE);
    }

    #[test]
    fn ticks_survive_any_jump_of_time() {
        let ladder = ladder(3, 1_000);
        let mut entry = entry();
        let week = 7 * 24 * 3_600_000;
        for (now, fires) in [
            (1_000_000, false),
            // Late by more than the slack: the anchor moves back, the earlier event stays where it was.
            (1_000_000 - week, false),
            (1_000_500, false),
            (1_001_000, true),
            // Far ahead: all that was is too old.
            (1_000_000 + 100 * week, false),
            (1_000_100 + 100 * week, false),
            (1_000_200 + 100 * week, true),
            (i64::MAX / 1_000, false),
        ] {
            let tick = entry.tick(now).unwrap();
            let (firings, _) = entry.count(PLACE, Evidence::Bannable, tick, 1, &ladder);
            assert_eq!(firings[0] == 1, fires, "{now}");
        }
        assert_eq!(entry.tick(0), None, "years before what it knows");
    }

    #[test]
    fn what_may_not_ban_is_counted_but_never_leads_to_a_ban() {
        let ladder = ladder(4, 1_000);
        let mut entry = entry();
        let mut feed = |evidence, now| {
            let (all, bannable) = entry.count(PLACE, evidence, now, 1, &ladder);
            (all[0], bannable[0])
        };
        use Evidence::{All, Bannable};
        assert_eq!(feed(Bannable, 1), (0, 0));
        assert_eq!(feed(All, 2), (0, 0));
        assert_eq!(feed(All, 3), (0, 0));
        assert_eq!(feed(Bannable, 4), (1, 0), "four events, but two of them alone");
        assert_eq!(feed(Bannable, 5), (0, 0));
        assert_eq!(feed(Bannable, 6), (1, 1), "four that may ban");
        // Long after the last that may not: one track again.
        assert_eq!(feed(Bannable, 5_000), (0, 0));
        assert_eq!(feed(Bannable, 5_001), (0, 0));
        assert_eq!(feed(Bannable, 5_002), (0, 0));
        assert_eq!(feed(Bannable, 5_003), (1, 1));
        assert_eq!(entry.windows.windows(), 1);
    }

    #[test]
    fn cooldowns_are_fixed_and_by_kind_of_evidence() {
        use Evidence::{All, Bannable};
        let mut entry = entry();
        let mut quiet = |evidence, now| entry.quiet(7, 0, evidence, now, 90);
        assert!(!quiet(All, 0));
        assert!(quiet(All, 89), "swallowed, and doesn't extend it");
        assert!(!quiet(Bannable, 50), "a firing that may not ban doesn't silence one that may");
        assert!(quiet(Bannable, 139));
        assert!(quiet(All, 139));
        assert!(!quiet(All, 140), "an age equal to ignore is over");
        assert!(quiet(All, 60), "late");
    }

    #[test]
    fn an_owner_only_crowds_out_itself() {
        let ladder = ladder(2, 1_000);
        let mut entry = entry();
        for subkey in 0..1_000 {
            entry.count(Place { group: 1, subkey }, Evidence::Bannable, subkey, 1, &ladder);
            entry.quiet(1, subkey, Evidence::Bannable, subkey, 10_000);
        }
        assert_eq!((entry.windows.windows(), entry.windows.cooldowns()), (MOST, MOST));
        assert_eq!(entry.take_dropped(), u8::MAX);
        let (newest, _) =
            entry.count(Place { group: 1, subkey: 999 }, Evidence::Bannable, 1_000, 1, &ladder);
        assert_eq!(newest[0], 1);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 88, "{}", size_of::<Entry>());
    }
}

//! All that is remembered of one owner of evidence: its score, its windows, its cooldowns.

use super::owner::Owner;
use super::scope::Scope;
use super::track::{Evidence, Firings, Ladder, RUNGS, Rung, Tick, Track, TrackId, shifted};

/// Most windows of one owner: it is the offender who chooses how many users it tries, and so it is its
/// own oldest window that gives way.
const MAX_TRACKS: usize = 64;

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
    /// Roughly how many events its windows hold, for choosing whom to forget.
    events: u16,
    /// Windows that gave way since the table last asked.
    dropped: u8,
    /// Which ports the score is about.
    scope: Scope,
    /// Bytes it holds beside itself, when last weighed.
    heap: u32,
    /// Points at `touched`.
    score: f64,
    /// The points among them that may ban.
    bannable: f64,
    /// The latest time of its evidence, in milliseconds since the epoch.
    touched: i64,
    /// Where its ticks begin, in milliseconds since the epoch.
    anchor: i64,
    tracks: Box<[Track]>,
    cooldowns: Box<[Cooldown]>,
}

/// A rule fired for a key and is quiet for a while.
#[derive(Clone, Debug)]
struct Cooldown {
    rule: u32,
    subkey: u32,
    since: Tick,
    evidence: Evidence,
}

impl Entry {
    pub(super) fn new(owner: Owner, now: i64) -> Self {
        Self {
            owner,
            banned: false,
            events: 0,
            dropped: 0,
            scope: Scope::NONE,
            heap: 0,
            score: 0.0,
            bannable: 0.0,
            touched: now,
            anchor: now.saturating_sub(SLACK_MS),
            tracks: Box::default(),
            cooldowns: Box::default(),
        }
    }

    /// Takes note of whether a ban of it stands; once one is over, its evidence goes with it.
    pub(super) fn under_ban(&mut self, banned: bool) {
        if self.banned && !banned {
            *self = Self { heap: self.heap, ..Self::new(self.owner, self.touched) };
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
    pub(super) fn score(&self, now: i64, half_life: f64) -> (f64, f64) {
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
        (self.score + f64::from(self.events)) * decay(now.saturating_sub(self.touched), half_life)
    }

    /// Whether nothing in it can matter any more: its windows and cooldowns are older than `horizon`
    /// and its score has faded.
    pub(super) fn lapsed(&self, now: i64, horizon: i64, half_life: f64) -> bool {
        now.saturating_sub(self.touched) > horizon && self.score(now, half_life).0 < 0.01
    }

    /// `now` as a tick; `None` where it is weeks before what the entry knows already.
    pub(super) fn tick(&mut self, now: i64) -> Option<Tick> {
        let since = now.saturating_sub(self.anchor);
        if let Ok(tick) = Tick::try_from(since) {
            return Some(tick);
        }
        let latest = self.latest();
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
        let by = self.anchor.saturating_sub(anchor);
        self.tracks.iter_mut().for_each(|track| track.shift(by));
        for cooldown in &mut self.cooldowns {
            cooldown.since = shifted(cooldown.since, by);
        }
        self.anchor = anchor;
        Tick::try_from(now.saturating_sub(anchor)).ok()
    }

    /// Counts `weight` events in a ladder. Says how often each rung fired, and how often on evidence
    /// that may ban.
    pub(super) fn count(
        &mut self,
        place: Place,
        evidence: Evidence,
        now: Tick,
        weight: u32,
        ladder: &Ladder,
    ) -> (Firings, Firings) {
        let id = TrackId::new(place, evidence, false);
        self.count_both(id, now, ladder, |track| track.count(now, weight, ladder))
    }

    /// Counts a value, likewise.
    pub(super) fn count_distinct(
        &mut self,
        place: Place,
        evidence: Evidence,
        now: Tick,
        value: u32,
        ladder: &Ladder,
    ) -> (Firings, Firings) {
        let id = TrackId::new(place, evidence, true);
        self.count_both(id, now, ladder, |track| {
            let mut firings = [0; RUNGS];
            firings[0] = u32::from(track.count_distinct(now, value, ladder));
            firings
        })
    }

    /// Counts in the track of evidence that may ban and, once something came that may not, beside it in
    /// one of all evidence, which begins as the other's copy.
    fn count_both(
        &mut self,
        id: TrackId,
        now: Tick,
        ladder: &Ladder,
        mut count: impl FnMut(&mut Track) -> Firings,
    ) -> (Firings, Firings) {
        let bannable = id.of(Evidence::Bannable);
        let all = id.of(Evidence::All);
        let mixed = self.track(all).is_some();
        if id.evidence == Evidence::All {
            if !mixed && let Some(twin) = self.track(bannable).map(|track| track.twin(all)) {
                self.push(twin);
            }
            return (count(self.track_or_new(all)), [0; RUNGS]);
        }
        let solid = count(self.track_or_new(bannable));
        if !mixed {
            return (solid, solid);
        }
        let track = self.track_or_new(all);
        if track.latest().is_none_or(|latest| now.saturating_sub(latest) > ladder.reach) {
            edit(&mut self.tracks, |tracks| tracks.retain(|track| track.id != all));
            return (solid, solid);
        }
        let firings = count(track);
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
        let tracks = [Evidence::Bannable, Evidence::All]
            .map(|evidence| self.track(TrackId::new(place, evidence, distinct)));
        tracks.into_iter().flatten().map(|track| track.counted(now, rung)).max().unwrap_or(0)
    }

    /// Puts down events for a rule that asks what came before.
    pub(super) fn record(
        &mut self,
        place: Place,
        now: Tick,
        weight: u32,
        within: Tick,
        capacity: u16,
    ) {
        self.track_or_new(memory(place)).record(now, weight, within, capacity);
    }

    /// How many of those came at most `within` before.
    pub(super) fn seen(&self, place: Place, now: Tick, within: Tick) -> usize {
        self.track(memory(place)).map_or(0, |track| track.seen(now, within))
    }

    /// What they were put down for has come.
    pub(super) fn answered(&mut self, place: Place) {
        edit(&mut self.tracks, |tracks| tracks.retain(|track| track.id != memory(place)));
    }

    /// Whether a rule that fires for this key is quiet; where it isn't, it is from now on.
    ///
    /// Firings that may ban are quiet only for each other, so that nobody hides behind a spoofed one.
    pub(super) fn quiet(
        &mut self,
        rule: u32,
        subkey: u32,
        evidence: Evidence,
        now: Tick,
        ignore: Tick,
    ) -> bool {
        let is_over = |cooldown: &Cooldown| now.abs_diff(cooldown.since) >= ignore;
        let is_same = |cooldown: &Cooldown| (cooldown.rule, cooldown.subkey) == (rule, subkey);
        let silences = |cooldown: &Cooldown| {
            evidence == Evidence::All || cooldown.evidence == Evidence::Bannable
        };
        if self.cooldowns.iter().any(|of| is_same(of) && silences(of) && !is_over(of)) {
            return true;
        }
        edit(&mut self.cooldowns, |cooldowns| {
            cooldowns.retain(|of| !is_same(of) || !is_over(of));
            if cooldowns.len() >= MAX_TRACKS {
                cooldowns.remove(0);
            }
            cooldowns.reserve_exact(1);
            cooldowns.push(Cooldown { rule, subkey, since: now, evidence });
        });
        false
    }

    /// Gives its windows their group's new index, and drops those whose group is gone.
    pub(super) fn regroup(&mut self, new_group: impl Fn(u16) -> Option<u16>) {
        edit(&mut self.tracks, |tracks| {
            tracks.retain_mut(|track| match new_group(track.id.group) {
                Some(group) => {
                    track.id.group = group;
                    true
                }
                None => false,
            });
        });
    }

    /// Counts its events and bytes anew.
    pub(super) fn weigh(&mut self) {
        let mut bytes = size_of_val(&*self.tracks) + size_of_val(&*self.cooldowns);
        let mut events = 0;
        for track in &self.tracks {
            bytes += track.heap_bytes();
            events += track.len();
        }
        self.events = u16::try_from(events).unwrap_or(u16::MAX);
        self.heap = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// Bytes it holds beside itself, when last weighed.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.heap as usize
    }

    /// Windows that gave way since this was last asked.
    pub(super) const fn take_dropped(&mut self) -> u8 {
        std::mem::replace(&mut self.dropped, 0)
    }

    fn latest(&self) -> Tick {
        let tracks = self.tracks.iter().filter_map(Track::latest);
        tracks.chain(self.cooldowns.iter().map(|cooldown| cooldown.since)).max().unwrap_or(0)
    }

    fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    fn track_or_new(&mut self, id: TrackId) -> &mut Track {
        let at = match self.tracks.iter().position(|track| track.id == id) {
            Some(at) => at,
            None => self.push(Track::new(id)),
        };
        &mut self.tracks[at]
    }

    fn push(&mut self, track: Track) -> usize {
        if self.tracks.len() >= MAX_TRACKS {
            let oldest = (0..self.tracks.len())
                .min_by_key(|at| (self.tracks[*at].latest(), self.tracks[*at].len()))
                .unwrap_or(0);
            self.tracks[oldest] = track;
            self.dropped = self.dropped.saturating_add(1);
            return oldest;
        }
        edit(&mut self.tracks, |tracks| {
            tracks.reserve_exact(1);
            tracks.push(track);
        });
        self.tracks.len() - 1
    }
}

/// Lists are kept at their exact length: most owners have one or two windows for good, and there are a
/// million owners.
fn edit<T>(list: &mut Box<[T]>, act: impl FnOnce(&mut Vec<T>)) {
    let mut vec = std::mem::take(list).into_vec();
    act(&mut vec);
    *list = vec.into_boxed_slice();
}

/// Where events wait for the rule that asks for them.
const fn memory(place: Place) -> TrackId {
    TrackId::new(place, Evidence::All, false)
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
        assert_eq!(entry.tracks.len(), 1);
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
        assert_eq!((entry.tracks.len(), entry.cooldowns.len()), (MAX_TRACKS, MAX_TRACKS));
        assert_eq!(entry.take_dropped(), u8::MAX);
        let (newest, _) =
            entry.count(Place { group: 1, subkey: 999 }, Evidence::Bannable, 1_000, 1, &ladder);
        assert_eq!(newest[0], 1);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 104, "{}", size_of::<Entry>());
    }
}

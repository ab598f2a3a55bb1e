//! A window's memory for one key: when the events came, and how many of them each rung has counted.
//!
//! A million offenders may have a few of these each, hence the packing: four bytes a time, up to three
//! of them inline, and the rungs of a ladder (rules that count the same events with different numbers)
//! share one track.

use smallvec::SmallVec;

use super::entry::Place;

/// Milliseconds after the anchor of the entry that holds the track.
pub(super) type Tick = u32;

/// How many rungs share a track at most; a longer ladder gets several.
pub(super) const RUNGS: usize = 4;

/// How often each rung fired.
pub(super) type Firings = [u32; RUNGS];

/// Counting rules that look at the same events of the same key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ladder {
    /// At least one, at most [`RUNGS`].
    pub(super) rungs: SmallVec<[Rung; RUNGS]>,
    /// The longest `within`.
    pub(super) reach: Tick,
    /// The times that have to be kept: one less than the highest count.
    capacity: usize,
}

/// One counting rule of a ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    /// Index of the rule.
    pub(super) rule: u32,
    /// Fires on the n-th event; at least 1.
    pub(super) count: u16,
    /// Age that still counts, inclusive.
    pub(super) within: Tick,
}

impl Ladder {
    pub(super) fn new(rungs: SmallVec<[Rung; RUNGS]>) -> Self {
        debug_assert!((1..=RUNGS).contains(&rungs.len()), "a ladder has 1 to {RUNGS} rungs");
        debug_assert!(rungs.iter().all(|rung| rung.count > 0), "a rung counts to 1 at least");
        let reach = rungs.iter().map(|rung| rung.within).max().unwrap_or(0);
        let count = rungs.iter().map(|rung| rung.count).max().unwrap_or(1);
        Self { rungs, reach, capacity: usize::from(count).saturating_sub(1).max(1) }
    }
}

/// What a track is about, within the entry of its owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TrackId {
    subkey: u32,
    pub(super) group: u16,
    pub(super) evidence: Evidence,
    /// Whether ticks come in pairs with a value, see [`Track::count_distinct`].
    distinct: bool,
}

impl TrackId {
    pub(super) const fn new(place: Place, evidence: Evidence, distinct: bool) -> Self {
        Self { subkey: place.subkey, group: place.group, evidence, distinct }
    }

    /// The same window for other evidence.
    pub(super) const fn of(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }
}

/// Which evidence a track has counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Evidence {
    /// Only what may ban.
    Bannable,
    /// All of it; exists beside the other once something came that may not ban.
    All,
}

/// Times of one key's events, in order, and each rung's count.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    /// How many of the latest ticks each rung has counted since it last fired.
    counted: [u16; RUNGS],
    ticks: Ticks,
}

impl Track {
    pub(super) const fn new(id: TrackId) -> Self {
        Self { id, counted: [0; RUNGS], ticks: Ticks::Few { len: 0, at: [0; INLINE] } }
    }

    /// The same times and counts under another name.
    pub(super) fn twin(&self, id: TrackId) -> Self {
        Self { id, ..self.clone() }
    }

    /// Counts `weight` events at `now`; says how often each rung fired.
    ///
    /// An event that comes late is put where it belongs and is judged as of the latest time seen: it
    /// counts if it is still young enough then.
    pub(super) fn count(&mut self, now: Tick, weight: u32, ladder: &Ladder) -> Firings {
        if weight != 1 || self.latest().is_some_and(|latest| latest > now) {
            return self.count_any(now, weight, ladder);
        }
        let mut firings = [0; RUNGS];
        let ticks = self.ticks.as_slice();
        for ((rung, counted), firing) in
            ladder.rungs.iter().zip(&mut self.counted).zip(&mut firings)
        {
            if *counted + 1 < rung.count {
                *counted += 1;
                continue;
            }
            // All but one are counted: they are the latest ticks. Is the oldest of them young enough?
            let oldest = ticks.len().checked_sub(usize::from(rung.count) - 1);
            let from = now.saturating_sub(rung.within);
            if oldest.is_some_and(|at| ticks.get(at).is_none_or(|tick| *tick >= from)) {
                *firing = 1;
                *counted = 0;
            }
        }
        self.ticks.push_latest(now, ladder.capacity);
        firings
    }

    /// The same for any number of events and any order of times.
    fn count_any(&mut self, now: Tick, weight: u32, ladder: &Ladder) -> Firings {
        let mut firings = [0; RUNGS];
        let latest = self.latest().map_or(now, |latest| latest.max(now));
        if now < latest.saturating_sub(ladder.reach) {
            return firings;
        }
        let ticks = self.ticks.as_slice();
        for ((rung, counted), firing) in
            ladder.rungs.iter().zip(&mut self.counted).zip(&mut firings)
        {
            let from = latest.saturating_sub(rung.within);
            if now < from {
                continue;
            }
            let young = ticks.len() - ticks.partition_point(|tick| *tick < from);
            let before = u32::from(*counted).min(u32::try_from(young).unwrap_or(u32::MAX));
            let total = before.saturating_add(weight);
            let count = u32::from(rung.count);
            *firing = total / count;
            let rest = if *firing == 0 {
                u32::from(*counted).saturating_add(weight).min(count - 1)
            } else {
                total % count
            };
            *counted = u16::try_from(rest).unwrap_or(u16::MAX);
        }
        let copies = usize::try_from(weight).unwrap_or(usize::MAX).min(ladder.capacity);
        self.insert(now, copies, ladder.capacity);
        firings
    }

    /// Counts `value` at `now`, once however often it comes; says whether the n-th different value of
    /// the window is reached. The count then starts again.
    pub(super) fn count_distinct(&mut self, now: Tick, value: u32, ladder: &Ladder) -> bool {
        let latest = self.latest().map_or(now, |latest| latest.max(now));
        let from = latest.saturating_sub(ladder.reach);
        if now < from {
            return false;
        }
        let pairs = self.ticks.as_slice().chunks_exact(2);
        let stale = pairs.clone().take_while(|pair| pair[1] < from).count();
        let known = pairs.clone().skip(stale).position(|pair| pair[0] == value);
        self.ticks.remove(0, 2 * stale);
        let mut tick = now;
        if let Some(known) = known
            && now == latest
        {
            // In order, as nearly all are: the pair moves to the end where it lies.
            let ticks = self.ticks.as_mut_slice();
            ticks[2 * known..].rotate_left(2);
            if let Some(last) = ticks.last_mut() {
                *last = now;
            }
            return false;
        }
        if let Some(known) = known {
            tick = tick.max(self.ticks.as_slice()[2 * known + 1]);
            self.ticks.remove(2 * known, 2);
        } else {
            let values = self.ticks.as_slice().len() / 2 + 1;
            if ladder.rungs.first().is_some_and(|rung| values >= usize::from(rung.count)) {
                self.clear();
                return true;
            }
        }
        let place = if tick == latest {
            self.ticks.len()
        } else {
            let pairs = self.ticks.as_slice().chunks_exact(2);
            2 * pairs.take_while(|pair| pair[1] <= tick).count()
        };
        self.ticks.insert(place, &[value, tick]);
        false
    }

    /// Puts down `weight` events at `now`, to be asked for by [`Self::seen`].
    pub(super) fn record(&mut self, now: Tick, weight: u32, within: Tick, capacity: u16) {
        let latest = self.latest().map_or(now, |latest| latest.max(now));
        self.forget_before(latest.saturating_sub(within));
        let capacity = usize::from(capacity.max(1));
        let copies = usize::try_from(weight).unwrap_or(usize::MAX).min(capacity);
        self.insert(now, copies, capacity);
    }

    /// How many events are at most `within` old.
    pub(super) fn seen(&self, now: Tick, within: Tick) -> usize {
        let ticks = self.ticks.as_slice();
        ticks.len() - ticks.partition_point(|tick| *tick < now.saturating_sub(within))
    }

    /// How many events, or values, the ladder's `at`-th rung has counted since it last fired, and are
    /// young enough.
    pub(super) fn counted(&self, now: Tick, (at, rung): (usize, &Rung)) -> u32 {
        let now = self.latest().map_or(now, |latest| latest.max(now));
        let from = now.saturating_sub(rung.within);
        let young = if self.id.distinct {
            self.ticks.as_slice().chunks_exact(2).filter(|pair| pair[1] >= from).count()
        } else {
            let counted = self.counted.get(at).copied().unwrap_or(0);
            self.seen(now, rung.within).min(counted.into())
        };
        u32::try_from(young).unwrap_or(u32::MAX)
    }

    pub(super) fn clear(&mut self) {
        self.counted = [0; RUNGS];
        self.ticks = Ticks::Few { len: 0, at: [0; INLINE] };
    }

    /// Time of the latest event.
    pub(super) fn latest(&self) -> Option<Tick> {
        self.ticks.as_slice().last().copied()
    }

    /// How many events it remembers.
    pub(super) fn len(&self) -> usize {
        let len = self.ticks.len();
        if self.id.distinct { len / 2 } else { len }
    }

    /// Bytes it holds beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.ticks {
            Ticks::Few { .. } => 0,
            Ticks::More { .. } => MORE * size_of::<Tick>(),
            Ticks::Many { room, .. } => {
                size_of::<Vec<u32>>() + usize::from(*room) * size_of::<u32>()
            }
        }
    }

    /// Moves every time by the same step, as the entry's anchor moves; what falls off either end is at
    /// the end.
    pub(super) fn shift(&mut self, by: i64) {
        let step = if self.id.distinct { 2 } else { 1 };
        for tick in self.ticks.as_mut_slice().iter_mut().skip(step - 1).step_by(step) {
            *tick = shifted(*tick, by);
        }
    }

    fn forget_before(&mut self, oldest: Tick) {
        let stale = self.ticks.as_slice().partition_point(|tick| *tick < oldest);
        self.ticks.remove(0, stale);
    }

    fn insert(&mut self, now: Tick, copies: usize, capacity: usize) {
        for _ in 0..copies {
            let place = self.ticks.as_slice().partition_point(|tick| *tick <= now);
            self.ticks.insert(place, &[now]);
        }
        let surplus = self.ticks.as_slice().len().saturating_sub(capacity);
        self.ticks.remove(0, surplus);
    }
}

/// `tick` moved by `by`, at the nearest end where it doesn't fit.
pub(super) fn shifted(tick: Tick, by: i64) -> Tick {
    let moved = i64::from(tick).saturating_add(by).clamp(0, i64::from(Tick::MAX));
    Tick::try_from(moved).unwrap_or(Tick::MAX)
}

const INLINE: usize = 3;
const MORE: usize = 8;

#[derive(Clone, Debug)]
#[expect(
    clippy::box_collection,
    reason = "a Vec would make each of millions of tracks 16 bytes larger"
)]
enum Ticks {
    Few {
        len: u8,
        at: [Tick; INLINE],
    },
    /// As many as most ladders ask for: one step away, where a list is two.
    More {
        len: u8,
        at: Box<[Tick; MORE]>,
    },
    /// Length and capacity once more, so that who wants to know needn't go there.
    Many {
        len: u16,
        room: u16,
        many: Box<Vec<Tick>>,
    },
}

impl Ticks {
    fn as_slice(&self) -> &[Tick] {
        match self {
            Self::Few { len, at } => &at[..usize::from(*len)],
            Self::More { len, at } => &at[..usize::from(*len)],
            Self::Many { many, .. } => many,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } | Self::More { len, .. } => usize::from(*len),
            Self::Many { len, .. } => usize::from(*len),
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Tick] {
        match self {
            Self::Few { len, at } => &mut at[..usize::from(*len)],
            Self::More { len, at } => &mut at[..usize::from(*len)],
            Self::Many { many, .. } => many,
        }
    }

    /// Changes the list on the heap.
    fn edit(&mut self, act: impl FnOnce(&mut Vec<Tick>)) {
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        if let Self::Many { len, room, many } = self {
            act(many);
            (*len, *room) = (short(many.len()), short(many.capacity()));
        }
    }

    fn insert(&mut self, place: usize, new: &[Tick]) {
        let old = self.len();
        let total = old + new.len();
        let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        match self {
            Self::Few { len, at } if total <= INLINE => {
                at.copy_within(place..old, place + new.len());
                at[place..place + new.len()].copy_from_slice(new);
                *len = short(total);
            }
            Self::More { len, at } if total <= MORE => {
                at.copy_within(place..old, place + new.len());
                at[place..place + new.len()].copy_from_slice(new);
                *len = short(total);
            }
            Self::Few { at, .. } if total <= MORE => {
                let mut more = Box::new([0; MORE]);
                more[..old].copy_from_slice(&at[..old]);
                *self = Self::More { len: short(old), at: more };
                self.insert(place, new);
            }
            Self::Few { .. } | Self::More { .. } => {
                let mut many = Vec::with_capacity(2 * MORE);
                many.extend_from_slice(self.as_slice());
                *self = Self::Many { len: 0, room: 0, many: Box::new(many) };
                self.edit(|_| ());
                self.insert(place, new);
            }
            Self::Many { .. } => self.edit(|many| {
                if place == many.len() {
                    many.extend_from_slice(new);
                } else {
                    many.splice(place..place, new.iter().copied());
                }
            }),
        }
    }

    /// Adds a tick that is no earlier than the others, at most `capacity` of which stay.
    fn push_latest(&mut self, tick: Tick, capacity: usize) {
        let len = self.len();
        if len < capacity {
            self.insert(len, &[tick]);
            return;
        }
        let surplus = len - capacity;
        if surplus > 0 {
            self.remove(0, surplus);
        }
        let ticks = self.as_mut_slice();
        ticks.copy_within(1.., 0);
        if let Some(last) = ticks.last_mut() {
            *last = tick;
        }
    }

    fn remove(&mut self, from: usize, count: usize) {
        if count == 0 {
            return;
        }
        match self {
            Self::Few { len, at } => {
                let old = usize::from(*len);
                at.copy_within(from + count..old, from);
                *len = u8::try_from(old - count).unwrap_or(0);
            }
            Self::More { len, at } => {
                let old = usize::from(*len);
                at.copy_within(from + count..old, from);
                *len = u8::try_from(old - count).unwrap_or(0);
            }
            Self::Many { .. } => self.edit(|many| drop(many.drain(from..from + count))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ladder(rungs: &[(u16, Tick)]) -> Ladder {
        Ladder::new(rungs.iter().map(|&(count, within)| Rung { rule: 0, count, within }).collect())
    }

    fn track(distinct: bool) -> Track {
        Track::new(TrackId::new(Place { group: 0, subkey: 0 }, Evidence::Bannable, distinct))
    }

    /// Keeps everything and counts anew each time.
    #[derive(Default)]
    struct Naive {
        since_fired: Vec<Vec<Tick>>,
    }

    impl Naive {
        fn count(&mut self, now: Tick, weight: u32, ladder: &Ladder) -> Firings {
            self.since_fired.resize(ladder.rungs.len(), Vec::new());
            let mut firings = [0; RUNGS];
            for (at, rung) in ladder.rungs.iter().enumerate() {
                for _ in 0..weight {
                    self.since_fired[at].push(now);
                    let young =
                        self.since_fired[at].iter().filter(|tick| now - **tick <= rung.within);
                    if young.count() >= usize::from(rung.count) {
                        firings[at] += 1;
                        self.since_fired[at].clear();
                    }
                }
            }
            firings
        }
    }

    proptest! {
        #[test]
        fn counts_like_the_naive_model(
            rungs in prop::collection::vec((2_u16..12, 0_u32..60), 1..=RUNGS),
            events in prop::collection::vec((0_u32..12, 1_u32..4), 0..200),
        ) {
            let ladder = ladder(&rungs);
            let mut track = track(false);
            let mut naive = Naive::default();
            let mut now = 0;
            for (step, weight) in events {
                now += step;
                prop_assert_eq!(
                    track.count(now, weight, &ladder),
                    naive.count(now, weight, &ladder)
                );
                prop_assert!(track.len() <= ladder.capacity);
            }
        }

        #[test]
        fn distinct_values_like_the_naive_model(
            count in 2_u16..6,
            within in 0_u32..40,
            events in prop::collection::vec((0_u32..12, 0_u32..8), 0..200),
        ) {
            let ladder = ladder(&[(count, within)]);
            let mut track = track(true);
            let mut seen: Vec<(Tick, u32)> = Vec::new();
            let mut now = 0;
            for (step, value) in events {
                now += step;
                let known = |seen: &[(Tick, u32)]| {
                    let mut values: Vec<u32> = seen
                        .iter()
                        .filter(|(tick, _)| now - tick <= within)
                        .map(|(_, value)| *value)
                        .collect();
                    values.sort_unstable();
                    values.dedup();
                    values.len()
                };
                seen.push((now, value));
                let fires = known(&seen) >= usize::from(count);
                if fires {
                    seen.clear();
                }
                prop_assert_eq!(track.count_distinct(now, value, &ladder), fires);
            }
        }

        #[test]
        fn any_order_of_times_is_bounded_and_never_counts_too_much(
            events in prop::collection::vec((any::<u32>(), any::<u32>(), 0_u32..4), 0..100),
        ) {
            let ladder = ladder(&[(3, 10), (7, 1000)]);
            let (mut track, mut pairs) = (track(false), track(true));
            let mut total = 0_u64;
            let mut fired = 0_u64;
            for (now, weight, spread) in events {
                let (now, weight) = (now >> (8 * spread), weight >> 28);
                total += u64::from(weight);
                fired += u64::from(track.count(now, weight, &ladder)[1]);
                pairs.count_distinct(now, weight, &ladder);
                prop_assert!(fired * 7 <= total);
                prop_assert!(track.ticks.as_slice().is_sorted());
                prop_assert!(track.len() <= ladder.capacity && pairs.len() < 3);
            }
        }
    }

    #[test]
    fn an_age_equal_to_within_counts_and_one_more_does_not() {
        let ladder = ladder(&[(2, 120_000)]);
        let mut track = track(false);
        assert_eq!(track.count(1_000, 1, &ladder)[0], 0);
        assert_eq!(track.count(121_000, 1, &ladder)[0], 1);
        assert_eq!(track.count(200_000, 1, &ladder)[0], 0);
        assert_eq!(track.count(320_001, 1, &ladder)[0], 0);
    }

    #[test]
    fn a_late_event_is_put_where_it_belongs() {
        let ladder = ladder(&[(3, 100)]);
        let mut track = track(false);
        track.count(1_000, 1, &ladder);
        track.count(950, 1, &ladder);
        assert_eq!(track.ticks.as_slice(), [950, 1_000]);
        assert_eq!(track.count(1_060, 1, &ladder)[0], 0, "the late one is 110 old by now");
        assert_eq!(track.count(700, 1, &ladder)[0], 0, "too late to count");
        assert_eq!(track.count(1_070, 1, &ladder)[0], 1);
    }

    #[test]
    fn a_track_is_small() {
        assert!(size_of::<Track>() <= 32, "{}", size_of::<Track>());
    }
}

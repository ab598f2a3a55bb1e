//! Windows against models that keep everything and count anew each time.

use proptest::prelude::*;

use super::*;

const PLACE: Place = Place { group: 0, subkey: 0 };

fn ladder(rungs: &[(u16, Tick)]) -> Ladder {
    Ladder::new(rungs.iter().map(|&(count, within)| Rung { rule: 0, count, within }).collect())
}

/// Windows of one group among those of others, which stay as they are.
struct Among {
    windows: Windows,
    id: Id,
}

impl Among {
    fn new(id: Id) -> Self {
        let mut windows = Windows::default();
        let ladder = ladder(&[(10, 1_000)]);
        for (group, of) in [(7, None), (0, Some(id)), (8, None), (9, None)] {
            let id = of.unwrap_or(Id::events(Place { group, subkey: 1 }, Evidence::All));
            let (at, _) = windows.find_or_push(id);
            if of.is_none() {
                windows.count(at, group.into(), 1, &ladder);
            }
        }
        Self { windows, id }
    }

    fn events() -> Self {
        Self::new(Id::events(PLACE, Evidence::Bannable))
    }

    fn values() -> Self {
        Self::new(Id::values(PLACE, Evidence::Bannable))
    }

    fn count(&mut self, now: Tick, weight: u32, ladder: &Ladder) -> Firings {
        let at = self.windows.find(self.id).unwrap();
        self.windows.count(at, now, weight, ladder)
    }

    fn count_distinct(&mut self, now: Tick, value: u32, ladder: &Ladder) -> bool {
        let at = self.windows.find(self.id).unwrap();
        self.windows.count_distinct(at, now, value, ladder)
    }

    fn list(&self) -> Vec<u32> {
        let at = self.windows.find(self.id).unwrap();
        let (item, head) = shape(self.id.kind());
        let len = item * usize::from(self.windows.size(at).len);
        self.windows.words[at + head..at + head + len].to_vec()
    }

    fn check(&self) {
        for group in [7_u16, 8, 9] {
            let id = Id::events(Place { group, subkey: 1 }, Evidence::All);
            let at = self.windows.find(id).unwrap();
            assert_eq!(self.windows.latest_of(at), Some(group.into()));
        }
        let all = self.windows.records().filter(|(id, _)| id.kind() != COOLDOWN);
        let all = all.map(|(_, at)| u32::from(self.windows.size(at).len));
        assert_eq!(self.windows.events(), all.sum::<u32>());
    }
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
                let young = self.since_fired[at].iter().filter(|tick| now - **tick <= rung.within);
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
        rungs in prop::collection::vec((2_u16..40, 0_u32..60), 1..=RUNGS),
        events in prop::collection::vec((0_u32..12, 1_u32..4), 0..200),
    ) {
        let ladder = ladder(&rungs);
        let mut window = Among::events();
        let mut naive = Naive::default();
        let mut now = 0;
        for (step, weight) in events {
            now += step;
            prop_assert_eq!(
                window.count(now, weight, &ladder),
                naive.count(now, weight, &ladder)
            );
            prop_assert!(window.list().len() <= usize::from(ladder.capacity));
        }
        window.check();
    }

    #[test]
    fn distinct_values_like_the_naive_model(
        count in 2_u16..20,
        within in 0_u32..60,
        events in prop::collection::vec((0_u32..12, 0_u32..24), 0..200),
    ) {
        let ladder = ladder(&[(count, within)]);
        let mut window = Among::values();
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
            prop_assert_eq!(window.count_distinct(now, value, &ladder), fires);
        }
        window.check();
    }

    #[test]
    fn any_order_of_times_is_bounded_and_never_counts_too_much(
        events in prop::collection::vec((any::<u32>(), any::<u32>(), 0_u32..4), 0..100),
    ) {
        let ladder = ladder(&[(3, 10), (7, 1000)]);
        let (mut window, mut pairs) = (Among::events(), Among::values());
        let mut total = 0_u64;
        let mut fired = 0_u64;
        for (now, weight, spread) in events {
            let (now, weight) = (now >> (8 * spread), weight >> 28);
            total += u64::from(weight);
            fired += u64::from(window.count(now, weight, &ladder)[1]);
            pairs.count_distinct(now, weight, &ladder);
            prop_assert!(fired * 7 <= total);
            prop_assert!(window.list().is_sorted());
            prop_assert!(window.list().len() <= usize::from(ladder.capacity));
            prop_assert!(pairs.list().len() < 2 * 3);
            prop_assert!(pairs.list().chunks(2).is_sorted_by_key(|pair| pair[1]));
        }
        window.check();
        pairs.check();
    }
}

#[test]
fn an_age_equal_to_within_counts_and_one_more_does_not() {
    let ladder = ladder(&[(2, 120_000)]);
    let mut window = Among::events();
    assert_eq!(window.count(1_000, 1, &ladder)[0], 0);
    assert_eq!(window.count(121_000, 1, &ladder)[0], 1);
    assert_eq!(window.count(200_000, 1, &ladder)[0], 0);
    assert_eq!(window.count(320_001, 1, &ladder)[0], 0);
}

#[test]
fn a_late_event_is_put_where_it_belongs() {
    let ladder = ladder(&[(3, 100)]);
    let mut window = Among::events();
    window.count(1_000, 1, &ladder);
    window.count(950, 1, &ladder);
    assert_eq!(window.list(), [950, 1_000]);
    assert_eq!(window.count(1_060, 1, &ladder)[0], 0, "the late one is 110 old by now");
    assert_eq!(window.count(700, 1, &ladder)[0], 0, "too late to count");
    assert_eq!(window.count(1_070, 1, &ladder)[0], 1);
}

#[test]
fn a_late_value_is_put_where_it_belongs() {
    let ladder = ladder(&[(4, 100)]);
    let mut window = Among::values();
    window.count_distinct(1_000, 1, &ladder);
    window.count_distinct(1_010, 2, &ladder);
    window.count_distinct(990, 3, &ladder);
    assert_eq!(window.list(), [3, 990, 1, 1_000, 2, 1_010]);
    // Known: it counts as of its latest time.
    window.count_distinct(995, 1, &ladder);
    assert_eq!(window.list(), [3, 990, 1, 1_000, 2, 1_010]);
    window.count_distinct(1_005, 3, &ladder);
    assert_eq!(window.list(), [1, 1_000, 3, 1_005, 2, 1_010]);
    window.count_distinct(1_020, 1, &ladder);
    assert_eq!(window.list(), [3, 1_005, 2, 1_010, 1, 1_020]);
}

#[test]
fn a_ladder_that_became_shorter_keeps_what_it_may() {
    let (long, short) = (ladder(&[(30, 1_000)]), ladder(&[(3, 1_000)]));
    for (now, weight) in [(20, 1), (20, 2), (3, 1), (3, 2), (12, 40), (500, 40)] {
        let mut window = Among::events();
        (0..20).for_each(|tick| _ = window.count(tick, 1, &long));
        window.count(now, weight, &short);
        assert_eq!(window.list().len(), 2, "{now} {weight}");
        assert!(window.list().is_sorted());
        window.check();
    }
}

#[test]
fn windows_come_and_go_among_others() {
    let id = |group| Id::memory(Place { group, subkey: 0 });
    let mut window = Among::events();
    let windows = &mut window.windows;
    for group in 20..30 {
        let (at, _) = windows.find_or_push(id(group));
        windows.record_events(at, group.into(), 3, 1_000, 10);
        assert!(!windows.quiet(group.into(), 0, Evidence::All, 5, 10));
    }
    for group in (20..30).step_by(2) {
        let at = windows.find(id(group)).unwrap();
        windows.remove(at);
    }
    windows.regroup(|group| (group != 21).then_some(group));
    windows.shift(100);
    for group in 20..30_u16 {
        let at = windows.find(id(group));
        assert_eq!(at.is_some(), group % 2 == 1 && group != 21);
        if let Some(at) = at {
            assert_eq!(windows.latest_of(at), Some(100 + Tick::from(group)));
            assert_eq!(windows.since(at, 0), 3);
        }
        assert!(windows.quiet(group.into(), 0, Evidence::All, 114, 10));
        assert!(!windows.quiet(group.into(), 0, Evidence::All, 115, 10));
    }
    windows.shift(-100);
    window.check();
}

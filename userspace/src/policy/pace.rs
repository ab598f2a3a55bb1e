//! How many bans a minute rules may make, and those that wait.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::event::{BanOrder, Target, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);

/// Most bans that wait; beyond it the lowest score goes.
const MAX_WAITING: usize = 65_536;

/// The budget and the queue.
#[derive(Debug)]
pub(super) struct Pace {
    per_minute: usize,
    /// When the bans of the last minute were made.
    made: VecDeque<Timestamp>,
    waiting: HashMap<Target, (Score, BanOrder)>,
    by_score: BTreeSet<(Score, Target)>,
    held_back: u64,
}

/// A score that can be sorted.
#[derive(Clone, Copy, Debug)]
struct Score(f64);

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute.try_into().unwrap_or(usize::MAX),
            made: VecDeque::new(),
            waiting: HashMap::new(),
            by_score: BTreeSet::new(),
            held_back: 0,
        }
    }

    pub(super) fn configure(&mut self, per_minute: u32) {
        self.per_minute = per_minute.try_into().unwrap_or(usize::MAX);
    }

    /// Takes one ban out of the budget, if there is one left.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        // A clock that was set back doesn't hold bans up for longer than a minute.
        while self.made.front().is_some_and(|made| now.since(*made) >= MINUTE || *made > now) {
            self.made.pop_front();
        }
        let left = self.made.len() < self.per_minute;
        if left {
            self.made.push_back(now);
        }
        left
    }

    /// Gives back what [`Self::take`] took.
    pub(super) fn give_back(&mut self) {
        self.made.pop_back();
    }

    /// Lets a ban wait; one of the same target that waits already keeps its place unless this has the
    /// higher score.
    pub(super) fn wait(&mut self, order: BanOrder, score: f64) {
        let score = Score(score);
        let target = order.target;
        match self.waiting.get(&target) {
            Some((known, _)) if *known >= score => return,
            Some((known, _)) => {
                self.by_score.remove(&(*known, target));
            }
            None => self.held_back += 1,
        }
        self.by_score.insert((score, target));
        self.waiting.insert(target, (score, order));
        if self.waiting.len() > MAX_WAITING
            && let Some((_, lowest)) = self.by_score.pop_first()
        {
            self.waiting.remove(&lowest);
        }
    }

    /// The waiting ban with the highest score.
    pub(super) fn next(&mut self) -> Option<BanOrder> {
        let (_, target) = self.by_score.pop_last()?;
        self.waiting.remove(&target).map(|(_, order)| order)
    }

    /// It needn't wait any more.
    pub(super) fn forget(&mut self, target: Target) {
        if let Some((score, _)) = self.waiting.remove(&target) {
            self.by_score.remove(&(score, target));
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many had to, since the start.
    pub(super) const fn held_back(&self) -> u64 {
        self.held_back
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, Ttl};

    fn order(n: u32) -> BanOrder {
        BanOrder {
            target: Target::of_address(std::net::Ipv4Addr::from_bits((198 << 24) | n).into()),
            since: Timestamp::from_secs(0),
            ttl: Ttl::Permanent,
            ports: None,
            origin: Origin::Rule,
            rule: None,
            level: None,
            reason: String::new(),
            offences: 1,
        }
    }

    #[test]
    fn a_minute_has_its_budget() {
        let at = Timestamp::from_secs;
        let mut pace = Pace::new(3);
        assert!(pace.take(at(0)) && pace.take(at(30)) && pace.take(at(59)));
        assert!(!pace.take(at(59)));
        assert!(pace.take(at(60)), "the first is a minute old");
        assert!(!pace.take(at(89)));
        assert!(pace.take(at(90)));
        assert!(pace.take(at(10)), "the clock was set back");
        assert!(!Pace::new(0).take(at(0)));
    }

    #[test]
    fn the_highest_score_goes_first_and_the_queue_is_bounded() {
        let mut pace = Pace::new(0);
        for (n, score) in [(1, 10.0), (2, 30.0), (3, 20.0), (1, 25.0), (2, 5.0)] {
            pace.wait(order(n), score);
        }
        assert_eq!((pace.waiting(), pace.held_back()), (3, 3));
        pace.forget(order(3).target);
        let next = std::iter::from_fn(|| pace.next()).collect::<Vec<_>>();
        assert_eq!(next, [order(2), order(1)]);
        for n in 0..=u32::try_from(MAX_WAITING).unwrap() {
            pace.wait(order(n), f64::from(n));
        }
        assert_eq!((pace.waiting(), pace.by_score.len()), (MAX_WAITING, MAX_WAITING));
        assert_eq!(pace.by_score.first().unwrap().1, order(1).target);
    }
}

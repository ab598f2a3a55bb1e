//! A window's memory for one key: when the events came, or which values and when.
//!
//! It lies among others in an owner's [`Windows`](super::windows::Windows), which sees to it that there is room.
//! Times are in order. The rungs of a ladder share them, and each has a count of its own.

use std::ops::Deref;

use super::ladder::{Firings, Ladder, RUNGS, Rung, Tick};

/// How many of the latest times each rung has counted since it last fired: two to a word.
pub(super) type Counted = [u32; RUNGS / 2];

/// A list in its room: of times, or of pairs of a value and its latest time.
#[derive(Debug)]
pub(super) struct Track<W> {
    /// How many words of `room` it takes.
    len: usize,
    room: W,
}

/// What a value meets in a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Met {
    /// Nothing changes: it is known, or too old to count.
    Nothing,
    /// It is the n-th different one; the count has started again.
    Last,
    /// It is to be put down there, with this time, as one more word pair.
    Place(usize, Tick),
}

const fn count_of(counted: &Counted, rung: usize) -> u32 {
    (counted[rung / 2] >> (16 * (rung % 2))) & 0xffff
}

const fn set_count(counted: &mut Counted, rung: usize, count: u32) {
    let shift = 16 * (rung % 2);
    counted[rung / 2] = counted[rung / 2] & !(0xffff << shift) | (count & 0xffff) << shift;
}

impl<W: Deref<Target = [u32]>> Track<W> {
    /// `len`: words that are taken; at most the room.
    #[inline]
    pub(super) const fn new(len: usize, room: W) -> Self {
        Self { len, room }
    }

    /// How many words it takes.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn words(&self) -> &[u32] {
        &self.room[..self.len]
    }

    /// The time of the latest event, or value.
    #[inline]
    pub(super) fn latest(&self) -> Option<Tick> {
        self.words().last().copied()
    }

    /// Counts one event that is no earlier than the others; says how often each rung fired. The time is still
    /// to be put down ([`Self::push_latest`]).
    #[inline]
    pub(super) fn count_latest(
        &self,
        counted: &mut Counted,
        now: Tick,
        ladder: &Ladder,
    ) -> Firings {
        let mut firings = [0; RUNGS];
        for (at, rung) in ladder.rungs.iter().enumerate().take(RUNGS) {
            let before = count_of(counted, at);
            if before + 1 < u32::from(rung.count) {
                set_count(counted, at, before + 1);
                continue;
            }
            // All but one are counted: they are the latest. Is the oldest of them young enough?
            let oldest = self.len.checked_sub(usize::from(rung.count) - 1);
            let from = now.saturating_sub(rung.within);
            if oldest.is_some_and(|at| self.words().get(at).is_none_or(|tick| *tick >= from)) {
                firings[at] = 1;
                set_count(counted, at, 0);
            }
        }
        firings
    }

    /// The same for any number of events and any order of times; `None`: too late to count, nothing is to be
    /// put down.
    ///
    /// An event that comes late is put where it belongs and is judged as of the latest time seen: it
    /// counts if it is still young enough then.
    pub(super) fn count_any(
        &self,
        counted: &mut Counted,
        now: Tick,
        weight: u32,
        ladder: &Ladder,
    ) -> Option<Firings> {
        let mut firings = [0; RUNGS];
        let latest = self.latest().map_or(now, |latest| latest.max(now));
        if now < latest.saturating_sub(ladder.reach) {
            return None;
        }
        for (at, rung) in ladder.rungs.iter().enumerate().take(RUNGS) {
            let from = latest.saturating_sub(rung.within);
            if now < from {
                continue;
            }
            let young = u32::try_from(self.since(from)).unwrap_or(u32::MAX);
            let before = count_of(counted, at);
            let total = before.min(young).saturating_add(weight);
            let count = u32::from(rung.count);
            firings[at] = total / count;
            let rest = if firings[at] == 0 {
                before.saturating_add(weight).min(count - 1)
            } else {
                total % count
            };
            set_count(counted, at, rest);
        }
        Some(firings)
    }

    /// How many times there are from `from` on.
    pub(super) fn since(&self, from: Tick) -> usize {
        self.len - self.words().partition_point(|tick| *tick < from)
    }

    /// How many events the ladder's `at`-th rung has counted since it last fired, and are young enough.
    pub(super) fn counted(&self, counted: &Counted, now: Tick, (at, rung): (usize, &Rung)) -> u32 {
        let now = self.latest().map_or(now, |latest| latest.max(now));
        let young = self.since(now.saturating_sub(rung.within));
        u32::try_from(young).unwrap_or(u32::MAX).min(count_of(counted, at.min(RUNGS - 1)))
    }

    /// How many values are young enough for the rung.
    pub(super) fn values(&self, now: Tick, rung: &Rung) -> u32 {
        let now = self.latest().map_or(now, |latest| latest.max(now));
        let from = now.saturating_sub(rung.within);
        let (pairs, _) = self.words().as_chunks::<2>();
        let young = pairs.iter().filter(|[_, tick]| *tick >= from).count();
        u32::try_from(young).unwrap_or(u32::MAX)
    }
}

impl Track<&mut [u32]> {
    /// What `value` meets at `now`, which counts once however often it comes. What is too old goes.
    pub(super) fn meet(&mut self, now: Tick, value: u32, ladder: &Ladder) -> Met {
        let latest = self.latest().map_or(now, |latest| latest.max(now));
        let from = latest.saturating_sub(ladder.reach);
        if now < from {
            return Met::Nothing;
        }
        let (pairs, _) = self.words().as_chunks::<2>();
        let stale = pairs.iter().take_while(|[_, tick]| *tick < from).count();
        self.remove(0, 2 * stale);
        let (pairs, _) = self.words().as_chunks::<2>();
        let known = pairs.iter().position(|[of, _]| *of == value);
        let mut tick = now;
        if let Some(known) = known {
            if now == latest {
                // In order, as nearly all are: the pair moves to the end where it lies.
                let words = &mut self.room[..self.len];
                words.copy_within(2 * known + 2.., 2 * known);
                if let [.., of, last] = words {
                    (*of, *last) = (value, now);
                }
                return Met::Nothing;
            }
            tick = tick.max(pairs[known][1]);
            self.remove(2 * known, 2);
        } else {
            let values = pairs.len() + 1;
            if ladder.rungs.first().is_some_and(|rung| values >= usize::from(rung.count)) {
                self.len = 0;
                return Met::Last;
            }
        }
        if tick == latest {
            return Met::Place(self.len, tick);
        }
        let (pairs, _) = self.words().as_chunks::<2>();
        Met::Place(2 * pairs.iter().take_while(|[_, of]| *of <= tick).count(), tick)
    }

    /// Puts words in, for which there is room.
    pub(super) fn insert(&mut self, place: usize, new: &[u32]) {
        let total = self.len + new.len();
        self.room.copy_within(place..self.len, place + new.len());
        self.room[place..place + new.len()].copy_from_slice(new);
        self.len = total;
    }

    /// Puts down a time that is no earlier than the others, in a room that holds as many as are kept.
    #[inline]
    pub(super) fn push_latest(&mut self, now: Tick, capacity: usize) {
        if self.len < capacity.min(self.room.len()) {
            self.room[self.len] = now;
            self.len += 1;
            return;
        }
        self.remove(0, (self.len + 1).saturating_sub(capacity));
        self.insert(self.len, &[now]);
    }

    /// Puts `copies` of a time where they belong, at most `capacity` of which are kept in all: the latest.
    pub(super) fn put(&mut self, now: Tick, copies: usize, capacity: usize) {
        let copies = copies.min(capacity);
        let mut place = self.words().partition_point(|tick| *tick <= now);
        let surplus = (self.len + copies).saturating_sub(capacity);
        // The surplus is the earliest: first those before it, then copies, then (after a reload) what follows.
        let before = surplus.min(place);
        let among = (surplus - before).min(copies);
        self.remove(0, before);
        place -= before;
        self.remove(place, surplus - before - among);
        let copies = copies - among;
        self.room.copy_within(place..self.len, place + copies);
        self.room[place..place + copies].fill(now);
        self.len += copies;
    }

    /// Drops the times before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: Tick) {
        if self.words().first().is_some_and(|tick| *tick < oldest) {
            let stale = self.words().partition_point(|tick| *tick < oldest);
            self.remove(0, stale);
        }
    }

    fn remove(&mut self, from: usize, count: usize) {
        if count > 0 {
            self.room.copy_within(from + count..self.len, from);
            self.len -= count;
        }
    }
}

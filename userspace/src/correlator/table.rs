//! Entries by owner: a slab with an index, bounded in number and in bytes.
//!
//! Attackers choose how many owners there are. A full table forgets the least suspicious of the next few
//! entries that its hand points to: nobody gets rid of a heavy offender by inventing light ones, and the
//! choice doesn't depend on the (seeded) hash, so that a replay forgets the same.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::entry::Entry;
use super::owner::Owner;
use crate::seeded::Seeded;

/// How many entries are compared before one is forgotten.
const SAMPLE: usize = 8;

/// How many entries each new one looks at, for ones that don't matter any more.
const SWEEP: usize = 2;

/// All evidence.
#[derive(Debug)]
pub(super) struct Table {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The entries of the event at hand: they stay. And how many bytes they held before it.
    pinned: SmallVec<[(Slot, usize); 4]>,
    hasher: Seeded,
    hand: usize,
    max_entries: usize,
    max_bytes: usize,
    /// What the entries hold beside themselves.
    bytes: usize,
    evicted: u64,
    /// In milliseconds.
    half_life: f64,
    /// After so many milliseconds windows and cooldowns are over.
    horizon: i64,
}

/// Where an entry is, until the next insertion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slot(u32);

impl Table {
    pub(super) fn new(max_entries: usize, max_bytes: usize, half_life: f64) -> Self {
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            pinned: SmallVec::new(),
            hasher: Seeded::default(),
            hand: 0,
            max_entries: max_entries.clamp(1, u32::MAX as usize),
            max_bytes,
            bytes: 0,
            evicted: 0,
            half_life,
            horizon: 0,
        }
    }

    /// After so many milliseconds windows and cooldowns are over.
    pub(super) const fn set_horizon(&mut self, horizon: i64) {
        self.horizon = horizon;
    }

    pub(super) const fn half_life(&self) -> f64 {
        self.half_life
    }

    #[inline]
    pub(super) fn find(&self, owner: Owner) -> Option<Slot> {
        self.find_hashed(self.hasher.hash_one(owner), owner)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, owner: Owner) -> Option<Slot> {
        self.index.find(hash, |at| self.entries[*at as usize].owner == owner).map(|at| Slot(*at))
    }

    /// Looks at what these owners have, a few of them at a time: what isn't in the cache is waited for together.
    pub(super) fn foresee(&self, owners: impl Iterator<Item = Owner>) {
        // First all entries, as what lies behind them can be asked for only then.
        let found: SmallVec<[Slot; 16]> = owners.filter_map(|owner| self.find(owner)).collect();
        let seen = found.iter().map(|slot| self.entries[slot.0 as usize].glance());
        std::hint::black_box(seen.fold(0, |all, one| all ^ one));
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        &mut self.entries[slot.0 as usize]
    }

    /// The owner's entry, made where there is none; a full table then forgets another.
    #[inline]
    pub(super) fn find_or_insert(&mut self, owner: Owner, now: i64) -> Slot {
        let hash = self.hasher.hash_one(owner);
        self.find_hashed(hash, owner).unwrap_or_else(|| self.insert(hash, owner, now))
    }

    fn insert(&mut self, hash: u64, owner: Owner, now: i64) -> Slot {
        self.sweep(now);
        if self.len() >= self.max_entries {
            self.evict(now);
        }
        let entry = Entry::new(owner, now);
        let slot = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, slot, |at| hasher.hash_one(entries[*at as usize].owner));
        Slot(slot)
    }

    /// Keeps an entry from being forgotten until [`Self::settle`].
    #[inline]
    pub(super) fn pin(&mut self, slot: Slot) {
        if !self.is_pinned(slot) {
            self.pinned.push((slot, self.entries[slot.0 as usize].heap_bytes()));
        }
    }

    #[inline]
    fn is_pinned(&self, slot: Slot) -> bool {
        self.pinned.iter().any(|(pinned, _)| *pinned == slot)
    }

    /// An event is done: takes account of what it left in the pinned entries, and lets them go.
    #[inline]
    pub(super) fn settle(&mut self, now: i64) {
        for (slot, before) in &self.pinned {
            let entry = &mut self.entries[slot.0 as usize];
            entry.touch(now, self.half_life);
            self.bytes = (self.bytes + entry.heap_bytes()).saturating_sub(*before);
            self.evicted += u64::from(entry.take_dropped());
        }
        for _ in 0..SWEEP {
            if self.bytes > self.max_bytes {
                self.evict(now);
            }
        }
        self.pinned.clear();
    }

    /// Forgets an owner.
    pub(super) fn remove(&mut self, owner: Owner) {
        if let Some(slot) = self.find(owner) {
            self.vacate(slot);
        }
    }

    /// All entries of owners that `which` picks.
    pub(super) fn select(&self, which: impl Fn(Owner) -> bool) -> Vec<Owner> {
        self.entries.iter().map(|entry| entry.owner).filter(|owner| which(*owner)).collect()
    }

    /// All entries, vacant ones too, to be changed without growing.
    pub(super) fn for_each(&mut self, mut act: impl FnMut(&mut Entry)) {
        self.bytes = 0;
        for entry in &mut self.entries {
            act(entry);
            self.bytes += entry.heap_bytes();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Entries and windows that were forgotten to make room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// About what the table takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
            + self.entries.capacity() * size_of::<Entry>()
            + self.index.capacity() * (size_of::<u32>() + 1)
    }

    /// Looks at the next few entries and drops what doesn't matter any more.
    fn sweep(&mut self, now: i64) {
        for _ in 0..SWEEP {
            let Some(slot) = self.next() else { return };
            if self.entries[slot.0 as usize].lapsed(now, self.horizon, self.half_life) {
                self.vacate(slot);
            }
        }
    }

    fn evict(&mut self, now: i64) {
        let mut least: Option<(f64, Slot)> = None;
        for _ in 0..SAMPLE {
            let Some(slot) = self.next() else { break };
            let suspicion = self.entries[slot.0 as usize].suspicion(now, self.half_life);
            if least.is_none_or(|(least, _)| suspicion < least) {
                least = Some((suspicion, slot));
            }
        }
        if let Some((_, slot)) = least {
            self.vacate(slot);
            self.evicted += 1;
        }
    }

    /// The next occupied entry that the hand comes to.
    fn next(&mut self) -> Option<Slot> {
        for _ in 0..self.entries.len().min(4 * SAMPLE) {
            self.hand = (self.hand + 1) % self.entries.len();
            let slot = Slot(u32::try_from(self.hand).unwrap_or(u32::MAX));
            if self.entries[self.hand].owner != Owner::VACANT && !self.is_pinned(slot) {
                return Some(slot);
            }
        }
        None
    }

    fn vacate(&mut self, slot: Slot) {
        let entry = std::mem::replace(self.entry_mut(slot), Entry::new(Owner::VACANT, 0));
        self.bytes = self.bytes.saturating_sub(entry.heap_bytes());
        let hash = self.hasher.hash_one(entry.owner);
        if let Ok(occupied) = self.index.find_entry(hash, |at| *at == slot.0) {
            occupied.remove();
            self.free.push(slot.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::*;
    use crate::correlator::ladder::Evidence;
    use crate::event::Target;

    fn owner(n: u32) -> Owner {
        Owner::target(Target::of_address(std::net::Ipv4Addr::from_bits(n).into()))
    }

    fn feed(table: &mut Table, n: u32, now: i64, act: impl FnOnce(&mut Entry)) {
        let slot = table.find_or_insert(owner(n), now);
        table.pin(slot);
        act(table.entry_mut(slot));
        table.settle(now);
    }

    #[test]
    fn a_full_table_forgets_the_least_suspicious() {
        let mut table = Table::new(100, usize::MAX, 600_000.0);
        for n in 0..100 {
            let points = if n % 10 == 0 { 50.0 } else { 1.0 };
            feed(&mut table, n, 0, |entry| {
                _ = entry.add(points, points, Scope::EVERY, 0, 600_000.0);
            });
        }
        for n in 1_000..11_000 {
            feed(&mut table, n, 1, |entry| _ = entry.add(1.0, 1.0, Scope::EVERY, 1, 600_000.0));
            assert_eq!(table.len(), 100);
        }
        assert_eq!(table.evicted(), 10_000);
        for n in (0..100).step_by(10) {
            assert!(table.find(owner(n)).is_some(), "{n} was heavy");
        }
    }

    #[test]
    fn it_is_bounded_in_bytes_and_drops_what_has_lapsed() {
        let mut table = Table::new(1_000, 50_000, 1_000.0);
        table.set_horizon(1_000);
        for n in 0..1_000 {
            feed(&mut table, n, 0, |entry| assert!(!entry.quiet(1, 0, Evidence::All, 0, 9)));
            assert!(table.bytes <= 50_000);
        }
        assert!(table.evicted() > 0 && table.len() > 500);
        let before = table.len();
        for n in 2_000..3_000 {
            feed(&mut table, n, 1_000_000, |_| ());
        }
        let old = table.select(|of| (0..1_000).any(|n| of == owner(n))).len();
        assert!(old < before / 2, "{old} of {before}");
        for n in 0..4_000 {
            table.remove(owner(n));
        }
        assert_eq!((table.len(), table.bytes), (0, 0));
    }
}

//! All windows and cooldowns of one owner, in one piece of memory.
//!
//! An attacker's line falls into half a dozen windows of two owners, and there may be a million owners: what
//! such a line costs is mostly waiting for memory. So an owner's windows are records of a few words, one after
//! another: what is looked for lies beside what was found, and a window grows where it lies.
//!
//! A record begins with its [`Id`]. A window's goes on with its length and room, a ladder's with what its rungs
//! have counted, and then come the times (see [`Track`]). A cooldown's goes on with rule and time.

mod record;
#[cfg(test)]
mod tests;

pub(super) use self::record::Id;
use self::record::{
    ALL, COOLDOWN, COOLDOWN_WORDS, EVENTS, HEAD, ID, KIND, Size, VALUES, extent, shape,
};
use super::entry::Place;
use super::ladder::{Evidence, Firings, Ladder, RUNGS, Rung, Tick};
use super::track::{Counted, Met, Track};

/// Most windows of one owner: it is the offender who chooses how many users it tries, and so it is its
/// own oldest window that gives way. Likewise its cooldowns.
pub(super) const MOST: usize = 64;

/// Records of one owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// What comes after `used` is room.
    words: Box<[u32]>,
    used: u32,
    /// How many times and values its windows hold.
    events: u32,
}

impl Windows {
    /// Bytes on the heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Looks at a word of each line of the cache.
    #[inline]
    pub(super) fn glance(&self) -> u32 {
        let words = &self.words[..self.used as usize];
        words.iter().step_by(CACHE_LINE).fold(0, |all, word| all ^ word)
    }

    /// How many times and values its windows hold.
    pub(super) const fn events(&self) -> u32 {
        self.events
    }

    /// Where the record is.
    #[inline]
    pub(super) fn find(&self, id: Id) -> Option<usize> {
        let words = self.words.get(..self.used as usize)?;
        let mut at = 0;
        while let Some(&[name, subkey, size]) = words.get(at..)?.first_chunk() {
            let found = Id { name, subkey };
            if found == id {
                return Some(at);
            }
            at += extent(found, size);
        }
        None
    }

    /// Where the window is, made where there is none; and whether another had to give way.
    #[inline]
    pub(super) fn find_or_push(&mut self, id: Id) -> (usize, bool) {
        match self.find(id) {
            Some(at) => (at, false),
            None => {
                let (item, head) = shape(id.kind());
                let mut record = [0; HEAD + RUNGS / 2 + 2];
                record[0] = id.name;
                record[1] = id.subkey;
                record[ID] = Size { len: 0, room: 1 }.word();
                self.push(&record[..head + item])
            }
        }
    }

    /// Adds the same window for other evidence, with all that is in it.
    pub(super) fn twin(&mut self, at: usize, id: Id) -> (usize, bool) {
        let mut record = self.record(at).to_vec();
        if let Some(name) = record.first_mut() {
            *name = id.name;
        }
        self.push(&record)
    }

    #[cold]
    fn push(&mut self, record: &[u32]) -> (usize, bool) {
        let windows = || self.records().filter(|(id, _)| id.kind() != COOLDOWN);
        let (place, full) = if windows().count() < MOST {
            (self.used as usize, false)
        } else {
            let age = |at: usize| (self.list(at).latest(), self.size(at).len);
            let oldest = windows().map(|(_, at)| at).min_by_key(|at| age(*at));
            let place = oldest.unwrap_or(self.used as usize);
            self.remove(place);
            (place, true)
        };
        self.open(place, record.len());
        self.words[place..place + record.len()].copy_from_slice(record);
        self.events += u32::from(self.size(place).len);
        (place, full)
    }

    /// Counts events in a ladder's window; says how often each rung fired.
    #[inline]
    pub(super) fn count(&mut self, at: usize, now: Tick, weight: u32, ladder: &Ladder) -> Firings {
        let capacity = usize::from(ladder.capacity);
        let (counted, list) = self.ladder_mut(at);
        if weight != 1 || list.latest().is_some_and(|latest| latest > now) {
            let Some(firings) = list.count_any(counted, now, weight, ladder) else {
                return [0; RUNGS];
            };
            self.put(at, now, weight, ladder.capacity);
            return firings;
        }
        let firings = list.count_latest(counted, now, ladder);
        self.reserve(at, 1, ladder.capacity);
        self.edit(at, |list| list.push_latest(now, capacity));
        firings
    }

    /// Counts `value`, once however often it comes; says whether the n-th different value of the window is
    /// reached. The count then starts again.
    #[inline]
    pub(super) fn count_distinct(
        &mut self,
        at: usize,
        now: Tick,
        value: u32,
        ladder: &Ladder,
    ) -> bool {
        match self.edit(at, |list| list.meet(now, value, ladder)) {
            Met::Nothing => false,
            Met::Last => true,
            Met::Place(place, tick) => {
                self.reserve(at, 1, ladder.capacity);
                self.edit(at, |list| list.insert(place, &[value, tick]));
                false
            }
        }
    }

    /// Puts down `weight` events for a rule that asks what came before.
    pub(super) fn record_events(
        &mut self,
        at: usize,
        now: Tick,
        weight: u32,
        within: Tick,
        capacity: u16,
    ) {
        let capacity = capacity.max(1);
        let latest = self.edit(at, |list| {
            let latest = list.latest().map_or(now, |latest| latest.max(now));
            list.forget_before(latest.saturating_sub(within));
            latest
        });
        if weight == 1 && latest == now {
            self.reserve(at, 1, capacity);
            self.edit(at, |list| list.push_latest(now, usize::from(capacity)));
        } else {
            self.put(at, now, weight, capacity);
        }
    }

    fn put(&mut self, at: usize, now: Tick, weight: u32, capacity: u16) {
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        self.reserve(at, weight.min(capacity), capacity);
        self.edit(at, |list| list.put(now, usize::from(weight), usize::from(capacity)));
    }

    /// How many of the events in a window came from `from` on.
    pub(super) fn since(&self, at: usize, from: Tick) -> usize {
        self.list(at).since(from)
    }

    /// How many events, or values, the ladder's rung has counted since it last fired, and are young enough.
    pub(super) fn counted(&self, at: usize, now: Tick, rung: (usize, &Rung)) -> u32 {
        let record = self.record(at);
        match record.get(HEAD..).and_then(|rest| rest.first_chunk()) {
            Some(counted) if record[0] & KIND == EVENTS => {
                self.list(at).counted(counted, now, rung)
            }
            _ => self.list(at).values(now, rung.1),
        }
    }

    /// The latest time in a window.
    pub(super) fn latest_of(&self, at: usize) -> Option<Tick> {
        self.list(at).latest()
    }

    /// The latest time of all.
    pub(super) fn latest(&self) -> Tick {
        let times = self.records().filter_map(|(id, at)| match id.kind() {
            COOLDOWN => self.words.get(at + ID + 1).copied(),
            _ => self.latest_of(at),
        });
        times.max().unwrap_or(0)
    }

    /// Forgets a window.
    pub(super) fn remove(&mut self, at: usize) {
        let [name, subkey, size] = self.head(at);
        let id = Id { name, subkey };
        if id.kind() != COOLDOWN {
            self.events -= u32::from(Size::of(size).len);
        }
        let (used, extent) = (self.used as usize, extent(id, size));
        self.words.copy_within(at + extent..used, at);
        self.used = short(used - extent);
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
        let id = Id::new(COOLDOWN, Place { group: 0, subkey }, evidence);
        let (mut over, mut others) = (Vec::new(), 0);
        for (found, at) in self.records().filter(|(found, _)| found.kind() == COOLDOWN) {
            let [of, since] = [ID, ID + 1].map(|word| self.words[at + word]);
            if found.subkey != subkey || of != rule {
                others += 1;
            } else if now.abs_diff(since) >= ignore {
                over.push(at);
            } else if evidence == Evidence::All || found == id {
                return true;
            } else {
                others += 1;
            }
        }
        for at in over.iter().rev() {
            self.remove(*at);
        }
        if others >= MOST {
            let first = self.records().find(|(found, _)| found.kind() == COOLDOWN);
            if let Some((_, at)) = first {
                self.remove(at);
            }
        }
        let place = self.used as usize;
        self.open(place, COOLDOWN_WORDS);
        self.words[place..place + COOLDOWN_WORDS].copy_from_slice(&[id.name, id.subkey, rule, now]);
        false
    }

    /// Moves every time by the same step, as the owner's anchor moves; what falls off either end is at the
    /// end.
    pub(super) fn shift(&mut self, by: i64) {
        let records: Vec<(Id, usize)> = self.records().collect();
        for (id, at) in records {
            if id.kind() == COOLDOWN {
                self.words[at + ID + 1] = shifted(self.words[at + ID + 1], by);
                continue;
            }
            let (item, head) = shape(id.kind());
            let len = usize::from(self.size(at).len);
            let list = &mut self.words[at + head..at + head + item * len];
            for tick in list.iter_mut().skip(item - 1).step_by(item) {
                *tick = shifted(*tick, by);
            }
        }
    }

    /// Gives the windows their group's new index, and drops those whose group is gone.
    pub(super) fn regroup(&mut self, new_group: impl Fn(u16) -> Option<u16>) {
        let records: Vec<(Id, usize)> = self.records().collect();
        // From the last on: what goes moves those behind it.
        for (id, at) in records.into_iter().rev().filter(|(id, _)| id.kind() != COOLDOWN) {
            match new_group(id.group()) {
                Some(group) => self.words[at] = id.name & 0xffff | u32::from(group) << 16,
                None => self.remove(at),
            }
        }
    }

    /// Whether there is a window of evidence that may not ban, beside what waits for a rule.
    pub(super) fn is_mixed(&self) -> bool {
        self.records().any(|(id, _)| matches!(id.kind(), EVENTS | VALUES) && id.name & ALL != 0)
    }

    #[cfg(test)]
    pub(super) fn windows(&self) -> usize {
        self.records().filter(|(id, _)| id.kind() != COOLDOWN).count()
    }

    #[cfg(test)]
    pub(super) fn cooldowns(&self) -> usize {
        self.records().filter(|(id, _)| id.kind() == COOLDOWN).count()
    }

    fn records(&self) -> impl Iterator<Item = (Id, usize)> {
        let words = self.words.get(..self.used as usize).unwrap_or_default();
        let mut at = 0;
        std::iter::from_fn(move || {
            let &[name, subkey, size] = words.get(at..)?.first_chunk()?;
            let (id, found) = (Id { name, subkey }, at);
            at += extent(id, size);
            Some((id, found))
        })
    }

    fn head(&self, at: usize) -> [u32; HEAD] {
        self.words[at..].first_chunk().copied().unwrap_or_default()
    }

    fn size(&self, at: usize) -> Size {
        Size::of(self.words[at + ID])
    }

    fn record(&self, at: usize) -> &[u32] {
        let [name, subkey, size] = self.head(at);
        &self.words[at..at + extent(Id { name, subkey }, size)]
    }

    fn list(&self, at: usize) -> Track<&[u32]> {
        let (item, head) = shape(self.words[at] & KIND);
        let Size { len, room } = self.size(at);
        let start = at + head;
        Track::new(item * usize::from(len), &self.words[start..start + item * usize::from(room)])
    }

    /// A ladder's window.
    #[inline]
    fn ladder_mut(&mut self, at: usize) -> (&mut Counted, Track<&mut [u32]>) {
        let Size { len, room } = self.size(at);
        let record = &mut self.words[at + HEAD..at + HEAD + RUNGS / 2 + usize::from(room)];
        let (counted, list) = record.split_at_mut(RUNGS / 2);
        let counted = counted.first_chunk_mut().expect("it was split off at this length");
        (counted, Track::new(usize::from(len), list))
    }

    /// Changes a window's list, within its room.
    #[inline]
    fn edit<T>(&mut self, at: usize, act: impl FnOnce(&mut Track<&mut [u32]>) -> T) -> T {
        let (item, head) = shape(self.words[at] & KIND);
        let Size { len, room } = self.size(at);
        let start = at + head;
        let room_words = &mut self.words[start..start + item * usize::from(room)];
        let mut list = Track::new(item * usize::from(len), room_words);
        let result = act(&mut list);
        // Of one word or two.
        let left = u16::try_from(list.len() >> (item / 2)).unwrap_or(room);
        self.words[at + ID] = Size { len: left, room }.word();
        self.events = self.events + u32::from(left) - u32::from(len);
        result
    }

    /// Makes room for `more` items, as far as `capacity` of them are kept.
    #[inline]
    fn reserve(&mut self, at: usize, more: u16, capacity: u16) {
        let Size { len, room } = self.size(at);
        let need = len.saturating_add(more).min(capacity.max(len));
        if need > room {
            self.widen(at, need, capacity);
        }
    }

    #[cold]
    fn widen(&mut self, at: usize, need: u16, capacity: u16) {
        let Size { len, room } = self.size(at);
        let wide = room.saturating_mul(2).saturating_add(2).min(capacity).max(need);
        let (item, head) = shape(self.words[at] & KIND);
        let end = at + head + item * usize::from(room);
        self.open(end, item * usize::from(wide - room));
        self.words[at + ID] = Size { len, room: wide }.word();
    }

    /// Opens a gap.
    fn open(&mut self, place: usize, more: usize) {
        let used = self.used as usize;
        let total = used + more;
        if total > self.words.len() {
            // Sizes of which the allocator wastes nothing; a quarter of room, so that few steps lead far.
            let wanted = if used == 0 { total } else { total + total / 4 };
            let size = FIRST + wanted.saturating_sub(FIRST).next_multiple_of(STEP);
            let mut words = std::mem::take(&mut self.words).into_vec();
            words.reserve_exact(size - words.len());
            words.resize(size, 0);
            self.words = words.into_boxed_slice();
        }
        self.words.copy_within(place..used, place + more);
        self.used = short(total);
    }
}

/// Words of a line of the cache.
const CACHE_LINE: usize = 64 / size_of::<u32>();
/// Words of the first room: the windows that a first failed login falls into.
const FIRST: usize = 18;
/// By so many words it grows.
const STEP: usize = 16;

fn short(words: usize) -> u32 {
    u32::try_from(words)
        .expect("a bounded number of windows with bounded rooms is far below 2^32 words")
}

/// `tick` moved by `by`, at the nearest end where it doesn't fit.
fn shifted(tick: Tick, by: i64) -> Tick {
    let moved = i64::from(tick).saturating_add(by).clamp(0, i64::from(Tick::MAX));
    Tick::try_from(moved).unwrap_or(Tick::MAX)
}

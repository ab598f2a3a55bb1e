//! Lines of one login attempt count once together.
//!
//! sshd and PAM write several lines about one attempt, each by the same process about the same address.
//! How often each kind of line came is counted by (process, address); only a line that raises the
//! highest of these counts is charged. Three wrong passwords on one connection are three, whatever else
//! is written about them.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::net::IpAddr;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::event::{Event, Target};
use crate::seeded::Seeded;

/// A connection may take `LoginGraceTime` (120 s), and PAM sums up at its end; later, the number belongs
/// to another process.
const LIFE_MS: i64 = 150_000;

/// Kinds of lines told apart in one session; sshd's pack has fewer.
const MAX_KINDS: usize = 16;

/// Login sessions under way.
///
/// Nearly every line of an attack begins one and ends one that is old: they stand in a row, oldest first,
/// so that both happen at an end of it, and only the small index is touched at random.
#[derive(Debug)]
pub(super) struct Attempts {
    sessions: VecDeque<Session>,
    /// Number of the first session; the others count on from there, and around.
    first: u32,
    /// By key, of those that are alive: their numbers.
    index: HashTable<u32>,
    hasher: Seeded,
    max: usize,
    evicted: u64,
}

/// A process, and the address it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key {
    addr: Target,
    pid: u32,
}

impl Hash for Key {
    /// In one word for IPv4.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (high, low, _) = self.addr.words();
        if high != 0 {
            state.write_u64(high);
        }
        state.write_u64(low ^ (u64::from(self.pid) << 32));
    }
}

#[derive(Debug)]
struct Session {
    key: Key,
    hash: u64,
    /// Another one with the same key has taken its place.
    replaced: bool,
    seen: i64,
    /// (event's index, how often).
    kinds: SmallVec<[(u32, u32); 4]>,
    charged: u32,
}

impl Attempts {
    pub(super) fn new(max: usize) -> Self {
        Self {
            sessions: VecDeque::new(),
            first: 0,
            index: HashTable::new(),
            hasher: Seeded::default(),
            max: max.clamp(1, u32::MAX as usize),
            evicted: 0,
        }
    }

    /// How many attempts this event adds: as often as it happened, less what other lines told already.
    pub(super) fn charge(&mut self, event: &Event<'_>, offender: Option<IpAddr>, now: i64) -> u32 {
        let times = event.repeated.max(1);
        let (true, Some(pid), Some(offender)) = (event.kind.attempt, event.pid, offender) else {
            return times;
        };
        let key = Key { addr: Target::of_address(offender), pid };
        let hash = self.hasher.hash_one(key);
        if let Some(session) = self.find(hash, key) {
            if now.abs_diff(session.seen) <= LIFE_MS.unsigned_abs() {
                session.seen = session.seen.max(now);
                return session.charge(event.kind.index, times);
            }
            session.replaced = true;
            self.unlist(hash, key);
        }
        self.make_room(now);
        let mut kinds = SmallVec::new();
        kinds.push((event.kind.index, times));
        self.push(Session { key, hash, replaced: false, seen: now, kinds, charged: times });
        times
    }

    /// The clock has stepped by so many milliseconds.
    pub(super) fn step_clock(&mut self, by: i64) {
        for session in &mut self.sessions {
            session.seen = session.seen.saturating_add(by);
        }
    }

    /// Sessions that were forgotten to make room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn find(&mut self, hash: u64, key: Key) -> Option<&mut Session> {
        let (sessions, first) = (&self.sessions, self.first);
        let number = *self.index.find(hash, |number| sessions[place(*number, first)].key == key)?;
        self.sessions.get_mut(place(number, first))
    }

    fn push(&mut self, session: Session) {
        let hash = session.hash;
        // There are at most `max` of them, which fits.
        let number = self.first.wrapping_add(u32::try_from(self.sessions.len()).unwrap_or(0));
        self.sessions.push_back(session);
        let (sessions, first) = (&self.sessions, self.first);
        self.index.insert_unique(hash, number, |number| sessions[place(*number, first)].hash);
    }

    fn unlist(&mut self, hash: u64, key: Key) {
        let (sessions, first) = (&self.sessions, self.first);
        let found =
            self.index.find_entry(hash, |number| sessions[place(*number, first)].key == key);
        if let Ok(listed) = found {
            listed.remove();
        }
    }

    fn make_room(&mut self, now: i64) {
        while let Some(oldest) = self.sessions.front() {
            let (hash, key, replaced) = (oldest.hash, oldest.key, oldest.replaced);
            let over = replaced || now.abs_diff(oldest.seen) > LIFE_MS.unsigned_abs();
            let full = self.sessions.len() >= self.max;
            if !over && !full {
                return;
            }
            if !replaced {
                self.unlist(hash, key);
                self.evicted += u64::from(!over);
            }
            self.sessions.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}

/// Where the session of this number stands.
const fn place(number: u32, first: u32) -> usize {
    number.wrapping_sub(first) as usize
}

impl Session {
    fn charge(&mut self, kind: u32, times: u32) -> u32 {
        let seen = match self.kinds.iter().position(|(known, _)| *known == kind) {
            Some(at) => {
                self.kinds[at].1 = self.kinds[at].1.saturating_add(times);
                self.kinds[at].1
            }
            None if self.kinds.len() < MAX_KINDS => {
                self.kinds.push((kind, times));
                times
            }
            None => return 0,
        };
        let raised = seen.saturating_sub(self.charged);
        self.charged = self.charged.max(seen);
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Blame, EventKind, Fields};

    fn kind(index: u32, attempt: bool) -> EventKind {
        EventKind {
            index,
            name: String::new(),
            pack: String::new(),
            proven: true,
            attempt,
            success: false,
            web: false,
        }
    }

    fn charge(
        attempts: &mut Attempts,
        kind: &EventKind,
        pid: Option<u32>,
        repeated: u32,
        now: i64,
    ) -> u32 {
        let event = Event {
            kind,
            fields: Fields::default(),
            program: None,
            pid,
            repeated,
            address: Blame::Nobody,
            suricata: None,
        };
        attempts.charge(&event, Some("198.51.100.7".parse().unwrap()), now)
    }

    #[test]
    fn the_lines_of_one_attempt_count_once() {
        let (invalid, pam, failed) = (kind(0, true), kind(1, true), kind(2, true));
        let mut attempts = Attempts::new(8);
        let one = Some(1);
        // Invalid user, PAM and sshd about the same first password; then two more passwords.
        assert_eq!(charge(&mut attempts, &invalid, one, 1, 0), 1);
        assert_eq!(charge(&mut attempts, &pam, one, 1, 0), 0);
        assert_eq!(charge(&mut attempts, &failed, one, 1, 0), 0);
        assert_eq!(charge(&mut attempts, &failed, one, 1, 1), 1);
        assert_eq!(charge(&mut attempts, &failed, one, 2, 2), 2);
        assert_eq!(charge(&mut attempts, &pam, one, 2, 3), 0, "PAM 2 more authentication failures");
        // Another process, a process without a number, a line that isn't one of an attempt.
        assert_eq!(charge(&mut attempts, &pam, Some(2), 1, 0), 1);
        assert_eq!(charge(&mut attempts, &pam, None, 3, 0), 3);
        assert_eq!(charge(&mut attempts, &kind(3, false), one, 1, 0), 1);
        // The number is used again later.
        assert_eq!(charge(&mut attempts, &pam, one, 1, 3 + LIFE_MS + 1), 1);
        assert_eq!(charge(&mut attempts, &pam, one, u32::MAX, 4 + LIFE_MS), u32::MAX - 1);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_session() {
        let kind = kind(0, true);
        let mut attempts = Attempts::new(100);
        for round in 0..10 {
            let now = round * (LIFE_MS + 1);
            // The first one stays alive, so the others can't leave before it.
            assert_eq!(charge(&mut attempts, &kind, Some(1), 1, now), 1);
            for pid in 2..8 {
                assert_eq!(charge(&mut attempts, &kind, Some(pid), 1, now + 1), 1);
                assert_eq!(charge(&mut attempts, &kind, Some(pid), 1, now + 2), 1);
            }
            assert_eq!(attempts.index.len(), 7);
        }
        assert_eq!(attempts.evicted(), 0);
    }

    #[test]
    fn sessions_are_bounded() {
        let kind = kind(0, true);
        let mut attempts = Attempts::new(100);
        for pid in 0..10_000 {
            charge(&mut attempts, &kind, Some(pid), 1, i64::from(pid));
            assert!(attempts.sessions.len() <= 100 && attempts.index.len() <= 100);
        }
        assert_eq!(attempts.evicted(), 9_900);
        charge(&mut attempts, &kind, Some(0), 1, i64::MAX);
        assert_eq!((attempts.sessions.len(), attempts.evicted()), (1, 9_900));
        assert_eq!(attempts.index.len(), 1);
    }
}

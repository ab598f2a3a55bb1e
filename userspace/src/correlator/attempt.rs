//! Lines of one login attempt count once together.
//!
//! sshd and PAM write several lines about one attempt, each by the same process about the same address.
//! How often each kind of line came is counted by (process, address); only a line that raises the
//! highest of these counts is charged. Three wrong passwords on one connection are three, whatever else
//! is written about them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::event::Event;

/// A connection may take `LoginGraceTime` (120 s), and PAM sums up at its end; later, the number belongs
/// to another process.
const LIFE_MS: i64 = 150_000;

/// Kinds of lines told apart in one session; sshd's pack has fewer.
const MAX_KINDS: usize = 16;

/// Login sessions under way.
#[derive(Debug)]
pub(super) struct Attempts {
    sessions: HashMap<(u32, IpAddr), Session>,
    /// Oldest first, each with the time at which it began.
    order: VecDeque<((u32, IpAddr), i64)>,
    max: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Session {
    began: i64,
    seen: i64,
    /// (event's index, how often).
    kinds: SmallVec<[(u32, u32); 4]>,
    charged: u32,
}

impl Attempts {
    pub(super) fn new(max: usize) -> Self {
        Self { sessions: HashMap::new(), order: VecDeque::new(), max: max.max(1), evicted: 0 }
    }

    /// How many attempts this event adds: as often as it happened, less what other lines told already.
    pub(super) fn charge(&mut self, event: &Event<'_>, offender: Option<IpAddr>, now: i64) -> u32 {
        let times = event.repeated.max(1);
        let (true, Some(pid), Some(offender)) = (event.kind.attempt, event.pid, offender) else {
            return times;
        };
        let key = (pid, offender);
        match self.sessions.get_mut(&key) {
            Some(session) if now.abs_diff(session.seen) <= LIFE_MS.unsigned_abs() => {
                session.seen = session.seen.max(now);
                session.charge(event.kind.index, times)
            }
            Some(_) | None => {
                self.make_room(now);
                let kinds = [(event.kind.index, times)].into_iter().collect();
                let session = Session { began: now, seen: now, kinds, charged: times };
                self.sessions.insert(key, session);
                self.order.push_back((key, now));
                times
            }
        }
    }

    /// Sessions that were forgotten to make room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn make_room(&mut self, now: i64) {
        while let Some((key, began)) = self.order.front().copied() {
            let session = self.sessions.get(&key).filter(|session| session.began == began);
            let over =
                session.is_none_or(|session| now.abs_diff(session.seen) > LIFE_MS.unsigned_abs());
            let full = self.order.len() >= self.max;
            if !over && !full {
                return;
            }
            self.order.pop_front();
            if session.is_some() {
                self.sessions.remove(&key);
                self.evicted += u64::from(!over);
            }
        }
    }
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
    use crate::event::{Blame, EventKind};

    fn kind(index: u32, attempt: bool) -> EventKind {
        EventKind {
            index,
            name: String::new(),
            pack: String::new(),
            proven: true,
            attempt,
            success: false,
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
            fields: SmallVec::new(),
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
    fn sessions_are_bounded() {
        let kind = kind(0, true);
        let mut attempts = Attempts::new(100);
        for pid in 0..10_000 {
            charge(&mut attempts, &kind, Some(pid), 1, i64::from(pid));
            assert!(attempts.sessions.len() <= 100 && attempts.order.len() <= 100);
        }
        assert_eq!(attempts.evicted(), 9_900);
        charge(&mut attempts, &kind, Some(0), 1, i64::MAX);
        assert_eq!((attempts.sessions.len(), attempts.evicted()), (1, 9_900));
    }
}

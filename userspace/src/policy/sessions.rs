//! Authenticated SSH sessions that live: failed logins from where one comes from alert and don't ban.
//!
//! A session begins with sshd's `Accepted ...` and ends with a line of its process (PAM's `session closed`)
//! or about its connection (sshd's `Disconnected from ...`). Either line can be lost, and either can be
//! forged where logs are files. So the daemon has the kernel confirm that the connection stands; where
//! nobody can ([`Confirm`] isn't set or doesn't know), a session counts for [`LONGEST`].

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::event::{Event, EventKind, Target, Timestamp, Value, canonical};
use crate::seeded::HashMap;

/// Whether a TCP connection with this peer stands; without a port any does. `None`: that can't be told.
pub type Confirm = Box<dyn Fn(IpAddr, Option<u16>) -> Option<bool> + Send>;

/// How long a session counts that nobody confirms.
const LONGEST: Duration = Duration::from_secs(8 * 60 * 60);
/// How long a confirmation holds: a flood of failed logins is one question a second.
const CONFIRMED: Duration = Duration::from_secs(1);
/// Sessions that are remembered.
const MOST: usize = 4_096;

/// All that are known, by the target that a ban would be about.
#[derive(Default)]
pub(super) struct Sessions {
    targets: HashMap<Target, SmallVec<[Session; 1]>>,
    /// Whose target a process serves.
    pids: HashMap<u32, Target>,
    count: usize,
    confirm: Option<Confirm>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    addr: IpAddr,
    port: Option<u16>,
    pid: Option<u32>,
    since: Timestamp,
    /// When the kernel last said so, by arrival time.
    confirmed: Option<Timestamp>,
}

/// A session that was opened and not closed yet, as far as its lines tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenSession {
    /// Where it comes from.
    pub addr: IpAddr,
    /// Its port there.
    pub port: Option<u16>,
    /// The process that serves it.
    pub pid: Option<u32>,
    /// When it began.
    pub since: Timestamp,
}

/// What an event says about sessions.
pub(super) enum News {
    /// One began.
    Opened { addr: IpAddr, port: Option<u16> },
    /// This process's ended.
    ClosedBy { pid: u32 },
    /// This peer's ended.
    Closed { addr: IpAddr, port: Option<u16>, pid: Option<u32> },
}

impl News {
    /// What the packs `sshd` and `pam` tell.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        let peer = || event.fields.source().map(|addr| (canonical(addr), port(event)));
        match tells(event.kind)? {
            Tells::Opened => peer().map(|(addr, port)| Self::Opened { addr, port }),
            Tells::Closed => peer().map(|(addr, port)| Self::Closed { addr, port, pid: event.pid }),
            Tells::ClosedBy if is_sshds(event) => event.pid.map(|pid| Self::ClosedBy { pid }),
            Tells::ClosedBy => None,
        }
    }
}

/// What events of a kind may say about sessions.
pub(super) enum Tells {
    Opened,
    Closed,
    ClosedBy,
}

/// What events of this kind may say about sessions.
#[inline]
pub(super) fn tells(kind: &EventKind) -> Option<Tells> {
    // Most lines' events are neither pack's, or none of these: the pack is asked for once.
    match kind.pack.as_str() {
        "sshd" => match kind.name.as_str() {
            "accepted" => Some(Tells::Opened),
            "disconnected" | "closed" | "received-disconnect" => Some(Tells::Closed),
            _ => None,
        },
        "pam" if kind.name == "session-closed" => Some(Tells::ClosedBy),
        _ => None,
    }
}

/// PAM's old lines name no service.
fn is_sshds(event: &Event<'_>) -> bool {
    match event.field("service") {
        Some(Value::Text(service)) => service.as_ref() == b"sshd",
        _ => true,
    }
}

fn port(event: &Event<'_>) -> Option<u16> {
    match event.field("port") {
        Some(Value::Number(port)) => u16::try_from(port).ok(),
        _ => None,
    }
}

/// Whether an event is about somebody who tries to log in.
pub(super) fn is_login(kind: &EventKind) -> bool {
    !kind.success && (kind.attempt || matches!(kind.pack.as_str(), "sshd" | "pam"))
}

impl Sessions {
    pub(super) fn confirm_by(&mut self, confirm: Confirm) {
        self.confirm = Some(confirm);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn open(
        &mut self,
        target: Target,
        addr: IpAddr,
        port: Option<u16>,
        pid: Option<u32>,
        since: Timestamp,
    ) {
        if let Some(pid) = pid {
            self.close_by(pid);
        }
        if self.count >= MOST {
            self.make_room(since);
        }
        let session = Session { addr, port, pid, since, confirmed: None };
        self.targets.entry(target).or_default().push(session);
        self.count += 1;
        if let Some(pid) = pid {
            self.pids.insert(pid, target);
        }
    }

    pub(super) fn close_by(&mut self, pid: u32) {
        if let Some(target) = self.pids.get(&pid).copied() {
            self.retain(target, |session| session.pid != Some(pid));
        }
    }

    pub(super) fn close(
        &mut self,
        target: Target,
        addr: IpAddr,
        port: Option<u16>,
        pid: Option<u32>,
    ) {
        self.retain(target, |session| {
            let same = match (port, session.port, pid) {
                (Some(port), Some(known), _) => port == known,
                // Old lines have no port.
                (_, _, Some(pid)) => session.pid.is_none_or(|known| known == pid),
                (_, _, None) => true,
            };
            session.addr != addr || !same
        });
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = OpenSession> {
        self.targets.values().flatten().map(|session| {
            let Session { addr, port, pid, since, confirmed: _ } = *session;
            OpenSession { addr, port, pid, since }
        })
    }

    /// The clock has stepped by so many microseconds.
    pub(super) fn step_clock(&mut self, by: i64) {
        for session in self.targets.values_mut().flatten() {
            session.since = Timestamp::from_micros(session.since.as_micros().saturating_add(by));
            session.confirmed = None;
        }
    }

    /// Whether a session of `target` lives at `time`, as far as is known at `arrived`.
    pub(super) fn live(&mut self, target: Target, time: Timestamp, arrived: Timestamp) -> bool {
        let Some(sessions) = self.targets.get_mut(&target) else { return false };
        let confirm = self.confirm.as_deref();
        let mut gone: SmallVec<[Session; 1]> = SmallVec::new();
        sessions.retain(|session| {
            let lives = session.lives(time, arrived, confirm);
            if !lives {
                gone.push(*session);
            }
            lives
        });
        let live = !sessions.is_empty();
        self.forget(target, &gone);
        live
    }

    /// Whether a session from anywhere in `net` lives.
    pub(super) fn live_in(&mut self, net: Target, time: Timestamp, arrived: Timestamp) -> bool {
        let within: Vec<Target> =
            self.targets.keys().filter(|target| net.covers(**target)).copied().collect();
        within.into_iter().any(|target| self.live(target, time, arrived))
    }

    fn retain(&mut self, target: Target, stays: impl Fn(&Session) -> bool) {
        let Some(sessions) = self.targets.get_mut(&target) else { return };
        let mut gone: SmallVec<[Session; 1]> = SmallVec::new();
        sessions.retain(|session| {
            let stay = stays(session);
            if !stay {
                gone.push(*session);
            }
            stay
        });
        self.forget(target, &gone);
    }

    fn forget(&mut self, target: Target, gone: &[Session]) {
        self.count -= gone.len();
        for pid in gone.iter().filter_map(|session| session.pid) {
            self.pids.remove(&pid);
        }
        if self.targets.get(&target).is_some_and(|sessions| sessions.is_empty()) {
            self.targets.remove(&target);
        }
    }

    /// The older half goes; without confirmation what is too old has gone with it.
    fn make_room(&mut self, now: Timestamp) {
        let mut births: Vec<Timestamp> =
            self.targets.values().flatten().map(|session| session.since).collect();
        let half = births.len() / 2;
        let (_, limit, _) = births.select_nth_unstable(half);
        let limit = (*limit).min(now);
        let targets: Vec<Target> = self.targets.keys().copied().collect();
        let mut surplus = half.max(1);
        for target in targets {
            let before = self.count;
            let budget = std::cell::Cell::new(surplus);
            self.retain(target, |session| {
                let goes = session.since <= limit && budget.get() > 0;
                budget.set(budget.get() - usize::from(goes));
                !goes
            });
            surplus -= before - self.count;
        }
    }
}

impl Session {
    fn lives(
        &mut self,
        time: Timestamp,
        arrived: Timestamp,
        confirm: Option<&(dyn Fn(IpAddr, Option<u16>) -> Option<bool> + Send)>,
    ) -> bool {
        let young = time.since(self.since) <= LONGEST;
        let Some(confirm) = confirm else { return young };
        if self.confirmed.is_some_and(|at| arrived >= at && arrived.since(at) < CONFIRMED) {
            return true;
        }
        match confirm(self.addr, self.port) {
            Some(true) => {
                self.confirmed = Some(arrived);
                true
            }
            Some(false) => false,
            None => young,
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("targets", &self.targets)
            .field("confirmed", &self.confirm.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn target() -> Target {
        "198.51.100.7".parse().unwrap()
    }

    fn open(sessions: &mut Sessions, port: u16, pid: u32, since: i64) {
        let addr = target().net().addr();
        sessions.open(target(), addr, Some(port), Some(pid), at(since));
    }

    fn live(sessions: &mut Sessions, time: i64) -> bool {
        sessions.live(target(), at(time), at(time))
    }

    #[test]
    fn a_session_lives_until_its_line_or_its_time_comes() {
        let mut sessions = Sessions::default();
        let addr = target().net().addr();
        assert!(!live(&mut sessions, 0));
        open(&mut sessions, 4711, 1, 0);
        open(&mut sessions, 4712, 2, 0);
        sessions.close_by(3);
        sessions.close_by(1);
        assert!(live(&mut sessions, 10), "the other one does");
        sessions.close(target(), addr, Some(4711), None);
        assert!(live(&mut sessions, 10));
        sessions.close(target(), addr, Some(4712), Some(99));
        assert!(!live(&mut sessions, 10));
        assert!(sessions.is_empty() && sessions.pids.is_empty());

        open(&mut sessions, 4711, 1, 0);
        let limit = i64::try_from(LONGEST.as_secs()).unwrap();
        assert!(live(&mut sessions, limit));
        assert!(!live(&mut sessions, limit + 1), "its last line was lost");
        // A process number that is used again belongs to the new session.
        open(&mut sessions, 4711, 1, 0);
        open(&mut sessions, 4720, 1, 5);
        assert_eq!(sessions.count, 1);
    }

    #[test]
    fn the_kernel_has_the_last_word() {
        let (stands, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let mut sessions = Sessions::default();
        sessions.confirm_by(Box::new({
            let (stands, asked) = (Arc::clone(&stands), Arc::clone(&asked));
            move |_, port| {
                assert_eq!(port, Some(4711));
                asked.fetch_add(1, Relaxed);
                Some(stands.load(Relaxed))
            }
        }));
        open(&mut sessions, 4711, 1, 0);
        let late = 10 * i64::try_from(LONGEST.as_secs()).unwrap();
        assert!(live(&mut sessions, late), "however long it lasts");
        stands.store(false, Relaxed);
        assert!(live(&mut sessions, late), "once a second is enough");
        assert_eq!(asked.load(Relaxed), 1);
        assert!(!live(&mut sessions, late + 1));
        assert!(sessions.is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut sessions = Sessions::default();
        for n in 0..10 * u32::try_from(MOST).unwrap() {
            let target = Target::of_address(std::net::Ipv4Addr::from(n / 2).into());
            sessions.open(target, target.net().addr(), None, Some(n), at(n.into()));
            assert!(sessions.count <= MOST && sessions.pids.len() <= MOST);
        }
        let newest = Target::of_address(
            std::net::Ipv4Addr::from(5 * u32::try_from(MOST).unwrap() - 1).into(),
        );
        assert!(sessions.live(newest, at(50_000), at(50_000)));
        // All at the same time.
        let mut sessions = Sessions::default();
        for n in 0..2 * u32::try_from(MOST).unwrap() {
            let target = Target::of_address(std::net::Ipv4Addr::from(n).into());
            sessions.open(target, target.net().addr(), None, Some(n), at(0));
            assert!(sessions.count <= MOST);
        }
    }
}

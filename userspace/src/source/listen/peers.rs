//! Who speaks to a socket, and whether he may.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::event::canonical;
use crate::source::ListenerCounts;

/// Senders of datagrams that are told apart; what more there are isn't counted.
const HEARD: usize = 1024;
/// A sender of datagrams is a peer for so long.
const MEMORY: Duration = Duration::from_secs(600);

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Peer {
    /// Over the network.
    Address(IpAddr),
    /// A process on this host, as the kernel says.
    Process { pid: i32, uid: u32 },
}

impl Peer {
    /// IPv4 within IPv6 is IPv4.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self::Address(canonical(address.ip()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Process { pid, uid } => write!(f, "process {pid} of user {uid}"),
        }
    }
}

/// Who may speak.
#[derive(Clone, Debug)]
pub(super) enum Admission {
    /// Root, ourselves, and whom the rights of the socket let in where those name a group.
    Rights { group: bool },
    /// These addresses; none: everybody.
    Addresses(Vec<IpNet>),
}

impl Admission {
    pub(super) fn admits(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::Rights { group }, Peer::Process { uid, .. }) => {
                *group || uid == 0 || uid == rustix::process::geteuid().as_raw()
            }
            (Self::Addresses(from), Peer::Address(address)) => {
                from.is_empty() || from.iter().any(|net| net.contains(&address))
            }
            (Self::Rights { .. }, Peer::Address(_))
            | (Self::Addresses(_), Peer::Process { .. }) => false,
        }
    }
}

/// Says that a peer was turned away: at the first, second, fourth, ... time, since a flood of them mustn't
/// fill the log.
pub(super) fn refuse(name: &str, peer: Peer, why: &str, counts: &ListenerCounts) {
    let times = counts.refuse();
    if times.is_power_of_two() {
        tracing::warn!(source = name, %peer, times, "A sender is turned away: {why}.");
    }
}

/// Who has sent datagrams lately.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<Peer, Instant>);

impl Heard {
    pub(super) fn note(&mut self, peer: Peer, now: Instant) {
        if self.0.len() < HEARD || self.0.contains_key(&peer) {
            self.0.insert(peer, now);
        }
    }

    /// How many, those forgotten that have been silent for long.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        self.0.retain(|_, heard| now.saturating_duration_since(*heard) < MEMORY);
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Peer {
        Peer::of(SocketAddr::new(address.parse().unwrap(), 514))
    }

    #[test]
    fn who_is_named_may_speak_and_nobody_else() {
        let from = ["192.0.2.0/24", "2001:db8::5/128"].map(|net| net.parse().unwrap()).to_vec();
        let named = Admission::Addresses(from);
        for (address, admitted) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("2001:db8::5", true),
            ("2001:db8::6", false),
            ("198.51.100.1", false),
        ] {
            assert_eq!(named.admits(at(address)), admitted, "{address}");
            assert!(Admission::Addresses(Vec::new()).admits(at(address)));
        }
        let process = |uid| Peer::Process { pid: 1, uid };
        let us = rustix::process::geteuid().as_raw();
        for (uid, group, admitted) in [
            (0, false, true),
            (us, false, true),
            (us + 4711, false, false),
            (us + 4711, true, true),
        ] {
            assert_eq!(Admission::Rights { group }.admits(process(uid)), admitted, "{uid} {group}");
        }
    }

    #[test]
    fn many_forged_senders_take_no_more_room_than_some() {
        let (mut heard, start) = (Heard::default(), Instant::now());
        for n in 0..100_000_u32 {
            heard.note(Peer::Address(IpAddr::from(n.to_be_bytes())), start);
        }
        assert_eq!(heard.count(start), HEARD);
        assert_eq!(heard.count(start + MEMORY), 0);
    }
}

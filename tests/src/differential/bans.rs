//! Bans and what they mean, said anew and the slow way: all prefixes in a list, the longest wins.

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_common::destination::Destination;
use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED, PERMANENT, Reason, SCOPED_PERMANENT};

use crate::xdp::{PERMANENT_ENTRY, Program};

/// What the model expects of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// What became of it.
    pub reason: Reason,
    /// The ban that dropped it.
    pub ban: Option<&'static str>,
}

impl Verdict {
    /// It passes for this reason.
    pub const fn pass(reason: Reason) -> Self {
        Self { reason, ban: None }
    }
}

/// Bans of every kind, and an allow list.
pub struct Bans {
    bans: Vec<Ban>,
    allowed: Vec<IpNet>,
}

#[derive(Clone, Copy)]
struct Ban {
    text: &'static str,
    net: IpNet,
    kind: Kind,
}

/// How a ban is in the map.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Holds,
    /// It lapsed long ago.
    Lapsed,
    /// It holds, and the allow list is asked.
    HoldsAllowed,
    /// Of the ports of this index of [`SCOPES`], and the allow list is asked.
    Of(u16),
    /// Likewise, but it lapsed long ago.
    LapsedOf(u16),
}

use Kind::{Holds, HoldsAllowed, Lapsed, LapsedOf, Of};

/// Sets of ports, first and last each, by index; the first stands for none, the last is missing in the map.
const SCOPES: [&[(u16, u16)]; 4] =
    [&[], &[(25, 25), (465, 465), (8000, 8010)], &[(1, u16::MAX)], &[]];

const BANS: &[(&str, Kind)] = &[
    ("198.51.100.7/32", Holds),
    ("198.51.100.8/32", Lapsed),
    ("198.51.100.9/32", HoldsAllowed),
    ("198.51.100.10/32", Holds), // on the allow list, but not flagged
    ("203.0.113.0/32", Holds),
    ("255.255.255.255/32", Holds),
    ("0.0.0.0/32", Holds),        // never
    ("169.254.7.7/32", Holds),    // never
    ("203.0.113.64/32", Lapsed),  // under a prefix that holds
    ("203.0.113.200/32", Lapsed), // under a prefix that has lapsed
    ("203.0.113.64/26", Holds),
    ("203.0.113.96/27", Lapsed), // the longest match hides what is around it
    ("203.0.113.192/26", Lapsed),
    ("192.0.2.0/24", HoldsAllowed),
    ("192.0.2.128/31", Holds),
    ("169.254.0.0/17", Holds),
    ("11.0.0.0/8", Holds),
    ("128.0.0.0/1", Lapsed),
    ("198.51.100.11/32", Of(1)),
    ("198.51.100.12/32", Of(2)),
    ("198.51.100.13/32", Of(3)),
    ("198.51.100.14/32", LapsedOf(1)),
    ("203.0.113.65/32", Of(1)), // under a prefix that holds for every port
    ("198.18.0.0/15", Of(1)),
    ("198.18.0.1/32", Of(1)),  // an allowed address
    ("169.254.8.8/32", Of(2)), // never
    ("2001:db8:0:4::/64", Of(1)),
    ("2001:db8:0:5::/64", LapsedOf(2)),
    ("2001:db8:0:6::/64", Of(2)),
    ("2001:db8:1:3::/64", Of(1)), // under a prefix that holds for every port
    ("2001:db8:6::/48", Of(1)),
    ("2001:db8:7::7/128", Of(2)),
    ("2001:db8:0:1::/64", Holds),
    ("2001:db8:0:2::/64", Lapsed),
    ("2001:db8:0:3::/64", HoldsAllowed),
    ("fe80::/64", Holds), // never
    ("::/64", Holds),     // except for `::` itself
    ("2001:db8:1::/48", Holds),
    ("2001:db8:1:1::/64", Lapsed), // under a prefix that holds
    ("2001:db8:1:2::7/128", Lapsed),
    ("2001:db8:2::/47", HoldsAllowed),
    ("2001:db8:4::7/128", Holds),
    ("2001:db8:5::8/127", Holds),
    ("fe80::/10", Holds), // never
    ("3000::/4", Lapsed),
    ("ff00::/8", Holds),
];

const ALLOWED: &[&str] = &[
    "198.51.100.9/32",
    "198.51.100.10/32",
    "192.0.2.64/28",
    "2001:db8:0:3::/65",
    "2001:db8:3:8000::/49",
    "11.11.11.11/32",
    "198.18.0.1/32",
];

impl Bans {
    /// Them.
    #[expect(clippy::new_without_default, reason = "there is nothing default about them")]
    pub fn new() -> Self {
        let parse = |text: &str| text.parse().expect("the tables above hold prefixes");
        Self {
            bans: BANS.iter().map(|&(text, kind)| Ban { text, net: parse(text), kind }).collect(),
            allowed: ALLOWED.iter().copied().map(parse).collect(),
        }
    }

    /// Puts them into the program's maps.
    ///
    /// # Panics
    /// Where a map is full.
    pub fn enter_into(&self, program: &mut Program) {
        for (index, ports) in (0..).zip(SCOPES).skip(1) {
            program.scope(index, ports);
        }
        for ban in &self.bans {
            let (expires_ns, flags, scope, scoped_until_s) = match ban.kind {
                Holds => (PERMANENT, 0, 0, 0),
                Lapsed => (1, 0, 0, 0),
                HoldsAllowed => (PERMANENT, FLAG_HOLDS_ALLOWED, 0, 0),
                Of(scope) => (0, FLAG_HOLDS_ALLOWED, scope, SCOPED_PERMANENT),
                LapsedOf(scope) => (1, 0, scope, 1),
            };
            let entry = Entry { expires_ns, flags, scope, scoped_until_s, ..PERMANENT_ENTRY };
            program.ban(ban.text, entry).expect("the maps have room for these few");
        }
        for net in ALLOWED {
            program.allow(net);
        }
    }

    /// What they are on, as written.
    pub fn targets(&self) -> impl Iterator<Item = &'static str> {
        self.bans.iter().map(|ban| ban.text)
    }

    /// First and last address of each ban and allowed prefix, and their neighbours outside.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let nets = self.bans.iter().map(|ban| ban.net).chain(self.allowed.iter().copied());
        nets.flat_map(|net| {
            let (first, last) = (net.network(), net.broadcast());
            [first, last, step(first, false), step(last, true)]
        })
        .collect()
    }

    /// What becomes of a packet from `source` that is bound for `destination`.
    pub fn judge(&self, source: IpAddr, destination: Destination) -> Verdict {
        let exact_len = if source.is_ipv4() { 32 } else { 64 };
        let around = self.bans.iter().filter(|ban| ban.net.contains(&source));
        let (exact, nets): (Vec<&Ban>, Vec<&Ban>) =
            around.partition(|ban| ban.net.prefix_len() == exact_len);
        let longest = nets.into_iter().max_by_key(|ban| ban.net.prefix_len());

        let dropped = match source {
            IpAddr::V4(_) => [Reason::DroppedV4, Reason::DroppedNetV4],
            IpAddr::V6(_) => [Reason::DroppedV6, Reason::DroppedNetV6],
        };
        let mut passed = Reason::PassedMiss;
        for (ban, reason) in [exact.first().copied(), longest].into_iter().zip(dropped) {
            let Some(ban) = ban else { continue };
            match ban.kind {
                Lapsed | LapsedOf(_) => passed = Reason::PassedExpired,
                Of(scope) if !concerns(scope, destination) => passed = Reason::PassedOtherPort,
                Holds | HoldsAllowed | Of(_) if is_a_links_own(source) => {
                    return Verdict::pass(Reason::PassedAllowed);
                }
                HoldsAllowed | Of(_) if self.allowed.iter().any(|net| net.contains(&source)) => {
                    return Verdict::pass(Reason::PassedAllowed);
                }
                Holds | HoldsAllowed | Of(_) => return Verdict { reason, ban: Some(ban.text) },
            }
        }
        Verdict::pass(passed)
    }
}

/// Whether a ban of a scope is about such a packet.
fn concerns(scope: u16, destination: Destination) -> bool {
    let ports = SCOPES[usize::from(scope)];
    match destination {
        Destination::Port(port) => {
            ports.iter().any(|(first, last)| (first..=last).contains(&&port))
        }
        Destination::Portless => false,
        Destination::Unknown => !ports.is_empty(),
    }
}

/// Link-local or unspecified: never banned.
fn is_a_links_own(source: IpAddr) -> bool {
    source.is_unspecified()
        || match source {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

fn step(address: IpAddr, up: bool) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let bits = v4.to_bits();
            IpAddr::V4((if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) }).into())
        }
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            IpAddr::V6((if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) }).into())
        }
    }
}

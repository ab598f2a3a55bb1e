//! How far a ban reaches, and how long: every port until one moment, some ports until another.
//!
//! The two are apart because a ban of ports must not make a ban of every port longer, nor be made shorter
//! by it. Extents are ordered part by part, which is what nested prefixes need: see [`super::nets`].

use ravelin_common::{Entry, PERMANENT, SCOPED_PERMANENT};

use super::clock::Expiry;
use crate::event::Ports;

const NS_PER_S: u64 = 1_000_000_000;

/// What is banned until when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Extent {
    /// Every port; `None`: not that.
    pub(super) every: Option<Expiry>,
    /// Some of them.
    pub(super) scoped: Option<(Ports, Expiry)>,
}

impl Extent {
    /// Of one ban; `ports` `None`: every one.
    pub(super) fn of(ports: Option<&Ports>, expires: Expiry) -> Self {
        match ports {
            None => Self { every: Some(expires), scoped: None },
            Some(ports) => Self { every: None, scoped: Some((ports.clone(), expires)) },
        }
    }

    /// Out of an entry, whose scope are these ports.
    pub(super) fn of_entry(entry: &Entry, ports: Option<Ports>) -> Self {
        Self {
            every: (entry.expires_ns != 0).then(|| Expiry::from_ns(entry.expires_ns)),
            scoped: ports.map(|ports| (ports, from_s(entry.scoped_until_s))),
        }
    }

    /// [`Entry::expires_ns`] and [`Entry::scoped_until_s`].
    pub(super) fn in_entry(&self) -> (u64, u32) {
        (
            self.every.map_or(0, Expiry::as_ns),
            self.scoped.as_ref().map_or(0, |(_, expires)| as_s(*expires)),
        )
    }

    /// When all of it has lapsed.
    pub(super) fn last(&self) -> Expiry {
        let scoped = self.scoped.as_ref().map(|(_, expires)| *expires);
        self.every.max(scoped).unwrap_or(Expiry::At(0))
    }

    /// The moments at which a part of it lapses.
    pub(super) fn lapses(&self) -> impl Iterator<Item = Expiry> {
        self.every.into_iter().chain(self.scoped.as_ref().map(|(_, expires)| *expires))
    }

    /// Both together: no less than either in any part.
    pub(super) fn join(&self, other: &Self) -> Self {
        Self {
            every: self.every.max(other.every),
            scoped: match (&self.scoped, &other.scoped) {
                (Some((ours, until)), Some((theirs, others_until))) => {
                    Some((ours.union(theirs), (*until).max(*others_until)))
                }
                (ours, theirs) => ours.clone().or_else(|| theirs.clone()),
            },
        }
    }

    /// Whether no part of `other` is more.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.every >= other.every
            && match (&self.scoped, &other.scoped) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some((ours, until)), Some((theirs, others_until))) => {
                    until >= others_until && ours.covers(theirs)
                }
            }
    }

    /// With another ban of the same target: of the same ports (or again of every port) the new expiry
    /// counts, earlier or later. Other ports are added to those of a ban that still holds, which together
    /// last as long as the longer one.
    pub(super) fn renewed(mut self, ports: Option<&Ports>, expires: Expiry, now_ns: u64) -> Self {
        self.prune(now_ns);
        match (ports, &mut self.scoped) {
            (None, _) => self.every = Some(expires),
            (Some(ports), Some((known, until))) if ports != known => {
                *known = known.union(ports);
                *until = expires.max(*until);
            }
            (Some(ports), scoped) => *scoped = Some((ports.clone(), expires)),
        }
        self
    }

    /// Drops the parts that have lapsed; whether there were any.
    pub(super) fn prune(&mut self, now_ns: u64) -> bool {
        let before = (self.every.is_some(), self.scoped.is_some());
        self.every = self.every.filter(|expires| !expires.lapsed(now_ns));
        self.scoped = self.scoped.take().filter(|(_, expires)| !expires.lapsed(now_ns));
        before != (self.every.is_some(), self.scoped.is_some())
    }

    /// Every finite expiry this much earlier.
    pub(super) fn earlier(&self, by_ns: u64) -> Self {
        Self {
            every: self.every.map(|expires| expires.earlier(by_ns)),
            scoped: self.scoped.clone().map(|(ports, expires)| (ports, expires.earlier(by_ns))),
        }
    }
}

/// Rounded up: a ban of ports may last up to a second longer.
fn as_s(expires: Expiry) -> u32 {
    match expires {
        Expiry::At(ns) => u32::try_from(ns.div_ceil(NS_PER_S))
            .unwrap_or(SCOPED_PERMANENT)
            .min(SCOPED_PERMANENT - 1),
        Expiry::Permanent => SCOPED_PERMANENT,
    }
}

const fn from_s(seconds: u32) -> Expiry {
    match seconds {
        SCOPED_PERMANENT => Expiry::Permanent,
        seconds => Expiry::At(seconds as u64 * NS_PER_S),
    }
}

const _: () = assert!((SCOPED_PERMANENT as u64) < PERMANENT / NS_PER_S);

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = NS_PER_S;

    fn ports(text: &str) -> Ports {
        text.parse().unwrap()
    }

    fn of(text: &str, expires: u64) -> Extent {
        let ports = (text != "*").then(|| ports(text));
        Extent::of(ports.as_ref(), Expiry::At(expires * S))
    }

    fn renewed(extent: Extent, text: &str, expires: u64, now: u64) -> Extent {
        let ports = (text != "*").then(|| ports(text));
        extent.renewed(ports.as_ref(), Expiry::At(expires * S), now * S)
    }

    #[test]
    fn a_second_ban_never_takes_from_the_first_nor_stretches_a_ban_of_every_port() {
        // The same again: the new expiry, also an earlier one.
        assert_eq!(renewed(of("25", 10), "25", 5, 1), of("25", 5));
        assert_eq!(renewed(of("*", 10), "*", 5, 1), of("*", 5));
        // Other ports: all of them, as long as the longer.
        assert_eq!(renewed(of("25", 10), "80", 5, 1), of("25,80", 10));
        assert_eq!(renewed(of("25", 5), "80", 10, 1), of("25,80", 10));
        // Not those of a ban that has lapsed.
        assert_eq!(renewed(of("25", 10), "80", 20, 10), of("80", 20));
        // Every port beside ports: each for its own time, in whatever order they came.
        let both = Extent { every: of("*", 5).every, scoped: of("25", 10).scoped };
        assert_eq!(renewed(of("25", 10), "*", 5, 1), both);
        assert_eq!(renewed(of("*", 5), "25", 10, 1), both);
        assert_eq!(both.last(), Expiry::At(10 * S));
    }

    #[test]
    fn survives_the_entry_a_second_late_at_most() {
        let extent = Extent {
            every: Some(Expiry::At(7)),
            scoped: Some((ports("25"), Expiry::At(3 * S + 1))),
        };
        let (expires_ns, scoped_until_s) = extent.in_entry();
        assert_eq!((expires_ns, scoped_until_s), (7, 4));
        let entry = Entry { expires_ns, scoped_until_s, scope: 1, ..Entry::default() };
        let back = Extent::of_entry(&entry, Some(ports("25")));
        assert_eq!(back.scoped, Some((ports("25"), Expiry::At(4 * S))));
        assert!(back.covers(&extent));

        let (_, forever) = Extent::of(Some(&ports("25")), Expiry::Permanent).in_entry();
        assert_eq!(from_s(forever), Expiry::Permanent);
        assert_eq!(
            from_s(as_s(Expiry::At(u64::MAX - 1))),
            Expiry::At((u64::from(u32::MAX) - 1) * S)
        );
    }

    #[test]
    fn a_join_covers_both() {
        let all = [of("25", 5), of("80", 9), of("*", 7), of("25,80", 3), Extent::default()];
        for a in &all {
            for b in &all {
                let join = a.join(b);
                assert!(join.covers(a) && join.covers(b), "{a:?} {b:?}");
                assert_eq!(join == *a, a.covers(b));
            }
        }
    }
}

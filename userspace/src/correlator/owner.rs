//! Whose evidence an entry holds, packed for a table of a million.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU8;

use ipnet::IpNet;

use crate::event::Target;

/// A target, or a window that has no address in its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    high: u64,
    low: u64,
    /// A target's third word, or one of those below.
    tag: u8,
}

/// Tag of a window that has no address in its key.
const SHARED: u8 = u8::MAX - 1;
/// Tag of an unused entry.
const VACANT: u8 = u8::MAX;

impl Owner {
    /// Nobody: the entry is free.
    pub(super) const VACANT: Self = Self { high: 0, low: 0, tag: VACANT };

    /// Evidence about a target.
    #[inline]
    pub(super) const fn target(target: Target) -> Self {
        let (high, low, tag) = target.words();
        Self { high, low, tag: tag.get() }
    }

    /// A window of many offenders: the rule that leads its group, and a hash of the key.
    #[inline]
    pub(super) fn shared(rule: u32, hash: u64) -> Self {
        Self { high: hash, low: u64::from(rule), tag: SHARED }
    }

    /// Whether it is a target that lies in `net`.
    pub(super) fn lies_in(self, net: IpNet) -> bool {
        NonZeroU8::new(self.tag)
            .filter(|tag| tag.get() < SHARED)
            .map(|tag| Target::of_words(self.high, self.low, tag))
            .is_some_and(|target| Target::from(net).covers(target))
    }
}

impl Hash for Owner {
    /// In as few words as it takes (one for IPv4): most of a lookup's time is hashing.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.high != 0 {
            state.write_u64(self.high);
        }
        state.write_u64(self.low ^ (u64::from(self.tag) << 56));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_and_found_in_their_nets() {
        let targets = [
            "198.51.100.7/32",
            "198.51.100.0/24",
            "0.0.0.0/0",
            "2001:db8::/64",
            "2001:db8::/128",
            "2001:db8::1/128",
            "::/0",
        ]
        .map(|text| text.parse::<Target>().unwrap());
        for one in targets {
            for other in targets {
                let [a, b] = [one, other].map(Owner::target);
                assert_eq!(a == b, one == other);
                assert_eq!(a.lies_in(other.net()), other.covers(one), "{one} in {other}");
            }
        }
        assert!(!Owner::shared(1, 2).lies_in("::/0".parse().unwrap()));
        assert!(!Owner::VACANT.lies_in("::/0".parse().unwrap()));
    }
}

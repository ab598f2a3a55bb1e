//! The port sets that port-scoped bans refer to.
//!
//! A ban names its set by an index ([`Entry::scope`](crate::Entry::scope)) into
//! [`map::SCOPES`](crate::map::SCOPES). Index 0 stands for "no scope" and is never read. Userspace
//! writes a set before an entry refers to it, and writes another one over it only when none does any
//! more. An index without a set behind it names an empty one: such a ban drops nothing.

/// How many sets there are, the unused one at 0 among them: the size of the map.
pub const SCOPES: u32 = 256;

/// Ranges in a set.
pub const RANGES: usize = 16;

/// A range of destination ports.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct PortRange {
    /// The first port, at least 1.
    pub first: u16,
    /// The last one; 0: there is no such range, and none after it.
    pub last: u16,
}

/// A set of ports.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Scope {
    /// Its ranges; those in use come first.
    pub ranges: [PortRange; RANGES],
}

impl Scope {
    /// Whether `port` is in it.
    #[inline(always)]
    pub fn contains(&self, port: u16) -> bool {
        for PortRange { first, last } in self.ranges {
            if last == 0 {
                return false;
            }
            if port >= first && port <= last {
                return true;
            }
        }
        false
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        let [first, ..] = self.ranges;
        first.last == 0
    }
}

const _: () = assert!(size_of::<Scope>() == 64);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya copies map keys and values as plain bytes; Pod is its promise for that"
)]
mod pod {
    // SAFETY: all fields are integers, `repr(C)` without padding (asserted by size above), every bit
    // pattern is a valid value.
    unsafe impl aya::Pod for super::Scope {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_ends_at_its_first_unused_range() {
        let mut scope = Scope::default();
        assert!(scope.is_empty() && !scope.contains(0) && !scope.contains(1));
        scope.ranges[0] = PortRange { first: 25, last: 25 };
        scope.ranges[1] = PortRange { first: 8000, last: 8010 };
        scope.ranges[3] = PortRange { first: 1, last: 9999 };
        assert!(scope.contains(25) && scope.contains(8000) && scope.contains(8010));
        assert!(!scope.contains(0) && !scope.contains(26) && !scope.contains(8011));
    }
}

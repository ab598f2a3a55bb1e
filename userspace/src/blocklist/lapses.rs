//! When bans lapse, so that sweeping takes what is due and looks at nothing else.
//!
//! A renewed ban keeps its earlier place in the queue: when that comes, the map says the true expiry and
//! it is queued anew. So each ban is here about once, whatever is done to it, at 16 bytes for an address.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Expiry;

/// A queue of keys by expiry in nanoseconds of the monotonic clock.
pub(super) struct Lapses<K>(BinaryHeap<Reverse<(u64, K)>>);

impl<K: Copy + Ord> Lapses<K> {
    pub(super) const fn new() -> Self {
        Self(BinaryHeap::new())
    }

    /// Has `key` looked at when this expiry comes.
    pub(super) fn note(&mut self, key: K, expires: Expiry) {
        if let Expiry::At(ns) = expires {
            self.0.push(Reverse((ns, key)));
        }
    }

    /// The next key whose noted expiry isn't after `due_ns`.
    pub(super) fn take(&mut self, due_ns: u64) -> Option<K> {
        match self.0.peek() {
            Some(Reverse((ns, _))) if *ns <= due_ns => self.0.pop().map(|Reverse((_, key))| key),
            _ => None,
        }
    }

    /// The next expiry that was noted.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((ns, _))| *ns)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_due_in_order_and_never_the_permanent() {
        let mut lapses = Lapses::new();
        lapses.note("late", Expiry::At(30));
        lapses.note("never", Expiry::Permanent);
        lapses.note("early", Expiry::At(10));
        assert_eq!(lapses.next_ns(), Some(10));
        assert_eq!(lapses.take(9), None);
        assert_eq!(lapses.take(30), Some("early"));
        assert_eq!(lapses.take(30), Some("late"));
        assert_eq!(lapses.take(u64::MAX), None);
        assert_eq!(lapses.len(), 0);
    }
}

//! Counting rules that look at the same events of the same key, and differ only in their numbers.

use smallvec::SmallVec;

/// Milliseconds after the anchor of the entry that holds the window.
pub(super) type Tick = u32;

/// How many rungs share a window at most; a longer ladder gets several.
pub(super) const RUNGS: usize = 4;

/// How often each rung fired.
pub(super) type Firings = [u32; RUNGS];

/// The rules that share a window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ladder {
    /// At least one, at most [`RUNGS`].
    pub(super) rungs: SmallVec<[Rung; RUNGS]>,
    /// The longest `within`.
    pub(super) reach: Tick,
    /// The times, or values, that have to be kept: one less than the highest count, but one at least.
    pub(super) capacity: u16,
}

/// One counting rule of a ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    /// Index of the rule.
    pub(super) rule: u32,
    /// Fires on the n-th event; at least 1.
    pub(super) count: u16,
    /// Age that still counts, inclusive.
    pub(super) within: Tick,
}

impl Ladder {
    pub(super) fn new(rungs: SmallVec<[Rung; RUNGS]>) -> Self {
        debug_assert!((1..=RUNGS).contains(&rungs.len()), "a ladder has 1 to {RUNGS} rungs");
        debug_assert!(rungs.iter().all(|rung| rung.count > 0), "a rung counts to 1 at least");
        let reach = rungs.iter().map(|rung| rung.within).max().unwrap_or(0);
        let count = rungs.iter().map(|rung| rung.count).max().unwrap_or(1);
        Self { rungs, reach, capacity: count.saturating_sub(1).max(1) }
    }
}

/// Which evidence a window has counted, or a firing was due to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Evidence {
    /// Only what may ban.
    Bannable,
    /// All of it; a window of it exists beside the other once something came that may not ban.
    All,
}

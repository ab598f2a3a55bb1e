//! What has been written, and so what must have come of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ravelin::event::Target;

/// What must come of everything that was written.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// All lines, those that mean nothing among them.
    pub lines: u64,
    /// Lines that are counted, by number.
    pub marks: BTreeMap<u64, Target>,
    /// Lines that ban, by number.
    pub hits: BTreeMap<u64, Target>,
    /// Bans by count: the number of the line that completes it.
    pub counted: BTreeMap<u64, Target>,
    /// Bans by score: likewise.
    pub scored: BTreeMap<u64, Target>,
    /// Who has one line too few.
    pub spared: Vec<Target>,
    /// What happened to the logs, by kind.
    pub rotations: BTreeMap<&'static str, u64>,
    /// Lines that were waited for in vain.
    pub stalled: Vec<String>,
}

impl Script {
    /// Everybody who must be banned.
    pub fn banned(&self) -> impl Iterator<Item = (u64, Target)> {
        let all = self.hits.iter().chain(&self.counted).chain(&self.scored);
        all.map(|(serial, target)| (*serial, *target))
    }
}

/// The writers' way of telling, and of being told how far they may go.
#[derive(Debug)]
pub(super) struct Desk {
    script: Mutex<Script>,
    /// Lines that each writer may have written.
    limit: Mutex<u64>,
    raised: Condvar,
    /// Whether lines are written of which several make a ban.
    pub(super) together: bool,
}

impl Desk {
    /// Nothing may be written yet.
    pub(super) fn new(together: bool) -> Self {
        Self { script: Mutex::default(), limit: Mutex::new(0), raised: Condvar::new(), together }
    }

    /// What was written so far.
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each writer may go on up to so many lines.
    pub(super) fn raise(&self, limit: u64) {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
        self.raised.notify_all();
    }

    /// Waits until more than `lines` may be written; gives the limit.
    pub(super) fn may_pass(&self, lines: u64) -> u64 {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        while *limit <= lines {
            limit = self.raised.wait(limit).unwrap_or_else(PoisonError::into_inner);
        }
        *limit
    }
}

/// Somebody whose lines make a ban together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collector {
    /// Who.
    pub(super) address: IpAddr,
    /// Lines that are still to come.
    pub(super) left: u8,
    /// Whether they are enough.
    pub(super) banned: bool,
    /// By score, not by count.
    pub(super) by_score: bool,
}

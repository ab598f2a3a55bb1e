//! Removing what has lapsed, and following the clock through a suspended machine.
//!
//! Nothing depends on it: a lapsed ban drops nothing, swept or not. It frees the room and says what the
//! ban counted.

use super::amend::amend;
use super::place::{self, Place};
use super::{Blocklist, BlocklistError, Clock, KernelBan};
use crate::event::Target;

/// How far the program's clock may be behind: it is read once a tick, and the longest tick is 10 ms.
const GRACE_NS: u64 = 20_000_000;
/// How many lapsed bans are removed by one call: about 10 ms, so that a mass lapse doesn't hold up a
/// ban.
const AT_ONCE: usize = 2_000;
/// Two clock readings differ by less than this when the machine wasn't suspended between them.
const SUSPEND_NS: u64 = 100_000_000;

impl Blocklist {
    /// Removes bans that have lapsed, with their final counts; a couple of thousand at most, so that more may
    /// be due at once: see [`next_lapse_ns`](Self::next_lapse_ns).
    ///
    /// The monotonic clock stands still while the machine is suspended, time doesn't: what it missed is
    /// taken off all bans first.
    ///
    /// # Errors
    /// Where a map can't be written.
    pub fn sweep(&mut self, clock: &Clock) -> Result<Vec<KernelBan>, BlocklistError> {
        let missed = clock.suspended_ns().saturating_sub(self.suspended_ns);
        if missed > SUSPEND_NS {
            self.shift_earlier(missed)?;
            self.suspended_ns = clock.suspended_ns();
        }
        let due = clock.monotonic_ns().saturating_sub(GRACE_NS);
        let mut lapsed = Vec::new();
        while lapsed.len() < AT_ONCE {
            let Some(target) = self.next_due(due) else { break };
            lapsed.extend(self.sweep_one(target, due)?);
        }
        if self.is_stale() {
            self.take_stock_of_exact()?;
        }
        Ok(lapsed)
    }

    /// When the next ban may lapse, in nanoseconds of the monotonic clock: sweep then.
    pub fn next_lapse_ns(&self) -> Option<u64> {
        [self.lapses_v4.next_ns(), self.lapses_v6.next_ns(), self.lapses_nets.next_ns()]
            .into_iter()
            .flatten()
            .min()
            .map(|ns| ns.saturating_add(GRACE_NS))
    }

    fn next_due(&mut self, due_ns: u64) -> Option<Target> {
        self.lapses_v4
            .take(due_ns)
            .map(place::of_v4)
            .or_else(|| self.lapses_v6.take(due_ns).map(place::of_v6))
            .or_else(|| self.lapses_nets.take(due_ns))
    }

    /// Removes a ban that may have lapsed; if it was renewed meanwhile, notes when it will have.
    fn sweep_one(
        &mut self,
        target: Target,
        due_ns: u64,
    ) -> Result<Option<KernelBan>, BlocklistError> {
        let Some(ban) = self.entry(target)? else { return Ok(None) };
        if !ban.expires.lapsed(due_ns) {
            match Place::from(target) {
                Place::V4(_) | Place::V6(_) => self.note_lapse(target, ban.expires),
                Place::NetV4(_) | Place::NetV6(_) => self.prune_net(target, due_ns)?,
            }
            return Ok(None);
        }
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => {
                // Lapsed long enough that nothing counts in it any more.
                let removed = self.maps.remove(target)?;
                if removed {
                    self.note_gone(target);
                }
                Ok(removed.then_some(ban))
            }
            Place::NetV4(_) | Place::NetV6(_) => self.remove_net(target),
        }
    }

    /// Takes from a prefix, and from those in it, what of its ban has lapsed before the rest.
    fn prune_net(&mut self, target: Target, due_ns: u64) -> Result<(), BlocklistError> {
        if self.nets.prune(target.net(), due_ns) {
            self.settle(target.net())?;
        }
        let left = self.nets.get(target.net()).map(|known| known.wanted.clone());
        for expires in left.iter().flat_map(|extent| extent.lapses()) {
            self.lapses_nets.note(target, expires);
        }
        Ok(())
    }

    /// Moves every finite expiry.
    fn shift_earlier(&mut self, by_ns: u64) -> Result<(), BlocklistError> {
        let mut finite = Vec::new();
        self.maps.each_exact(|target, entry| {
            let extent = self.maps.extent(&entry);
            let earlier = extent.earlier(by_ns);
            if earlier != extent {
                finite.push((target, earlier));
            }
        })?;
        for (target, extent) in finite {
            let amended = self.amended(target, &extent)?;
            amend(&mut self.ebpf, target, amended)?;
        }
        self.take_stock_of_exact()?;

        self.nets.shift_earlier(by_ns);
        for all in ["0.0.0.0/0", "::/0"] {
            if let Ok(all) = all.parse() {
                self.settle(all)?;
            }
        }
        self.lapses_nets.clear();
        for (net, known) in self.nets.iter() {
            for expires in known.wanted.lapses() {
                self.lapses_nets.note(Target::from(net), expires);
            }
        }
        Ok(())
    }
}

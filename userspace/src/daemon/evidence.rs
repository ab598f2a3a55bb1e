//! The last lines about each offender, for the mail and the history of its ban.
//!
//! Two generations of a bounded table: when the young one is full, it becomes the old one, and what was
//! old and not seen since is forgotten. So memory is bounded whatever the attacker does, and a line
//! costs one hash.

use std::collections::HashMap;
use std::mem;

use crate::event::Target;
use crate::store::Evidence;

/// Offenders in a generation.
const OFFENDERS: usize = 4096;

/// Recent lines by target.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashMap<Target, Evidence>,
    old: HashMap<Target, Evidence>,
}

impl Recent {
    /// Remembers a line about `target`.
    pub(super) fn note(&mut self, target: Target, line: &[u8]) {
        if let Some(lines) = self.young.get_mut(&target) {
            lines.push(line);
            return;
        }
        if self.young.len() >= OFFENDERS {
            self.old = mem::take(&mut self.young);
        }
        let mut lines = self.old.remove(&target).unwrap_or_default();
        lines.push(line);
        self.young.insert(target, lines);
    }

    /// The lines about it, oldest first.
    pub(super) fn of(&self, target: Target) -> Evidence {
        self.young.get(&target).or_else(|| self.old.get(&target)).cloned().unwrap_or_default()
    }

    /// They have led to what they led to.
    pub(super) fn forget(&mut self, target: Target) {
        self.young.remove(&target);
        self.old.remove(&target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(n: usize) -> Target {
        format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255).parse().unwrap()
    }

    #[test]
    fn keeps_the_recent_and_stays_bounded() {
        let mut recent = Recent::default();
        recent.note(target(0), b"first");
        for n in 1..3 * OFFENDERS {
            recent.note(target(n), b"flood");
            if n % 1000 == 0 {
                recent.note(target(0), b"again");
            }
        }
        assert!(recent.young.len() <= OFFENDERS && recent.old.len() <= OFFENDERS);
        assert_eq!(recent.of(target(0)).lines()[0], "first");
        assert!(recent.of(target(1)).lines().is_empty());
        recent.forget(target(0));
        assert!(recent.of(target(0)).lines().is_empty());
    }
}

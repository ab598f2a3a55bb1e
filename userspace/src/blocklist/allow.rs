//! The kernel's allow list, and what it does to bans.

use ipnet::IpNet;
use prefix_trie::joint::set::JointPrefixSet;
use ravelin_common::FLAG_HOLDS_ALLOWED;

use super::amend::{Amended, amend};
use super::place::Place;
use super::{Blocklist, BlocklistError, KernelBan};
use crate::event::Target;

/// What a change of the allow list did to bans.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowOutcome {
    /// Bans wholly inside the allow list, now removed, with their final counts.
    pub removed: Vec<KernelBan>,
    /// How many bans have an allowed prefix inside that hadn't before.
    pub flagged: usize,
}

impl Blocklist {
    /// Makes these prefixes the allow list, and no others. Bans inside it are removed; bans that hold a
    /// part of it go on, and pass that part.
    ///
    /// # Errors
    /// [`BlocklistError::AllowFull`] where they are too many; where a map can't be written. What has
    /// been allowed by then stays allowed.
    pub fn set_allowed(&mut self, nets: &[IpNet]) -> Result<AllowOutcome, BlocklistError> {
        let difference = self.allow.difference(nets);
        // First the list, then the flags that have the program ask it.
        for net in &difference.add {
            self.maps.allow(*net)?;
            self.allow.note_added(*net);
        }
        for net in &difference.remove {
            self.maps.disallow(*net)?;
            self.allow.note_removed(*net);
        }
        let mut outcome = AllowOutcome::default();
        for target in self.touched(&difference.add, &difference.remove)? {
            if self.allow.covering(target).is_some() {
                outcome.removed.extend(self.remove(target)?);
            } else {
                outcome.flagged += usize::from(self.set_flags(target)?);
            }
        }
        Ok(outcome)
    }

    /// Bans that a change of these allowed prefixes may concern.
    fn touched(&self, added: &[IpNet], removed: &[IpNet]) -> Result<Vec<Target>, BlocklistError> {
        let mut touched: Vec<Target> = Vec::new();
        let mut wide = false;
        for net in added.iter().chain(removed) {
            let target = Target::from(*net);
            // Inside one exact ban, or one itself: that one. Wider: any of many.
            match net {
                IpNet::V4(v4) if v4.prefix_len() == 32 => touched.push(target),
                IpNet::V6(v6) if v6.prefix_len() >= 64 => {
                    touched.push(Target::of_offender(v6.addr().into(), 64));
                }
                _ => wide = true,
            }
        }
        if wide {
            // What is taken off the list only un-flags, and no wide prefix lies in an exact ban.
            let wide: Vec<Target> = added.iter().map(|net| Target::from(*net)).collect();
            self.maps.each_exact(|target, _| {
                if wide.iter().any(|net| net.covers(target)) {
                    touched.push(target);
                }
            })?;
        }
        touched.extend(
            self.nets
                .iter()
                .map(|(net, _)| net)
                .filter(|net| {
                    let mut changed = added.iter().chain(removed);
                    changed.any(|change| change.contains(net) || net.contains(change))
                })
                .map(Target::from),
        );
        touched.sort_unstable();
        touched.dedup();
        Ok(touched)
    }

    /// Brings the flags of a ban, if there is one, in line with the allow list; whether an allowed
    /// prefix is new in it.
    fn set_flags(&mut self, target: Target) -> Result<bool, BlocklistError> {
        let known = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => true,
            // A trie answers with the prefix around the target where it hasn't the target itself.
            Place::NetV4(_) | Place::NetV6(_) => {
                self.nets.get(target.net()).is_some_and(|net| net.kernel.is_some())
            }
        };
        let entry = if known { self.maps.entry(target)? } else { None };
        let Some(entry) = entry else { return Ok(false) };
        let flags = self.allow.flags(target);
        if flags == entry.flags {
            return Ok(false);
        }
        let there = amend(&mut self.ebpf, target, Amended { flags, ..Amended::of(&entry) })?;
        self.nets.flagged(target.net(), flags);
        Ok(there && flags & FLAG_HOLDS_ALLOWED != 0)
    }
}

/// The prefixes in the two allow maps.
#[derive(Default)]
pub(super) struct Allow(JointPrefixSet<IpNet>);

/// What is to be done to the maps, in this order: a prefix that two others are merged into is there
/// before those go.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) add: Vec<IpNet>,
    pub(super) remove: Vec<IpNet>,
}

impl Allow {
    pub(super) fn note_added(&mut self, net: IpNet) {
        self.0.insert(net);
    }

    pub(super) fn note_removed(&mut self, net: IpNet) {
        self.0.remove(&net);
    }

    /// The flags of a ban.
    pub(super) fn flags(&self, target: Target) -> u16 {
        if self.inside(target) { FLAG_HOLDS_ALLOWED } else { 0 }
    }

    /// Refuses a target that is wholly allowed.
    pub(super) fn refuse(&self, target: Target) -> Result<(), BlocklistError> {
        match self.covering(target) {
            Some(by) => Err(BlocklistError::Allowed { target, by }),
            None => Ok(()),
        }
    }

    /// The allowed prefix that holds all of `target`.
    pub(super) fn covering(&self, target: Target) -> Option<IpNet> {
        self.0.get_spm(&target.net())
    }

    /// Whether an allowed prefix lies inside `target`.
    pub(super) fn inside(&self, target: Target) -> bool {
        self.0.children(&target.net()).next().is_some()
    }

    /// What makes the maps allow `wanted` and nothing else. Adjacent prefixes are merged, so that one
    /// that several of them fill counts as covered.
    pub(super) fn difference(&self, wanted: &[IpNet]) -> Difference {
        let folded: Vec<IpNet> = wanted.iter().map(|net| Target::from(*net).net()).collect();
        let wanted: JointPrefixSet<IpNet> = IpNet::aggregate(&folded).into_iter().collect();
        Difference {
            add: wanted.iter().filter(|net| !self.0.contains(net)).collect(),
            remove: self.0.iter().filter(|net| !wanted.contains(net)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn allow(texts: &[&str]) -> Allow {
        let mut allow = Allow::default();
        nets(texts).into_iter().for_each(|net| allow.note_added(net));
        allow
    }

    #[test]
    fn tells_covered_from_holding() {
        let allow = allow(&["192.0.2.0/25", "2001:db8::5/128"]);
        let covering = |text: &str| allow.covering(text.parse().unwrap());
        let inside = |text: &str| allow.inside(text.parse().unwrap());
        assert_eq!(covering("192.0.2.7/32"), Some(nets(&["192.0.2.0/25"])[0]));
        assert_eq!(covering("192.0.2.0/24"), None);
        assert!(inside("192.0.2.0/24"));
        assert!(!inside("198.51.100.0/24"));
        assert!(inside("2001:db8::/64"));
        assert_eq!(covering("2001:db8::5/128"), Some(nets(&["2001:db8::5/128"])[0]));
    }

    #[test]
    fn merges_halves_folds_mapped_addresses_and_changes_no_more_than_needed() {
        let allow = allow(&["192.0.2.0/25", "198.51.100.0/24"]);
        let difference = allow.difference(&nets(&[
            "192.0.2.0/25",
            "192.0.2.128/25",
            "198.51.100.9/24",
            "::ffff:203.0.113.0/120",
        ]));
        assert_eq!(difference.add, nets(&["192.0.2.0/24", "203.0.113.0/24"]));
        assert_eq!(difference.remove, nets(&["192.0.2.0/25"]));
    }
}

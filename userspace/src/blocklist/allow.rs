//! The kernel's allow list as it is in the maps, and what follows from it for a target.

use ipnet::IpNet;
use prefix_trie::joint::set::JointPrefixSet;

use crate::event::Target;

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

//! Which ports a score is about.
//!
//! The packs for services with human users ban those services' ports. A score that comes from such rules alone
//! bans no more than they would: a mistyped mail password doesn't cut off the web page, however often.

use std::ops::BitOrAssign;

use crate::event::Ports;

/// The ports of the rules that a score comes from: a bit for each set in [`Scopes`], and one for "every port".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Scope(u16);

/// Sets that are told apart; what comes after them counts as every port.
const MOST: usize = 15;

impl Scope {
    /// No rule's.
    pub(super) const NONE: Self = Self(0);
    /// Every port.
    pub(super) const EVERY: Self = Self(1 << MOST);
}

impl BitOrAssign for Scope {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The different sets of ports that rules name.
#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<Ports>);

impl Scopes {
    /// The scope of a rule.
    pub(super) fn intern(&mut self, ports: Option<&Ports>) -> Scope {
        let Some(ports) = ports else { return Scope::EVERY };
        let at = self.0.iter().position(|known| known == ports).unwrap_or_else(|| {
            self.0.push(ports.clone());
            self.0.len() - 1
        });
        if at < MOST { Scope(1 << at) } else { Scope::EVERY }
    }

    /// All ports of a scope; `None`: every one.
    pub(super) fn ports(&self, scope: Scope) -> Option<Ports> {
        if scope.0 & Scope::EVERY.0 != 0 {
            return None;
        }
        let named = (0..).zip(&self.0).filter(|(at, _)| *at < MOST && scope.0 & (1 << at) != 0);
        named.fold(None, |all: Option<Ports>, (_, ports)| {
            Some(all.map_or_else(|| ports.clone(), |all| all.union(ports)))
        })
    }

    /// Whether a scope means the same in both.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_of_some_ports_only_while_all_its_rules_are() {
        let ports = |text: &str| text.parse::<Ports>().unwrap();
        let mut scopes = Scopes::default();
        let mut scope = scopes.intern(Some(&ports("25,587")));
        scope |= scopes.intern(Some(&ports("993")));
        scope |= scopes.intern(Some(&ports("25,587")));
        assert_eq!(scopes.ports(scope), Some(ports("25,587,993")));
        scope |= scopes.intern(None);
        assert_eq!(scopes.ports(scope), None);
        assert_eq!(scopes.ports(Scope::NONE), None);
    }

    #[test]
    fn more_sets_than_are_told_apart_are_every_port() {
        let mut scopes = Scopes::default();
        let all: Vec<Scope> = (1..=20)
            .map(|port: u16| scopes.intern(Some(&port.to_string().parse().unwrap())))
            .collect();
        assert_eq!(scopes.ports(all[14]), Some("15".parse().unwrap()));
        assert_eq!(scopes.ports(all[15]), None);
    }
}

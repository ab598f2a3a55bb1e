//! What people may ban and allow by hand.

use ipnet::IpNet;

use super::{Policy, Why};
use crate::event::{Target, Timestamp};

/// Why a ban by hand is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandRefusal {
    /// All of it is allowed.
    #[error("{target} is allowed: {entry} is on the allow list ({why}){remedy}", remedy = remedy(*.entry, *.why))]
    Allowed {
        /// What was to be banned.
        target: Target,
        /// An entry that holds it, or a part of it.
        entry: IpNet,
        /// Why that is there.
        why: Why,
    },
    /// So wide that it may be a slip.
    #[error("{target} is wider than /{narrowest}; say --force if that is meant")]
    TooWide {
        /// What was to be banned.
        target: Target,
        /// The shortest prefix that needs no force.
        narrowest: u8,
    },
}

fn remedy(entry: IpNet, why: Why) -> String {
    match why {
        Why::Configured => "; take it out of `allow` and `ravelin reload` first".to_owned(),
        Why::Preset(name) => {
            format!("; take preset:{name} out of `allow` and `ravelin reload` first")
        }
        Why::File => "; take it out of that file first, and wait a second".to_owned(),
        Why::Hand => format!("; `ravelin allow --remove {entry}` first"),
        _ => String::new(),
    }
}

/// Why a target can't be taken off the allow list by hand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DisallowRefusal {
    /// It isn't on it.
    #[error("{target} is not on the allow list; `ravelin allow --list` shows what is")]
    NotThere {
        /// What was to be taken off.
        target: Target,
    },
    /// It wasn't put there by hand.
    #[error("{target} is not on the allow list by hand, but as {why}{remedy}", remedy = disallow_remedy(*.why))]
    NotByHand {
        /// What was to be taken off.
        target: Target,
        /// Why it is there.
        why: Why,
    },
}

const fn disallow_remedy(why: Why) -> &'static str {
    match why {
        Why::Configured | Why::Preset(_) => ": take it out there and `ravelin reload`",
        Why::File => ": take it out there",
        _ => ", which is never banned",
    }
}

/// An entry of the allow list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AllowEntry {
    /// What is never banned.
    pub net: IpNet,
    /// Why.
    pub why: Why,
    /// Until when, where a person gave it an end.
    pub expires: Option<Timestamp>,
}

impl Policy {
    /// May this be banned by hand? Gives the allowed prefixes inside it, which go on passing.
    ///
    /// # Errors
    /// Where all of it is allowed, or where it is so wide that it needs `force`.
    pub fn check_hand(&self, target: Target, force: bool) -> Result<Vec<IpNet>, HandRefusal> {
        if let Some((entry, why)) = self.allow.covers(target) {
            return Err(HandRefusal::Allowed { target, entry, why });
        }
        not_too_wide(target, force)?;
        Ok(self.allow.inside(target))
    }

    /// May this be allowed by hand?
    ///
    /// # Errors
    /// Where it is so wide that it needs `force`.
    pub fn check_allow(&self, target: Target, force: bool) -> Result<(), HandRefusal> {
        not_too_wide(target, force)
    }

    /// A person allows this, until `expires` or until it is taken off.
    pub fn allow(&mut self, target: Target, expires: Option<Timestamp>) {
        self.by_hand.insert(target, expires);
        self.pace.forget(target);
        self.apply();
    }

    /// A person takes this off the allow list; another entry may still cover it.
    ///
    /// # Errors
    /// Where no person put it there.
    pub fn disallow(&mut self, target: Target) -> Result<(), DisallowRefusal> {
        if self.by_hand.remove(&target).is_none() {
            return Err(match self.allow.why(target.net()) {
                Some(why) => DisallowRefusal::NotByHand { target, why },
                None => DisallowRefusal::NotThere { target },
            });
        }
        self.apply();
        Ok(())
    }

    /// What people allowed and is over at `now`; it is off the list.
    pub fn expire_allowed(&mut self, now: Timestamp) -> Vec<Target> {
        let over = |expires: &Option<Timestamp>| expires.is_some_and(|expires| expires <= now);
        let gone: Vec<Target> = self
            .by_hand
            .iter()
            .filter(|(_, expires)| over(expires))
            .map(|(target, _)| *target)
            .collect();
        if !gone.is_empty() {
            self.by_hand.retain(|_, expires| !over(expires));
            self.apply();
        }
        gone
    }

    /// What people allowed, and until when.
    pub fn allowed_by_hand(&self) -> impl Iterator<Item = (Target, Option<Timestamp>)> {
        self.by_hand.iter().map(|(target, expires)| (*target, *expires))
    }

    /// The whole allow list.
    pub fn allow_entries(&self) -> Vec<AllowEntry> {
        self.allow.entries().map(|(net, why)| self.allow_entry(net, why)).collect()
    }

    /// What allows all of `target`, if anything does.
    pub fn why_covered(&self, target: Target) -> Option<AllowEntry> {
        self.allow.covers(target).map(|(net, why)| self.allow_entry(net, why))
    }

    fn allow_entry(&self, net: IpNet, why: Why) -> AllowEntry {
        let by_hand = self.by_hand.get(&Target::from(net)).filter(|_| why == Why::Hand);
        AllowEntry { net, why, expires: by_hand.copied().flatten() }
    }
}

fn not_too_wide(target: Target, force: bool) -> Result<(), HandRefusal> {
    if is_too_wide(target) && !force {
        return Err(HandRefusal::TooWide { target, narrowest: narrowest(target) });
    }
    Ok(())
}

/// Whether it is so wide that only a person may ban it.
pub(super) fn is_too_wide(target: Target) -> bool {
    target.net().prefix_len() < narrowest(target)
}

fn narrowest(target: Target) -> u8 {
    if target.net().addr().is_ipv4() { 8 } else { 32 }
}

//! What the engine's thread counts as it goes.

use std::collections::BTreeMap;

use crate::event::{Origin, RuleHead, Timestamp, Withheld};

/// So many rules have a number of their own: more than anybody writes, and a bound for reloads.
const RULES: usize = 4096;

/// How a ban ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It lapsed.
    Lapsed,
    /// A person lifted it.
    Lifted,
}

/// Numbers since the start.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(super) since: Timestamp,
    pub(super) alerts: BTreeMap<u32, Fired>,
    /// Of rules beyond those that have a number of their own.
    pub(super) other_alerts: u64,
    pub(super) banned: [u64; ORIGINS.len()],
    pub(super) withheld: [u64; Withheld::ALL.len()],
    pub(super) lapsed: u64,
    pub(super) lifted: u64,
}

/// How often a rule has.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) pack: String,
    pub(super) level: u8,
    pub(super) times: u64,
}

/// Where bans come from; a feed's name isn't told.
pub(super) const ORIGINS: [&str; 5] = ["rule", "hand", "fleet", "feed", "adopted"];

impl Tally {
    /// From now on.
    pub fn new() -> Self {
        Self {
            since: Timestamp::now(),
            alerts: BTreeMap::new(),
            other_alerts: 0,
            banned: [0; ORIGINS.len()],
            withheld: [0; Withheld::ALL.len()],
            lapsed: 0,
            lifted: 0,
        }
    }

    /// A rule fired.
    pub fn alert(&mut self, rule: &RuleHead) {
        let full = self.alerts.len() >= RULES;
        match self.alerts.get_mut(&rule.id) {
            Some(fired) => {
                fired.times += 1;
                // A reload may have changed it.
                fired.level = rule.level;
            }
            None if full => self.other_alerts += 1,
            None => {
                let fired = Fired { pack: rule.pack.clone(), level: rule.level, times: 1 };
                self.alerts.insert(rule.id, fired);
            }
        }
    }

    /// A ban was made.
    pub const fn banned(&mut self, origin: &Origin) {
        let at = match origin {
            Origin::Rule => 0,
            Origin::Hand => 1,
            Origin::Fleet => 2,
            Origin::Feed(_) => 3,
            Origin::Adopted => 4,
        };
        self.banned[at] += 1;
    }

    /// One was called for, and didn't come.
    pub fn withheld(&mut self, why: Withheld) {
        if let Some(at) = Withheld::ALL.iter().position(|known| *known == why) {
            self.withheld[at] += 1;
        }
    }

    /// A ban ended.
    pub const fn ended(&mut self, how: End) {
        match how {
            End::Lapsed => self.lapsed += 1,
            End::Lifted => self.lifted += 1,
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

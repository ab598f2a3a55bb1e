//! Compiled rules: what the correlator runs on.

use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::list::ListSource;
use crate::event::{Prefixes, RuleHead};

/// All rules of all packs, with the ways from an event to the rules that listen to it.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// In order of definition; a `usize` below indexes this.
    pub rules: Vec<Rule>,
    /// By [`crate::event::EventKind::index`]: rules with [`Trigger::Events`] on that event.
    pub by_event: Vec<Vec<usize>>,
    /// By rule: rules with [`Trigger::After`] it.
    pub children: Vec<Vec<usize>>,
    /// What conditions ask for by its place here.
    pub lists: Vec<ListSource>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Id, level, description and switches.
    pub head: Arc<RuleHead>,
    /// What makes it look at an event.
    pub trigger: Trigger,
    /// Conditions on the event; all must hold.
    pub when: Vec<Condition>,
    /// Added to the target's score each time the rule's conditions hold (`count` doesn't matter
    /// for a base rule; a counting rule adds when it fires).
    pub score: f64,
    /// Fire only on the n-th event of a key.
    pub window: Option<Window>,
    /// Fire only where enough of other rules' events came before (failures, then a success).
    pub preceded: Option<Preceded>,
    /// Fire where something doesn't come in time, and not on its own events.
    pub absence: Option<Absence>,
    /// After firing for a key, swallow further firings for this long; zero: none.
    pub ignore: Duration,
    /// Disabled: it neither alerts nor scores, and only rules that come after it hear of it.
    pub silent: bool,
}

/// What makes a rule look at an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Events, by index.
    Events(Vec<u32>),
    /// Events on which one of these rules' conditions held (whether or not their alert was
    /// swallowed), by rule index.
    After(Vec<usize>),
}

/// `count`, `within`, `same`, `distinct`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Fires on the n-th event (with `distinct`: n-th different value); at least 2.
    pub count: u32,
    /// Age that still counts, inclusive.
    pub within: Duration,
    /// What the events have in common; empty: everything is one key.
    pub same: Vec<Key>,
    /// Count different values of this instead of events.
    pub distinct: Option<Key>,
}

/// `preceded_by`.
#[derive(Clone, Debug, PartialEq)]
pub struct Preceded {
    /// Events on which one of these rules' conditions held, by rule index.
    pub rules: Vec<usize>,
    /// At least so many of them.
    pub count: u32,
    /// Age that still counts, inclusive.
    pub within: Duration,
    /// What they have in common with this event.
    pub same: Vec<Key>,
}

/// `not_followed_by`, `not_seen_for`.
#[derive(Clone, Debug, PartialEq)]
pub struct Absence {
    /// Events on which one of these rules' conditions held are what is waited for, by rule index; `None`:
    /// the rule's own events, from the start on and from each to the next.
    pub by: Option<Vec<usize>>,
    /// How long, inclusive.
    pub within: Duration,
    /// What they have in common with the event that began it.
    pub same: Vec<Key>,
}

/// What events have in common.
///
/// A pack says `src` for whoever did it. That compiles to [`Key::Offender`], so that a Suricata alert on our
/// own answer counts for the other side, and every address for its target. Where one of the events that
/// meet under the key is a success, which has no offender, it compiles to the field `src` on both sides
/// instead: the correlator counts an address in a field as its target, so the keys are equal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// The offender's target, as policy worked it out (an IPv6 address counts as its /64).
    Offender,
    /// A field by name; an address counts as its target.
    Field(String),
    /// The offender's network.
    Network(Prefixes),
}

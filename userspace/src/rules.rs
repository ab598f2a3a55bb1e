//! Packs: read, lint, compile, match.
#![forbid(unsafe_code)]

mod rule;

pub use self::rule::{Condition, Key, Preceded, Rule, RuleSet, Trigger, Window};

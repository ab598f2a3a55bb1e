//! A pack as it is written: YAML into the shapes of the rule language, with the place of each part.

mod expected;
mod indent;
pub(super) mod keys;
mod wording;
pub(super) mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_yaml::{DuplicateKeyPolicy, Location, Spanned};

pub(super) use self::expected::{RawExpect, RawTest};
use self::wording::Wrong;
use self::yaml::{Named, OneOrMany, PortList, Scalar, Span, Wanted};
use super::error::{PackError, Place, Problem};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPack {
    pub(super) pack: Spanned<String>,
    pub(super) format: Spanned<PackFormat>,
    pub(super) programs: Option<Spanned<Vec<String>>>,
    /// Its lines are about what came by HTTP.
    pub(super) web: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) mode: PackMode,
    #[serde(default)]
    pub(super) frequency_semantics: Frequency,
    /// Rules by id, packs by name.
    #[serde(default)]
    pub(super) disable: Vec<Spanned<Scalar>>,
    /// Files by the names that conditions give them.
    #[serde(default)]
    pub(super) lists: Named<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) events: Named<Spanned<RawEvent>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<RawRule>>,
    #[serde(default)]
    pub(super) tests: Vec<Spanned<RawTest>>,
}

/// Whose lines a pack recognises.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum PackFormat {
    Syslog,
    Suricata,
    /// Access logs.
    Plain,
}

/// Whether a pack's bans are made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum PackMode {
    #[default]
    Enforce,
    Observe,
}

/// What `count: N` means.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Frequency {
    /// The N-th event fires.
    #[default]
    Nth,
    /// The N+2nd does, as in OSSEC's `frequency`.
    Ossec,
}

impl Frequency {
    /// The event that fires.
    pub(super) const fn nth(self, count: u32) -> u32 {
        match self {
            Self::Nth => count,
            Self::Ossec => count.saturating_add(2),
        }
    }
}

/// `events:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvent {
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) patterns: Option<Vec<Spanned<String>>>,
    /// Unsaid it is false; whoever says that it is has thought of it.
    pub(super) proven: Option<bool>,
    #[serde(default)]
    pub(super) attempt: bool,
    #[serde(default)]
    pub(super) success: bool,
    #[serde(default)]
    pub(super) when: BTreeMap<String, Wanted>,
}

/// `rules:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: u32,
    /// The rule that says what this one doesn't.
    pub(super) inherit: Option<u32>,
    /// It takes the place of the rule of its id in another pack.
    #[serde(default, rename = "override")]
    pub(super) overrides: bool,
    pub(super) level: Option<u8>,
    pub(super) event: Option<OneOrMany<String>>,
    pub(super) after: Option<OneOrMany<u32>>,
    pub(super) when: Option<BTreeMap<String, Wanted>>,
    pub(super) same: Option<OneOrMany<String>>,
    pub(super) count: Option<u32>,
    pub(super) frequency_semantics: Option<Frequency>,
    pub(super) within: Option<Span>,
    pub(super) distinct: Option<String>,
    pub(super) aggregate: Option<RawAggregate>,
    pub(super) ignore: Option<Span>,
    pub(super) score: Option<f64>,
    pub(super) description: Option<String>,
    pub(super) ban: Option<BanSwitch>,
    pub(super) mail: Option<bool>,
    pub(super) ttl: Option<Span>,
    pub(super) ports: Option<PortList>,
    pub(super) preceded_by: Option<RawPreceded>,
    pub(super) not_followed_by: Option<RawFollowed>,
    pub(super) not_seen_for: Option<Span>,
}

impl RawRule {
    /// With what `parent` says and this one doesn't. What makes it look at an event is one thing: an
    /// `event` of its own replaces the parent's `after`, and the other way round.
    pub(super) fn inheriting(self, parent: Self) -> Self {
        let triggered = self.event.is_some() || self.after.is_some();
        let (event, after) =
            if triggered { (self.event, self.after) } else { (parent.event, parent.after) };
        Self {
            id: self.id,
            inherit: self.inherit,
            overrides: self.overrides,
            level: self.level.or(parent.level),
            event,
            after,
            when: self.when.or(parent.when),
            same: self.same.or(parent.same),
            count: self.count.or(parent.count),
            frequency_semantics: self.frequency_semantics.or(parent.frequency_semantics),
            within: self.within.or(parent.within),
            distinct: self.distinct.or(parent.distinct),
            aggregate: self.aggregate.or(parent.aggregate),
            ignore: self.ignore.or(parent.ignore),
            score: self.score.or(parent.score),
            description: self.description.or(parent.description),
            ban: self.ban.or(parent.ban),
            mail: self.mail.or(parent.mail),
            ttl: self.ttl.or(parent.ttl),
            ports: self.ports.or(parent.ports),
            preceded_by: self.preceded_by.or(parent.preceded_by),
            not_followed_by: self.not_followed_by.or(parent.not_followed_by),
            not_seen_for: self.not_seen_for.or(parent.not_seen_for),
        }
    }
}

/// `aggregate:`; how much of an address makes a network.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAggregate {
    #[serde(default = "slash_24")]
    pub(super) v4: u8,
    #[serde(default = "slash_56")]
    pub(super) v6: u8,
}

const fn slash_24() -> u8 {
    24
}

const fn slash_56() -> u8 {
    56
}

/// `ban:`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BanSwitch {
    Never,
    Offender,
    Prefix,
}

impl<'de> Deserialize<'de> for BanSwitch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)?.0.as_str() {
            "false" => Ok(Self::Never),
            "true" => Ok(Self::Offender),
            "prefix" => Ok(Self::Prefix),
            other => Err(serde::de::Error::custom(format!(
                "expected true, false or prefix, got `{other}`"
            ))),
        }
    }
}

/// `preceded_by:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPreceded {
    pub(super) rules: OneOrMany<u32>,
    #[serde(default = "once")]
    pub(super) count: u32,
    pub(super) within: Span,
    #[serde(default)]
    pub(super) same: Option<OneOrMany<String>>,
}

/// `not_followed_by:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFollowed {
    pub(super) rules: OneOrMany<u32>,
    pub(super) within: Span,
    #[serde(default)]
    pub(super) same: Option<OneOrMany<String>>,
}

const fn once() -> u32 {
    1
}

/// A pack's text, and what it is called in error messages.
#[derive(Clone, Debug)]
pub(super) struct Text<'t> {
    file: &'t str,
    text: &'t str,
    shipped: bool,
}

impl<'t> Text<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, shipped: false }
    }

    /// Of a pack in the binary, as JSON, which our own tests have found to be right.
    pub(super) const fn shipped(file: &'t str, text: &'t str) -> Self {
        Self { file, text, shipped: true }
    }

    /// Whether it is one in the binary.
    pub(super) const fn is_shipped(&self) -> bool {
        self.shipped
    }

    /// Reads the YAML.
    pub(super) fn read(&self) -> Result<RawPack, PackError> {
        if self.shipped {
            return serde_json::from_str(self.text).map_err(|error| {
                let problem = Problem::Yaml { message: error.to_string() };
                self.problem(Location::UNKNOWN, problem)
            });
        }
        let mut options = serde_yaml::Options::default();
        options.duplicate_keys = DuplicateKeyPolicy::Error;
        options.strict_booleans = true;
        options.with_snippet = false;
        serde_yaml::from_str_with_options(self.text, options).map_err(|error| {
            let Wrong { line, column, problem } = wording::reworded(self.text, &error);
            PackError::Problem { place: Box::new(self.place_at(line, column)), problem }
        })
    }

    /// Something wrong at a place in it.
    pub(super) fn problem(&self, location: Location, problem: Problem) -> PackError {
        PackError::Problem { place: Box::new(self.place(location)), problem }
    }

    /// A place in it, with the line that stands there.
    pub(super) fn place(&self, location: Location) -> Place {
        self.place_at(location.line(), location.column())
    }

    /// Its byte `at` of a value that begins at `location`, where that is written as it is meant.
    pub(super) fn place_within(&self, location: Location, value: &str, at: usize) -> Place {
        let mut place = self.place(location);
        let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let written: String = place.text.chars().skip(column).collect();
        let quotes = written.chars().take_while(|char| matches!(char, '\'' | '"')).count().min(1);
        if written[quotes..].starts_with(value) {
            let before = value.get(..at).map_or(0, |before| before.chars().count());
            place.column += (quotes + before) as u64;
        }
        place
    }

    fn place_at(&self, line: u64, column: u64) -> Place {
        let index = usize::try_from(line).unwrap_or(0).checked_sub(1);
        let text = index.and_then(|index| self.text.lines().nth(index)).unwrap_or_default();
        Place { file: self.file.to_owned(), line, column, text: text.to_owned() }
    }
}

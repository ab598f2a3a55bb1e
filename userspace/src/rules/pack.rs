//! A pack as it is written: YAML into the shapes of the rule language, with the place of each part.

pub(super) mod yaml;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_yaml::{DuplicateKeyPolicy, Location, Spanned};

use self::yaml::{Named, OneOrMany, Scalar, Span, Wanted};
use super::error::{PackError, Place, Problem};
use crate::config::Format;

/// Keys of the rule language that come later: they are refused by name, so that nobody believes them
/// at work.
const LATER: [&str; 12] = [
    "frequency_semantics",
    "lists",
    "list",
    "extends",
    "inherit",
    "override",
    "overwrite",
    "aggregate",
    "absent",
    "sequence",
    "threshold",
    "ports",
];

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPack {
    pub(super) pack: Spanned<String>,
    pub(super) format: Spanned<PackFormat>,
    pub(super) programs: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) mode: PackMode,
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

/// `events:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvent {
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) patterns: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) proven: bool,
    #[serde(default)]
    pub(super) attempt: bool,
    #[serde(default)]
    pub(super) success: bool,
    #[serde(default)]
    pub(super) when: BTreeMap<String, Wanted>,
}

/// `rules:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: u32,
    pub(super) level: u8,
    pub(super) event: Option<OneOrMany<String>>,
    pub(super) after: Option<OneOrMany<u32>>,
    #[serde(default)]
    pub(super) when: BTreeMap<String, Wanted>,
    pub(super) same: Option<OneOrMany<String>>,
    pub(super) count: Option<u32>,
    pub(super) within: Option<Span>,
    pub(super) distinct: Option<String>,
    pub(super) ignore: Option<Span>,
    #[serde(default)]
    pub(super) score: f64,
    pub(super) description: String,
    pub(super) ban: Option<bool>,
    pub(super) mail: Option<bool>,
    pub(super) ttl: Option<Span>,
    pub(super) preceded_by: Option<RawPreceded>,
}

/// `preceded_by:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPreceded {
    pub(super) rules: OneOrMany<u32>,
    #[serde(default = "once")]
    pub(super) count: u32,
    pub(super) within: Span,
    #[serde(default)]
    pub(super) same: Option<OneOrMany<String>>,
}

const fn once() -> u32 {
    1
}

/// `tests:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTest {
    pub(super) line: Option<String>,
    pub(super) lines: Option<Vec<String>>,
    #[serde(default = "once")]
    pub(super) times: u32,
    #[serde(default, deserialize_with = "format")]
    pub(super) format: Option<Format>,
    #[serde(default)]
    pub(super) home: Vec<IpNet>,
    pub(super) expect: RawExpect,
}

/// `expect:`; a key that is there with `null` asserts that there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    #[serde(default, deserialize_with = "present")]
    pub(super) event: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) src: Option<Option<IpAddr>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) offender: Option<Option<IpAddr>>,
    pub(super) proven: Option<bool>,
    pub(super) fields: Option<BTreeMap<String, Option<Scalar>>>,
    pub(super) rules: Option<Vec<u32>>,
    pub(super) score: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) ban: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) withheld: Option<Option<String>>,
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A pack's text, and what it is called in error messages.
#[derive(Clone, Debug)]
pub(super) struct Text<'t> {
    file: &'t str,
    text: &'t str,
    lines: Vec<&'t str>,
}

impl<'t> Text<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, lines: text.lines().collect() }
    }

    /// Reads the YAML.
    pub(super) fn read(&self) -> Result<RawPack, PackError> {
        let mut options = serde_yaml::Options::default();
        options.duplicate_keys = DuplicateKeyPolicy::Error;
        options.strict_booleans = true;
        options.with_snippet = false;
        serde_yaml::from_str_with_options(self.text, options).map_err(|error| {
            let problem = match error.without_snippet() {
                serde_yaml::Error::SerdeUnknownField { field, .. }
                    if LATER.contains(&field.as_str()) =>
                {
                    Problem::LaterKey { key: field.clone() }
                }
                serde_yaml::Error::SerdeUnknownField { field, expected, .. } => {
                    Problem::UnknownKey { key: field.clone(), known: expected.clone() }
                }
                other => Problem::Yaml { message: plain(&other.to_string()) },
            };
            self.problem(error.location().unwrap_or(Location::UNKNOWN), problem)
        })
    }

    /// Something wrong at a place in it.
    pub(super) fn problem(&self, location: Location, problem: Problem) -> PackError {
        PackError::Problem { place: Box::new(self.place(location)), problem }
    }

    /// A place in it, with the line that stands there.
    pub(super) fn place(&self, location: Location) -> Place {
        let index = usize::try_from(location.line()).unwrap_or(0).checked_sub(1);
        let text = index.and_then(|index| self.lines.get(index)).copied().unwrap_or_default();
        Place {
            file: self.file.to_owned(),
            line: location.line(),
            column: location.column(),
            text: text.to_owned(),
        }
    }
}

/// The reader's message without the place, which stands in front of it already.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.rfind(" at line ") {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    }
}

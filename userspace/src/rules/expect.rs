//! The tests inside packs: a line, and what must come of it.
//!
//! Here they are data; whoever owns a whole engine runs them (`ravelin check`, the test suite), tells what
//! happened as an [`Outcome`] and gets the [`Expect::differences`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::condition;
use super::error::Place;
use super::pack::{PackFormat, RawExpect, RawTest, yaml::Scalar};
use crate::config::Format;
use crate::event::{Fields, Value};

/// A test inside a pack.
#[derive(Clone, Debug)]
pub struct PackTest {
    /// The pack's name.
    pub pack: String,
    /// Where it stands.
    pub place: Place,
    /// The outer format of its lines.
    pub format: Format,
    /// Fed to a fresh engine in this order; [`PackTest::expect`] is about the last one.
    pub lines: Vec<String>,
    /// So many times over, all of them; at least 1.
    pub times: u32,
    /// Prefixes that are ours.
    pub home: Vec<IpNet>,
    /// What lists hold, by name; the others are as if they had never been read.
    pub lists: BTreeMap<String, Vec<String>>,
    /// What must come of the last line.
    pub expect: Expect,
}

/// What must come of a line. Everything that is `None` may be anything; `Some(None)` asserts absence.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Name of the event.
    pub event: Option<Option<String>>,
    /// The event's field `src`, where that is an address.
    pub src: Option<Option<IpAddr>>,
    /// Whom policy blames.
    pub offender: Option<Option<IpAddr>>,
    /// Whether that is proven.
    pub proven: Option<bool>,
    /// Fields by name; `None` asserts that there is no such field. Others may be there.
    pub fields: BTreeMap<String, Option<String>>,
    /// Exactly the rules that fire, in any order.
    pub rules: Option<Vec<u32>>,
    /// The score after the line, to a tenth.
    pub score: Option<f64>,
    /// The target of the ban, with its prefix length.
    pub ban: Option<Option<String>>,
    /// Why there is none.
    pub withheld: Option<Option<String>>,
}

/// What came of a line.
#[derive(Clone, Debug, Default)]
pub struct Outcome<'o, 'l> {
    /// Name of the event.
    pub event: Option<&'o str>,
    /// Its fields.
    pub fields: Option<&'o Fields<'l>>,
    /// Whom policy blames.
    pub offender: Option<IpAddr>,
    /// Whether that is proven.
    pub proven: bool,
    /// The rules that fired.
    pub rules: Vec<u32>,
    /// The score after the line.
    pub score: f64,
    /// The target of the ban, with its prefix length.
    pub ban: Option<String>,
    /// Why there is none.
    pub withheld: Option<&'o str>,
}

impl PackTest {
    pub(super) fn new(pack: &str, format: PackFormat, place: Place, raw: RawTest) -> Option<Self> {
        let lines = match (raw.line, raw.lines) {
            (Some(line), None) => vec![line],
            (None, Some(lines)) if !lines.is_empty() => lines,
            _ => return None,
        };
        let format = raw.format.unwrap_or(match format {
            PackFormat::Syslog => Format::Syslog,
            PackFormat::Plain => Format::Plain,
            PackFormat::Suricata if lines[0].starts_with('{') => Format::SuricataEve,
            PackFormat::Suricata => Format::SuricataFast,
        });
        let lists = raw.lists.into_iter().map(|(name, entries)| {
            (name, entries.into_iter().map(|Scalar(entry)| entry).collect())
        });
        Some(Self {
            pack: pack.to_owned(),
            place,
            format,
            lines,
            times: raw.times.max(1),
            home: raw.home,
            lists: lists.collect(),
            expect: Expect::new(raw.expect),
        })
    }
}

impl Expect {
    fn new(raw: RawExpect) -> Self {
        let fields = raw.fields.unwrap_or_default().into_iter();
        Self {
            event: raw.event,
            src: raw.src,
            offender: raw.offender,
            proven: raw.proven,
            fields: fields.map(|(name, value)| (name, value.map(|Scalar(text)| text))).collect(),
            rules: raw.rules,
            score: raw.score,
            ban: raw.ban,
            withheld: raw.withheld,
        }
    }

    /// What differs from `outcome`, one sentence each; empty where the test passes.
    pub fn differences(&self, outcome: &Outcome<'_, '_>) -> Vec<String> {
        let mut all = self.event_differences(outcome.event, outcome.fields);
        compare(&mut all, "offender", self.offender.as_ref(), &outcome.offender);
        compare(&mut all, "proven", self.proven.as_ref(), &outcome.proven);
        let sorted = |rules: &[u32]| {
            let mut rules = rules.to_vec();
            rules.sort_unstable();
            rules
        };
        let rules = self.rules.as_deref().map(sorted);
        compare(&mut all, "rules", rules.as_ref(), &sorted(&outcome.rules));
        if let Some(score) = self.score
            && (score - outcome.score).abs() > 0.1
        {
            all.push(format!("score: expected {score}, got {}", outcome.score));
        }
        compare(&mut all, "ban", self.ban.as_ref(), &outcome.ban);
        let withheld = outcome.withheld.map(str::to_owned);
        compare(&mut all, "withheld", self.withheld.as_ref(), &withheld);
        all
    }

    /// The part of [`Expect::differences`] that needs no more than recognition.
    pub fn event_differences(
        &self,
        event: Option<&str>,
        fields: Option<&Fields<'_>>,
    ) -> Vec<String> {
        let mut all = Vec::new();
        compare(&mut all, "event", self.event.as_ref(), &event.map(str::to_owned));
        let value = |name: &str| fields?.get(name);
        let src = match value("src") {
            Some(Value::Addr(addr)) => Some(addr),
            _ => None,
        };
        compare(&mut all, "src", self.src.as_ref(), &src);
        for (name, wanted) in &self.fields {
            let same = match (value(name), wanted) {
                (Some(value), Some(wanted)) => condition::equals(&value, wanted),
                (None, None) => true,
                _ => false,
            };
            if !same {
                all.push(format!("field {name}: expected {wanted:?}, got {:?}", value(name)));
            }
        }
        all
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    all: &mut Vec<String>,
    what: &str,
    expected: Option<&T>,
    got: &T,
) {
    if let Some(expected) = expected
        && expected != got
    {
        all.push(format!("{what}: expected {expected:?}, got {got:?}"));
    }
}

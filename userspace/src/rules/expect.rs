//! The tests inside packs: a line, and what must come of it.
//!
//! Here they are data; whoever owns a whole engine runs them (`ravelin check`, the test suite), tells what
//! happened as an [`Outcome`] and gets the [`Expect::differences`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_yaml::Location;

use super::condition;
use super::error::{Place, Problem};
use super::pack::{PackFormat, RawExpect, RawTest, yaml::Scalar};
use crate::config::{Format, Urgency};
use crate::event::{Fields, Value, Withheld};

/// Lines that a test feeds, all repetitions counted.
const MOST_LINES: u32 = 100_000;

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
    /// The target of the ban.
    pub ban: Option<Option<IpNet>>,
    /// Why there is none.
    pub withheld: Option<Option<Withheld>>,
    /// How soon people hear of it, by the usual `mail.level` and `mail.immediate`.
    pub mail: Option<Option<Urgency>>,
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
    /// The target of the ban.
    pub ban: Option<IpNet>,
    /// Why there is none, though one was called for.
    pub withheld: Option<Withheld>,
    /// How soon people hear of it.
    pub mail: Option<Urgency>,
    /// Why there is no event.
    pub why_no_event: Option<String>,
    /// Why there is no offender.
    pub why_nobody: Option<String>,
    /// Why there is no ban, whether or not one was called for.
    pub why_no_ban: Option<String>,
}

impl PackTest {
    /// The error comes with its place, where that isn't the test as a whole.
    pub(super) fn new(
        pack: &str,
        format: PackFormat,
        place: Place,
        raw: RawTest,
    ) -> Result<Self, (Option<Location>, Problem)> {
        let lines = match (raw.line, raw.lines) {
            (Some(line), None) => vec![line],
            (None, Some(lines)) if !lines.is_empty() => lines,
            _ => return Err((None, Problem::WantsLine)),
        };
        let max = MOST_LINES / u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let times = match &raw.times {
            Some(times) if !(1..=max).contains(&times.value) => {
                let problem = Problem::Times { got: times.value, max, most: MOST_LINES };
                return Err((Some(times.referenced), problem));
            }
            Some(times) => times.value,
            None => 1,
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
        Ok(Self {
            pack: pack.to_owned(),
            place,
            format,
            lines,
            times,
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
            src: raw.src.map(|src| src.map(|addr| addr.0)),
            offender: raw.offender.map(|offender| offender.map(|addr| addr.0)),
            proven: raw.proven,
            fields: fields.map(|(name, value)| (name, value.map(|Scalar(text)| text))).collect(),
            rules: raw.rules,
            score: raw.score,
            ban: raw.ban.map(|ban| ban.map(|net| net.0)),
            withheld: raw.withheld.map(|why| why.map(|why| why.0)),
            mail: raw.mail.map(|mail| mail.map(|mail| mail.0)),
        }
    }

    /// What differs from `outcome`, one sentence each; empty where the test passes.
    pub fn differences(&self, outcome: &Outcome<'_, '_>) -> Vec<String> {
        let mut all = Differences(self.event_differences(outcome.event, outcome.fields));
        all.compare("offender", self.offender.as_ref(), &outcome.offender);
        if outcome.offender.is_none() {
            all.because("offender", outcome.why_nobody.as_deref());
        }
        all.compare("proven", self.proven.as_ref(), &outcome.proven);
        let sorted = |rules: &[u32]| {
            let mut rules = rules.to_vec();
            rules.sort_unstable();
            rules
        };
        let rules = self.rules.as_deref().map(sorted);
        all.compare("rules", rules.as_ref(), &sorted(&outcome.rules));
        if let Some(score) = self.score
            && (score - outcome.score).abs() > 0.1
        {
            all.0.push(format!("score: expected {score}, got {:.1}", outcome.score));
        }
        all.compare("ban", self.ban.as_ref(), &outcome.ban);
        if outcome.ban.is_none() {
            all.because("ban", outcome.why_no_ban.as_deref());
        }
        all.compare("withheld", self.withheld.as_ref(), &outcome.withheld);
        all.compare("mail", self.mail.as_ref(), &outcome.mail);
        match (outcome.event, &outcome.why_no_event, &self.event) {
            // Without the event nothing else can be as expected.
            (None, Some(why), Some(Some(wanted))) => {
                vec![format!("event: expected `{wanted}`, got none: {why}")]
            }
            (None, Some(why), None) if !all.0.is_empty() => {
                all.0.insert(0, format!("there is no event: {why}"));
                all.0
            }
            _ => all.0,
        }
    }

    /// The part of [`Expect::differences`] that needs no more than recognition.
    pub fn event_differences(
        &self,
        event: Option<&str>,
        fields: Option<&Fields<'_>>,
    ) -> Vec<String> {
        let mut all = Differences(Vec::new());
        all.compare("event", self.event.as_ref(), &event.map(str::to_owned));
        let value = |name: &str| fields?.get(name);
        let src = match value("src") {
            Some(Value::Addr(addr)) => Some(addr),
            _ => None,
        };
        all.compare("src", self.src.as_ref(), &src);
        for (name, wanted) in &self.fields {
            let got = value(name);
            let same = match (&got, wanted) {
                (Some(value), Some(wanted)) => condition::equals(value, wanted),
                (None, None) => true,
                _ => false,
            };
            if !same {
                let (wanted, got) = (wanted.said(), got.said());
                all.0.push(format!("field `{name}`: expected {wanted}, got {got}"));
            }
        }
        all.0
    }
}

/// What isn't as expected.
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Said>(&mut self, what: &str, expected: Option<&T>, got: &T) {
        if let Some(expected) = expected
            && expected != got
        {
            self.0.push(format!("{what}: expected {}, got {}", expected.said(), got.said()));
        }
    }

    /// Adds the reason to what was said last, if that was about `what`.
    fn because(&mut self, what: &str, why: Option<&str>) {
        if let (Some(last), Some(why)) = (self.0.last_mut(), why)
            && last.starts_with(what)
        {
            last.push_str(": ");
            last.push_str(why);
        }
    }
}

/// As a pack would say it.
trait Said {
    fn said(&self) -> String;
}

impl<T: Said> Said for Option<T> {
    fn said(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Said::said)
    }
}

impl Said for Vec<u32> {
    fn said(&self) -> String {
        if self.is_empty() { "no rule".to_owned() } else { format!("{self:?}") }
    }
}

impl Said for Value<'_> {
    fn said(&self) -> String {
        match self {
            Self::Text(text) => format!("`{}`", String::from_utf8_lossy(text)),
            Self::Number(number) => format!("`{number}`"),
            Self::Addr(addr) => format!("`{addr}`"),
        }
    }
}

impl Said for String {
    fn said(&self) -> String {
        format!("`{self}`")
    }
}

impl Said for bool {
    fn said(&self) -> String {
        self.to_string()
    }
}

impl Said for IpAddr {
    fn said(&self) -> String {
        self.to_string()
    }
}

impl Said for IpNet {
    fn said(&self) -> String {
        self.to_string()
    }
}

impl Said for Withheld {
    fn said(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Said for Urgency {
    fn said(&self) -> String {
        self.as_str().to_owned()
    }
}

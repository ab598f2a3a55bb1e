//! Conditions: `when`.

mod clock;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use self::clock::{DaySpan, Weekdays};
use super::error::Problem;
use super::list::List;
use super::pack::yaml::{Term, Wanted};
use crate::event::{Fields, Value, canonical};

/// Something that must hold for a rule, or for an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at, and what it must be.
    pub asks: Asks,
    /// It must not be that.
    pub not: bool,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// A field; one that isn't there has none of the values.
    Field {
        /// Its name.
        name: String,
        /// What it must be.
        values: Values,
    },
    /// The program that wrote the line.
    Program(Values),
    /// The line's time of day, in one of these.
    Time(Vec<DaySpan>),
    /// The line's day of the week.
    Weekday(Weekdays),
}

/// Values of which one must be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    texts: Vec<Box<[u8]>>,
    numbers: Vec<u64>,
    /// Both ends belong to it.
    ranges: Vec<(u64, u64)>,
    nets: Vec<IpNet>,
    /// By their places in [`super::RuleSet::lists`].
    lists: Vec<usize>,
}

impl Condition {
    /// Whether it holds for an event with these fields; one that asks for more than fields never does.
    pub(super) fn holds(&self, fields: &Fields<'_>) -> bool {
        match &self.asks {
            Asks::Field { name, values } => self.judge(values.meet(fields.get(name).as_ref())),
            Asks::Program(_) | Asks::Time(_) | Asks::Weekday(_) => false,
        }
    }

    /// That a numeric field lies in a range, inclusive.
    #[cfg(test)]
    pub(crate) fn between(name: &str, min: u64, max: u64) -> Self {
        let ranges = vec![(min, max)];
        let values = Values { ranges, ..Values::default() };
        Self { asks: Asks::Field { name: name.to_owned(), values }, not: false }
    }

    /// Whether it holds where what it looks at is, or isn't, what it must be.
    pub const fn judge(&self, met: bool) -> bool {
        met != self.not
    }
}

impl Values {
    /// What a list of terms stands for.
    fn new(terms: &[Term], lists: Option<&ListNames>) -> Result<Self, Problem> {
        let mut values = Self::default();
        for term in terms {
            match term {
                Term::Within { min, max } => values.ranges.push((*min, *max)),
                Term::Text(text) => values.add(text),
                Term::In(name) => {
                    let lists = lists.ok_or(Problem::NotInEvent { key: "in" })?;
                    let list = lists.get(name).ok_or_else(|| Problem::UnknownList {
                        name: name.clone(),
                        known: lists.keys().cloned().collect(),
                    })?;
                    values.lists.push(*list);
                }
            }
        }
        Ok(values)
    }

    fn add(&mut self, text: &str) {
        self.texts.push(text.as_bytes().into());
        // Only the decimal form: `007` is a text.
        self.numbers.extend(text.parse::<u64>().ok().filter(|number| number.to_string() == text));
        let addr = text.parse::<IpAddr>().ok().map(|addr| IpNet::from(canonical(addr)));
        self.nets.extend(addr.or_else(|| text.parse().ok()));
    }

    /// Whether this value is one of them, or of a list's. `None`: a list that isn't known might have it.
    pub fn meet_with(
        &self,
        value: Option<&Value<'_>>,
        lists: &[Option<Arc<List>>],
    ) -> Option<bool> {
        if self.meet(value) {
            return Some(true);
        }
        let mut known = true;
        for list in &self.lists {
            match lists.get(*list).and_then(Option::as_ref).filter(|list| !list.is_empty()) {
                Some(list) if value.is_some_and(|value| list.contains(value)) => return Some(true),
                Some(_) => {}
                None => known = false,
            }
        }
        known.then_some(false)
    }

    /// Whether a list has a part in it.
    pub(crate) const fn may_change(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Whether this value is one of them, lists left aside.
    pub fn meet(&self, value: Option<&Value<'_>>) -> bool {
        match value {
            None => false,
            Some(Value::Text(text)) => {
                self.texts.iter().any(|known| **known == **text)
                    || !self.ranges.is_empty()
                        && std::str::from_utf8(text)
                            .ok()
                            .and_then(|text| text.parse().ok())
                            .is_some_and(|number| self.span(number))
            }
            Some(Value::Number(number)) => self.numbers.contains(number) || self.span(*number),
            Some(Value::Addr(addr)) => self.nets.iter().any(|net| net.contains(addr)),
        }
    }

    fn span(&self, number: u64) -> bool {
        self.ranges.iter().any(|(min, max)| (*min..=*max).contains(&number))
    }
}

/// The lists of all packs: name and place.
pub(super) type ListNames = BTreeMap<String, usize>;

/// Compiles a `when` about events with these fields. What isn't one of them is left out, for the caller to
/// complain about, but for what every line has. Without `lists` it is an event's, and can ask for fields
/// alone.
pub(super) fn compile(
    when: &BTreeMap<String, Wanted>,
    fields: &BTreeSet<String>,
    lists: Option<&ListNames>,
) -> Result<Vec<Condition>, Problem> {
    let known = when.iter().filter(|(name, _)| fields.contains(*name) || is_lines_own(name));
    let conditions = known.map(|(name, Wanted { terms, not })| {
        let asks = match name.as_str() {
            _ if fields.contains(name) => {
                Asks::Field { name: name.clone(), values: Values::new(terms, lists)? }
            }
            TIME => Asks::Time(clock::spans(terms)?),
            WEEKDAY => Asks::Weekday(clock::weekdays(terms)?),
            _ => Asks::Program(Values::new(terms, lists)?),
        };
        Ok(Condition { asks, not: *not })
    });
    conditions.collect()
}

const TIME: &str = "time";
const WEEKDAY: &str = "weekday";
const PROGRAM: &str = "program";

/// Whether every line has this, where its event has no field of that name.
pub(super) fn is_lines_own(name: &str) -> bool {
    matches!(name, TIME | WEEKDAY | PROGRAM)
}

/// Whether a value reads as this text: numbers in decimal, addresses in any spelling.
pub(super) fn equals(value: &Value<'_>, text: &str) -> bool {
    match value {
        Value::Text(bytes) => **bytes == *text.as_bytes(),
        Value::Number(number) => text.parse() == Ok(*number),
        Value::Addr(addr) => text.parse::<IpAddr>() == Ok(*addr),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text.as_bytes()))
    }

    fn values(terms: &[&str], ranges: &[(u64, u64)]) -> Values {
        let texts = terms.iter().map(|text| Term::Text((*text).to_owned()));
        let ranges = ranges.iter().map(|&(min, max)| Term::Within { min, max });
        Values::new(&texts.chain(ranges).collect::<Vec<_>>(), None).unwrap()
    }

    #[test]
    fn values_are_met_by_what_they_mean() {
        let meets = |terms: &[&str], value: &Value<'_>| values(terms, &[]).meet(Some(value));
        assert!(meets(&["admin", "root"], &text("root")));
        assert!(!meets(&["Root"], &text("root")));
        assert!(meets(&["22"], &Value::Number(22)) && meets(&["22"], &text("22")));
        assert!(!meets(&["022"], &Value::Number(22)) && !meets(&["22"], &text("022")));
        let addr = |text: &str| Value::Addr(text.parse().unwrap());
        assert!(meets(&["2001:db8:0:0::1"], &addr("2001:db8::1")));
        assert!(meets(&["::ffff:198.51.100.7"], &addr("198.51.100.7")));
        assert!(meets(&["198.51.100.0/24"], &addr("198.51.100.255")));
        assert!(!meets(&["198.51.100.0/24"], &addr("198.51.101.0")));
        assert!(meets(&["198.51.100.0/24", "2001:db8::/32"], &addr("2001:db8:1::1")));
        assert!(!values(&["x"], &[(0, 9)]).meet(None));
    }

    #[test]
    fn ranges_are_many_and_stand_beside_values() {
        let values = values(&["404"], &[(1, 5), (500, u64::MAX)]);
        let meets = |number| values.meet(Some(&Value::Number(number)));
        assert!(meets(1) && meets(5) && meets(404) && meets(500) && meets(u64::MAX));
        assert!(!meets(0) && !meets(6) && !meets(403) && !meets(499));
        assert!(values.meet(Some(&text("503"))) && !values.meet(Some(&text("x"))));
    }
}

//! An event's fields, which become values when somebody asks.
//!
//! Most lines are asked for one or two of their fields. So a log line's are kept as places in the line, and a
//! Suricata alert's stay where the decoder put them.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;

use super::{SuricataAlert, Value, canonical, parse_ip};

/// Named captures that a pattern can have.
pub(crate) const CAPTURES: usize = 12;

/// No such offset: the capture took no part in the match.
pub(crate) const UNSET: u32 = u32::MAX;

/// Start and end of each capture in the line.
pub(crate) type Slots = [u32; 2 * CAPTURES];

/// Named fields in the order of the pattern's captures (or of the Suricata decoder).
#[derive(Clone, Debug, Default)]
pub struct Fields<'l>(Kept<'l>);

#[derive(Clone, Debug)]
enum Kept<'l> {
    /// As they are.
    Values(Vec<(&'l str, Value<'l>)>),
    Captures(Captures<'l>),
    Alert(&'l SuricataAlert<'l>),
}

impl Default for Kept<'_> {
    fn default() -> Self {
        Self::Values(Vec::new())
    }
}

/// A capture of a pattern: what its field is called, and what its text becomes.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) name: Box<str>,
    pub(crate) kind: CaptureKind,
}

/// What a capture's text becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CaptureKind {
    Text,
    /// It can hold nothing but decimal digits.
    Number,
    /// An address where it is one, else text.
    Address,
}

/// The captures of a match.
#[derive(Clone, Debug)]
pub(crate) struct Captures<'l> {
    pub(crate) names: &'l [Capture],
    pub(crate) text: &'l [u8],
    pub(crate) slots: Slots,
    /// The capture that is `src`, which is parsed already: `None` where it is no address, or may be the
    /// wrong one. It is text then, so that nothing counts by it.
    pub(crate) source: Option<(usize, Option<IpAddr>)>,
}

impl<'l> Captures<'l> {
    #[inline]
    fn at(&self, index: usize) -> Option<Value<'l>> {
        let (&start, &end) = (self.slots.get(2 * index)?, self.slots.get(2 * index + 1)?);
        let text = self.text.get(start as usize..end as usize)?;
        let value = match self.source {
            Some((source, addr)) if source == index => addr.map(Value::Addr),
            _ => match self.names[index].kind {
                CaptureKind::Text => None,
                CaptureKind::Number => number(text).map(Value::Number),
                CaptureKind::Address => parse_ip(text).map(Value::Addr),
            },
        };
        Some(value.unwrap_or(Value::Text(Cow::Borrowed(text))))
    }
}

impl<'l> Fields<'l> {
    /// Those of a line that a pattern took.
    #[inline]
    pub(crate) const fn captured(captures: Captures<'l>) -> Self {
        Self(Kept::Captures(captures))
    }

    /// Those of an alert.
    pub(crate) const fn of_alert(alert: &'l SuricataAlert<'l>) -> Self {
        Self(Kept::Alert(alert))
    }

    /// Of a line that a pattern took: the pattern's captures, and where they lie in the line.
    pub(crate) const fn captures(&self) -> Option<(&'l [Capture], Slots)> {
        match &self.0 {
            Kept::Captures(Captures { names, slots, .. }) => Some((names, *slots)),
            Kept::Values(_) | Kept::Alert(_) => None,
        }
    }

    /// The value of a named field.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Value<'l>> {
        let index = (0..self.places()).find(|index| self.name(*index) == name)?;
        self.value(index)
    }

    /// The address in the field `src`, where it is one.
    // Every pattern with a capture of that name has it as its source.
    #[inline]
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match &self.0 {
            Kept::Captures(captures) => captures.source.and_then(|(_, addr)| addr),
            Kept::Alert(alert) => alert.src.map(canonical),
            Kept::Values(_) => match self.get("src") {
                Some(Value::Addr(addr)) => Some(addr),
                _ => None,
            },
        }
    }

    /// [`Self::get`] for somebody who asks again and again: `hint` remembers where it stood, as the fields of
    /// one kind of event mostly stand in the same order.
    #[inline]
    pub(crate) fn get_hinted(&self, name: &str, hint: &Cell<usize>) -> Option<Value<'l>> {
        let at = hint.get();
        if at < self.places() && self.name(at) == name {
            return self.value(at);
        }
        let at = (0..self.places()).find(|index| self.name(*index) == name)?;
        hint.set(at);
        self.value(at)
    }

    /// All that are there.
    pub fn iter(&self) -> impl Iterator<Item = (&'l str, Value<'l>)> {
        (0..self.places()).filter_map(|index| Some((self.name(index), self.value(index)?)))
    }

    /// How many there can be.
    #[inline]
    const fn places(&self) -> usize {
        match &self.0 {
            Kept::Values(values) => values.len(),
            Kept::Captures(captures) => captures.names.len(),
            Kept::Alert(_) => SURICATA_FIELDS.len(),
        }
    }

    #[inline]
    fn name(&self, index: usize) -> &'l str {
        match &self.0 {
            Kept::Values(values) => values[index].0,
            Kept::Captures(captures) => &captures.names[index].name,
            Kept::Alert(_) => SURICATA_FIELDS[index],
        }
    }

    #[inline]
    fn value(&self, index: usize) -> Option<Value<'l>> {
        match &self.0 {
            Kept::Values(values) => Some(values[index].1.clone()),
            Kept::Captures(captures) => captures.at(index),
            Kept::Alert(alert) => of_alert(alert, index),
        }
    }
}

impl<'l> FromIterator<(&'l str, Value<'l>)> for Fields<'l> {
    fn from_iter<I: IntoIterator<Item = (&'l str, Value<'l>)>>(values: I) -> Self {
        Self(Kept::Values(values.into_iter().collect()))
    }
}

/// The fields of a Suricata alert, in order.
pub(crate) const SURICATA_FIELDS: [&str; 12] = [
    "gid",
    "sid",
    "rev",
    "signature",
    "category",
    "priority",
    "action",
    "proto",
    "src",
    "src_port",
    "dst",
    "dst_port",
];

/// The value of [`SURICATA_FIELDS`] at this place.
fn of_alert<'l>(alert: &'l SuricataAlert<'l>, index: usize) -> Option<Value<'l>> {
    let number = |number: u32| Some(Value::Number(u64::from(number)));
    let text = |text: &'l str| Some(Value::Text(Cow::Borrowed(text.as_bytes())));
    let port = |port: Option<u16>| port.map(|port| Value::Number(u64::from(port)));
    let addr = |addr: Option<IpAddr>| addr.map(|addr| Value::Addr(canonical(addr)));
    match index {
        0 => number(alert.gid),
        1 => number(alert.sid),
        2 => number(alert.rev),
        3 => text(&alert.signature),
        4 => alert.category.as_deref().and_then(text),
        5 => number(u32::from(alert.priority)),
        6 => text(alert.action),
        7 if alert.proto.is_empty() => None,
        7 => text(&alert.proto),
        8 => addr(alert.src),
        9 => port(alert.src_port),
        10 => addr(alert.dst),
        11 => port(alert.dst_port),
        _ => None,
    }
}

/// Decimal digits as a number; `None` where there are none, or too many.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 19 {
        // Too few to overflow.
        let digits = digits.iter().map(|digit| u64::from(digit.wrapping_sub(b'0')));
        return Some(
            digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(digit)),
        );
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

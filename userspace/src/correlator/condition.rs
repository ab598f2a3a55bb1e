//! Conditions and keys, prepared for the hot path.

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use smallvec::SmallVec;

use super::owner::Owner;
use crate::event::{Event, Prefixes, Target, Value};
use crate::rules::{Asks, Condition, Key, List};
use crate::seeded::Seeded;

/// The fields that keys are made of, and what the event at hand has in them: several keys ask for the same.
#[derive(Debug, Default)]
pub(super) struct KeyFields {
    fields: Vec<Field>,
    hasher: Seeded,
}

/// A field by name.
#[derive(Debug)]
struct Field {
    name: Box<str>,
    /// It is the one that holds an event's address.
    is_source: bool,
    /// Where it was last found in events of this kind (and of some others): their fields mostly stand in the
    /// same order.
    hints: [Cell<usize>; KINDS],
    /// What the event of this number has in it.
    known: Cell<(u64, Known)>,
}

/// The field that holds an event's address.
const SOURCE: &str = "src";

/// Kinds of events whose hints are kept apart.
const KINDS: usize = 16;

/// What an event has in a field.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    Addr(IpAddr),
    /// A hash of it.
    Other(u64),
}

impl KeyFields {
    fn intern(&mut self, name: &str) -> usize {
        let known = self.fields.iter().position(|field| *field.name == *name);
        known.unwrap_or_else(|| {
            let known = Cell::new((u64::MAX, Known::Nothing));
            let hints = [const { Cell::new(0) }; KINDS];
            self.fields.push(Field { name: name.into(), is_source: name == SOURCE, hints, known });
            self.fields.len() - 1
        })
    }

    #[inline]
    fn get(&self, field: usize, event: &Event<'_>, number: u64) -> Known {
        let Some(field) = self.fields.get(field) else { return Known::Nothing };
        let (of, known) = field.known.get();
        if of == number {
            return known;
        }
        let source = if field.is_source { event.fields.source() } else { None };
        let known = source.map_or_else(|| self.look_up(field, event), Known::Addr);
        field.known.set((number, known));
        known
    }

    fn look_up(&self, field: &Field, event: &Event<'_>) -> Known {
        let hint = &field.hints[event.kind.index as usize % KINDS];
        match event.fields.get_hinted(&field.name, hint) {
            None => Known::Nothing,
            Some(Value::Addr(addr)) => Known::Addr(addr),
            Some(value) => {
                let mut hash = self.hasher.build_hasher();
                hash_value(&value, &mut hash);
                Known::Other(hash.finish())
            }
        }
    }

    fn name(&self, field: usize) -> &str {
        self.fields.get(field).map_or("", |field| &field.name)
    }
}

/// What keys are made of: an event, and whom it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'p, 'e, 'l> {
    pub(super) event: &'e Event<'l>,
    /// No other event has it.
    pub(super) number: u64,
    pub(super) subject: Subject,
    pub(super) fields: &'p KeyFields,
}

impl About<'_, '_, '_> {
    #[inline]
    fn field(self, field: usize) -> Known {
        self.fields.get(field, self.event, self.number)
    }
}

/// A [`Condition`], and where its field was last found.
#[derive(Debug)]
pub(super) struct Test {
    condition: Condition,
    hint: Cell<usize>,
}

/// What conditions may look at beside the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'s> {
    /// The line's time, in milliseconds since the epoch.
    pub(super) now: i64,
    /// Where days begin.
    pub(super) zone: &'s TimeZone,
    /// By their places in the rule set.
    pub(super) lists: &'s [Option<Arc<List>>],
}

impl Setting<'_> {
    /// What calendar and clock on the wall show; `None` thousands of years from now.
    fn local(&self) -> Option<DateTime> {
        let now = jiff::Timestamp::from_millisecond(self.now).ok()?;
        Some(self.zone.to_datetime(now))
    }
}

impl Test {
    pub(super) fn new(condition: &Condition) -> Self {
        Self { condition: condition.clone(), hint: Cell::new(0) }
    }

    pub(super) fn holds(&self, event: &Event<'_>, setting: Setting<'_>) -> bool {
        let met = match &self.condition.asks {
            Asks::Field { name, values } => {
                let value = event.fields.get_hinted(name, &self.hint);
                values.meet_with(value.as_ref(), setting.lists)
            }
            Asks::Program(values) => {
                let program = event.program.map(|name| Value::Text(Cow::Borrowed(name)));
                values.meet_with(program.as_ref(), setting.lists)
            }
            Asks::Time(spans) => {
                setting.local().map(|local| spans.iter().any(|span| span.contains(local.time())))
            }
            Asks::Weekday(days) => setting.local().map(|local| days.contains(local.weekday())),
        };
        // What nobody can tell holds neither way.
        met.is_some_and(|met| self.condition.judge(met))
    }
}

impl Test {
    /// Whether it doesn't hold for this event, nor ever for one with the same fields of the same program.
    pub(super) fn never_holds(&self, event: &Event<'_>) -> bool {
        let (values, value) = match &self.condition.asks {
            Asks::Field { name, values } => (values, event.fields.get(name)),
            Asks::Program(values) => {
                (values, event.program.map(|name| Value::Text(Cow::Borrowed(name))))
            }
            Asks::Time(_) | Asks::Weekday(_) => return false,
        };
        !values.may_change() && !self.condition.judge(values.meet(value.as_ref()))
    }
}

/// What events of one window have in common.
#[derive(Debug)]
pub(super) struct KeyPlan {
    parts: Box<[Part]>,
    /// Names the window where nobody owns it.
    rule: u32,
}

#[derive(Debug)]
enum Part {
    Offender,
    /// One of [`KeyFields`].
    Field(usize),
    /// The one that holds an event's address.
    Source(usize),
    Network(Prefixes),
}

impl Part {
    fn new(key: &Key, fields: &mut KeyFields) -> Self {
        match key {
            Key::Offender => Self::Offender,
            Key::Field(name) if name == SOURCE => Self::Source(fields.intern(name)),
            Key::Field(name) => Self::Field(fields.intern(name)),
            Key::Network(prefixes) => Self::Network(*prefixes),
        }
    }

    /// As a pack says it.
    fn name(&self, fields: &KeyFields) -> String {
        match self {
            Self::Offender => "src".to_owned(),
            Self::Field(field) | Self::Source(field) => fields.name(*field).to_owned(),
            Self::Network(prefixes) => format!("src/{},/{}", prefixes.v4, prefixes.v6),
        }
    }
}

/// Whom an event is about, and how addresses become targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) target: Option<Target>,
    /// The address in the event's field `src` is the target's: most keys and values are made of it.
    holds_source: bool,
    ipv6_prefix: u8,
}

impl Subject {
    /// `target`: whom it is known to be about; without it the address in the field `src` tells.
    #[inline]
    pub(super) fn of(event: &Event<'_>, target: Option<Target>, ipv6_prefix: u8) -> Self {
        let source = event.fields.source();
        let target = target.or_else(|| Some(Target::of_offender(source?, ipv6_prefix)));
        let holds_source =
            target.zip(source).is_some_and(|(target, source)| target.contains(source));
        Self { target, holds_source, ipv6_prefix }
    }

    /// An address as a key: all addresses of the subject are one.
    fn key_of(self, addr: IpAddr) -> Target {
        match self.target {
            Some(target) if target.contains(addr) => target,
            Some(_) | None => Target::of_offender(addr, self.ipv6_prefix),
        }
    }
}

/// Whose window an event falls into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// That of whom the event is about.
    Subject,
    /// That of another address, or nobody's.
    Other(Owner),
}

impl KeyPlan {
    pub(super) fn new(same: &[Key], rule: u32, fields: &mut KeyFields) -> Self {
        Self { parts: same.iter().map(|key| Part::new(key, fields)).collect(), rule }
    }

    /// What they have in common, as a pack says it.
    pub(super) fn names(&self, fields: &KeyFields) -> Vec<String> {
        self.parts.iter().map(|part| part.name(fields)).collect()
    }

    /// The owner of the only window, where the key is empty.
    pub(super) fn everybody(&self, fields: &KeyFields) -> Option<Owner> {
        let hash = fields.hasher.build_hasher();
        self.parts.is_empty().then(|| Owner::shared(self.rule, hash.finish()))
    }

    /// Whether many offenders of a network are counted together.
    pub(super) fn is_network(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Network(_)))
    }

    /// Whose window an event falls into, and which of theirs; `None` where a part is missing.
    ///
    /// It is the subject's where the key has it, else that of the first address in it, else nobody's.
    #[inline(always)]
    pub(super) fn resolve(&self, about: About<'_, '_, '_>) -> Option<(Whose, u32)> {
        match &*self.parts {
            [Part::Offender] => about.subject.target.map(|_| (Whose::Subject, 0)),
            [Part::Source(_)] if about.subject.holds_source => Some((Whose::Subject, 0)),
            [Part::Field(field)] => match about.field(*field) {
                Known::Nothing => None,
                Known::Addr(_) => self.resolve_parts(about),
                Known::Other(value) => Some((Whose::Other(Owner::shared(self.rule, value)), 0)),
            },
            _ => self.resolve_parts(about),
        }
    }

    #[inline(never)]
    fn resolve_parts(&self, about: About<'_, '_, '_>) -> Option<(Whose, u32)> {
        let About { subject, fields, .. } = about;
        let mut addrs: SmallVec<[(usize, Target); 2]> = SmallVec::new();
        let mut hash = fields.hasher.build_hasher();
        let mut rest = 0_u32;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Offender => addrs.push((at, subject.target?)),
                // It is the network's window, whatever else the key has.
                Part::Network(prefixes) => {
                    addrs.insert(0, (at, prefixes.of(subject.target?.net().addr())));
                }
                Part::Field(field) | Part::Source(field) => match about.field(*field) {
                    Known::Nothing => return None,
                    Known::Addr(addr) => addrs.push((at, subject.key_of(addr))),
                    Known::Other(value) => {
                        at.hash(&mut hash);
                        hash.write_u64(value);
                        rest += 1;
                    }
                },
            }
        }
        let owner = addrs
            .iter()
            .map(|(_, target)| *target)
            .find(|target| Some(*target) == subject.target)
            .or_else(|| addrs.first().map(|(_, target)| *target));
        // A part that only repeats the owner says nothing.
        for part in addrs.iter().filter(|(_, target)| Some(*target) != owner) {
            part.hash(&mut hash);
            rest += 1;
        }
        let subkey = if rest == 0 { 0 } else { short(hash.finish()) };
        Some(match owner {
            Some(_) if owner == subject.target => (Whose::Subject, subkey),
            Some(target) => (Whose::Other(Owner::target(target)), subkey),
            None => (Whose::Other(Owner::shared(self.rule, hash.finish())), 0),
        })
    }
}

/// What a `distinct` window tells values apart by.
#[derive(Debug)]
pub(super) struct DistinctPlan(Part);

impl DistinctPlan {
    pub(super) fn new(key: &Key, fields: &mut KeyFields) -> Self {
        Self(Part::new(key, fields))
    }

    /// As a pack says it.
    pub(super) fn name(&self, fields: &KeyFields) -> String {
        self.0.name(fields)
    }

    #[inline]
    pub(super) fn value(&self, about: About<'_, '_, '_>) -> Option<u32> {
        let target = match &self.0 {
            Part::Offender | Part::Network(_) => about.subject.target?,
            Part::Source(_) if about.subject.holds_source => about.subject.target?,
            Part::Field(field) | Part::Source(field) => match about.field(*field) {
                Known::Nothing => return None,
                Known::Addr(addr) => about.subject.key_of(addr),
                Known::Other(value) => return Some(short(value)),
            },
        };
        Some(short(about.fields.hasher.hash_one(target)))
    }
}

/// A number and its decimal form are the same value.
fn hash_value(value: &Value<'_>, hash: &mut impl std::hash::Hasher) {
    match value {
        Value::Text(text) => hash.write(text),
        Value::Number(number) => hash.write(number.to_string().as_bytes()),
        Value::Addr(addr) => addr.hash(hash),
    }
    hash.write_u8(0xff);
}

fn short(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Blame, EventKind};

    fn kind() -> EventKind {
        EventKind {
            index: 0,
            name: "e".into(),
            pack: "p".into(),
            proven: true,
            attempt: false,
            success: false,
            web: false,
        }
    }

    fn event<'l>(kind: &'l EventKind, fields: &[(&'l str, Value<'l>)]) -> Event<'l> {
        Event {
            kind,
            fields: fields.iter().cloned().collect(),
            program: None,
            pid: None,
            repeated: 1,
            address: Blame::Nobody,
            suricata: None,
        }
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn keys_belong_to_the_subject_or_else_to_the_first_address() {
        let kind = kind();
        let (src, dst) = ("2001:db8::1".parse().unwrap(), "203.0.113.9".parse().unwrap());
        let event = event(
            &kind,
            &[
                ("user", text("root")),
                ("src", Value::Addr(src)),
                ("dst", Value::Addr(dst)),
                ("port", Value::Number(22)),
            ],
        );
        let target = Target::of_offender(src, 64);
        let known = Subject::of(&event, Some(target), 64);
        let unknown = Subject { target: None, holds_source: false, ipv6_prefix: 64 };
        let key = |same: &[Key], subject| {
            let mut fields = KeyFields::default();
            let plan = KeyPlan::new(same, 9, &mut fields);
            plan.resolve(About { event: &event, number: 1, subject, fields: &fields })
        };
        let field = |name: &str| Key::Field(name.into());
        let own = Some((Whose::Subject, 0));
        assert_eq!(key(&[Key::Offender], known), own);
        assert_eq!(key(&[field("src")], known), own);
        let other = |target| Some((Whose::Other(Owner::target(target)), 0));
        assert_eq!(key(&[field("src")], unknown), other(target));
        assert_eq!(key(&[Key::Offender, field("src")], known), own);
        assert_eq!(key(&[Key::Offender], unknown), None);
        assert_eq!(key(&[field("src"), field("missing")], known), None);
        let of_user = key(&[field("src"), field("user")], known).unwrap();
        assert_eq!(of_user.0, Whose::Subject);
        assert_ne!(of_user.1, key(&[field("src"), field("port")], known).unwrap().1);
        let pair = key(&[field("dst"), field("src")], known).unwrap();
        assert_eq!(pair.0, Whose::Subject);
        assert_ne!(pair.1, 0);
        let pair = key(&[field("dst"), field("src")], unknown).unwrap();
        assert_eq!(pair.0, other(Target::of_address(dst)).unwrap().0);
        let nobody = key(&[field("user")], known).unwrap();
        assert_eq!(nobody.1, 0);
        assert_ne!(nobody, key(&[field("port")], known).unwrap());
        assert_eq!(key(&[], known), key(&[], unknown));
        // An on-link neighbour is its own target; its address in a field is that same key.
        let neighbour = Target::of_address(src);
        let known = Subject::of(&event, Some(neighbour), 64);
        assert_eq!(key(&[field("src")], known), own);
    }
}

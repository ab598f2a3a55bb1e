//! Conditions and keys, prepared for the hot path.

use std::cell::Cell;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::net::IpAddr;

use smallvec::SmallVec;

use super::owner::Owner;
use crate::event::{Event, Prefixes, Target, Value};
use crate::rules::{Condition, Key};
use crate::seeded::Seeded;

/// A field by name, and where it was last found: the fields of one kind of event mostly stand in the
/// same order.
#[derive(Debug)]
struct Field {
    name: Box<str>,
    hint: Cell<usize>,
}

impl Field {
    fn new(name: &str) -> Self {
        Self { name: name.into(), hint: Cell::new(0) }
    }

    #[inline]
    fn of<'l>(&self, event: &Event<'l>) -> Option<Value<'l>> {
        event.fields.get_hinted(&self.name, &self.hint)
    }
}

/// A [`Condition`], with its numbers and addresses already parsed.
#[derive(Debug)]
pub(super) struct Test {
    field: Field,
    accepts: Accepts,
}

#[derive(Debug)]
enum Accepts {
    Any { texts: Box<[Box<[u8]>]>, numbers: Box<[u64]>, addrs: Box<[IpAddr]>, not: bool },
    Within { min: u64, max: u64 },
}

impl Test {
    pub(super) fn new(condition: &Condition) -> Self {
        match condition {
            Condition::Is { field, any, not } => Self {
                field: Field::new(field),
                accepts: Accepts::Any {
                    texts: any.iter().map(|text| text.as_bytes().into()).collect(),
                    // Only the decimal form: `007` is a text.
                    numbers: any
                        .iter()
                        .filter_map(|text| {
                            text.parse::<u64>().ok().filter(|number| number.to_string() == *text)
                        })
                        .collect(),
                    addrs: any
                        .iter()
                        .filter_map(|text| text.parse::<IpAddr>().ok())
                        .map(|addr| addr.to_canonical())
                        .collect(),
                    not: *not,
                },
            },
            Condition::Within { field, min, max } => {
                Self { field: Field::new(field), accepts: Accepts::Within { min: *min, max: *max } }
            }
        }
    }

    pub(super) fn holds(&self, event: &Event<'_>) -> bool {
        let value = self.field.of(event);
        match &self.accepts {
            Accepts::Any { texts, numbers, addrs, not } => {
                let is_one = match value {
                    None => false,
                    Some(Value::Text(text)) => texts.iter().any(|known| **known == *text),
                    Some(Value::Number(number)) => numbers.contains(&number),
                    Some(Value::Addr(addr)) => addrs.contains(&addr),
                };
                is_one != *not
            }
            Accepts::Within { min, max } => {
                let number = match value {
                    Some(Value::Number(number)) => Some(number),
                    Some(Value::Text(text)) => {
                        std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok())
                    }
                    Some(Value::Addr(_)) | None => None,
                };
                number.is_some_and(|number| (*min..=*max).contains(&number))
            }
        }
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
    Field(Field),
    Network(Prefixes),
}

impl Part {
    fn new(key: &Key) -> Self {
        match key {
            Key::Offender => Self::Offender,
            Key::Field(name) => Self::Field(Field::new(name)),
            Key::Network(prefixes) => Self::Network(*prefixes),
        }
    }

    /// As a pack says it.
    fn name(&self) -> String {
        match self {
            Self::Offender => "src".to_owned(),
            Self::Field(field) => field.name.to_string(),
            Self::Network(prefixes) => format!("src/{},/{}", prefixes.v4, prefixes.v6),
        }
    }
}

/// Whom an event is about, and how addresses become targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) target: Option<Target>,
    pub(super) ipv6_prefix: u8,
}

impl Subject {
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
    pub(super) fn new(same: &[Key], rule: u32) -> Self {
        Self { parts: same.iter().map(Part::new).collect(), rule }
    }

    /// What they have in common, as a pack says it.
    pub(super) fn names(&self) -> Vec<String> {
        self.parts.iter().map(Part::name).collect()
    }

    /// The owner of the only window, where the key is empty.
    pub(super) fn everybody(&self, hasher: &Seeded) -> Option<Owner> {
        let hash = hasher.build_hasher();
        self.parts.is_empty().then(|| Owner::shared(self.rule, hash.finish()))
    }

    /// Whether many offenders of a network are counted together.
    pub(super) fn is_network(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Network(_)))
    }

    /// Whose window an event falls into, and which of theirs; `None` where a part is missing.
    ///
    /// It is the subject's where the key has it, else that of the first address in it, else nobody's.
    pub(super) fn resolve(
        &self,
        event: &Event<'_>,
        subject: Subject,
        hasher: &Seeded,
    ) -> Option<(Whose, u32)> {
        match &*self.parts {
            [Part::Offender] => subject.target.map(|_| (Whose::Subject, 0)),
            [Part::Field(field)] => match field.of(event)? {
                Value::Addr(addr) if subject.target.is_some_and(|own| own.contains(addr)) => {
                    Some((Whose::Subject, 0))
                }
                _ => self.resolve_parts(event, subject, hasher),
            },
            _ => self.resolve_parts(event, subject, hasher),
        }
    }

    fn resolve_parts(
        &self,
        event: &Event<'_>,
        subject: Subject,
        hasher: &Seeded,
    ) -> Option<(Whose, u32)> {
        let mut addrs: SmallVec<[(usize, Target); 2]> = SmallVec::new();
        let mut hash = hasher.build_hasher();
        let mut rest = 0_u32;
        for (at, part) in self.parts.iter().enumerate() {
            let value = match part {
                Part::Offender => {
                    addrs.push((at, subject.target?));
                    continue;
                }
                Part::Network(prefixes) => {
                    // It is the network's window, whatever else the key has.
                    addrs.insert(0, (at, prefixes.of(subject.target?.net().addr())));
                    continue;
                }
                Part::Field(field) => field.of(event)?,
            };
            match value {
                Value::Addr(addr) => addrs.push((at, subject.key_of(addr))),
                Value::Text(_) | Value::Number(_) => {
                    at.hash(&mut hash);
                    hash_value(&value, &mut hash);
                    rest += 1;
                }
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
    pub(super) fn new(key: &Key) -> Self {
        Self(Part::new(key))
    }

    /// As a pack says it.
    pub(super) fn name(&self) -> String {
        self.0.name()
    }

    pub(super) fn value(
        &self,
        event: &Event<'_>,
        subject: Subject,
        hasher: &Seeded,
    ) -> Option<u32> {
        let mut hash = hasher.build_hasher();
        match &self.0 {
            Part::Offender | Part::Network(_) => subject.target?.hash(&mut hash),
            Part::Field(field) => match field.of(event)? {
                Value::Addr(addr) => subject.key_of(addr).hash(&mut hash),
                value => hash_value(&value, &mut hash),
            },
        }
        Some(short(hash.finish()))
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
    use std::borrow::Cow;

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
        }
    }

    fn event<'l>(kind: &'l EventKind, fields: &[(&'l str, Value<'l>)]) -> Event<'l> {
        Event {
            kind,
            fields: fields.iter().cloned().collect(),
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
    fn conditions_hold_by_value() {
        let kind = kind();
        let event = event(
            &kind,
            &[
                ("user", text("root")),
                ("port", Value::Number(22)),
                ("src", Value::Addr("2001:db8::1".parse().unwrap())),
                ("status", text("404")),
            ],
        );
        let is = |field: &str, any: &[&str], not| {
            let any = any.iter().map(|text| (*text).to_owned()).collect();
            Test::new(&Condition::Is { field: field.into(), any, not }).holds(&event)
        };
        assert!(is("user", &["admin", "root"], false));
        assert!(!is("user", &["Root"], false));
        assert!(!is("user", &["root"], true));
        assert!(is("port", &["22"], false));
        assert!(!is("port", &["022"], false));
        assert!(is("src", &["2001:db8:0:0::1"], false));
        assert!(!is("missing", &["x"], false));
        assert!(is("missing", &["x"], true));
        let within = |field: &str, min, max| {
            Test::new(&Condition::Within { field: field.into(), min, max }).holds(&event)
        };
        assert!(within("port", 22, 22) && within("port", 0, u64::MAX));
        assert!(!within("port", 23, 80) && !within("user", 0, 9) && !within("missing", 0, 9));
        assert!(within("status", 400, 499));
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
        let hasher = Seeded::default();
        let target = Target::of_offender(src, 64);
        let known = Subject { target: Some(target), ipv6_prefix: 64 };
        let unknown = Subject { target: None, ipv6_prefix: 64 };
        let key = |same: &[Key], subject| KeyPlan::new(same, 9).resolve(&event, subject, &hasher);
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
        let known = Subject { target: Some(neighbour), ipv6_prefix: 64 };
        assert_eq!(key(&[field("src")], known), own);
    }
}

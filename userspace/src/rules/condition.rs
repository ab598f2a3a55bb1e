//! Conditions on fields: `when`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::pack::yaml::Wanted;
use super::rule::Condition;
use crate::event::{Fields, Value};

impl Condition {
    /// Whether it holds for an event with these fields.
    pub fn holds(&self, fields: &Fields<'_>) -> bool {
        let value = |name: &str| fields.get(name);
        match self {
            Self::Is { field, any, not } => {
                let found =
                    value(field).is_some_and(|value| any.iter().any(|text| equals(&value, text)));
                found != *not
            }
            Self::Within { field, min, max } => match value(field) {
                Some(Value::Number(number)) => (*min..=*max).contains(&number),
                _ => false,
            },
        }
    }

    /// The field it is about.
    pub fn field(&self) -> &str {
        match self {
            Self::Is { field, .. } | Self::Within { field, .. } => field,
        }
    }
}

/// Compiles a `when`.
pub(super) fn compile(when: &BTreeMap<String, Wanted>) -> Vec<Condition> {
    when.iter()
        .map(|(field, wanted)| {
            let field = field.clone();
            match wanted.clone() {
                Wanted::Any(any) => Condition::Is { field, any, not: false },
                Wanted::Not(any) => Condition::Is { field, any, not: true },
                Wanted::Within { min, max } => Condition::Within { field, min, max },
            }
        })
        .collect()
}

/// Whether a value reads as this text: numbers in decimal, addresses in any spelling.
pub(super) fn equals(value: &Value<'_>, text: &str) -> bool {
    match value {
        Value::Text(bytes) => **bytes == *text.as_bytes(),
        Value::Number(number) => text.parse() == Ok(*number),
        Value::Addr(addr) => text.parse::<IpAddr>() == Ok(*addr),
    }
}

//! Shapes that a pack's YAML takes: one or many, names in order, durations, accepted values.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value};

use crate::config::parse_duration;
use crate::event::Ports;

/// A value, or a list of them.
#[derive(Clone, Debug)]
pub(in crate::rules) struct OneOrMany<T>(pub(in crate::rules) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                one(value::StrDeserializer::new(text))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                one(value::U64Deserializer::new(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                one(value::I64Deserializer::new(number))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Self::Value, E> {
                one(value::BoolDeserializer::new(truth))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(OneOrMany)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                one(value::MapAccessDeserializer::new(map))
            }
        }

        fn one<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            single: D,
        ) -> Result<OneOrMany<T>, D::Error> {
            T::deserialize(single).map(|single| OneOrMany(vec![single]))
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A mapping with names of the author's choice, in the order in which they stand.
#[derive(Debug)]
pub(in crate::rules) struct Named<T>(pub(in crate::rules) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// `90s`, `5m`, `2h`, `1d`.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Span(pub(in crate::rules) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match parse_duration(&text) {
            Ok(Duration::ZERO) => Err(de::Error::custom("expected at least 1s")),
            Ok(duration) => Ok(Self(duration)),
            Err(error) => Err(de::Error::custom(error)),
        }
    }
}

/// `25`, `[25, 465]`, `8000-8010`, or a list of these.
#[derive(Clone, Debug)]
pub(in crate::rules) struct PortList(pub(in crate::rules) Ports);

impl<'de> Deserialize<'de> for PortList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(parts) = OneOrMany::<Scalar>::deserialize(deserializer)?;
        let parts: Vec<String> = parts.into_iter().map(|Scalar(text)| text).collect();
        parts.join(",").parse().map(Self).map_err(de::Error::custom)
    }
}

/// A value that a field is compared with: text, number or truth, as text.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Scalar(pub(in crate::rules) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;

        impl Visitor<'_> for AsText {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Scalar, E> {
                Ok(Scalar(truth.to_string()))
            }
        }

        deserializer.deserialize_any(AsText)
    }
}

/// What a field must be: terms, of which one must be met, or `{not: ...}` of them.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Wanted {
    pub(in crate::rules) terms: Vec<Term>,
    pub(in crate::rules) not: bool,
}

/// `x`, or `{min: 1, max: 3}`.
#[derive(Clone, Debug)]
pub(in crate::rules) enum Term {
    Text(String),
    Within { min: u64, max: u64 },
}

/// What can stand in a mapping in the place of a value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    not: Option<OneOrMany<Term>>,
    min: Option<u64>,
    max: Option<u64>,
}

impl Mapping {
    fn wanted<E: de::Error>(self) -> Result<Wanted, E> {
        match self {
            Self { not: Some(OneOrMany(terms)), min: None, max: None } => {
                Ok(Wanted { terms, not: true })
            }
            Self { not: None, min, max } if min.is_some() || max.is_some() => {
                let (min, max) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
                if min > max {
                    return Err(E::custom(format!(
                        "expected min to be at most max, got {min} and {max}"
                    )));
                }
                Ok(Wanted { terms: vec![Term::Within { min, max }], not: false })
            }
            _ => Err(E::custom("expected either `not`, or `min` and `max`")),
        }
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = deserializer.deserialize_any(Shape { of_terms: false })?;
        match (wanted.terms.into_iter().next(), wanted.not) {
            (Some(term), false) => Ok(term),
            _ => Err(de::Error::custom("expected `not` around the whole list of values")),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape { of_terms: true })
    }
}

/// A term, or where there may be several what is wanted.
struct Shape {
    of_terms: bool,
}

impl<'de> Visitor<'de> for Shape {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.of_terms {
            "a value, a list of values, `{not: ...}` or `{min: ..., max: ...}`"
        } else {
            "a value or `{min: ..., max: ...}`"
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
        Ok(Wanted { terms: vec![Term::Text(text.to_owned())], not: false })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Wanted, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Wanted, E> {
        self.visit_str(&truth.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Wanted, A::Error> {
        if !self.of_terms {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let terms = Deserialize::deserialize(value::SeqAccessDeserializer::new(seq))?;
        Ok(Wanted { terms, not: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wanted, A::Error> {
        Mapping::deserialize(value::MapAccessDeserializer::new(map))?.wanted()
    }
}

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

/// `x`, `{min: 1, max: 3}`, or `{in: NAME}`.
#[derive(Clone, Debug)]
pub(in crate::rules) enum Term {
    Text(String),
    Within { min: u64, max: u64 },
    In(String),
}

/// What can stand in a mapping in the place of a value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    not: Option<Wanted>,
    #[serde(rename = "in")]
    listed: Option<OneOrMany<String>>,
    not_in: Option<OneOrMany<String>>,
    min: Option<u64>,
    max: Option<u64>,
}

impl Mapping {
    fn wanted<E: de::Error>(self) -> Result<Wanted, E> {
        let lists = |OneOrMany(names): OneOrMany<String>| names.into_iter().map(Term::In).collect();
        match self {
            Self { not: Some(wanted), listed: None, not_in: None, min: None, max: None } => {
                if wanted.not {
                    return Err(E::custom("expected values in `not`, got another `not`"));
                }
                Ok(Wanted { not: true, ..wanted })
            }
            Self { listed: Some(names), not: None, not_in: None, min: None, max: None } => {
                Ok(Wanted { terms: lists(names), not: false })
            }
            Self { not_in: Some(names), not: None, listed: None, min: None, max: None } => {
                Ok(Wanted { terms: lists(names), not: true })
            }
            Self { not: None, listed: None, not_in: None, min, max }
                if min.is_some() || max.is_some() =>
            {
                let (min, max) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
                if min > max {
                    return Err(E::custom(format!(
                        "expected min to be at most max, got {min} and {max}"
                    )));
                }
                Ok(Wanted { terms: vec![Term::Within { min, max }], not: false })
            }
            _ => Err(E::custom("expected one of `not`, `in`, `not_in`, or `min` and `max`")),
        }
    }
}

/// An element of a list of values.
struct Element(Vec<Term>);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wanted { terms, not } = deserializer.deserialize_any(Shape { may_be_list: false })?;
        if not {
            return Err(de::Error::custom("expected `not` around the whole list of values"));
        }
        Ok(Self(terms))
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape { may_be_list: true })
    }
}

/// A value, or also a list of them.
struct Shape {
    may_be_list: bool,
}

impl<'de> Visitor<'de> for Shape {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.may_be_list {
            "a value, a list of values, `{not: ...}`, `{in: ...}` or `{min: ..., max: ...}`"
        } else {
            "a value, `{in: ...}` or `{min: ..., max: ...}`"
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
        if !self.may_be_list {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let elements: Vec<Element> =
            Deserialize::deserialize(value::SeqAccessDeserializer::new(seq))?;
        let terms = elements.into_iter().flat_map(|Element(terms)| terms).collect();
        Ok(Wanted { terms, not: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wanted, A::Error> {
        Mapping::deserialize(value::MapAccessDeserializer::new(map))?.wanted()
    }
}

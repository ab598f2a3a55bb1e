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

/// What a field must be: `x`, `[x, y]`, `{not: x}` or `{min: 1, max: 3}`.
#[derive(Clone, Debug)]
pub(in crate::rules) enum Wanted {
    Any(Vec<String>),
    Not(Vec<String>),
    Within { min: u64, max: u64 },
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Terms {
            not: Option<OneOrMany<Scalar>>,
            min: Option<u64>,
            max: Option<u64>,
        }

        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values, `{not: ...}` or `{min: ..., max: ...}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
                Ok(Wanted::Any(vec![text.to_owned()]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Wanted, E> {
                Ok(Wanted::Any(vec![number.to_string()]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
                Ok(Wanted::Any(vec![number.to_string()]))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Wanted, E> {
                Ok(Wanted::Any(vec![truth.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Wanted, A::Error> {
                let values: Vec<Scalar> =
                    Deserialize::deserialize(value::SeqAccessDeserializer::new(seq))?;
                Ok(Wanted::Any(texts(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wanted, A::Error> {
                let terms = Terms::deserialize(value::MapAccessDeserializer::new(map))?;
                match terms {
                    Terms { not: Some(OneOrMany(values)), min: None, max: None } => {
                        Ok(Wanted::Not(texts(values)))
                    }
                    Terms { not: None, min, max } if min.is_some() || max.is_some() => {
                        Ok(Wanted::Within { min: min.unwrap_or(0), max: max.unwrap_or(u64::MAX) })
                    }
                    _ => Err(de::Error::custom("expected either `not`, or `min` and `max`")),
                }
            }
        }

        fn texts(values: Vec<Scalar>) -> Vec<String> {
            values.into_iter().map(|Scalar(text)| text).collect()
        }

        deserializer.deserialize_any(Shape)
    }
}

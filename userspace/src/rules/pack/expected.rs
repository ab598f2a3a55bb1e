//! `tests:`, and what they expect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};
use serde_yaml::Spanned;

use super::yaml::Scalar;
use crate::config::{Format, Urgency};
use crate::event::Withheld;
use crate::rules::nearest;

/// `tests:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::rules) struct RawTest {
    pub(in crate::rules) line: Option<String>,
    pub(in crate::rules) lines: Option<Vec<String>>,
    pub(in crate::rules) times: Option<Spanned<u32>>,
    #[serde(default, deserialize_with = "format")]
    pub(in crate::rules) format: Option<Format>,
    #[serde(default)]
    pub(in crate::rules) home: Vec<IpNet>,
    #[serde(default)]
    pub(in crate::rules) lists: BTreeMap<String, Vec<Scalar>>,
    pub(in crate::rules) expect: RawExpect,
}

/// `expect:`; a key that is there with `null` asserts that there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::rules) struct RawExpect {
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) event: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) src: Option<Option<Address>>,
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) offender: Option<Option<Address>>,
    pub(in crate::rules) proven: Option<bool>,
    pub(in crate::rules) fields: Option<BTreeMap<String, Option<Scalar>>>,
    pub(in crate::rules) rules: Option<Vec<u32>>,
    pub(in crate::rules) score: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) ban: Option<Option<Banned>>,
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) withheld: Option<Option<Reason>>,
    #[serde(default, deserialize_with = "present")]
    pub(in crate::rules) mail: Option<Option<Mailed>>,
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// An address.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Address(pub(in crate::rules) IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        text.parse().ok().map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "expected an address such as 198.51.100.7, or null where there is none, got `{text}`"
            ))
        })
    }
}

/// The target of a ban.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Banned(pub(in crate::rules) IpNet);

impl<'de> Deserialize<'de> for Banned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        let remedy = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(net), _) if net == net.trunc() => return Ok(Self(net)),
            (Ok(net), _) => format!("write `{}`", net.trunc()),
            (Err(_), Ok(addr)) if addr.is_ipv4() => format!("write `{addr}/32`"),
            (Err(_), Ok(_)) => {
                "write its prefix, which is a /64 unless `ban.ipv6_prefix` says else".to_owned()
            }
            (Err(_), Err(_)) => "name who is banned, or null where nobody is".to_owned(),
        };
        Err(de::Error::custom(format!(
            "expected a target with its prefix length, such as 198.51.100.7/32, got `{text}`: {remedy}"
        )))
    }
}

/// Why a ban was withheld.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Reason(pub(in crate::rules) Withheld);

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        let reason = Withheld::ALL.into_iter().find(|reason| reason.as_str() == text);
        reason.map(Self).ok_or_else(|| {
            let known = Withheld::ALL.map(Withheld::as_str);
            let hint = nearest::hint(&text, known);
            de::Error::custom(format!("nothing is withheld because of `{text}`; {hint}"))
        })
    }
}

/// How a line is mailed.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Mailed(pub(in crate::rules) Urgency);

impl<'de> Deserialize<'de> for Mailed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        let urgency = Urgency::ALL.into_iter().find(|urgency| urgency.as_str() == text);
        urgency.map(Self).ok_or_else(|| {
            let known = Urgency::ALL.map(Urgency::as_str).join(", ");
            de::Error::custom(format!(
                "expected one of {known}, or null where nothing is mailed, got `{text}`"
            ))
        })
    }
}

//! What is worth telling people.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::event::{Ports, Target, Timestamp};
use crate::store::Evidence;

/// Something worth telling; stored as JSON until it is part of a mail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Notice {
    /// A rule fired.
    Alert(AlertNotice),
    /// The daemon started.
    Started(Started),
    /// The daemon ends, as asked.
    Stopped(Stopped),
    /// The host isn't protected as configured.
    Degraded(Degraded),
    /// It is again.
    Recovered(Recovered),
}

/// A rule fired.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AlertNotice {
    /// The line's time.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// The host that the line names; ours where it names none.
    pub host: Option<String>,
    /// Where the line came from: a path, `journald`.
    pub source: String,
    /// The rule.
    pub rule: u32,
    /// Its level.
    pub level: u8,
    /// Its description.
    pub description: String,
    /// Events that made it fire.
    pub count: u32,
    /// Whom it blames.
    pub offender: Option<IpAddr>,
    /// What else the event says, in few words: user, port, signature.
    pub fields: Vec<(String, String)>,
    /// What was done about it.
    pub outcome: Outcome,
    /// The lines, oldest first.
    pub evidence: Evidence,
    /// `mail:` of the rule: always at once, or never.
    #[serde(skip)]
    pub mail: Option<bool>,
}

/// What was done about an alert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "done", rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing was called for.
    Nothing,
    /// A ban.
    Banned {
        /// Of what.
        #[serde(with = "as_text")]
        target: Target,
        /// Its begin.
        #[serde(with = "micros")]
        since: Timestamp,
        /// Its end; `None` for never.
        #[serde(with = "micros::optional")]
        until: Option<Timestamp>,
        /// Which ports it is about; `None`: every one.
        #[serde(default)]
        ports: Option<Ports>,
        /// Why, where it isn't this rule's own doing: the score.
        reason: Option<String>,
        /// Which ban of this target it is.
        offences: u32,
    },
    /// A ban was called for and didn't come: [`crate::event::Withheld::as_str`].
    Withheld {
        /// Why.
        why: String,
    },
}

/// The daemon started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Started {
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Name and how it is attached: `native`, `generic`.
    pub interfaces: Vec<(String, String)>,
    /// Format and place of each source.
    pub sources: Vec<String>,
    /// Bans that stand.
    pub bans: u64,
    /// What the admin should know: an invalid configuration, a database that was set aside.
    pub warnings: Vec<String>,
}

/// The daemon ends, as asked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Stopped {
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// Why: `SIGTERM`.
    pub reason: String,
    /// Bans that stand: the kernel goes on enforcing them.
    pub bans: u64,
}

/// The host isn't protected as configured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Degraded {
    /// Since when.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// `status`'s code: `ban-ineffective`.
    pub code: String,
    /// How bad, on the scale of alerts.
    pub level: u8,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// It is again.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Recovered {
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// The code that is over.
    pub code: String,
}

impl Notice {
    /// How bad, 0-15; start and stop are OSSEC's 3.
    pub const fn level(&self) -> u8 {
        match self {
            Self::Alert(alert) => alert.level,
            Self::Started(_) | Self::Stopped(_) | Self::Recovered(_) => 3,
            Self::Degraded(degraded) => degraded.level,
        }
    }

    /// Whom it blames, and whether it is news also where that one was told at this level already.
    pub(super) fn blames(&self) -> (Option<Target>, bool) {
        let Self::Alert(alert) = self else { return (None, true) };
        // An IPv6 attacker owns a /64.
        let of = |address| Target::of_offender(address, 64);
        match (&alert.outcome, alert.offender) {
            (Outcome::Banned { target, .. }, None) => (Some(*target), true),
            (Outcome::Banned { .. }, Some(address)) => (Some(of(address)), true),
            (Outcome::Withheld { .. } | Outcome::Nothing, Some(address)) => {
                (Some(of(address)), false)
            }
            (Outcome::Withheld { .. } | Outcome::Nothing, None) => (None, true),
        }
    }

    /// What is left of it where it is told as a number.
    pub(super) fn topic(&self) -> String {
        match self {
            Self::Alert(alert) => format!("rule {}: {}", alert.rule, alert.description),
            Self::Started(_) => "started".to_owned(),
            Self::Stopped(_) => "stopped".to_owned(),
            Self::Degraded(degraded) => degraded.code.clone(),
            Self::Recovered(recovered) => format!("{} is over", recovered.code),
        }
    }
}

/// Microseconds since the epoch.
mod micros {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::event::Timestamp;

    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.as_micros().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }

    pub(super) mod optional {
        use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

        use crate::event::Timestamp;

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(Timestamp::as_micros).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_micros))
        }
    }
}

/// What prints and parses.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

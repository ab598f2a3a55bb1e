//! Which ports a ban is about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A set of ports that a ban is limited to: one to [`Ports::MOST`] ranges of 1-65535.
///
/// Destination ports of whatever has ports (TCP, UDP, SCTP, DCCP, UDP-Lite). It prints as
/// `25,465,8000-8010`, in order, with neighbours as one range: equal sets are equal texts.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(Arc<[(u16, u16)]>);

/// Why a text is no set of ports.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PortsError {
    /// Not a number of 1-65535, nor a range of such.
    #[error("expected ports such as `25,465,587` or `8000-8010` (1-65535), got `{part}`")]
    NotAPort {
        /// What was given in its place.
        part: String,
    },
    /// More than the program looks at for a packet.
    #[error(
        "expected at most {most} ports or ranges, got {got}; ban every port (leave the ports out), or \
         write wider ranges", most = Ports::MOST
    )]
    TooMany {
        /// How many there are, neighbours taken together.
        got: usize,
    },
}

impl Ports {
    /// Ranges in a set, at most.
    pub const MOST: usize = ravelin_common::scope::RANGES;

    /// Whatever has a port.
    pub fn any() -> Self {
        Self(Arc::new([(1, u16::MAX)]))
    }

    /// A set of these ranges, first and last port each.
    ///
    /// # Errors
    /// Where there is none, one runs backwards or from 0, or they are too many.
    pub fn of_ranges(ranges: impl IntoIterator<Item = (u16, u16)>) -> Result<Self, PortsError> {
        let mut ranges: Vec<(u16, u16)> = ranges.into_iter().collect();
        if let Some((first, last)) = ranges.iter().find(|(first, last)| *first == 0 || first > last)
        {
            return Err(PortsError::NotAPort { part: format!("{first}-{last}") });
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, before)) if first <= before.saturating_add(1) => {
                    *before = last.max(*before);
                }
                _ => merged.push((first, last)),
            }
        }
        match merged.len() {
            0 => Err(PortsError::NotAPort { part: String::new() }),
            1..=Self::MOST => Ok(Self(merged.into())),
            got => Err(PortsError::TooMany { got }),
        }
    }

    /// Its ranges, in order, first and last port each.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether `port` is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// Whether all of `other` is among them.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(first, last)| self.0.iter().any(|(from, to)| from <= first && last <= to))
    }

    /// Both together; [`any`](Self::any) where that would be too many ranges, so that it never covers
    /// less than either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.covers(other) {
            return self.clone();
        }
        Self::of_ranges(self.0.iter().chain(other.0.iter()).copied())
            .unwrap_or_else(|_| Self::any())
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').map(|part| {
            let part = part.trim();
            let not_a_port = || PortsError::NotAPort { part: part.to_owned() };
            let port = |text: &str| match text.parse() {
                Ok(port) if port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
                _ => Err(not_a_port()),
            };
            match part.split_once('-') {
                Some((first, last)) => match (port(first)?, port(last)?) {
                    (first, last) if first <= last => Ok((first, last)),
                    _ => Err(not_a_port()),
                },
                None => port(part).map(|port| (port, port)),
            }
        });
        Self::of_ranges(ranges.collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Ports {
    type Error = PortsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Ports {
        text.parse().unwrap()
    }

    #[test]
    fn equal_sets_are_equal_texts() {
        for (text, printed) in [
            ("25", "25"),
            ("993, 25,465,25", "25,465,993"),
            ("8000-8010,8005-8020,8021", "8000-8021"),
            ("1-65535", "1-65535"),
        ] {
            assert_eq!(ports(text).to_string(), printed);
            assert_eq!(ports(text), ports(printed));
        }
    }

    #[test]
    fn what_is_no_port_is_named() {
        for bad in ["", "0", "25,", "65536", "+25", "smtp", "10-5", "5-", "0-9", "-1", "1-2-3"] {
            let error = bad.parse::<Ports>().unwrap_err();
            assert!(matches!(error, PortsError::NotAPort { .. }), "{bad}: {error}");
        }
        let many: Vec<String> = (0..=Ports::MOST).map(|n| (10 * n + 1).to_string()).collect();
        let got = Ports::MOST + 1;
        assert_eq!(many.join(",").parse::<Ports>(), Err(PortsError::TooMany { got }));
        assert!(many[1..].join(",").parse::<Ports>().is_ok());
    }

    #[test]
    fn a_union_covers_both_also_where_it_has_to_be_all() {
        let (mail, web) = (ports("25,465"), ports("80,443"));
        let both = mail.union(&web);
        assert_eq!(both, ports("25,80,443,465"));
        assert!(both.covers(&mail) && both.covers(&web) && !mail.covers(&both));
        assert!(both.contains(443) && !both.contains(444));

        let odd = Ports::of_ranges((0..16).map(|n| (4 * n + 1, 4 * n + 1))).unwrap();
        let more = Ports::of_ranges((0..16).map(|n| (4 * n + 3, 4 * n + 3))).unwrap();
        assert_eq!(odd.union(&more), Ports::any());
        assert_eq!(odd.union(&odd), odd);
    }
}

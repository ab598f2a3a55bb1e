//! What a value's text may be: one word of some, a number within bounds, a time, an address.
//!
//! Each says what was expected, and no more: the place and the text are told by whoever asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::super::{DurationError, parse_duration};
use crate::event::Target;

/// One of some words.
pub(super) fn word<T: Copy>(known: &[(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    word(&[("true", true), ("false", false)])(text)
}

/// A whole number within bounds.
pub(super) fn number<T: Copy + fmt::Display + FromStr + PartialOrd>(
    bounds: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            format!("expected a whole number from {} to {}", bounds.start(), bounds.end())
        })
    }
}

/// A port alone is one of the loopback address: what it tells is for this host's own Prometheus unless more is said.
pub(super) fn metrics(text: &str) -> Result<SocketAddr, String> {
    let at = text
        .parse()
        .or_else(|_| text.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    match at {
        Ok(at) if at.port() != 0 => Ok(at),
        _ => Err("expected an address of this host's and a port such as 127.0.0.1:9477, or a port alone, \
                  which is the loopback address's"
            .to_owned()),
    }
}

pub(super) fn score(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|score: &f64| score.is_finite() && *score > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

/// A duration that isn't zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("expected at least 1s".to_owned()),
        Ok(duration) => Ok(duration),
        Err(DurationError::TooLong { .. }) => Err("expected at most 3650d".to_owned()),
        Err(DurationError::NotADuration { .. }) => {
            Err("expected a duration such as 90s, 5m, 2h, 1d or 1h30m".to_owned())
        }
    }
}

/// An address is a prefix of full length: unlike a ban's target, a bare IPv6 address is itself.
///
/// # Errors
/// What was expected.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(addr)) => IpNet::from(addr),
        _ => {
            return Err("expected an address or prefix such as 192.0.2.7, 192.0.2.0/24 or \
                        2001:db8::/48"
                .to_owned());
        }
    };
    Ok(Target::from(net).net())
}

/// What the kernel takes for an interface's name (`dev_valid_name`).
pub(super) fn interface(text: &str) -> Result<String, String> {
    let fits = (1..=15).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| matches!(c, '/' | ':' | '\0') || c.is_whitespace());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected an interface's name such as eth0, at most 15 bytes".to_owned())
    }
}

pub(super) fn mailbox(text: &str) -> Result<String, String> {
    match text.parse::<lettre::message::Mailbox>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a mail address such as root@localhost".to_owned()),
    }
}

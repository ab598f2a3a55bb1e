//! The stable, greppable log line of each ban and unban.

use std::fmt::{self, Write as _};

use crate::event::{BanOrder, Target, Timestamp, Ttl};

/// `ban target=198.51.100.7/32 ttl=300s rule=300011 level=10 origin=rule reason="..."`
pub(super) struct BanLine<'o>(pub(super) &'o BanOrder);

/// `unban target=198.51.100.7/32 by=ttl dropped_packets=17 dropped_bytes=1054`
pub(super) struct UnbanLine<'b> {
    /// What is no longer banned.
    pub(super) target: Target,
    /// `ttl`, `hand`, `allow`.
    pub(super) by: &'b str,
    /// What the ban dropped.
    pub(super) packets: u64,
    /// What the ban dropped.
    pub(super) bytes: u64,
}

impl fmt::Display for BanLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BanOrder { target, ttl, ports, rule, level, origin, reason, .. } = self.0;
        write!(f, "ban target={target}")?;
        match ttl {
            Ttl::For(ttl) => write!(f, " ttl={}s", ttl.as_secs())?,
            Ttl::Permanent => f.write_str(" ttl=permanent")?,
        }
        match rule {
            Some(rule) => write!(f, " rule={rule}")?,
            None => f.write_str(" rule=-")?,
        }
        match level {
            Some(level) => write!(f, " level={level}")?,
            None => f.write_str(" level=-")?,
        }
        write!(f, " origin={origin}")?;
        if let Some(ports) = ports {
            write!(f, " ports={ports}")?;
        }
        f.write_str(" reason=\"")?;
        quoted(f, reason)?;
        f.write_char('"')
    }
}

impl fmt::Display for UnbanLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, by, packets, bytes } = self;
        write!(f, "unban target={target} by={by} dropped_packets={packets} dropped_bytes={bytes}")
    }
}

/// `allow target=198.51.100.7/32 until=2026-11-23T10:00:00Z`, `disallow target=198.51.100.7/32`
pub(super) struct AllowLine {
    /// What is or was on the allow list.
    pub(super) target: Target,
    /// It is now.
    pub(super) allowed: bool,
    /// For how long; `None`: until it is taken off.
    pub(super) until: Option<Timestamp>,
}

impl fmt::Display for AllowLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, allowed, until } = self;
        match (allowed, until) {
            (false, _) => write!(f, "disallow target={target}"),
            (true, None) => write!(f, "allow target={target} until=permanent"),
            (true, Some(until)) => write!(f, "allow target={target} until={until}"),
        }
    }
}

/// A reason may hold what an attacker wrote: it stays inside its quotes and on its line.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(f, "\\{char}")?,
            char if char.is_control() => write!(f, "{}", char.escape_default())?,
            char => f.write_char(char)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Origin, Timestamp};

    #[test]
    fn reads_as_the_contract_says() {
        let mut order = BanOrder {
            target: "198.51.100.7".parse().unwrap(),
            since: Timestamp::from_secs(0),
            ttl: Ttl::For(Duration::from_secs(300)),
            ports: None,
            origin: Origin::Rule,
            rule: Some(300_011),
            level: Some(10),
            reason: "say \"hi\"\nban target=192.0.2.1/32".to_owned(),
            offences: 1,
        };
        assert_eq!(
            BanLine(&order).to_string(),
            "ban target=198.51.100.7/32 ttl=300s rule=300011 level=10 origin=rule \
             reason=\"say \\\"hi\\\"\\nban target=192.0.2.1/32\""
        );
        order.ports = Some("465,25".parse().unwrap());
        assert!(BanLine(&order).to_string().contains(" origin=rule ports=25,465 reason="));
        order.ports = None;
        (order.rule, order.level, order.ttl) = (None, None, Ttl::Permanent);
        assert!(
            BanLine(&order)
                .to_string()
                .starts_with("ban target=198.51.100.7/32 ttl=permanent rule=- level=- origin=rule")
        );
    }
}

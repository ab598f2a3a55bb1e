//! What a ban is about: an address or a prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Why a text is no target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// Neither address nor prefix.
    #[error(
        "expected an address or prefix such as 198.51.100.7, 198.51.100.0/24 or 2001:db8::/48, got `{text}`"
    )]
    NotAnAddress {
        /// What was given.
        text: String,
    },
}

/// An address or prefix, with its host bits cleared and v4-mapped IPv6 folded to IPv4.
///
/// It always prints with its prefix length.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(IpNet);

impl Target {
    /// What a ban of this offender is about: the address itself for IPv4, its prefix of `ipv6_prefix`
    /// bits for IPv6.
    pub fn of_offender(addr: IpAddr, ipv6_prefix: u8) -> Self {
        match canonical(addr) {
            IpAddr::V4(v4) => Self(IpNet::V4(Ipv4Net::from(v4))),
            IpAddr::V6(v6) => Self::from(IpNet::V6(
                Ipv6Net::new(v6, ipv6_prefix.min(128)).unwrap_or_else(|_| Ipv6Net::from(v6)),
            )),
        }
    }

    /// Exactly this address.
    pub fn of_address(addr: IpAddr) -> Self {
        Self::of_offender(addr, 128)
    }

    /// The prefix.
    pub const fn net(self) -> IpNet {
        self.0
    }

    /// Whether `addr` lies in it.
    pub fn contains(self, addr: IpAddr) -> bool {
        self.0.contains(&canonical(addr))
    }

    /// Whether all of `other` lies in it.
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }
}

/// How much of an address makes a network, where many offenders of one are counted together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefixes {
    /// Prefix length of IPv4 networks.
    pub v4: u8,
    /// Prefix length of IPv6 networks.
    pub v6: u8,
}

impl Prefixes {
    /// The network that an address lies in.
    pub fn of(self, addr: IpAddr) -> Target {
        match canonical(addr) {
            v4 @ IpAddr::V4(_) => IpNet::new(v4, self.v4.min(32))
                .map_or_else(|_| Target::of_address(v4), Target::from),
            v6 @ IpAddr::V6(_) => Target::of_offender(v6, self.v6),
        }
    }
}

impl From<IpNet> for Target {
    fn from(net: IpNet) -> Self {
        if let IpNet::V6(v6) = net
            && v6.prefix_len() >= 96
            && let Some(v4) = v6.addr().to_ipv4_mapped()
            && let Ok(folded) = Ipv4Net::new(v4, v6.prefix_len() - 96)
        {
            return Self(IpNet::V4(folded.trunc()));
        }
        Self(net.trunc())
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// A bare IPv6 address means its /64, the unit an attacker owns; `/128` can be said.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(Self::of_offender(addr, 64));
        }
        text.parse::<IpNet>()
            .map(Self::from)
            .map_err(|_ignored| TargetError::NotAnAddress { text: text.to_owned() })
    }
}

/// `::ffff:a.b.c.d` is IPv4.
pub fn canonical(addr: IpAddr) -> IpAddr {
    addr.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_with_prefix_length() {
        for (text, printed) in [
            ("198.51.100.7", "198.51.100.7/32"),
            ("198.51.100.7/24", "198.51.100.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3::4/128", "2001:db8:1:2:3::4/128"),
            ("::ffff:198.51.100.7", "198.51.100.7/32"),
            ("::ffff:198.51.100.7/120", "198.51.100.0/24"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), printed);
        }
        for bad in ["", "host.example", "198.51.100.7/33", "198.51.100", "1.2.3.4 "] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn offenders_become_their_prefix() {
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(Target::of_offender(v6, 64).to_string(), "2001:db8::/64");
        assert_eq!(Target::of_offender(v6, 56).to_string(), "2001:db8::/56");
        assert_eq!(Target::of_address(v6).to_string(), "2001:db8::1/128");
    }
}

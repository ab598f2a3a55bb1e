//! What a ban is about: an address or a prefix.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
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
/// It always prints with its prefix length. It is kept in two words and a byte, not as an [`IpNet`]: tables
/// of a million are asked for it several times a line, and what lies at odd places in memory is slow to copy
/// and to compare.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The upper half of an IPv6 prefix; 0 for IPv4.
    high: u64,
    /// The lower half of an IPv6 prefix; an IPv4 one.
    low: u64,
    form: Form,
}

/// Family and prefix length.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Form(NonZeroU8);

impl Form {
    /// From here on IPv4's 0 to 32; below IPv6's 0 to 128.
    const V4: u8 = 130;
    const V6: u8 = 1;

    const fn new(first: u8, length: u8) -> Self {
        Self(NonZeroU8::MIN.saturating_add(first - 1 + length))
    }

    const fn is_v4(self) -> bool {
        self.0.get() >= Self::V4
    }

    const fn length(self) -> u8 {
        self.0.get() - if self.is_v4() { Self::V4 } else { Self::V6 }
    }
}

impl Target {
    /// What a ban of this offender is about: the address itself for IPv4, its prefix of `ipv6_prefix`
    /// bits for IPv6.
    #[inline]
    pub fn of_offender(addr: IpAddr, ipv6_prefix: u8) -> Self {
        match canonical(addr) {
            IpAddr::V4(v4) => Self::v4(v4.to_bits(), 32),
            IpAddr::V6(v6) => Self::v6(v6.to_bits(), ipv6_prefix.min(128)),
        }
    }

    /// Exactly this address.
    #[inline]
    pub fn of_address(addr: IpAddr) -> Self {
        Self::of_offender(addr, 128)
    }

    /// The prefix.
    pub const fn net(self) -> IpNet {
        let length = self.form.length();
        if self.form.is_v4() {
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(lower_half(self.low)), length))
        } else {
            let bits = ((self.high as u128) << 64) | self.low as u128;
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length))
        }
    }

    /// Whether `addr` lies in it.
    #[inline]
    pub fn contains(self, addr: IpAddr) -> bool {
        self.covers(Self::of_address(addr))
    }

    /// Whether all of `other` lies in it.
    #[inline]
    pub fn covers(self, other: Self) -> bool {
        if self.form == other.form {
            return (self.high, self.low) == (other.high, other.low);
        }
        self.form.is_v4() == other.form.is_v4()
            && self.form.length() <= other.form.length()
            && other.cut(self.form.length()) == self
    }

    /// Its words, in which no two are alike.
    #[inline]
    pub(crate) const fn words(self) -> (u64, u64, NonZeroU8) {
        (self.high, self.low, self.form.0)
    }

    /// What [`Self::words`] gave.
    pub(crate) const fn of_words(high: u64, low: u64, form: NonZeroU8) -> Self {
        Self { high, low, form: Form(form) }
    }

    /// The prefix of this length around it.
    fn cut(self, length: u8) -> Self {
        if self.form.is_v4() {
            Self::v4(lower_half(self.low), length)
        } else {
            Self::v6((u128::from(self.high) << 64) | u128::from(self.low), length)
        }
    }

    /// `length`: at most 32.
    #[inline]
    fn v4(bits: u32, length: u8) -> Self {
        let kept = bits & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Self { high: 0, low: u64::from(kept), form: Form::new(Form::V4, length) }
    }

    /// `length`: at most 128.
    #[inline]
    fn v6(bits: u128, length: u8) -> Self {
        let kept = bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let [high, low] = halves(kept);
        Self { high, low, form: Form::new(Form::V6, length) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn lower_half(word: u64) -> u32 {
    word as u32
}

#[expect(clippy::cast_possible_truncation, reason = "each half is what is asked for")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl Hash for Target {
    /// In as few words as it takes (one for IPv4): most of a lookup's time is hashing.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.high != 0 {
            state.write_u64(self.high);
        }
        state.write_u64(self.low ^ (u64::from(self.form.0.get()) << 56));
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.net().cmp(&other.net())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
            IpAddr::V4(v4) => Target::v4(v4.to_bits(), self.v4.min(32)),
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
            return Self::v4(folded.addr().to_bits(), folded.prefix_len());
        }
        match net {
            IpNet::V4(net) => Self::v4(net.addr().to_bits(), net.prefix_len()),
            IpNet::V6(net) => Self::v6(net.addr().to_bits(), net.prefix_len()),
        }
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
        self.net().fmt(f)
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

    #[test]
    fn it_is_the_net_that_it_was_made_of() {
        let nets = [
            "0.0.0.0/0",
            "198.51.100.0/24",
            "198.51.100.7/32",
            "255.255.255.255/32",
            "::/0",
            "2001:db8::/33",
            "2001:db8::/64",
            "2001:db8::8000:0:0:0/65",
            "2001:db8::1/128",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        ]
        .map(|text| text.parse::<IpNet>().unwrap());
        for one in nets {
            let target = Target::from(one);
            assert_eq!(target.net(), one);
            assert_eq!(target.to_string(), one.to_string());
            let (high, low, form) = target.words();
            assert_eq!(Target::of_words(high, low, form), target);
            for other in nets {
                let [a, b] = [one, other].map(Target::from);
                assert_eq!(a == b, one == other, "{one} {other}");
                assert_eq!(a.cmp(&b), one.cmp(&other), "{one} {other}");
                assert_eq!(a.covers(b), one.contains(&other), "{one} {other}");
                assert_eq!(a.contains(other.addr()), one.contains(&other.addr()), "{one} {other}");
            }
        }
        assert_eq!(size_of::<Option<Target>>(), 24);
    }
}

//! Which map a target lives in, and under what key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::event::Target;

/// Key of an IPv4 trie of bans: the address, then the zeros that align the value behind it.
pub(super) type NetV4 = Key<[u8; 8]>;
/// Key of an IPv6 trie.
pub(super) type NetV6 = Key<[u8; 16]>;

/// Where a target's entry is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// The hash of IPv4 addresses.
    V4([u8; 4]),
    /// The hash of IPv6 /64s.
    V6([u8; 8]),
    /// The trie of all other IPv4 prefixes.
    NetV4(NetV4),
    /// The trie of all other IPv6 prefixes.
    NetV6(NetV6),
}

impl From<Target> for Place {
    fn from(target: Target) -> Self {
        match target.net() {
            IpNet::V4(net) if net.prefix_len() == 32 => Self::V4(net.addr().octets()),
            IpNet::V4(net) => {
                let [a, b, c, d] = net.addr().octets();
                Self::NetV4(Key::new(net.prefix_len().into(), [a, b, c, d, 0, 0, 0, 0]))
            }
            IpNet::V6(net) if net.prefix_len() == 64 => Self::V6(network(net.addr())),
            IpNet::V6(net) => Self::NetV6(Key::new(net.prefix_len().into(), net.addr().octets())),
        }
    }
}

/// The upper half of an address.
pub(super) fn network(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

/// The target of a key in the hash of IPv4 addresses.
pub(super) fn of_v4(key: [u8; 4]) -> Target {
    Target::of_address(IpAddr::V4(Ipv4Addr::from(key)))
}

/// The target of a key in the hash of /64s.
pub(super) fn of_v6(key: [u8; 8]) -> Target {
    let [a, b, c, d, e, f, g, h] = key;
    let address = Ipv6Addr::from([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]);
    Target::of_offender(IpAddr::V6(address), 64)
}

/// The prefix of a key in the trie of IPv4 bans; `None` for one that no version of ours wrote.
pub(super) fn of_net_v4(key: NetV4) -> Option<IpNet> {
    let [a, b, c, d, ..] = key.data();
    prefix_v4(key.prefix_len(), [a, b, c, d])
}

/// The prefix of a key in a trie of IPv6 prefixes.
pub(super) fn of_net_v6(key: NetV6) -> Option<IpNet> {
    let length = u8::try_from(key.prefix_len()).ok()?;
    Some(IpNet::V6(Ipv6Net::new(Ipv6Addr::from(key.data()), length).ok()?.trunc()))
}

/// The prefix of these octets.
pub(super) fn prefix_v4(length: u32, octets: [u8; 4]) -> Option<IpNet> {
    let length = u8::try_from(length).ok()?;
    Some(IpNet::V4(Ipv4Net::new(Ipv4Addr::from(octets), length).ok()?.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(place: Place) -> Target {
        match place {
            Place::V4(key) => of_v4(key),
            Place::V6(key) => of_v6(key),
            Place::NetV4(key) => Target::from(of_net_v4(key).unwrap()),
            Place::NetV6(key) => Target::from(of_net_v6(key).unwrap()),
        }
    }

    #[test]
    fn every_target_has_one_place_and_comes_back_from_it() {
        for text in [
            "198.51.100.7/32",
            "198.51.100.6/31",
            "0.0.0.0/0",
            "2001:db8:1:2::/64",
            "2001:db8::/63",
            "2001:db8::1/128",
            "::/0",
        ] {
            let target: Target = text.parse().unwrap();
            let place = Place::from(target);
            let exact = matches!(text.split_once('/').unwrap().1, "32" | "64");
            assert_eq!(matches!(place, Place::V4(_) | Place::V6(_)), exact, "{text}");
            assert_eq!(back(place), target);
        }
    }

    #[test]
    fn keys_of_another_make_are_no_prefix() {
        assert_eq!(of_net_v4(Key::new(33, [0; 8])), None);
        assert_eq!(of_net_v6(Key::new(300, [0; 16])), None);
    }
}

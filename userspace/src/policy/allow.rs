//! Who is never banned, and why not.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::Network;
use crate::config::Preset;
use crate::event::Target;

/// Why a prefix is on the allow list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// `allow` in the configuration.
    Configured,
    /// A preset in `allow`, by its name.
    Preset(&'static str),
    /// A file that `allow` names.
    File,
    /// `ravelin allow`.
    Hand,
    /// An address of this host.
    Own,
    /// A router it sends through.
    Gateway,
    /// A name server it asks.
    Resolver,
    /// The mail relay it talks to.
    Relay,
    /// A host that sends its syslog here, by name (`from`).
    Sender,
    /// Loopback.
    Loopback,
    /// Link-local: router discovery, and cloud metadata over IPv4.
    LinkLocal,
    /// Multicast.
    Multicast,
    /// The broadcast address.
    Broadcast,
    /// The address that is none.
    Unspecified,
    /// A cloud's metadata service, by the cloud's name.
    Metadata(&'static str),
    /// A cloud's health checks, by the cloud's name.
    HealthCheck(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("`allow` in the configuration"),
            Self::Preset(name) => write!(f, "preset:{name} in `allow`"),
            Self::File => f.write_str("a file in `allow`"),
            Self::Hand => f.write_str("by hand"),
            Self::Own => f.write_str("an address of this host"),
            Self::Gateway => f.write_str("this host's gateway"),
            Self::Resolver => f.write_str("a resolver of this host"),
            Self::Relay => f.write_str("the mail relay"),
            Self::Sender => f.write_str("a sender of syslog, named in `from`"),
            Self::Loopback => f.write_str("loopback"),
            Self::LinkLocal => f.write_str("link-local"),
            Self::Multicast => f.write_str("multicast"),
            Self::Broadcast => f.write_str("broadcast"),
            Self::Unspecified => f.write_str("unspecified"),
            Self::Metadata(cloud) => write!(f, "metadata of {cloud}"),
            Self::HealthCheck(cloud) => write!(f, "health checks of {cloud}"),
        }
    }
}

/// What every host allows.
///
/// The clouds' addresses as their documentation had them in November 2026:
/// - AWS, docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
/// - Google, docs.cloud.google.com/load-balancing/docs/firewall-rules (health checks of every kind of
///   load balancer; Google Front Ends also forward from them)
/// - Azure, learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16 (metadata of the
///   agent, DNS and the load balancers' health probes)
/// - Alibaba and Scaleway: the metadata addresses that their own agents ask
///
/// Everybody's IPv4 metadata, 169.254.169.254, is link-local.
const BUILT_IN: &[(&str, Why)] = &[
    ("127.0.0.0/8", Why::Loopback),
    ("::1/128", Why::Loopback),
    ("169.254.0.0/16", Why::LinkLocal),
    ("fe80::/10", Why::LinkLocal),
    ("224.0.0.0/4", Why::Multicast),
    ("ff00::/8", Why::Multicast),
    ("255.255.255.255/32", Why::Broadcast),
    ("0.0.0.0/32", Why::Unspecified),
    ("::/128", Why::Unspecified),
    ("fd00:ec2::254/128", Why::Metadata("AWS")),
    ("fd20:ce::254/128", Why::Metadata("Google Cloud")),
    ("168.63.129.16/32", Why::HealthCheck("Azure")),
    ("100.100.100.200/32", Why::Metadata("Alibaba Cloud")),
    ("fd00:42::42/128", Why::Metadata("Scaleway")),
    ("35.191.0.0/16", Why::HealthCheck("Google Cloud")),
    ("130.211.0.0/22", Why::HealthCheck("Google Cloud")),
    ("209.85.152.0/22", Why::HealthCheck("Google Cloud")),
    ("209.85.204.0/22", Why::HealthCheck("Google Cloud")),
    ("2600:2d00:1:b029::/64", Why::HealthCheck("Google Cloud")),
    ("2600:2d00:1:1::/64", Why::HealthCheck("Google Cloud")),
    ("2600:1901:8001::/48", Why::HealthCheck("Google Cloud")),
];

/// Prefixes that are never banned.
#[derive(Debug, Default)]
pub(super) struct AllowList(JointPrefixMap<IpNet, Why>);

impl AllowList {
    pub(super) fn new(
        configured: &[IpNet],
        senders: &[IpAddr],
        network: &Network,
        by_hand: impl IntoIterator<Item = Target>,
    ) -> Self {
        let mut list = Self::default();
        for target in by_hand {
            list.insert(target.net(), Why::Hand);
        }
        for (text, why) in BUILT_IN {
            if let Ok(net) = text.parse() {
                list.insert(net, *why);
            }
        }
        for (addrs, why) in [
            (senders, Why::Sender),
            (&network.relays, Why::Relay),
            (&network.resolvers, Why::Resolver),
            (&network.gateways, Why::Gateway),
            (&network.addresses, Why::Own),
        ] {
            for addr in addrs {
                list.insert(Target::of_address(*addr).net(), why);
            }
        }
        for net in configured {
            list.insert(*net, Why::Configured);
        }
        list
    }

    /// Adds presets and what files hold, where nothing says the same already.
    pub(super) fn add_published(&mut self, presets: &[&'static Preset], files: &[IpNet]) {
        let named = presets
            .iter()
            .flat_map(|preset| preset.nets.iter().map(|net| (*net, Why::Preset(preset.name))));
        for (net, why) in files.iter().map(|net| (*net, Why::File)).chain(named) {
            if self.why(Target::from(net).net()).is_none_or(|known| known == Why::Hand) {
                self.insert(net, why);
            }
        }
    }

    /// The narrowest entry that holds this address, if any does.
    pub(super) fn holds(&self, addr: IpAddr) -> Option<(IpNet, Why)> {
        let (net, why) = self.0.get_lpm(&Target::of_address(addr).net())?;
        Some((net, *why))
    }

    /// Whether every address of the target is allowed, be it by several entries; names one of them.
    pub(super) fn covers(&self, target: Target) -> Option<(IpNet, Why)> {
        let net = target.net();
        if !self.0.is_covered_in_aggregate(&net) {
            return None;
        }
        let (net, why) = self.0.get_lpm(&net).or_else(|| self.0.children(&net).next())?;
        Some((net, *why))
    }

    /// Entries inside the target.
    pub(super) fn inside(&self, target: Target) -> Vec<IpNet> {
        self.0.children(&target.net()).map(|(net, _)| net).collect()
    }

    pub(super) fn nets(&self) -> Vec<IpNet> {
        self.0.keys().collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (IpNet, Why)> {
        self.0.iter().map(|(net, why)| (net, *why))
    }

    /// Why exactly this entry is on the list, if it is.
    pub(super) fn why(&self, net: IpNet) -> Option<Why> {
        self.0.get(&net).copied()
    }

    fn insert(&mut self, net: IpNet, why: Why) {
        self.0.insert(Target::from(net).net(), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_entry_is_one() {
        for (text, why) in BUILT_IN {
            let net: IpNet = text.parse().unwrap();
            assert_eq!(net, net.trunc(), "{text}");
            let list = AllowList::new(&[], &[], &Network::default(), []);
            assert_eq!(list.holds(net.addr()), Some((net, *why)));
        }
        assert_eq!(AllowList::new(&[], &[], &Network::default(), []).nets().len(), BUILT_IN.len());
    }

    #[test]
    fn entries_know_why_they_are_there() {
        let network = Network {
            addresses: vec!["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()],
            gateways: vec!["203.0.113.1".parse().unwrap()],
            resolvers: vec!["192.0.2.53".parse().unwrap()],
            relays: vec!["::ffff:192.0.2.25".parse().unwrap()],
            ..Network::default()
        };
        let senders = ["192.0.2.77".parse().unwrap(), "203.0.113.1".parse().unwrap()];
        let list = AllowList::new(&["198.51.100.7/25".parse().unwrap()], &senders, &network, []);
        for (addr, net, why) in [
            ("203.0.113.9", "203.0.113.9/32", Why::Own),
            ("2001:db8::9", "2001:db8::9/128", Why::Own),
            ("203.0.113.1", "203.0.113.1/32", Why::Gateway),
            ("192.0.2.53", "192.0.2.53/32", Why::Resolver),
            ("192.0.2.25", "192.0.2.25/32", Why::Relay),
            ("192.0.2.77", "192.0.2.77/32", Why::Sender),
            ("198.51.100.127", "198.51.100.0/25", Why::Configured),
            ("::ffff:198.51.100.1", "198.51.100.0/25", Why::Configured),
            ("169.254.169.254", "169.254.0.0/16", Why::LinkLocal),
            ("35.191.3.4", "35.191.0.0/16", Why::HealthCheck("Google Cloud")),
        ] {
            let held = list.holds(addr.parse().unwrap());
            assert_eq!(held, Some((net.parse().unwrap(), why)), "{addr}");
        }
        for addr in ["198.51.100.128", "203.0.113.2", "2001:db8::8", "10.0.0.1"] {
            assert_eq!(list.holds(addr.parse().unwrap()), None, "{addr}");
        }
    }

    #[test]
    fn a_target_may_be_allowed_in_parts() {
        let nets = ["198.51.100.0/25", "198.51.100.128/25", "192.0.2.0/26"];
        let nets = nets.map(|net| net.parse().unwrap());
        let list = AllowList::new(&nets, &[], &Network::default(), []);
        let target = |text: &str| text.parse::<Target>().unwrap();
        assert!(list.covers(target("198.51.100.0/24")).is_some());
        assert!(list.covers(target("198.51.100.9")).is_some());
        assert_eq!(list.covers(target("192.0.2.0/24")), None);
        assert_eq!(list.inside(target("192.0.2.0/24")), [nets[2]]);
        assert!(list.inside(target("203.0.113.0/24")).is_empty());
    }
}

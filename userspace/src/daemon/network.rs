//! What policy has to know of the host, out of the host's facts and the configuration.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Config, MailConfig};
use crate::host::Facts;
use crate::policy::Network;

/// A resolver that doesn't answer doesn't hold up the start.
const PATIENCE: Duration = Duration::from_secs(2);

/// Addresses, gateways, resolvers, own links, and whom we bring mail to.
pub fn of(facts: &Facts, config: &Config) -> Network {
    let partners = partners(&config.mail);
    with_relays(facts, partners.iter().filter_map(|url| relays(url)).flatten().collect())
}

/// The URLs of whom we bring mail to: relay and webhook.
pub(super) fn partners(mail: &MailConfig) -> Vec<String> {
    std::iter::once(&mail.relay).chain(&mail.webhook).cloned().collect()
}

/// The same, where the relay's addresses are known.
pub(super) fn with_relays(facts: &Facts, relays: Vec<IpAddr>) -> Network {
    Network {
        addresses: facts.addresses.iter().map(|address| address.net.addr()).collect(),
        gateways: facts.gateways.iter().copied().collect(),
        resolvers: facts.resolvers.iter().copied().collect(),
        relays,
        on_link: on_link(facts),
        inside: facts.container_subnets.iter().copied().collect(),
    }
}

/// The prefixes of the host's own links.
fn on_link(facts: &Facts) -> Vec<IpNet> {
    let v4 = facts.addresses.iter().map(|address| address.net.trunc());
    // An address that is all of its prefix has no neighbours there.
    let v4 = v4.filter(|net| net.addr().is_ipv4() && net.prefix_len() < 32);
    v4.chain(facts.on_link_v6.iter().copied().map(IpNet::V6)).collect()
}

/// The addresses of a relay or webhook; `None` where they can't be had now.
pub(super) fn relays(url: &str) -> Option<Vec<IpAddr>> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    if let Ok(addr) = host.parse() {
        return Some(vec![addr]);
    }
    let (found, answer) = mpsc::channel();
    let name = host.to_owned();
    let asked = thread::Builder::new().name("resolve-relay".to_owned()).spawn(move || {
        let addresses = (name.as_str(), 25).to_socket_addrs();
        // Nobody waits any more where it took too long.
        drop(found.send(addresses.map(|addresses| addresses.map(|addr| addr.ip()).collect())));
    });
    match asked.map(|_| answer.recv_timeout(PATIENCE)) {
        Ok(Ok(Ok(addresses))) => Some(addresses),
        _ => {
            tracing::warn!(host, "Its address can't be resolved, so it isn't on the allow list.");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Address;

    #[test]
    fn own_links_are_of_both_families() {
        let address = |net: &str| Address { ifindex: 1, net: net.parse().unwrap() };
        let facts = Facts {
            addresses: vec![
                address("192.0.2.9/24"),
                address("203.0.113.7/32"),
                address("2001:db8:1::9/64"),
            ],
            on_link_v6: ["2001:db8:1::/64".parse().unwrap()].into(),
            ..Facts::default()
        };
        let links: Vec<String> = on_link(&facts).iter().map(ToString::to_string).collect();
        assert_eq!(links, ["192.0.2.0/24", "2001:db8:1::/64"]);
    }

    #[test]
    fn finds_the_relay_in_every_form_of_its_url() {
        for (url, addr) in [
            ("smtp://192.0.2.25:25", "192.0.2.25"),
            ("smtps://user@192.0.2.25", "192.0.2.25"),
            ("https://192.0.2.25/hooks/x@y:z", "192.0.2.25"),
            ("smtp+starttls://a%40b@[2001:db8::25]:587", "2001:db8::25"),
        ] {
            assert_eq!(relays(url), Some(vec![addr.parse().unwrap()]), "{url}");
        }
        assert!(relays("smtp://localhost:25").unwrap().iter().all(IpAddr::is_loopback));
    }
}

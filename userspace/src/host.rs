//! Facts about this host, from the network namespace that the calling thread runs in: its interfaces,
//! addresses, routes and resolvers. They feed the allow list, `home`, and the attaching.
//!
//! All of it comes by netlink. sysfs shows the namespace it was mounted in, which need not be ours.
#![forbid(unsafe_code)]

mod driver;
mod genetlink;
mod link;
mod netlink;
mod resolvers;
mod route;
mod session;
mod sockets;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

pub use self::driver::{Channels, Driver, Offload};
pub use self::link::{Kind, Link, Xdp, XdpAttachment};
pub use self::resolvers::resolvers;
pub use self::session::{logins, own_session};
pub use self::sockets::{Connection, connections, ssh_peers};
pub use self::watch::Watch;

/// Why facts couldn't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The netlink socket couldn't be used.
    #[error(
        "could not {action} a route netlink socket (allow AF_NETLINK where a sandbox restricts \
         address families)"
    )]
    Socket {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel doesn't tell the connections.
    #[error(
        "could not ask the kernel for TCP connections (allow AF_NETLINK where a sandbox restricts \
         address families; `modprobe tcp_diag` where modules aren't loaded by themselves)"
    )]
    Connections {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a question.
    #[error("the kernel refused to list {what}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer isn't understood.
    #[error("expected a netlink answer about {what}, got one that can't be decoded: {reason}")]
    Undecodable {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The tables kept changing while they were read.
    #[error("{what} changed during each of {tries} readings; try again")]
    Unsteady {
        /// What was asked for.
        what: &'static str,
        /// How often.
        tries: u32,
    },
}

/// What is known about this host's network.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// All interfaces, by index.
    pub links: Vec<Link>,
    /// The host's own addresses, each with the prefix length it is configured with.
    pub addresses: Vec<Address>,
    /// Names of the interfaces that default routes leave by, IPv4 and IPv6, best metric first.
    pub default_interfaces: Vec<String>,
    /// Next hops of all routes.
    pub gateways: BTreeSet<IpAddr>,
    /// IPv6 prefixes that are reached without a gateway, link-local ones left out.
    pub on_link_v6: BTreeSet<Ipv6Net>,
    /// Subnets of bridges that no default route leaves by: containers and virtual machines.
    pub container_subnets: BTreeSet<IpNet>,
    /// Name servers of resolv.conf, the local stub's upstreams among them.
    pub resolvers: BTreeSet<IpAddr>,
}

/// An address of the host.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// Index of the interface that bears it.
    pub ifindex: u32,
    /// The address, host bits and all, with its prefix length.
    pub net: IpNet,
}

impl Facts {
    /// The interface of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// Everything that can be known now.
///
/// # Errors
/// Where netlink can't be used. A missing resolv.conf is an empty list of resolvers.
pub fn facts() -> Result<Facts, HostError> {
    let mut socket = netlink::Netlink::open()?;
    let links = link::all(&mut socket)?;
    let addresses = addresses(&mut socket)?;
    let routes = route::all(&mut socket)?;

    let default_interfaces = route::default_interfaces(&routes, &links);
    let container_subnets = addresses
        .iter()
        .filter(|address| {
            links.iter().any(|link| {
                link.index == address.ifindex
                    && link.kind == Some(Kind::Bridge)
                    && !default_interfaces.contains(&link.name)
            })
        })
        .map(|address| address.net.trunc())
        .filter(|net| !is_link_local(net.addr()))
        .collect();
    Ok(Facts {
        gateways: routes.iter().flat_map(|route| route.gateways.iter().copied()).collect(),
        on_link_v6: route::on_link_v6(&routes),
        resolvers: resolvers(),
        links,
        addresses,
        default_interfaces,
        container_subnets,
    })
}

/// The interface of this name, fresh from the kernel; `None` where there is none.
///
/// # Errors
/// Where netlink can't be used.
pub fn link(name: &str) -> Result<Option<Link>, HostError> {
    Ok(links()?.into_iter().find(|link| link.name == name))
}

/// All interfaces, by index.
///
/// # Errors
/// Where netlink can't be used.
pub fn links() -> Result<Vec<Link>, HostError> {
    link::all(&mut netlink::Netlink::open()?)
}

fn addresses(socket: &mut netlink::Netlink) -> Result<Vec<Address>, HostError> {
    let messages = socket.dump("addresses", || {
        netlink_packet_route::RouteNetlinkMessage::GetAddress(AddressMessage::default())
    })?;
    let mut addresses: Vec<Address> = messages
        .into_iter()
        .filter_map(|message| match message {
            netlink_packet_route::RouteNetlinkMessage::NewAddress(message) => address(&message),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    Ok(addresses)
}

/// `IFA_LOCAL` is ours; on point-to-point links `IFA_ADDRESS` is the peer. IPv6 has only the latter
/// unless there is a peer (`if_addr.h`).
fn address(message: &AddressMessage) -> Option<Address> {
    if !matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let mut ours = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => {
                ours = Some(*local);
                break;
            }
            AddressAttribute::Address(address) => ours = ours.or(Some(*address)),
            _ => {}
        }
    }
    let net = IpNet::new(ours?, message.header.prefix_len).ok()?;
    Some(Address { ifindex: message.header.index, net })
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_loopback() {
        let facts = facts().unwrap();
        let lo = facts.link("lo").unwrap();
        assert!(lo.loopback);
        assert!(lo.ethernet_header());
        if lo.up {
            assert!(facts.addresses.iter().any(|address| address.ifindex == lo.index
                && address.net == "127.0.0.1/8".parse().unwrap()));
        }
        assert_eq!(link("lo").unwrap().unwrap().index, lo.index);
        assert_eq!(link("no-such-iface").unwrap(), None);
    }
}

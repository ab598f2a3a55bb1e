//! Routes: who leads out, and what lies on our own links.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use super::{HostError, Link, is_link_local};

/// `RT_TABLE_LOCAL`: what is ours or broadcast, kept by the kernel.
const TABLE_LOCAL: u32 = 255;

/// A unicast route of any table but `local`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Route {
    destination: IpNet,
    pub(super) gateways: Vec<IpAddr>,
    interfaces: Vec<u32>,
    metric: u32,
}

pub(super) fn all(socket: &mut Netlink) -> Result<Vec<Route>, HostError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let messages = socket.dump("routes", || {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            RouteNetlinkMessage::GetRoute(question)
        })?;
        routes.extend(messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(message) => route(message),
            _ => None,
        }));
    }
    Ok(routes)
}

/// Names of the interfaces that default routes leave by, best metric first.
pub(super) fn default_interfaces(routes: &[Route], links: &[Link]) -> Vec<String> {
    let mut defaults: Vec<&Route> =
        routes.iter().filter(|route| route.destination.prefix_len() == 0).collect();
    defaults.sort_by_key(|route| route.metric);
    let mut names: Vec<String> = Vec::new();
    for index in defaults.into_iter().flat_map(|route| &route.interfaces) {
        // `unreachable default dev lo` is how an IPv6 host without a router says so.
        if let Some(link) = links.iter().find(|link| link.index == *index && !link.loopback)
            && !names.contains(&link.name)
        {
            names.push(link.name.clone());
        }
    }
    names
}

/// IPv6 prefixes that are reached without a gateway.
pub(super) fn on_link_v6(routes: &[Route]) -> BTreeSet<Ipv6Net> {
    routes
        .iter()
        .filter(|route| route.gateways.is_empty() && !route.interfaces.is_empty())
        .filter_map(|route| match route.destination {
            IpNet::V6(net) => Some(net),
            IpNet::V4(_) => None,
        })
        .filter(|net| {
            net.prefix_len() > 0
                && !net.addr().is_multicast()
                && !is_link_local(IpAddr::V6(net.addr()))
        })
        .collect()
}

fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let mut destination = unspecified;
    let mut gateways = Vec::new();
    let mut interfaces = Vec::new();
    let mut metric = 0;
    let mut table = u32::from(header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Oif(index) => interfaces.push(*index),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::MultiPath(hops) => {
                for hop in hops {
                    interfaces.push(hop.interface_index);
                    gateways.extend(hop.attributes.iter().filter_map(gateway));
                }
            }
            other => gateways.extend(gateway(other)),
        }
    }
    if header.kind != RouteType::Unicast || table == TABLE_LOCAL {
        return None;
    }
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?.trunc();
    Some(Route { destination, gateways, interfaces, metric })
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: AddressFamily, length: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.destination_prefix_length = length;
        message.header.kind = RouteType::Unicast;
        message.header.table = 254;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_route_via_another_family_has_its_gateway() {
        let via = "fe80::1".parse().unwrap();
        let default = route(&message(
            AddressFamily::Inet,
            0,
            vec![RouteAttribute::Oif(3), RouteAttribute::Via(RouteVia::Inet6(via))],
        ))
        .unwrap();
        assert_eq!(default.gateways, [IpAddr::V6(via)]);
        assert_eq!(default.interfaces, [3]);
    }

    #[test]
    fn local_and_unreachable_routes_are_none() {
        let mut local = message(AddressFamily::Inet6, 128, vec![RouteAttribute::Oif(1)]);
        local.header.table = 255;
        assert_eq!(route(&local), None);
        let mut unreachable = message(AddressFamily::Inet6, 0, vec![RouteAttribute::Oif(1)]);
        unreachable.header.kind = RouteType::Unreachable;
        assert_eq!(route(&unreachable), None);
    }

    #[test]
    fn on_link_prefixes_have_no_gateway() {
        let net = "2001:db8:1::".parse().unwrap();
        let direct = message(
            AddressFamily::Inet6,
            64,
            vec![RouteAttribute::Destination(RouteAddress::Inet6(net)), RouteAttribute::Oif(2)],
        );
        let mut routed = direct.clone();
        routed.attributes[0] =
            RouteAttribute::Destination(RouteAddress::Inet6("2001:db8:2::".parse().unwrap()));
        routed
            .attributes
            .push(RouteAttribute::Gateway(RouteAddress::Inet6("fe80::1".parse().unwrap())));
        let mut link_local = direct.clone();
        link_local.attributes[0] =
            RouteAttribute::Destination(RouteAddress::Inet6("fe80::".parse().unwrap()));
        let routes: Vec<Route> =
            [&direct, &routed, &link_local].into_iter().filter_map(route).collect();
        assert_eq!(routes.len(), 3);
        assert_eq!(
            on_link_v6(&routes).into_iter().collect::<Vec<_>>(),
            ["2001:db8:1::/64".parse::<Ipv6Net>().unwrap()]
        );
    }
}

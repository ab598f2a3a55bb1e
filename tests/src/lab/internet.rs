//! Who is on the lab's internet, and the router between them.
//!
//! All addresses are documentation addresses (RFC 5737, RFC 3849): private ones are never banned by
//! default, and these can't be anybody's.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::host::{Host, INTERFACE, Place, write_sysctl};
use super::wire::{Ends, Wire};

/// The server that Ravelin protects.
pub const SERVER: Place = Place {
    name: "server",
    v4: Ipv4Addr::new(203, 0, 113, 10),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10),
};
/// Runs nmap.
pub const SCANNER: Place = outsider("scanner", Ipv4Addr::new(198, 51, 100, 1), 0x1);
/// Guesses SSH passwords.
pub const GUESSER: Place = outsider("guesser", Ipv4Addr::new(198, 51, 100, 2), 0x2);
/// Guesses SSH passwords over IPv6.
pub const GUESSER6: Place = outsider("guesser6", Ipv4Addr::new(198, 51, 100, 3), 0x3);
/// Sends packets in the bystander's name.
pub const FORGER: Place = outsider("forger", Ipv4Addr::new(198, 51, 100, 4), 0x4);
/// Does nothing, and is blamed.
pub const BYSTANDER: Place = outsider("bystander", Ipv4Addr::new(192, 0, 2, 66), 0x66);
/// Reads the web site all the while.
pub const VISITOR: Place = outsider("visitor", Ipv4Addr::new(198, 51, 100, 77), 0x77);

const OUTSIDERS: [Place; 6] = [SCANNER, GUESSER, GUESSER6, FORGER, BYSTANDER, VISITOR];

/// The router itself; these are its addresses on the server's link.
const ROUTER: Place = Place {
    name: "internet",
    v4: Ipv4Addr::new(203, 0, 113, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1),
};
/// The router's IPv4 address on everybody else's link.
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);

const fn outsider(name: &'static str, v4: Ipv4Addr, net: u16) -> Place {
    Place { name, v4, v6: Ipv6Addr::new(0x2001, 0xdb8, 0x51, net, 0, 0, 0, 1) }
}

/// The router and everybody behind it.
#[derive(Debug)]
pub(super) struct Internet {
    router: Host,
    hosts: Vec<Host>,
}

impl Internet {
    /// Makes the namespaces and wires them up.
    pub(super) fn build(lab: &str) -> Result<Self> {
        let router = Host::make(lab, ROUTER)?;
        let mut hosts = vec![Host::make(lab, SERVER)?];
        Pair { host: &hosts[0], router: &router }.lay(&Link {
            host: (format!("{}/24", SERVER.v4), format!("{}/64", SERVER.v6)),
            router: (format!("{}/24", ROUTER.v4), format!("{}/64", ROUTER.v6)),
            route: None,
        })?;
        for place in OUTSIDERS {
            let host = Host::make(lab, place)?;
            let gateway = gateway_of(place);
            Pair { host: &host, router: &router }.lay(&Link {
                host: (format!("{}/32", place.v4), format!("{}/64", place.v6)),
                router: (format!("{UPSTREAM}/32"), format!("{gateway}/64")),
                route: Some(format!("{}/32", place.v4)),
            })?;
            hosts.push(host);
        }
        router.enter(|| {
            write_sysctl("ipv4/ip_forward", "1")?;
            write_sysctl("ipv6/conf/all/forwarding", "1")
        })??;
        Ok(Self { router, hosts })
    }

    pub(super) fn host(&self, place: Place) -> &Host {
        self.hosts
            .iter()
            .find(|host| host.place == place)
            .expect("every place above has got a host in `build`")
    }

    /// A host's end of its wire.
    pub(super) fn wire_from(&self, place: Place) -> Result<Wire> {
        let ends = Ends { from: place.mac(), to: place.router_mac() };
        Wire::open(self.host(place), INTERFACE, ends)
    }

    /// The router's end of a host's wire.
    pub(super) fn wire_to(&self, place: Place) -> Result<Wire> {
        let ends = Ends { from: place.router_mac(), to: place.mac() };
        Wire::open(&self.router, place.name, ends)
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The router's IPv6 address on a host's link.
fn gateway_of(place: Place) -> Ipv6Addr {
    let mut segments = place.v6.segments();
    segments[7] = 0xfe;
    segments.into()
}

/// A veth pair: `eth0` on the host, the host's name on the router.
struct Pair<'h> {
    host: &'h Host,
    router: &'h Host,
}

/// Addresses at a wire's two ends.
struct Link {
    host: (String, String),
    router: (String, String),
    /// What the router finds behind it, beside the link's own networks.
    route: Option<String>,
}

impl Pair<'_> {
    fn lay(&self, link: &Link) -> Result<()> {
        let (router, host) = (self.router.space(), self.host.space());
        let port = self.host.place.name;
        let macs = [self.host.place.router_mac(), self.host.place.mac()].map(mac_text);
        #[rustfmt::skip]
        router.ip(&[
            "link", "add", port, "address", &macs[0], "type", "veth",
            "peer", INTERFACE, "netns", host.name(), "address", &macs[1],
        ])?;
        for (space, interface, (v4, v6)) in
            [(router, port, &link.router), (host, INTERFACE, &link.host)]
        {
            space.ip(&["addr", "add", v4, "dev", interface])?;
            space.ip(&["addr", "add", v6, "dev", interface, "nodad"])?;
            space.ip(&["link", "set", interface, "up"])?;
        }
        if let Some(route) = &link.route {
            router.ip(&["route", "add", route, "dev", port])?;
        }
        let gateways = [&link.router.0, &link.router.1].map(|net| net.split('/').next());
        for gateway in gateways.into_iter().flatten() {
            host.ip(&["route", "add", "default", "via", gateway, "dev", INTERFACE, "onlink"])?;
        }
        Ok(())
    }
}

//! Whose deed an event is, and what speaks against a ban from the start.

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::Network;
use super::proof::SuricataProof;
use crate::config::BanConfig;
use crate::event::{Blame, Event, Flow, Offence, SuricataAlert, Target, Withheld, canonical};

/// Ports below this are services'.
const SERVICE_PORTS: u16 = 1_024;
/// Ports from here on are a client's: Linux's `ip_local_port_range` begins here, others' later.
const EPHEMERAL_PORTS: u16 = 32_768;

/// Which addresses are ours.
#[derive(Debug, Default)]
pub(super) struct Home(JointPrefixMap<IpNet, ()>);

impl Home {
    pub(super) fn new(configured: &[IpNet], network: &Network) -> Self {
        let addrs = network.addresses.iter().map(|addr| Target::of_address(*addr));
        let nets = configured.iter().chain(&network.inside).map(|net| Target::from(*net));
        let mut home = JointPrefixMap::new();
        for target in addrs.chain(nets) {
            home.insert(target.net(), ());
        }
        Self(home)
    }

    fn holds(&self, addr: IpAddr) -> bool {
        self.0.is_covered(&Target::of_address(addr).net())
    }
}

/// Who carries many clients.
#[derive(Debug, Default)]
pub(super) struct Fronts(JointPrefixMap<IpNet, ()>);

impl Fronts {
    /// `ipv6_prefix`: a ban of a neighbour within it would be one of the front.
    pub(super) fn new(configured: &[IpNet], ipv6_prefix: u8) -> Self {
        let mut fronts = JointPrefixMap::new();
        for net in configured {
            let target = match net {
                IpNet::V6(v6) if v6.prefix_len() > ipv6_prefix => {
                    Target::of_offender(v6.addr().into(), ipv6_prefix)
                }
                net => Target::from(*net),
            };
            fronts.insert(target.net(), ());
        }
        Self(fronts)
    }

    fn holds(&self, addr: IpAddr) -> bool {
        !self.0.is_empty() && self.0.is_covered(&Target::of_address(addr).net())
    }

    /// Whether a ban of a network would be one of a front.
    pub(super) fn touch(&self, network: Target) -> bool {
        self.0.keys().map(Target::from).any(|front| front.covers(network) || network.covers(front))
    }
}

/// What it takes to attribute an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribution<'p> {
    pub(super) home: &'p Home,
    pub(super) fronts: &'p Fronts,
    pub(super) proof: &'p SuricataProof,
    pub(super) ban: &'p BanConfig,
}

impl Attribution<'_> {
    pub(super) fn of(self, event: &Event<'_>) -> Offence {
        match event.suricata {
            Some(alert) => self.of_suricata(alert),
            None => self.of_line(event),
        }
    }

    /// A log line blames the one address in it. (Also an address of ours: its failures are worth an
    /// alert. It is the allow list that keeps it from being banned.)
    fn of_line(self, event: &Event<'_>) -> Offence {
        let proven = event.kind.proven;
        let bar = if proven || self.ban.unproven { None } else { Some(Withheld::Unproven) };
        match event.address {
            _ if event.kind.success => Offence { offender: None, proven, bar: None },
            Blame::Nobody => Offence { offender: None, proven, bar: None },
            Blame::Ambiguous => {
                Offence { offender: None, proven: false, bar: Some(Withheld::Ambiguous) }
            }
            Blame::Address(addr) => {
                let addr = canonical(addr);
                let carried = event.kind.web && self.fronts.holds(addr);
                let bar = if carried { Some(Withheld::Front) } else { bar };
                Offence { offender: Some(addr), proven, bar }
            }
        }
    }

    /// Suricata's offender is the side that isn't ours, whichever direction the packet had.
    fn of_suricata(self, alert: &SuricataAlert<'_>) -> Offence {
        let (Some(src), Some(dst)) = (alert.src.map(canonical), alert.dst.map(canonical)) else {
            return Offence::default();
        };
        let offender = match (self.home.holds(src), self.home.holds(dst)) {
            (false, true) => Some(src),
            (true, false) => Some(dst),
            (true, true) | (false, false) => None,
        };
        let proven = self.is_proven(alert);
        let forwarded = is_forwarded(alert, src, dst);
        let bar = if offender.is_some() && !self.ban.outbound && self.is_outbound(alert, offender) {
            Some(Withheld::Outbound)
        } else if forwarded {
            Some(Withheld::Ambiguous)
        } else if offender.is_some_and(|addr| self.fronts.holds(addr)) && is_carried(alert) {
            Some(Withheld::Front)
        } else if offender.is_some() && !proven && !self.ban.unproven {
            Some(Withheld::Unproven)
        } else {
            None
        };
        Offence { offender, proven: proven && !forwarded, bar }
    }

    /// Our side opened the flow: eve.json says who did; without it a service's port there and a
    /// client's here must do.
    fn is_outbound(self, alert: &SuricataAlert<'_>, offender: Option<IpAddr>) -> bool {
        if let Some(flow) = flow(alert) {
            return self.home.holds(canonical(flow.client));
        }
        let has_ports = ["TCP", "UDP", "SCTP", "6", "17", "132"]
            .iter()
            .any(|proto| alert.proto.eq_ignore_ascii_case(proto));
        let (theirs, ours) = if alert.src.map(canonical) == offender {
            (alert.src_port, alert.dst_port)
        } else {
            (alert.dst_port, alert.src_port)
        };
        has_ports
            && theirs.is_some_and(|port| port < SERVICE_PORTS)
            && ours.is_some_and(|port| port >= EPHEMERAL_PORTS)
    }

    /// A source is proven if it is TCP with a recognised application protocol; packets both ways can be
    /// provoked by a spoofer. fast.log doesn't tell: there Suricata's own rule must ask for it.
    fn is_proven(self, alert: &SuricataAlert<'_>) -> bool {
        let is_tcp = alert.proto.eq_ignore_ascii_case("TCP") || alert.proto == "6";
        is_tcp
            && match &alert.eve {
                Some(eve) => eve.app_proto.is_some() || eve.has_tx,
                None => self.proof.is_proof(alert.gid, alert.sid),
            }
    }
}

/// Whom an event is about: the offender, or for an event without one (a success) its address.
pub(super) fn subject(event: &Event<'_>, offence: &Offence) -> Option<IpAddr> {
    offence.offender.or_else(|| match event.address {
        Blame::Address(addr) => Some(canonical(addr)),
        Blame::Nobody => event.fields.source().map(canonical),
        Blame::Ambiguous => None,
    })
}

/// Whether a front may have brought it from somebody else: HTTP, what HTTP comes in, and what nobody tells
/// (fast.log) or recognised.
fn is_carried(alert: &SuricataAlert<'_>) -> bool {
    const CARRIED: [&str; 7] = ["http", "http1", "http2", "doh2", "websocket", "tls", "quic"];
    let proto = alert.eve.as_ref().and_then(|eve| eve.app_proto.as_deref());
    proto.is_none_or(|proto| CARRIED.contains(&proto))
}

fn flow(alert: &SuricataAlert<'_>) -> Option<Flow> {
    alert.eve.as_ref().and_then(|eve| eve.flow)
}

/// The packet's addresses aren't the flow's: one was taken out of a header (X-Forwarded-For), or out of
/// a packet inside the packet. Whoever sent it could write there what he liked.
fn is_forwarded(alert: &SuricataAlert<'_>, src: IpAddr, dst: IpAddr) -> bool {
    flow(alert).is_some_and(|flow| {
        let ends = (canonical(flow.client), canonical(flow.server));
        ends != (src, dst) && ends != (dst, src)
    })
}

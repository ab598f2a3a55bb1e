//! Interfaces, and what XDP program sits on each.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

use super::HostError;
use super::netlink::Netlink;

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its index, unique in the namespace and never used again soon.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, where it has an Ethernet one.
    pub mac: Option<[u8; 6]>,
    /// Of virtual interfaces, what they are.
    pub kind: Option<Kind>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// The bridge or bond it belongs to.
    pub master: Option<u32>,
    /// The interface that it lies on (of a VLAN, macvlan or the like), or its peer.
    pub lower: Option<u32>,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
    /// The device behind it, by bus and name there: `pci`, `0000:00:05.0`.
    pub device: Option<(String, String)>,
    layer: LinkLayerType,
}

impl Link {
    /// Whether frames on it begin with an Ethernet header, as the XDP program expects.
    pub fn ethernet_header(&self) -> bool {
        matches!(self.layer, LinkLayerType::Ether | LinkLayerType::Loopback)
    }
}

/// What a virtual interface is, as far as it matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A bridge: containers and virtual machines sit behind it.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Anything else, by the kernel's word for it.
    Other(String),
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Xdp {
    /// How it is attached.
    pub attachment: XdpAttachment,
    /// Its program id; that of the driver's where several sit there.
    pub program_id: u32,
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum XdpAttachment {
    /// In the driver.
    Native,
    /// Behind the allocation of the packet's buffer.
    Generic,
    /// In the device's own processor.
    Offloaded,
    /// In several of these at once.
    Several,
}

pub(super) fn all(socket: &mut Netlink) -> Result<Vec<Link>, HostError> {
    let messages =
        socket.dump("interfaces", || RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut links: Vec<Link> = messages
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(message) => link(message),
            _ => None,
        })
        .collect();
    links.sort_unstable_by_key(|link| link.index);
    Ok(links)
}

fn link(message: LinkMessage) -> Option<Link> {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        kind: None,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        mtu: 0,
        master: None,
        lower: None,
        xdp: None,
        device: None,
        layer: message.header.link_layer_type,
    };
    let (mut bus, mut device) = (None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::ParentDevName(name) => device = Some(name),
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) if link.layer == LinkLayerType::Ether => {
                link.mac = mac.try_into().ok();
            }
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(master) => link.master = Some(master),
            LinkAttribute::Link(lower) => link.lower = Some(lower),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(InfoKind::Bridge) => Some(Kind::Bridge),
                    LinkInfo::Kind(InfoKind::Veth) => Some(Kind::Veth),
                    LinkInfo::Kind(other) => Some(Kind::Other(other.to_string())),
                    _ => None,
                });
            }
            LinkAttribute::Xdp(attributes) => link.xdp = xdp(&attributes),
            _ => {}
        }
    }
    link.device = bus.zip(device);
    (!link.name.is_empty()).then_some(link)
}

/// With one program its id is `IFLA_XDP_PROG_ID`; with several there are only the ids by mode.
fn xdp(attributes: &[LinkXdp]) -> Option<Xdp> {
    let attachment = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpAttachment::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpAttachment::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpAttachment::Offloaded),
        LinkXdp::Attached(XdpAttached::Multiple) => Some(XdpAttachment::Several),
        _ => None,
    })?;
    let id = |wanted: fn(&LinkXdp) -> Option<u32>| attributes.iter().find_map(wanted);
    let program_id = id(|a| if let LinkXdp::ProgId(id) = a { Some(*id) } else { None })
        .or_else(|| id(|a| if let LinkXdp::DrvProgId(id) = a { Some(*id) } else { None }))
        .or_else(|| id(|a| if let LinkXdp::SkbProgId(id) = a { Some(*id) } else { None }))
        .or_else(|| id(|a| if let LinkXdp::HwProgId(id) = a { Some(*id) } else { None }))?;
    Some(Xdp { attachment, program_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_program_and_several() {
        assert_eq!(xdp(&[LinkXdp::Attached(XdpAttached::None)]), None);
        assert_eq!(
            xdp(&[
                LinkXdp::Attached(XdpAttached::SocketBuffer),
                LinkXdp::ProgId(7),
                LinkXdp::SkbProgId(7)
            ]),
            Some(Xdp { attachment: XdpAttachment::Generic, program_id: 7 })
        );
        assert_eq!(
            xdp(&[
                LinkXdp::Attached(XdpAttached::Multiple),
                LinkXdp::SkbProgId(8),
                LinkXdp::DrvProgId(7)
            ]),
            Some(Xdp { attachment: XdpAttachment::Several, program_id: 7 })
        );
    }
}

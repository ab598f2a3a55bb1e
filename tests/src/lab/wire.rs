//! Frames put on a wire as they are: forged senders, VLAN tags.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep, VlanId};
use rustix::fd::OwnedFd;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};

use super::host::Host;

/// One end of a wire, to send from.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    link: Link,
    ends: Ends,
}

/// The two stations on a wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// Whose frames these pretend to be.
    pub(super) from: [u8; 6],
    /// Whom they are for.
    pub(super) to: [u8; 6],
}

/// VLAN tags of a frame, outermost first.
#[derive(Clone, Copy, Debug)]
pub enum Tags {
    /// None.
    None,
    /// 802.1Q.
    One(u16),
    /// 802.1ad around 802.1Q.
    Two(u16, u16),
}

/// Sender and receiver of an IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Source address, true or not.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

impl Wire {
    /// The wire behind a host's interface.
    pub(super) fn open(host: &Host, interface: &str, ends: Ends) -> Result<Self> {
        host.enter(|| {
            // No protocol: it only sends.
            let socket = socket(AddressFamily::PACKET, SocketType::RAW, None)
                .context("could not open a packet socket")?;
            let index = name_to_index(&socket, interface)
                .with_context(|| format!("could not find the interface {interface}"))?;
            Ok(Self { socket, link: Link { index }, ends })
        })?
    }

    /// A TCP SYN.
    ///
    /// # Errors
    /// Where the kernel refuses the frame.
    pub fn syn(&self, route: Route, ports: (u16, u16), sequence: u32) -> Result<()> {
        let packet = self.ip(Tags::None, route).tcp(ports.0, ports.1, sequence, 64_240).syn();
        let mut frame = Vec::with_capacity(packet.size(0));
        packet.write(&mut frame, &[])?;
        self.send(&frame)
    }

    /// A UDP packet.
    ///
    /// # Errors
    /// Where the kernel refuses the frame.
    pub fn udp(&self, tags: Tags, route: Route, ports: (u16, u16), payload: &[u8]) -> Result<()> {
        let packet = self.ip(tags, route).udp(ports.0, ports.1);
        let mut frame = Vec::with_capacity(packet.size(payload.len()));
        packet.write(&mut frame, payload)?;
        self.send(&frame)
    }

    fn ip(&self, tags: Tags, Route { src, dst }: Route) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(self.ends.from, self.ends.to);
        let (src, dst) = (src.octets(), dst.octets());
        match tags {
            Tags::None => ethernet.ipv4(src, dst, 64),
            Tags::One(id) => ethernet.single_vlan(vlan(id)).ipv4(src, dst, 64),
            Tags::Two(outer, inner) => {
                ethernet.double_vlan(vlan(outer), vlan(inner)).ipv4(src, dst, 64)
            }
        }
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        sendto(&self.socket, frame, SendFlags::empty(), &self.link)
            .context("could not put a frame on the wire")?;
        Ok(())
    }
}

/// VLAN ids have 12 bits.
fn vlan(id: u16) -> VlanId {
    VlanId::try_new(id & 0xfff).unwrap_or(VlanId::ZERO)
}

/// `sockaddr_ll`, of which sending needs the interface only.
#[derive(Debug)]
struct Link {
    index: u32,
}

#[expect(unsafe_code, reason = "no library in use has a safe address type for packet sockets")]
// SAFETY: the pointer is to a whole `sockaddr_ll` that lives until `f` returns, with its own length.
unsafe impl SocketAddrArg for Link {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17"),
            sll_protocol: 0,
            sll_ifindex: i32::try_from(self.index).unwrap_or(0),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = u32::try_from(size_of_val(&address)).expect("a sockaddr_ll has 20 bytes");
        f((&raw const address).cast(), length)
    }
}

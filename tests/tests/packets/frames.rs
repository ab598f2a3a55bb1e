//! Frames, byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const QINQ: u16 = 0x88a8;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// An Ethernet frame to a unicast address.
pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    tagged(&[], ether_type, payload)
}

/// An Ethernet frame with VLAN tags of these EtherTypes, outermost first.
pub(crate) fn tagged(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0x20, 0x2a]); // priority 1, VLAN 42
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet.
pub(crate) struct Ipv4 {
    pub(crate) source: Ipv4Addr,
    pub(crate) protocol: u8,
    /// Flags and fragment offset.
    pub(crate) fragment: u16,
    /// Options; a multiple of four bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Ipv4 {
    pub(crate) fn from(source: &str) -> Self {
        Self {
            source: source.parse().unwrap(),
            protocol: TCP,
            fragment: 0x4000,
            options: Vec::new(),
            payload: vec![0x55; 20],
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let total_len = header_len + self.payload.len();
        let mut packet = vec![0x40 | u8::try_from(header_len / 4).unwrap(), 0];
        packet.extend(u16::try_from(total_len).unwrap().to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend([192, 0, 2, 1]);
        packet.extend(&self.options);
        packet.extend(&self.payload);
        packet
    }
}

/// An IPv6 packet.
pub(crate) struct Ipv6 {
    pub(crate) source: Ipv6Addr,
    pub(crate) next_header: u8,
    /// Extension headers, if any, and what they announce.
    pub(crate) payload: Vec<u8>,
}

impl Ipv6 {
    pub(crate) fn from(source: &str) -> Self {
        Self { source: source.parse().unwrap(), next_header: TCP, payload: vec![0x55; 20] }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(u16::try_from(self.payload.len()).unwrap().to_be_bytes());
        packet.extend([self.next_header, 64]);
        packet.extend(self.source.octets());
        packet.extend("2001:db8:ffff::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(&self.payload);
        packet
    }
}

/// A plain TCP packet from this address, and its EtherType.
pub(crate) fn packet(source: &str) -> (u16, Vec<u8>) {
    match source.parse().unwrap() {
        IpAddr::V4(_) => (IPV4, Ipv4::from(source).bytes()),
        IpAddr::V6(_) => (IPV6, Ipv6::from(source).bytes()),
    }
}

/// A plain TCP packet from this address in an untagged frame.
pub(crate) fn plain(source: &str) -> Vec<u8> {
    let (ether_type, packet) = packet(source);
    ethernet(ether_type, &packet)
}

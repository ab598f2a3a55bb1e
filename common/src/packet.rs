//! Finds the IP packet in a frame, and its source address.
//!
//! Ethernet, up to two VLAN tags (802.1Q, 802.1ad), the fixed part of the IPv4 or IPv6 header; nothing
//! after that is looked at, but for [`destination`](crate::destination). So there is no option, extension header, fragment or transport protocol
//! that gets a banned source past the program.
//!
//! The parser is generic over how bytes are reached: the XDP program hands it packet memory with the
//! bounds checks that the verifier wants, tests and fuzzers a slice.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
/// More than this, and a frame is for nobody's IP stack but that of a device stacked on a device.
const MAX_VLAN_TAGS: usize = 2;
const IPV6_HEADER_LEN: usize = 40;

/// EtherTypes, as in `linux/if_ether.h`.
mod ether_type {
    pub(super) const IPV4: [u8; 2] = [0x08, 0x00];
    pub(super) const IPV6: [u8; 2] = [0x86, 0xdd];
    pub(super) const VLAN_8021Q: [u8; 2] = [0x81, 0x00];
    pub(super) const VLAN_8021AD: [u8; 2] = [0x88, 0xa8];
}

/// A received frame, from the Ethernet header on.
pub trait Frame {
    /// `N` words of `W` bytes each from `offset` on; `None` where the frame ends before them.
    fn words<const W: usize, const N: usize>(&self, offset: usize) -> Option<&[[u8; W]; N]>;
}

impl Frame for [u8] {
    fn words<const W: usize, const N: usize>(&self, offset: usize) -> Option<&[[u8; W]; N]> {
        let (words, _rest) = self.get(offset..)?.as_chunks();
        words.first_chunk()
    }
}

/// The IP packet in a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packet<'frame> {
    /// IPv4.
    V4(Ipv4<'frame>),
    /// IPv6.
    V6(Ipv6<'frame>),
}

/// Why there is no packet to judge in a frame. Such a frame passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoPacket {
    /// Neither IPv4 nor IPv6, or behind more than two VLAN tags.
    NotIp,
    /// Shorter than the headers it announces, or an IP header of another version than its EtherType
    /// says, or of an impossible length. The stack drops it by itself.
    Malformed,
}

impl<'frame> Packet<'frame> {
    /// Finds the packet in `frame`.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &'frame F) -> Result<Self, NoPacket> {
        let [.., mut ether_type] = *words::<F, 2, { ETHERNET_LEN / 2 }>(frame, 0)?;
        let mut offset = ETHERNET_LEN;
        for _ in 0..MAX_VLAN_TAGS {
            if ether_type != ether_type::VLAN_8021Q && ether_type != ether_type::VLAN_8021AD {
                break;
            }
            let [_control, inner] = words(frame, offset)?;
            ether_type = *inner;
            offset += VLAN_TAG_LEN;
        }
        match ether_type {
            ether_type::IPV4 => Ipv4::new(words(frame, offset)?).map(Self::V4),
            ether_type::IPV6 => Ipv6::new(words(frame, offset)?).map(Self::V6),
            _ => Err(NoPacket::NotIp),
        }
    }

    /// Its source address.
    #[inline(always)]
    pub const fn source(self) -> IpAddr {
        match self {
            Self::V4(packet) => {
                let [a, b, c, d] = packet.source();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            Self::V6(packet) => {
                let [network, host] = packet.source();
                let bits = (u64::from_be_bytes(network) as u128) << 64;
                IpAddr::V6(Ipv6Addr::from_bits(bits | u64::from_be_bytes(host) as u128))
            }
        }
    }
}

#[inline(always)]
fn words<F: Frame + ?Sized, const W: usize, const N: usize>(
    frame: &F,
    offset: usize,
) -> Result<&[[u8; W]; N], NoPacket> {
    frame.words(offset).ok_or(NoPacket::Malformed)
}

/// The fixed part of an IPv4 header (RFC 791, section 3.1), in its five words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv4<'frame>(&'frame [[u8; 4]; 5]);

impl<'frame> Ipv4<'frame> {
    #[inline(always)]
    const fn new(header: &'frame [[u8; 4]; 5]) -> Result<Self, NoPacket> {
        let [[first, ..], ..] = *header;
        let (version, words) = (first >> 4, first & 0xf);
        if version == 4 && words >= 5 { Ok(Self(header)) } else { Err(NoPacket::Malformed) }
    }

    /// Source address, in network order.
    #[inline(always)]
    pub const fn source(self) -> [u8; 4] {
        let [_, _, _, source, _] = *self.0;
        source
    }

    /// How many bytes its header has, options and all.
    #[inline(always)]
    pub const fn header_len(self) -> usize {
        let [[first, ..], ..] = *self.0;
        (first & 0xf) as usize * 4
    }

    /// The protocol behind its header.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        let [_, _, [_, protocol, ..], ..] = *self.0;
        protocol
    }

    /// Flags and fragment offset.
    #[inline(always)]
    pub const fn fragment(self) -> u16 {
        let [_, [_, _, high, low], ..] = *self.0;
        u16::from_be_bytes([high, low])
    }

    /// The bytes of the packet that its header announces, header and all.
    #[inline(always)]
    pub const fn announced_len(self) -> usize {
        let [[_, _, high, low], ..] = *self.0;
        u16::from_be_bytes([high, low]) as usize
    }

    /// Where it starts in memory.
    #[inline(always)]
    pub const fn as_ptr(self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

/// The fixed part of an IPv6 header (RFC 8200, section 3), in words of half an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv6<'frame>(&'frame [[u8; 8]; 5]);

impl<'frame> Ipv6<'frame> {
    #[inline(always)]
    const fn new(header: &'frame [[u8; 8]; 5]) -> Result<Self, NoPacket> {
        let [[first, ..], ..] = *header;
        if first >> 4 == 6 { Ok(Self(header)) } else { Err(NoPacket::Malformed) }
    }

    /// Network and host half of the source address, in network order.
    #[inline(always)]
    pub const fn source(self) -> [[u8; 8]; 2] {
        let [_, network, host, _, _] = *self.0;
        [network, host]
    }

    /// The extension header or protocol behind its header.
    #[inline(always)]
    pub const fn next_header(self) -> u8 {
        let [[_, _, _, _, _, _, next, _], ..] = *self.0;
        next
    }

    /// The bytes of the packet that its header announces, header and all; a jumbogram announces only
    /// its header.
    #[inline(always)]
    pub const fn announced_len(self) -> usize {
        let [[_, _, _, _, high, low, _, _], ..] = *self.0;
        IPV6_HEADER_LEN + u16::from_be_bytes([high, low]) as usize
    }

    /// Where it starts in memory.
    #[inline(always)]
    pub const fn as_ptr(self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An 802.1ad and an 802.1Q tag, then IPv4 from 198.51.100.7.
    const TAGGED_V4: [u8; 42] = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 42, 0x08,
        0x00, //
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1,
    ];
    /// IPv6 from 2001:db8:1:2:3:4:5:6, with a payload of 20 bytes announced.
    const V6: [u8; 54] = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, //
        0x60, 0, 0, 0, 0, 20, 6, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0,
        6, //
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];

    #[test]
    fn finds_source_and_announced_length() {
        let Ok(Packet::V4(packet)) = Packet::parse(&TAGGED_V4[..]) else { panic!("not IPv4") };
        assert_eq!(packet.source(), [198, 51, 100, 7]);
        assert_eq!(packet.announced_len(), 40);
        assert_eq!(packet.as_ptr(), TAGGED_V4[22..].as_ptr());

        let Ok(Packet::V6(packet)) = Packet::parse(&V6[..]) else { panic!("not IPv6") };
        assert_eq!(packet.source(), [[0x20, 1, 0xd, 0xb8, 0, 1, 0, 2], [0, 3, 0, 4, 0, 5, 0, 6]]);
        assert_eq!(packet.announced_len(), 60);
        assert_eq!(packet.as_ptr(), V6[14..].as_ptr());
    }

    #[test]
    fn sources_print_as_addresses() {
        for (frame, source) in [(&TAGGED_V4[..], "198.51.100.7"), (&V6[..], "2001:db8:1:2:3:4:5:6")]
        {
            let packet = Packet::parse(frame).unwrap();
            assert_eq!(packet.source(), source.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn what_ends_early_is_malformed() {
        for frame in [&TAGGED_V4[..], &V6[..]] {
            for len in 0..frame.len() {
                assert_eq!(Packet::parse(&frame[..len]), Err(NoPacket::Malformed), "{len}");
            }
        }
    }

    #[test]
    fn a_third_tag_is_not_looked_behind() {
        let mut frame = [0; 64];
        for offset in [12, 16, 20] {
            frame[offset..offset + 2].copy_from_slice(&ether_type::VLAN_8021Q);
        }
        assert_eq!(Packet::parse(&frame[..]), Err(NoPacket::NotIp));
    }
}

//! Finds the IP packet in a frame, and its source address.
//!
//! Ethernet, up to two VLAN tags (802.1Q, 802.1ad), the fixed part of the IPv4 or IPv6 header; nothing
//! after that is looked at. So there is no option, extension header, fragment or transport protocol
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

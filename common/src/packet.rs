//! Finds the source address of a frame.
//!
//! Ethernet, up to two VLAN tags (802.1Q, 802.1ad), the fixed part of the IPv4 or IPv6 header; nothing
//! after that is looked at. So there is no option, extension header, fragment or transport protocol
//! that gets a banned source past the program.
//!
//! The parser is generic over how bytes are reached: the XDP program hands it packet memory with the
//! bounds checks that the verifier wants, tests and fuzzers a slice.

const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
/// As the kernel does itself in `skb_vlan_untag` and one stacked device above.
const MAX_VLAN_TAGS: usize = 2;
const IPV4_LEN: usize = 20;
const IPV4_SOURCE: usize = 12;
const IPV6_LEN: usize = 40;
const IPV6_SOURCE: usize = 8;

/// EtherTypes (IEEE 802 numbers, as in `linux/if_ether.h`).
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN_8021Q: u16 = 0x8100;
const VLAN_8021AD: u16 = 0x88a8;

/// A received frame, from the Ethernet header on.
pub trait Frame {
    /// The `N` bytes from `offset` on; `None` where the frame ends before.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
}

impl Frame for [u8] {
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }
}

/// Source address of a frame, where it stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source<'frame> {
    /// IPv4.
    V4(&'frame [u8; 4]),
    /// IPv6.
    V6(&'frame [u8; 16]),
}

/// Why a frame has no source address that could be judged. Such a frame passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoSource {
    /// Neither IPv4 nor IPv6, or behind more than two VLAN tags.
    NotIp,
    /// Shorter than the headers it announces, or an IP header of another version than its EtherType
    /// says, or with an impossible length. The stack drops it by itself.
    Malformed,
}

/// Finds the source address of `frame`.
#[inline(always)]
pub fn source<F: Frame + ?Sized>(frame: &F) -> Result<Source<'_>, NoSource> {
    let [.., high, low] = read::<F, ETHERNET_LEN>(frame, 0)?;
    let mut ether_type = u16::from_be_bytes([*high, *low]);
    let mut offset = ETHERNET_LEN;
    for _ in 0..MAX_VLAN_TAGS {
        if ether_type != VLAN_8021Q && ether_type != VLAN_8021AD {
            break;
        }
        // Two bytes of tag control, then the type of what follows.
        let [_, _, high, low] = read::<F, VLAN_TAG_LEN>(frame, offset)?;
        ether_type = u16::from_be_bytes([*high, *low]);
        offset += VLAN_TAG_LEN;
    }
    match ether_type {
        IPV4 => ipv4(frame, offset),
        IPV6 => ipv6(frame, offset),
        _ => Err(NoSource::NotIp),
    }
}

/// RFC 791, section 3.1.
#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Source<'_>, NoSource> {
    let header = read::<F, IPV4_LEN>(frame, offset)?;
    let (version, words) = (header[0] >> 4, header[0] & 0xf);
    if version != 4 || words < 5 {
        return Err(NoSource::Malformed);
    }
    read(frame, offset + IPV4_SOURCE).map(Source::V4)
}

/// RFC 8200, section 3.
#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Source<'_>, NoSource> {
    let header = read::<F, IPV6_LEN>(frame, offset)?;
    if header[0] >> 4 != 6 {
        return Err(NoSource::Malformed);
    }
    read(frame, offset + IPV6_SOURCE).map(Source::V6)
}

#[inline(always)]
fn read<F: Frame + ?Sized, const N: usize>(frame: &F, offset: usize) -> Result<&[u8; N], NoSource> {
    frame.bytes(offset).ok_or(NoSource::Malformed)
}

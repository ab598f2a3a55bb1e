//! The source of a frame as a library says it that isn't ours: etherparse takes the headers apart, and
//! only what Ravelin promises about them (design, section 3) is said here.
//!
//! The fuzz target (`fuzz/`) uses this file too.

use std::net::IpAddr;

use etherparse::err::ipv4::HeaderSliceError;
use etherparse::{
    EtherType, Ethernet2Slice, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, SingleVlanSlice,
    ether_type,
};
use ravelin_common::packet::NoPacket;

/// 802.1Q and 802.1ad. There are others (0x9100, 0x9200, 0x9300), which no standard has and the stack
/// doesn't take off.
const TAGS: [EtherType; 2] = [ether_type::VLAN_TAGGED_FRAME, ether_type::PROVIDER_BRIDGING];
const MAX_TAGS: usize = 2;

/// What [`Packet::parse`](ravelin_common::packet::Packet::parse) has to find in `frame`.
///
/// # Errors
/// Where it has to find nothing.
pub fn source(frame: &[u8]) -> Result<IpAddr, NoPacket> {
    let ethernet =
        Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_| NoPacket::Malformed)?;
    let mut payload = ethernet.payload();
    for _ in 0..MAX_TAGS {
        if !TAGS.contains(&payload.ether_type) {
            break;
        }
        let tag = SingleVlanSlice::from_slice(payload.payload).map_err(|_| NoPacket::Malformed)?;
        payload = tag.payload();
    }
    match payload.ether_type {
        ether_type::IPV4 => source_v4(payload.payload),
        ether_type::IPV6 => {
            let header =
                Ipv6HeaderSlice::from_slice(payload.payload).map_err(|_| NoPacket::Malformed)?;
            Ok(header.source_addr().into())
        }
        _ => Err(NoPacket::NotIp),
    }
}

fn source_v4(packet: &[u8]) -> Result<IpAddr, NoPacket> {
    let header = match Ipv4HeaderSlice::from_slice(packet) {
        Ok(header) => return Ok(header.source_addr().into()),
        Err(HeaderSliceError::Content(_)) => return Err(NoPacket::Malformed),
        Err(HeaderSliceError::Len(_)) => {
            packet.get(..Ipv4Header::MIN_LEN).ok_or(NoPacket::Malformed)?
        }
    };
    // The options are cut off, and the program doesn't look at them. The library does: with them, it has
    // nothing to say against it.
    let mut whole = [0; Ipv4Header::MAX_LEN];
    whole[..Ipv4Header::MIN_LEN].copy_from_slice(header);
    let header = Ipv4HeaderSlice::from_slice(&whole).map_err(|_| NoPacket::Malformed)?;
    Ok(header.source_addr().into())
}

//! The source of a frame as a library says it that isn't ours: etherparse takes the headers apart, and
//! only what Ravelin promises about them (design, section 3) is said here.
//!
//! The fuzz target (`fuzz/`) uses this file too.

use std::net::IpAddr;

use etherparse::err::ipv4::HeaderSliceError;
use etherparse::{
    EtherType, Ethernet2Slice, IpAuthHeaderSlice, IpNumber, Ipv4Header, Ipv4HeaderSlice,
    Ipv6FragmentHeaderSlice, Ipv6Header, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, SingleVlanSlice,
    UdpHeader, UdpHeaderSlice, ether_type, ip_number,
};
use ravelin_common::destination::{Destination, EXTENSIONS};
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
    match ip(frame)? {
        (ether_type::IPV4, packet) => Ok(header_v4(packet)?.source.into()),
        (_, packet) => {
            let header =
                Ipv6HeaderSlice::from_slice(packet).map_err(|_too_short| NoPacket::Malformed)?;
            Ok(header.source_addr().into())
        }
    }
}

/// What [`Destination::of`] has to say of the packet in `frame`, and where that begins.
///
/// # Errors
/// Where there is no packet.
pub fn destination(frame: &[u8]) -> Result<(usize, Destination), NoPacket> {
    let (ether_type, packet) = ip(frame)?;
    let found = match ether_type {
        ether_type::IPV4 => destination_v4(&header_v4(packet)?, packet),
        _ => destination_v6(packet),
    };
    Ok((frame.len() - packet.len(), found.unwrap_or(Destination::Unknown)))
}

/// The IP packet, by whose EtherType.
fn ip(frame: &[u8]) -> Result<(EtherType, &[u8]), NoPacket> {
    let ethernet =
        Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_too_short| NoPacket::Malformed)?;
    let mut payload = ethernet.payload();
    for _ in 0..MAX_TAGS {
        if !TAGS.contains(&payload.ether_type) {
            break;
        }
        let tag = SingleVlanSlice::from_slice(payload.payload)
            .map_err(|_too_short| NoPacket::Malformed)?;
        payload = tag.payload();
    }
    match payload.ether_type {
        ether_type::IPV4 | ether_type::IPV6 => Ok((payload.ether_type, payload.payload)),
        _ => Err(NoPacket::NotIp),
    }
}

fn header_v4(packet: &[u8]) -> Result<Ipv4Header, NoPacket> {
    let header = match Ipv4HeaderSlice::from_slice(packet) {
        Ok(header) => return Ok(header.to_header()),
        Err(HeaderSliceError::Content(_)) => return Err(NoPacket::Malformed),
        Err(HeaderSliceError::Len(_)) => {
            packet.get(..Ipv4Header::MIN_LEN).ok_or(NoPacket::Malformed)?
        }
    };
    // The options are cut off, and the program doesn't look at them. The library does: with them, it has
    // nothing to say against it.
    let mut whole = [0; Ipv4Header::MAX_LEN];
    whole[..Ipv4Header::MIN_LEN].copy_from_slice(header);
    let header = Ipv4HeaderSlice::from_slice(&whole).map_err(|_content| NoPacket::Malformed)?;
    Ok(header.to_header())
}

fn destination_v4(header: &Ipv4Header, packet: &[u8]) -> Option<Destination> {
    if header.fragment_offset.value() != 0 {
        return Some(Destination::Portless);
    }
    let end = packet.len().min(header.total_len.into());
    let payload = packet.get(header.header_len()..end)?;
    match header.protocol {
        ip_number::AUTHENTICATION_HEADER => {
            let header = IpAuthHeaderSlice::from_slice(payload).ok()?;
            transport(header.next_header(), &payload[header.slice().len()..], ip_number::ICMP)
        }
        protocol => transport(protocol, payload, ip_number::ICMP),
    }
}

fn destination_v6(packet: &[u8]) -> Option<Destination> {
    let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
    let (payload, _padding) = packet[Ipv6Header::LEN..]
        .split_at_checked(header.payload_length().into())
        .unwrap_or((&packet[Ipv6Header::LEN..], &[]));
    let (mut next, mut payload) = (header.next_header(), payload);
    for _ in 0..EXTENSIONS {
        match next {
            ip_number::IPV6_HEADER_HOP_BY_HOP
            | ip_number::IPV6_ROUTE_HEADER
            | ip_number::IPV6_DESTINATION_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(payload).ok()?;
                next = header.next_header();
                payload = &payload[header.slice().len()..];
            }
            ip_number::AUTHENTICATION_HEADER => {
                let header = IpAuthHeaderSlice::from_slice(payload).ok()?;
                next = header.next_header();
                payload = &payload[header.slice().len()..];
            }
            ip_number::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(payload).ok()?;
                if header.fragment_offset().value() != 0 {
                    return Some(Destination::Portless);
                }
                next = header.next_header();
                payload = &payload[header.slice().len()..];
            }
            _ => break,
        }
    }
    transport(next, payload, ip_number::IPV6_ICMP)
}

/// The library wants whole headers; the ports are in the first four bytes of one.
fn transport(protocol: IpNumber, payload: &[u8], icmp: IpNumber) -> Option<Destination> {
    const WITH_PORTS: [IpNumber; 5] =
        [ip_number::TCP, ip_number::UDP, ip_number::SCTP, ip_number::DCCP, ip_number::UDP_LITE];
    let ports = payload.first_chunk::<4>()?;
    if protocol == icmp {
        return Some(Destination::Portless);
    }
    WITH_PORTS.contains(&protocol).then(|| {
        let mut whole = [0; UdpHeader::LEN];
        whole[..4].copy_from_slice(ports);
        UdpHeaderSlice::from_slice(&whole)
            .map_or(Destination::Unknown, |header| Destination::Port(header.destination_port()))
    })
}

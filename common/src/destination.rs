//! Where a packet is bound for: what a port-scoped ban asks about a packet of its source.
//!
//! Only then is anything behind the fixed IP header looked at. A source must not get round its ban by
//! what it puts there, so that only two kinds of packets are let through without a port:
//!
//! - a later fragment: without the first one, which has the ports and is judged by them, nothing is
//!   assembled; none can overwrite the ports in the first eight bytes;
//! - ICMP: it has no ports, and the ports that aren't banned need its errors (and IPv6 its neighbour
//!   discovery).
//!
//! Whatever else shows no port is [`Unknown`](Destination::Unknown), and dropped: an unknown protocol,
//! a tunnel (also ESP, IPv4 in IPv6 and the like), more extension headers than are looked at, a chain that
//! the packet ends in, or that its announced length ends before.

use crate::packet::{Frame, Packet};

/// Extension headers that are looked behind. Honest packets have one or two.
pub const EXTENSIONS: usize = 6;

/// Where a packet is bound for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// This port of TCP, UDP, SCTP, DCCP or UDP-Lite.
    Port(u16),
    /// None: ICMP, or a later fragment.
    Portless,
    /// It can't be found.
    Unknown,
}

/// Protocols and extension headers, by their IANA numbers.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const DCCP: u8 = 33;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMP_V6: u8 = 58;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const UDP_LITE: u8 = 136;
}

impl Destination {
    /// Of a packet that lies at the beginning of `bytes`: those from its IP header on.
    #[inline(always)]
    pub fn of<F: Frame + ?Sized>(packet: Packet<'_>, bytes: &F) -> Self {
        let found = match packet {
            Packet::V4(packet) => {
                let fragment = packet.fragment();
                let ip = Ip { bytes, end: packet.announced_len() };
                ip.v4(packet.header_len(), packet.protocol(), fragment & OFFSET_V4 != 0)
            }
            Packet::V6(packet) => {
                let ip = Ip { bytes, end: packet.announced_len() };
                ip.v6(packet.next_header())
            }
        };
        found.unwrap_or(Self::Unknown)
    }
}

/// The fragment offset in the last half of the second word of an IPv4 header.
const OFFSET_V4: u16 = 0x1fff;
/// The fragment offset in the second half word of an IPv6 fragment header.
const OFFSET_V6: u16 = 0xfff8;
const IPV6_HEADER_LEN: usize = 40;

/// A packet's bytes, and where it says that it ends: what is behind that is padding, and could show a
/// port that the stack never sees.
struct Ip<'frame, F: ?Sized> {
    bytes: &'frame F,
    end: usize,
}

impl<F: Frame + ?Sized> Ip<'_, F> {
    #[inline(always)]
    fn v4(&self, header_len: usize, protocol: u8, later: bool) -> Option<Destination> {
        if later {
            return Some(Destination::Portless);
        }
        match protocol {
            // RFC 4302 puts it behind an IPv4 header as well. Twice makes no sense.
            protocol::AUTHENTICATION => {
                let [next, words, _, _] = self.word(header_len)?;
                self.transport(next, header_len + authentication_len(words)?, protocol::ICMP)
            }
            protocol => self.transport(protocol, header_len, protocol::ICMP),
        }
    }

    #[inline(always)]
    fn v6(&self, first: u8) -> Option<Destination> {
        let (mut next, mut offset) = (first, IPV6_HEADER_LEN);
        for _ in 0..EXTENSIONS {
            match next {
                protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                    let [after, words, _, _] = self.word(offset)?;
                    next = after;
                    offset += (words as usize + 1) * 8;
                }
                protocol::AUTHENTICATION => {
                    let [after, words, _, _] = self.word(offset)?;
                    next = after;
                    offset += authentication_len(words)?;
                }
                protocol::FRAGMENT => {
                    let [after, _, high, low] = self.word(offset)?;
                    self.word(offset + 4)?;
                    if u16::from_be_bytes([high, low]) & OFFSET_V6 != 0 {
                        return Some(Destination::Portless);
                    }
                    next = after;
                    offset += 8;
                }
                _ => break,
            }
        }
        self.transport(next, offset, protocol::ICMP_V6)
    }

    /// What the header of `protocol` at `offset` says: all that have ports have them in the same place.
    #[inline(always)]
    fn transport(&self, protocol: u8, offset: usize, icmp: u8) -> Option<Destination> {
        let [_, _, high, low] = self.word(offset)?;
        match protocol {
            _ if protocol == icmp => Some(Destination::Portless),
            protocol::TCP
            | protocol::UDP
            | protocol::SCTP
            | protocol::DCCP
            | protocol::UDP_LITE => Some(Destination::Port(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }

    /// Four bytes of the packet.
    #[inline(always)]
    fn word(&self, offset: usize) -> Option<[u8; 4]> {
        if offset + 4 > self.end {
            return None;
        }
        let [word] = *self.bytes.words::<4, 1>(offset)?;
        Some(word)
    }
}

/// RFC 4302, section 2.2: in words of four bytes, minus two; three are always there.
#[inline(always)]
const fn authentication_len(words: u8) -> Option<usize> {
    if words == 0 { None } else { Some((words as usize + 2) * 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv4 from 198.51.100.7 with this protocol, flags and offset, and what follows.
    fn v4(bytes: &mut [u8; 64], protocol: u8, fragment: u16, rest: &[u8]) -> usize {
        let len = 14 + 20 + rest.len();
        bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
        bytes[17] = u8::try_from(len - 14).unwrap();
        bytes[20..22].copy_from_slice(&fragment.to_be_bytes());
        bytes[23] = protocol;
        bytes[26..30].copy_from_slice(&[198, 51, 100, 7]);
        bytes[34..len].copy_from_slice(rest);
        len
    }

    fn v6(bytes: &mut [u8; 128], next: u8, rest: &[u8]) -> usize {
        let len = 14 + 40 + rest.len();
        bytes[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        bytes[19] = u8::try_from(rest.len()).unwrap();
        bytes[20] = next;
        bytes[54..len].copy_from_slice(rest);
        len
    }

    fn of(frame: &[u8]) -> Destination {
        Destination::of(Packet::parse(frame).unwrap(), &frame[14..])
    }

    const SMTP: [u8; 4] = [0x30, 0x39, 0, 25];

    #[test]
    fn finds_the_port_of_whatever_has_one_and_drops_what_hides_it() {
        use Destination::{Port, Portless, Unknown};
        for (protocol, fragment, expected) in [
            (6, 0, Port(25)),
            (17, 0x4000, Port(25)),
            (132, 0, Port(25)),
            (33, 0, Port(25)),
            (136, 0, Port(25)),
            (6, 0x2000, Port(25)),
            (6, 0x2001, Portless),
            (6, 1, Portless),
            (253, 0x1fff, Portless),
            (1, 0, Portless),
            (58, 0, Unknown),
            (4, 0, Unknown),
            (50, 0, Unknown),
        ] {
            let mut bytes = [0; 64];
            let len = v4(&mut bytes, protocol, fragment, &SMTP);
            assert_eq!(of(&bytes[..len]), expected, "{protocol} {fragment:x}");
            if fragment & 0x1fff == 0 {
                assert_eq!(of(&bytes[..len - 1]), Unknown, "{protocol} cut short");
                // What is behind the announced end is padding.
                bytes[17] -= 1;
                assert_eq!(of(&bytes), Unknown, "{protocol} in padding");
            }
        }
    }

    #[test]
    fn walks_a_chain_of_extension_headers_up_to_its_bound() {
        use Destination::{Port, Portless, Unknown};
        let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        for count in 0..=EXTENSIONS + 1 {
            let mut rest = [0; 64];
            for n in 0..count {
                let next = if n + 1 == count { 6 } else { 60 };
                rest[8 * n..8 * n + 8].copy_from_slice(&options(next));
            }
            rest[8 * count..8 * count + 4].copy_from_slice(&SMTP);
            let mut bytes = [0; 128];
            let len = v6(&mut bytes, if count == 0 { 6 } else { 60 }, &rest[..8 * count + 4]);
            let expected = if count > EXTENSIONS { Unknown } else { Port(25) };
            assert_eq!(of(&bytes[..len]), expected, "{count}");
        }
        let first = [6, 0, 0, 1, 0, 0, 0, 9, 0x30, 0x39, 0, 25];
        let later = [6, 0, 0, 8, 0, 0, 0, 9, 0x30, 0x39, 0, 25];
        for (next, rest, expected) in [
            (44, first, Port(25)),
            (44, later, Portless),
            (58, first, Portless),
            (4, first, Unknown),
        ] {
            let mut bytes = [0; 128];
            let len = v6(&mut bytes, next, &rest);
            assert_eq!(of(&bytes[..len]), expected);
        }
    }
}

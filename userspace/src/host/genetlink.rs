//! Questions to families of generic netlink (genetlink.h), one answer each.

use std::io;

use netlink_packet_core::{NlaBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NLM_F_REQUEST`, `NLMSG_ERROR`.
const REQUEST: u16 = 1;
const ERROR: u16 = 2;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Of `struct nlmsghdr`, and of it with `struct genlmsghdr`.
const HEADER: usize = 16;
const BOTH_HEADERS: usize = HEADER + 4;
/// The kernel never sends more in one datagram.
const DATAGRAM: usize = 1 << 16;

/// A family, found by its name.
pub(super) struct Family {
    socket: Socket,
    id: u16,
}

impl Family {
    /// The family of this name; an error of kind `NotFound` where this kernel has none.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        let control = Self { socket, id: CONTROL };
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let answer = control.ask(GET_FAMILY, &attribute(FAMILY_NAME, &text))?;
        let id = find(&answer, FAMILY_ID)
            .and_then(|id| id.first_chunk().copied())
            .map(u16::from_ne_bytes)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { socket: control.socket, id })
    }

    /// Asks for one thing; gives the attributes of the answer.
    pub(super) fn ask(&self, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(BOTH_HEADERS + attributes.len()).unwrap_or(u32::MAX);
        let mut question = length.to_ne_bytes().to_vec();
        question.extend(self.id.to_ne_bytes());
        question.extend(REQUEST.to_ne_bytes());
        // No sequence number and no port: there is one question under way at a time.
        question.extend([0; 8]);
        question.extend([command, 1, 0, 0]);
        question.extend(attributes);
        self.socket.send_to(&question, &SocketAddr::new(0, 0), 0)?;

        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let header = buffer.first_chunk::<HEADER>().ok_or(io::ErrorKind::InvalidData)?;
        if u16::from_ne_bytes([header[4], header[5]]) == ERROR {
            let code = buffer.get(HEADER..).and_then(|body| body.first_chunk::<4>());
            let code = code.map_or(libc::EPROTO, |code| i32::from_ne_bytes(*code).wrapping_neg());
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(buffer.get(BOTH_HEADERS..).ok_or(io::ErrorKind::InvalidData)?.to_vec())
    }
}

/// An attribute as it goes over the wire.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds others.
pub(super) fn nested(kind: u16, inside: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, inside)
}

/// The attributes in `bytes`, as far as they are sound: kind and value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .map(|found: NlaBuffer<&[u8]>| (found.kind(), found.into_inner()))
        // What is handed on is the attribute with its header.
        .filter_map(|(kind, whole)| {
            let length = u16::from_ne_bytes(*whole.first_chunk()?);
            Some((kind, whole.get(4..usize::from(length))?))
        })
}

/// The value of the first attribute of a kind.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again_and_a_broken_end_ends_them() {
        let mut bytes = attribute(1, b"abc");
        bytes.extend(nested(2, &attribute(7, &[9])));
        bytes.extend([200, 0, 3, 0]);
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (1, &b"abc"[..]));
        assert_eq!(find(found[1].1, 7), Some(&[9][..]));
        assert_eq!(find(&bytes, 3), None);
    }

    #[test]
    fn a_family_that_is_not_there_is_not_found() {
        let error = Family::open("no-such-family").map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}

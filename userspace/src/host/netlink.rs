//! Questions to the kernel's route netlink, asked and answered in turn.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::HostError;

/// The kernel never sends more in one datagram (`NLMSG_GOODSIZE` up to 32 KiB).
const DATAGRAM: usize = 1 << 16;
/// How often a dump is repeated that was interrupted by a change.
const TRIES: u32 = 10;
/// An aligned header: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// A route netlink socket of the calling thread's network namespace.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, HostError> {
        let mut socket = Socket::new(NETLINK_ROUTE)
            .map_err(|source| HostError::Socket { action: "open", source })?;
        socket.bind_auto().map_err(|source| HostError::Socket { action: "bind", source })?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has this socket told what becomes of the given multicast group.
    pub(super) fn join(&mut self, group: u32) -> Result<(), HostError> {
        self.socket
            .add_membership(group)
            .map_err(|source| HostError::Socket { action: "subscribe with", source })
    }

    /// Throws away what is waiting, without waiting itself; whether there was anything.
    ///
    /// An overrun receive buffer is something too: what was lost was a change.
    pub(super) fn discard(&self) -> Result<bool, HostError> {
        let mut any = false;
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(HostError::Socket { action: "read", source }),
            }
        }
    }

    /// Everything of one kind, as of one moment.
    pub(super) fn dump(
        &mut self,
        what: &'static str,
        question: impl Fn() -> RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, HostError> {
        for _ in 0..TRIES {
            if let Some(answers) = self.dump_once(what, question())? {
                return Ok(answers);
            }
        }
        Err(HostError::Unsteady { what, tries: TRIES })
    }

    /// `None` where the table changed meanwhile.
    fn dump_once(
        &mut self,
        what: &'static str,
        question: RouteNetlinkMessage,
    ) -> Result<Option<Vec<RouteNetlinkMessage>>, HostError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
        message.finalize();
        let mut request = vec![0; message.buffer_len()];
        message.serialize(&mut request);
        self.socket
            .send_to(&request, &SocketAddr::new(0, 0), 0)
            .map_err(|source| HostError::Socket { action: "write to", source })?;

        let mut answers = Vec::new();
        let mut steady = true;
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(HostError::Socket { action: "read", source }),
            }
            let mut rest = buffer.as_slice();
            while rest.len() >= HEADER {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| HostError::Undecodable { what, reason: error.to_string() })?;
                let length = usize::try_from(answer.header.length).unwrap_or(usize::MAX);
                // Messages are aligned to four bytes; one that claims no length would never end.
                let step = length.max(HEADER).next_multiple_of(4).min(rest.len());
                rest = &rest[step..];
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                steady &= answer.header.flags & NLM_F_DUMP_INTR == 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    NetlinkPayload::Done(_) => return Ok(steady.then_some(answers)),
                    NetlinkPayload::Error(error) => {
                        return Err(HostError::Refused { what, source: error.to_io() });
                    }
                    _ => {}
                }
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

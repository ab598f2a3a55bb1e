//! A socket that takes datagrams, each of them a line.

use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};

use super::frames::Gathered;
use super::losses::{self, Queue};
use super::peers::{Admission, Heard, Peer, refuse};
use crate::source::{LineCap, ListenerCounts};

/// Datagrams of a batch.
const BATCH: usize = 1024;
/// Bytes of lines after which a batch is full.
const BATCH_BYTES: usize = 256 << 10;
/// What we would like the kernel to keep while we are busy; it gives what it may.
const QUEUE: usize = 8 << 20;
/// No UDP datagram is longer.
const UDP: usize = 1 << 16;

/// A socket that takes datagrams.
pub(super) struct Datagrams {
    name: String,
    socket: Socket,
    admission: Admission,
    cap: LineCap,
    heard: Heard,
    buffer: Vec<u8>,
    /// What the kernel had dropped when we looked last.
    queue: Queue,
}

enum Socket {
    Udp(UdpSocket),
    Unix(OwnedFd),
}

impl Datagrams {
    pub(super) fn udp(name: String, socket: UdpSocket, admission: Admission, cap: LineCap) -> Self {
        // More than `net.core.rmem_max` takes CAP_NET_ADMIN; what is granted is what there is.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE).is_err()
            && let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, QUEUE)
        {
            tracing::debug!(%error, "The receive buffer is as it was.");
        }
        Self::new(name, Socket::Udp(socket), admission, cap, UDP)
    }

    pub(super) fn unix(name: String, socket: OwnedFd, admission: Admission, cap: LineCap) -> Self {
        Self::new(name, Socket::Unix(socket), admission, cap, cap.bytes())
    }

    fn new(
        name: String,
        socket: Socket,
        admission: Admission,
        cap: LineCap,
        longest: usize,
    ) -> Self {
        Self {
            name,
            socket,
            admission,
            cap,
            heard: Heard::default(),
            buffer: vec![0; longest],
            queue: Queue::default(),
        }
    }

    /// Another socket in the place of one that was taken away.
    pub(super) fn renew(&mut self, socket: OwnedFd) {
        self.socket = Socket::Unix(socket);
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }

    /// Reads what is there, a bounded part of it. Says whether there may be more.
    pub(super) fn look(
        &mut self,
        now: Instant,
        counts: &ListenerCounts,
        out: &mut Gathered,
    ) -> bool {
        for _ in 0..BATCH {
            let (peer, size) = match self.receive() {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    // An ICMP error of an earlier answer, an interruption: the next one may be fine.
                    tracing::debug!(source = self.name, %error, "A datagram couldn't be read.");
                    return false;
                }
            };
            let Some(peer) = peer.filter(|peer| self.admission.admits(*peer)) else {
                let unknown = Peer::Process { pid: 0, uid: u32::MAX };
                let why = "it isn't named in the configuration";
                refuse(&self.name, peer.unwrap_or(unknown), why, counts);
                continue;
            };
            self.heard.note(peer, now);
            let there = size.min(self.buffer.len());
            out.message(&self.buffer[..there], size, self.cap);
            if out.len() >= BATCH_BYTES {
                return true;
            }
        }
        true
    }

    /// Asks the kernel what it holds and what it dropped. Returns the former, in bytes.
    pub(super) fn take_stock(&mut self, now: Instant, counts: &ListenerCounts) -> u64 {
        counts.set_peers(self.heard.count(now));
        let Socket::Udp(socket) = &self.socket else {
            return rustix::io::ioctl_fionread(self.fd()).unwrap_or(0);
        };
        match losses::queue(socket) {
            Ok(queue) => {
                counts.drop_more(queue.dropped.saturating_sub(self.queue.dropped));
                self.queue = queue;
                queue.waiting
            }
            Err(error) => {
                tracing::debug!(source = self.name, %error, "The kernel doesn't tell what it dropped.");
                0
            }
        }
    }

    /// Who sent the next datagram, as far as that can be known, and its size, which may be more than was kept.
    fn receive(&mut self) -> io::Result<(Option<Peer>, usize)> {
        let Self { socket, buffer, .. } = self;
        match socket {
            Socket::Udp(socket) => {
                socket.recv_from(buffer).map(|(size, from)| (Some(Peer::of(from)), size))
            }
            Socket::Unix(socket) => {
                let mut space = nix::cmsg_space!(UnixCredentials);
                let mut buffers = [IoSliceMut::new(buffer)];
                let flags =
                    MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC | MsgFlags::MSG_CMSG_CLOEXEC;
                let received =
                    recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
                // Where descriptors were sent along there is no room for them, and nobody is believed.
                let peer = received.cmsgs().ok().and_then(|mut messages| {
                    messages.find_map(|message| match message {
                        ControlMessageOwned::ScmCredentials(peer) => {
                            Some(Peer::Process { pid: peer.pid(), uid: peer.uid() })
                        }
                        _ => None,
                    })
                });
                Ok((peer, received.bytes))
            }
        }
    }
}

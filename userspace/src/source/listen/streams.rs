//! A listening socket and its connections: so many and no more, read in turn, none of them able to hold up
//! the others or to keep a place by saying nothing.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};

use super::frames::{Framer, Framing, Gathered};
use super::peers::{Admission, Peer, refuse};
use crate::source::{LineCap, ListenerCounts};

/// Bytes read of one connection before it is the next one's turn.
const CHUNK: usize = 64 << 10;
/// Bytes of lines after which a batch is full.
const BATCH: usize = 256 << 10;
/// New connections before it is the lines' turn.
const ACCEPTED: usize = 16;
/// A line that was begun has to end within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection that has been silent for so long makes room for another, where there is none.
const DISPENSABLE: Duration = Duration::from_secs(60);
/// A new connection has to wait for so long where there are no descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// All of them.
    pub(super) connections: usize,
    /// Of one address.
    pub(super) of_one: usize,
    /// A connection that is silent for so long is closed.
    pub(super) idle: Option<Duration>,
}

impl Limits {
    /// Root's or a group's on this host; they may be silent for days.
    pub(super) const LOCAL: Self = Self { connections: 16, of_one: 16, idle: None };
    /// Anybody's. A syslogd sees that a connection was closed before it writes to it again.
    pub(super) const NETWORK: Self =
        Self { connections: 64, of_one: 32, idle: Some(Duration::from_secs(3600)) };
}

/// A listening socket and its connections.
pub(super) struct Streams {
    name: String,
    listener: OwnedFd,
    connections: Vec<Connection>,
    /// Whose turn it is.
    turn: usize,
    admission: Admission,
    limits: Limits,
    framing: Framing,
    cap: LineCap,
    /// Nobody is let in before, for want of descriptors.
    paused: Option<Instant>,
    chunk: Vec<u8>,
}

struct Connection {
    stream: OwnedFd,
    peer: Peer,
    framer: Framer,
    /// When something came last.
    heard: Instant,
    /// When the line was begun that has no end yet.
    begun: Option<Instant>,
}

impl Streams {
    pub(super) fn new(
        name: String,
        listener: OwnedFd,
        admission: Admission,
        limits: Limits,
        framing: Framing,
        cap: LineCap,
    ) -> Self {
        Self {
            name,
            listener,
            connections: Vec::new(),
            turn: 0,
            admission,
            limits,
            framing,
            cap,
            paused: None,
            chunk: vec![0; CHUNK],
        }
    }

    /// Another socket in the place of one that was taken away; connections stay.
    pub(super) fn renew(&mut self, listener: OwnedFd) {
        self.listener = listener;
    }

    /// What to wait for: the connections in order, then the socket, unless nobody can be let in.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let connections = self.connections.iter().map(|connection| connection.stream.as_fd());
        connections.chain(self.paused.is_none().then(|| self.listener.as_fd()))
    }

    /// Reads what is there of those that are `ready` (as [`Self::fds`] has them), a bounded part of it; lets
    /// in who waits; closes what is of no use.
    pub(super) fn look(
        &mut self,
        ready: &[bool],
        now: Instant,
        counts: &ListenerCounts,
        out: &mut Gathered,
    ) {
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        let there = self.connections.len();
        let mut over = vec![false; there];
        for step in 0..there {
            let at = (self.turn + step) % there;
            if out.len() >= BATCH {
                self.turn = at;
                break;
            }
            let connection = &mut self.connections[at];
            over[at] = match is_ready(at) {
                true => !connection.read(&mut self.chunk, now, out),
                false => connection.is_stuck(now) || connection.is_idle(now, self.limits.idle),
            };
        }
        if out.len() < BATCH {
            self.turn = 0;
        }
        let mut over = over.into_iter();
        self.connections.retain(|connection| {
            let is_over = over.next().unwrap_or(false);
            if is_over && connection.framer.has_begun() {
                tracing::debug!(peer = %connection.peer, "A line was broken off.");
                out.broken_off();
            }
            !is_over
        });
        if self.paused.is_some_and(|until| now >= until) {
            self.paused = None;
        } else if is_ready(there) {
            self.let_in(now, counts);
        }
        counts.set_peers(self.connections.len());
    }

    /// Bytes that the kernel holds for us.
    pub(super) fn unread(&self) -> u64 {
        let unread = |connection: &Connection| rustix::io::ioctl_fionread(&connection.stream);
        self.connections.iter().map(|connection| unread(connection).unwrap_or(0)).sum()
    }

    fn let_in(&mut self, now: Instant, counts: &ListenerCounts) {
        for _ in 0..ACCEPTED {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (stream, address) = match rustix::net::acceptfrom_with(&self.listener, flags) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return,
                // It went away before we looked.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::NETUNREACH) => {
                    continue;
                }
                Err(error) => {
                    // Out of descriptors or memory: another try at once would spin.
                    tracing::warn!(source = self.name, %error, "Nobody can be let in for a moment.");
                    self.paused = Some(now + PAUSE);
                    return;
                }
            };
            let Some(peer) = self.peer(&stream, address) else { continue };
            if !self.admission.admits(peer) {
                refuse(&self.name, peer, "it isn't named in the configuration", counts);
                continue;
            }
            let is_his = |connection: &&Connection| match (connection.peer, peer) {
                (Peer::Address(one), Peer::Address(other)) => one == other,
                _ => false,
            };
            if self.connections.iter().filter(is_his).count() >= self.limits.of_one {
                refuse(&self.name, peer, "it has too many connections", counts);
                continue;
            }
            if self.connections.len() >= self.limits.connections && !self.make_room(now) {
                refuse(&self.name, peer, "there are too many connections", counts);
                continue;
            }
            if let Peer::Address(_) = peer {
                keep_alive(&stream);
            }
            let framer = Framer::new(self.framing, self.cap);
            self.connections.push(Connection { stream, peer, framer, heard: now, begun: None });
        }
    }

    fn peer(&self, stream: &OwnedFd, address: Option<SocketAddrAny>) -> Option<Peer> {
        if let Admission::Rights { .. } = self.admission {
            // Who connected, whoever holds the descriptor by now.
            let peer = getsockopt(stream, PeerCredentials).ok()?;
            return Some(Peer::Process { pid: peer.pid(), uid: peer.uid() });
        }
        std::net::SocketAddr::try_from(address?).ok().map(Peer::of)
    }

    /// Closes the connection that has been silent for longest, if for long enough.
    fn make_room(&mut self, now: Instant) -> bool {
        let longest = self
            .connections
            .iter()
            .enumerate()
            .filter(|(_, connection)| now.saturating_duration_since(connection.heard) > DISPENSABLE)
            .min_by_key(|(_, connection)| connection.heard)
            .map(|(at, _)| at);
        if let Some(at) = longest {
            self.connections.remove(at);
        }
        longest.is_some()
    }
}

impl Connection {
    /// Whether it goes on.
    fn read(&mut self, chunk: &mut [u8], now: Instant, out: &mut Gathered) -> bool {
        let read = match rustix::io::read(&self.stream, &mut *chunk) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "A connection broke.");
                return false;
            }
        };
        self.heard = now;
        let ended = self.framer.feed(&chunk[..read], out);
        self.begun = match (self.framer.is_amid(), self.begun) {
            (false, _) => None,
            (true, Some(begun)) if !ended => Some(begun),
            (true, _) => Some(now),
        };
        true
    }

    /// Whether a line has no end for too long.
    fn is_stuck(&self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now.saturating_duration_since(begun) > PATIENCE)
    }

    fn is_idle(&self, now: Instant, longest: Option<Duration>) -> bool {
        longest.is_some_and(|longest| now.saturating_duration_since(self.heard) > longest)
    }
}

/// Notices within some minutes that a peer's host is gone.
fn keep_alive(stream: &OwnedFd) {
    use rustix::net::sockopt;

    let minute = Duration::from_secs(60);
    let set = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, minute))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, minute))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, 5));
    if let Err(error) = set {
        tracing::debug!(%error, "A connection has no keep-alive.");
    }
}

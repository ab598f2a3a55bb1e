//! Sockets that others write to: Suricata's EVE over UNIX sockets, syslog over UNIX sockets, UDP and TCP.
//!
//! A thread a socket waits for whoever has something to say, reads from all of them in turn and hands on one
//! batch after the other. While its lane is full it reads nothing: writers to a stream have to wait, and
//! what a datagram socket can't hold the kernel drops and counts. Sockets have no position: what was said
//! while nobody listened is the sender's to say again.

mod datagrams;
mod frames;
mod losses;
mod peers;
mod place;
mod streams;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::datagrams::Datagrams;
use self::frames::{Framing, Gathered};
use self::peers::Admission;
use self::place::Place;
use self::streams::{Limits, Streams};
use super::thread::{SourceHandle, SpawnError};
use super::trust::Trust;
use super::watch::Stopper;
use super::{
    Batch, Lane, LaneClosed, LineCap, ListenerCounts, Position, Report, SourceId, SourceStatus,
    State,
};
use crate::config::{Format, SocketKind, SyslogPort, Transport, UnixSocket};
use crate::event::Timestamp;

/// How often the socket itself is looked after, and tried again where there is none.
const FLOOR: Duration = Duration::from_secs(1);

/// A group's number, for sockets that it may use.
///
/// # Errors
/// One line for people.
pub(crate) fn group_number(group: &str) -> Result<u32, String> {
    place::gid_of(group).map(|gid| gid.as_raw()).map_err(|error| error.to_string())
}

/// A socket to listen at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenSource {
    /// Its batches bear it.
    pub id: SourceId,
    /// Its name in output.
    pub name: String,
    /// Where.
    pub at: Listen,
    /// Of its lines.
    pub format: Format,
}

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// In the file system.
    Socket(UnixSocket),
    /// On the network.
    Port(SyslogPort),
}

impl Listen {
    /// How far what comes in is believed; what nobody may say doesn't come in.
    fn trust(&self) -> Trust {
        match self {
            Self::Socket(_) => Trust::Socket,
            Self::Port(port) if port.from.is_empty() => Trust::Anybody,
            Self::Port(_) => Trust::Senders,
        }
    }
}

/// Starts to listen. When this returns, the socket is there, or its state says why not.
///
/// # Errors
///
/// [`SpawnError`] where the system gives no thread or descriptor. A socket that can't be made is a state, and
/// is tried again.
pub fn spawn_listener<C: Send + 'static>(
    source: ListenSource,
    lane: Lane<C>,
) -> Result<SourceHandle<C>, SpawnError> {
    let failed =
        |source_error| SpawnError { path: source.name.clone().into(), source: source_error };
    let stopper = Stopper::new().map_err(failed)?;
    let status = Arc::clone(lane.status());
    let closer = lane.closer();
    let trust = source.at.trust();
    status.set_trust(&trust);
    let mut listener = Listener {
        source: source.clone(),
        stopper: stopper.clone(),
        trust,
        inlet: None,
        state: State::Waiting,
        reports: Vec::new(),
    };
    listener.open(&status);
    let thread = thread::Builder::new()
        .name(format!("source-{}", source.id.index()))
        .spawn(move || listener.run(&lane))
        .map_err(failed)?;
    Ok(SourceHandle::new(status, stopper, closer, thread))
}

/// Whether one could listen there now. Where somebody does already it is the running daemon, or an error: the
/// second is in the answer.
///
/// # Errors
///
/// One line for people, with the remedy.
pub fn can_listen(at: &Listen) -> Result<(), CannotListen> {
    match at {
        Listen::Socket(socket) => match place::could_be_made(socket) {
            Ok(()) => Ok(()),
            Err(error) => Err(CannotListen { taken: error.is_alive(), why: error.to_string() }),
        },
        Listen::Port(port) => match Inlet::bind_port(port) {
            Ok(_) => Ok(()),
            Err(error) => {
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                Err(CannotListen { taken, why: no_port(port, &error) })
            }
        },
    }
}

/// Why nobody can listen at a place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{why}")]
pub struct CannotListen {
    /// Somebody does already; it may be we ourselves.
    pub taken: bool,
    why: String,
}

struct Listener {
    source: ListenSource,
    stopper: Stopper,
    trust: Trust,
    /// `None`: there is no socket now.
    inlet: Option<Inlet>,
    state: State,
    reports: Vec<Report>,
}

/// What lines come in by.
struct Inlet {
    kind: InletKind,
    /// Of a UNIX socket.
    place: Option<Place>,
}

enum InletKind {
    Streams(Streams),
    Datagrams(Datagrams),
}

/// A port that is bound.
enum Bound {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

impl Listener {
    fn run<C>(mut self, lane: &Lane<C>) {
        let mut stock = Instant::now();
        // There is something that wasn't read for want of room in the batch.
        let mut more = false;
        loop {
            if !self.reports.is_empty() && self.hand_over(lane, Gathered::default()).is_err() {
                return;
            }
            let now = Instant::now();
            let timeout = match more {
                true => Duration::ZERO,
                false => (stock + FLOOR).saturating_duration_since(now),
            };
            let Some(ready) = self.wait(timeout) else { return };
            let now = Instant::now();
            let status = Arc::clone(lane.status());
            let counts = status.listener();
            let mut gathered = Gathered::default();
            let is_due = now >= stock + FLOOR;
            if let Some(inlet) = &mut self.inlet {
                more = inlet.look(&ready, now, counts, &mut gathered);
                let (cut, broken) = gathered.damaged();
                counts.received(gathered.lines(), cut, broken);
                if let Some(unread) = inlet.take_stock(is_due, now, counts) {
                    status.set_unread(unread);
                }
            }
            if is_due {
                stock = now;
                self.look_after(&status);
            }
            if !gathered.is_empty() && self.hand_over(lane, gathered).is_err() {
                return;
            }
        }
    }

    /// Waits until somebody has something to say; says who, in the order of the inlet's. `None`: stop.
    fn wait(&self, timeout: Duration) -> Option<Vec<bool>> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.stopper.fd(), PollFlags::IN)];
        let inlet = self.inlet.iter().flat_map(Inlet::fds);
        fds.extend(inlet.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Out of memory: a timer all the same.
            Err(_) => thread::sleep(Duration::from_millis(250)),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) { None } else { Some(ready.collect()) }
    }

    /// Makes the socket where there is none, and anew where it was taken away.
    fn look_after(&mut self, status: &SourceStatus) {
        let Some(inlet) = &mut self.inlet else { return self.open(status) };
        let Listen::Socket(socket) = &self.source.at else { return };
        if inlet.place.as_ref().is_none_or(Place::is_intact) {
            return;
        }
        tracing::warn!(
            source = self.source.name,
            "Somebody removed the socket or changed its rights; it is made anew."
        );
        // Before another takes its place.
        inlet.place = None;
        match place::make(socket) {
            Ok((made, place)) => {
                inlet.renew(made);
                inlet.place = Some(place);
            }
            Err(error) => {
                self.inlet = None;
                self.enter(State::Failed(error.to_string()), status);
            }
        }
    }

    fn open(&mut self, status: &SourceStatus) {
        match Inlet::open(&self.source) {
            Ok(inlet) => {
                self.inlet = Some(inlet);
                self.enter(State::Reading, status);
            }
            Err(why) => self.enter(State::Failed(why), status),
        }
    }

    fn enter(&mut self, state: State, status: &SourceStatus) {
        if self.state != state {
            match (&self.state, &state) {
                (_, State::Failed(error)) => {
                    self.reports.push(Report::Failed { error: error.clone() });
                }
                (State::Failed(_), _) => self.reports.push(Report::Recovered),
                _ => {}
            }
            self.state = state;
        }
        status.set_state(&self.state);
    }

    fn hand_over<C>(&mut self, lane: &Lane<C>, gathered: Gathered) -> Result<(), LaneClosed> {
        lane.push(Batch {
            source: self.source.id,
            arrived: Timestamp::now(),
            lines: gathered.finish(),
            trusted: self.trust.may_ban(),
            position: Position::Socket,
            reports: std::mem::take(&mut self.reports),
        })
    }
}

impl Inlet {
    fn open(source: &ListenSource) -> Result<Self, String> {
        let name = source.name.clone();
        let cap = LineCap::of(source.format);
        let framing = match source.format {
            Format::Syslog => Framing::Syslog,
            Format::SuricataFast | Format::SuricataEve | Format::Plain => Framing::Lines,
        };
        match &source.at {
            Listen::Socket(socket) => {
                let admission = Admission::Rights { group: socket.group.is_some() };
                let (made, place) = place::make(socket).map_err(|error| error.to_string())?;
                let kind = match socket.kind {
                    SocketKind::Stream => InletKind::Streams(Streams::new(
                        name,
                        made,
                        admission,
                        Limits::LOCAL,
                        framing,
                        cap,
                    )),
                    SocketKind::Datagram => {
                        InletKind::Datagrams(Datagrams::unix(name, made, admission, cap))
                    }
                };
                Ok(Self { kind, place: Some(place) })
            }
            Listen::Port(port) => {
                let admission = Admission::Addresses(port.from.clone());
                let bound = Self::bind_port(port).map_err(|error| no_port(port, &error))?;
                let kind = match bound {
                    Bound::Udp(socket) => {
                        InletKind::Datagrams(Datagrams::udp(name, socket, admission, cap))
                    }
                    Bound::Tcp(listener) => InletKind::Streams(Streams::new(
                        name,
                        listener.into(),
                        admission,
                        Limits::NETWORK,
                        framing,
                        cap,
                    )),
                };
                Ok(Self { kind, place: None })
            }
        }
    }

    fn bind_port(port: &SyslogPort) -> io::Result<Bound> {
        match port.transport {
            Transport::Udp => {
                let socket = UdpSocket::bind(port.at)?;
                socket.set_nonblocking(true)?;
                Ok(Bound::Udp(socket))
            }
            Transport::Tcp => {
                let listener = TcpListener::bind(port.at)?;
                listener.set_nonblocking(true)?;
                Ok(Bound::Tcp(listener))
            }
        }
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.kind {
            InletKind::Streams(streams) => streams.fds().collect(),
            InletKind::Datagrams(datagrams) => vec![datagrams.fd()],
        }
    }

    /// Reads a bounded part of what there is. Says whether it knows of more.
    fn look(
        &mut self,
        ready: &[bool],
        now: Instant,
        counts: &ListenerCounts,
        out: &mut Gathered,
    ) -> bool {
        match &mut self.kind {
            InletKind::Streams(streams) => {
                streams.look(ready, now, counts, out);
                // poll(2) tells.
                false
            }
            InletKind::Datagrams(datagrams) => {
                ready.contains(&true) && datagrams.look(now, counts, out)
            }
        }
    }

    /// Bytes that the kernel holds for us, where that is cheap to know or it is time to ask.
    fn take_stock(&mut self, is_due: bool, now: Instant, counts: &ListenerCounts) -> Option<u64> {
        match &mut self.kind {
            InletKind::Streams(streams) => Some(streams.unread()),
            InletKind::Datagrams(datagrams) => is_due.then(|| datagrams.take_stock(now, counts)),
        }
    }

    fn renew(&mut self, socket: OwnedFd) {
        match &mut self.kind {
            InletKind::Streams(streams) => streams.renew(socket),
            InletKind::Datagrams(datagrams) => datagrams.renew(socket),
        }
    }
}

fn no_port(port: &SyslogPort, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program has that port (`ss -lnp 'sport = :{}'` shows which); stop it, or name another \
             port",
            port.at.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this host doesn't have that address; name one of its own, or 0.0.0.0 or [::] for all of them"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 take root or CAP_NET_BIND_SERVICE; run as root, or name a higher port"
                .to_owned()
        }
        _ => format!("{error}; name another address or port"),
    };
    format!("can't listen at {port}: {remedy}")
}

//! Packets without end.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Netns;

/// Sends UDP as fast as it can until it is dropped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Flood {
    /// Begins, in `netns`.
    ///
    /// # Panics
    /// Where `from` isn't an address of it.
    pub fn start(netns: &Netns, from: Ipv4Addr, to: (Ipv4Addr, u16)) -> Self {
        let socket = netns.enter(|| {
            let socket = UdpSocket::bind((from, 0)).expect("the address is the namespace's");
            socket.connect(to).expect("there is a route");
            socket
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // A full queue is no reason to stop.
                drop(socket.send(b"flood"));
            }
        });
        Self { stop, sender: Some(sender) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            drop(sender.join());
        }
    }
}

/// Somebody who must get nothing.
pub struct Victim(UdpSocket);

impl Victim {
    /// Listens in `netns`.
    ///
    /// # Panics
    /// Where that address isn't free there.
    pub fn listen(netns: &Netns, at: (Ipv4Addr, u16)) -> Self {
        let socket = netns.enter(|| UdpSocket::bind(at)).expect("the address is free");
        socket.set_nonblocking(true).expect("sockets can be that");
        Self(socket)
    }

    /// Packets that came since it was last asked: as many as its socket holds.
    ///
    /// # Panics
    /// Where the socket fails.
    pub fn received(&self) -> usize {
        let mut packets = 0;
        loop {
            match self.0.recv(&mut [0; 64]) {
                Ok(_) => packets += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return packets,
                Err(error) => panic!("the victim's socket: {error}"),
            }
        }
    }
}

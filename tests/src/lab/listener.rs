//! The server's end of the metronomes: which packet arrived last.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::host::Host;
use super::metronome::Sent;

/// UDP's discard port: nothing answers there.
pub(super) const PORT: u16 = 9;

/// What arrived, by sender.
type Arrivals = HashMap<IpAddr, Vec<u64>>;

/// Receives on the server until dropped.
#[derive(Debug)]
pub struct Listener {
    arrivals: Arc<Mutex<Arrivals>>,
    stop: Arc<AtomicBool>,
    receiver: Option<JoinHandle<Result<Result<()>>>>,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the port can't be had.
    pub fn start(server: &Host) -> Result<Self> {
        let socket = server
            .enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)))?
            .with_context(|| format!("could not listen on UDP port {PORT}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let arrivals = Arc::new(Mutex::new(Arrivals::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let receiver = server.spawn({
            let (arrivals, stop) = (Arc::clone(&arrivals), Arc::clone(&stop));
            move || receive(&socket, &arrivals, &stop)
        })?;
        Ok(Self { arrivals, stop, receiver: Some(receiver) })
    }

    /// How many packets of this sender have arrived.
    pub fn count(&self, sender: IpAddr) -> usize {
        self.with(sender, <[u64]>::len)
    }

    /// When the first packet left after which none arrived any more; `None` where the last one arrived.
    pub fn first_missing(&self, sent: &Sent) -> Option<SystemTime> {
        let next = self.with(sent.source, |numbers| {
            numbers.iter().max().map_or(0, |last| last.saturating_add(1))
        });
        sent.times.get(usize::try_from(next).ok()?).copied()
    }

    fn with<T>(&self, sender: IpAddr, look: impl FnOnce(&[u64]) -> T) -> T {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        look(arrivals.get(&sender).map_or(&[], Vec::as_slice))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Ok(Err(error)))) = self.receiver.take().map(JoinHandle::join) {
            eprintln!("the listener ended early: {error:#}");
        }
    }
}

fn receive(socket: &UdpSocket, arrivals: &Mutex<Arrivals>, stop: &AtomicBool) -> Result<()> {
    let mut packet = [0; 8];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut packet) {
            Ok((8, from)) => {
                let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                let numbers = arrivals.entry(from.ip().to_canonical()).or_default();
                numbers.push(u64::from_be_bytes(packet));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("could not receive"),
        }
    }
    Ok(())
}

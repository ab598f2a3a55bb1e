//! The server's end of the metronomes: which packet arrived last.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::host::Host;
use super::metronome::Sent;

/// UDP's discard port: nothing answers there.
pub(super) const PORT: u16 = 9;

/// What arrived, by metronome.
type Arrivals = HashMap<u64, Arrived>;

#[derive(Clone, Copy, Debug, Default)]
struct Arrived {
    count: u64,
    last: Option<u64>,
}

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
        });
        Ok(Self { arrivals, stop, receiver: Some(receiver) })
    }

    /// How many packets of a metronome have arrived.
    pub fn count(&self, run: u64) -> u64 {
        self.arrived(run).count
    }

    /// When the first packet left after which none arrived any more; `None` where the last one arrived.
    pub fn first_missing(&self, sent: &Sent) -> Option<SystemTime> {
        let next = self.arrived(sent.run).last.map_or(0, |last| last + 1);
        sent.times.get(usize::try_from(next).ok()?).copied()
    }

    fn arrived(&self, run: u64) -> Arrived {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(&run).copied().unwrap_or_default()
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
    let mut packet = [0; 16];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv(&mut packet) {
            Ok(16) => {
                let [run, number] = [&packet[..8], &packet[8..]].map(number_in);
                let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                let arrived = arrivals.entry(run).or_default();
                arrived.count += 1;
                arrived.last = arrived.last.max(Some(number));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("could not receive"),
        }
    }
    Ok(())
}

/// Eight bytes as a number.
fn number_in(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

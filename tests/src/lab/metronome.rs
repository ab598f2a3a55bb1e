//! A live sender: a UDP packet every so often, each with its number, so that the first one that doesn't
//! arrive tells when a ban took hold.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::host::Host;
use super::listener::PORT;

/// Between two packets; a little more, since the kernel wakes late.
const INTERVAL: Duration = Duration::from_micros(200);

/// Sends until it is stopped.
#[derive(Debug)]
pub struct Metronome {
    source: IpAddr,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Result<Vec<SystemTime>>>>,
}

/// What a metronome has sent.
#[derive(Debug)]
pub struct Sent {
    /// From which address.
    pub source: IpAddr,
    /// When each packet left, by number.
    pub times: Vec<SystemTime>,
}

impl Metronome {
    /// Begins to send from a host to the server's listener.
    ///
    /// # Errors
    /// Where the host's namespace can't be opened.
    pub fn start(from: &Host, server: IpAddr) -> Result<Self> {
        let source = from.addr_like(server);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = from.spawn({
            let stop = Arc::clone(&stop);
            move || send(SocketAddr::new(source, 0), SocketAddr::new(server, PORT), &stop)
        })?;
        Ok(Self { source, stop, sender })
    }

    /// Stops it.
    ///
    /// # Errors
    /// Where it couldn't send.
    pub fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_panic| anyhow::anyhow!("the sender panicked"))?;
        Ok(Sent { source: self.source, times: sent?? })
    }
}

fn send(from: SocketAddr, to: SocketAddr, stop: &AtomicBool) -> Result<Vec<SystemTime>> {
    let socket = UdpSocket::bind(from).with_context(|| format!("could not bind {from}"))?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        times.push(SystemTime::now());
        let number = u64::try_from(times.len() - 1)?;
        socket
            .send_to(&number.to_be_bytes(), to)
            .with_context(|| format!("could not send to {to}"))?;
        thread::sleep(INTERVAL);
    }
    Ok(times)
}

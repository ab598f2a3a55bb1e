//! A live sender: a UDP packet every so often, each with a number, so that the first one that doesn't
//! arrive tells when a ban took hold.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::host::Host;
use super::internet::SERVER;
use super::listener::PORT;

/// Between two packets; a little more, since the kernel wakes late.
const INTERVAL: Duration = Duration::from_micros(200);

/// Sends until it is stopped.
#[derive(Debug)]
pub struct Metronome {
    run: u64,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Result<Vec<SystemTime>>>>,
}

/// What a metronome has sent.
#[derive(Debug)]
pub struct Sent {
    /// Number of the metronome.
    pub run: u64,
    /// When each packet left, by number.
    pub times: Vec<SystemTime>,
}

impl Metronome {
    /// Begins to send from one of a host's addresses to the server's listener.
    ///
    /// # Errors
    /// Where the host's namespace can't be opened.
    pub fn start(from: &Host, source: IpAddr) -> Result<Self> {
        let server = SERVER.addr_like(source);
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = from.spawn({
            let stop = Arc::clone(&stop);
            move || send(run, SocketAddr::new(source, 0), SocketAddr::new(server, PORT), &stop)
        });
        Ok(Self { run, stop, sender })
    }

    /// Its number, by which the listener knows its packets.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Stops it.
    ///
    /// # Errors
    /// Where it couldn't send.
    pub fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_panic| anyhow::anyhow!("the sender panicked"))?;
        Ok(Sent { run: self.run, times: sent?? })
    }
}

fn send(run: u64, from: SocketAddr, to: SocketAddr, stop: &AtomicBool) -> Result<Vec<SystemTime>> {
    let socket = UdpSocket::bind(from).with_context(|| format!("could not bind {from}"))?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        times.push(SystemTime::now());
        let number = u64::try_from(times.len() - 1)?;
        let packet = [run.to_be_bytes(), number.to_be_bytes()].concat();
        socket.send_to(&packet, to).with_context(|| format!("could not send to {to}"))?;
        thread::sleep(INTERVAL);
    }
    Ok(times)
}

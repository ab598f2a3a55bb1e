//! The live sender and the receiver.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::stage::{SERVER, Stage};

/// Between two packets, and what the kernel takes to wake the sender.
const PAUSE: Duration = Duration::from_micros(25);
/// A sender is heard so often before the line is written.
const HEARD: u64 = 30;
/// Nothing has come for so long while so many packets were sent: it is over.
const SILENCE: (Duration, u32) = (Duration::from_millis(4), 40);
/// UDP's discard port: nothing answers there.
const PORT: u16 = 9;

/// One ban.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// From just before the line's write to the sending of the first packet that didn't arrive.
    pub(super) latency: Duration,
    /// Between that packet and the one before it.
    pub(super) pause: Duration,
    /// Packets that didn't arrive.
    pub(super) missing: u64,
}

/// A receiver on the server.
#[derive(Debug)]
pub(super) struct Wire<'s> {
    stage: &'s Stage,
    ear: Arc<Ear>,
    socket: Arc<UdpSocket>,
    receiver: Option<JoinHandle<()>>,
}

/// What the receiver has heard in this round.
#[derive(Debug, Default)]
struct Ear {
    round: AtomicU32,
    count: AtomicU64,
    /// Number of the last packet.
    last: AtomicU32,
    stop: AtomicBool,
}

impl<'s> Wire<'s> {
    pub(super) fn lay(stage: &'s Stage) -> Result<Self> {
        let socket = stage
            .server
            .enter(|| UdpSocket::bind((SERVER, PORT)))?
            .context("listen on UDP port 9")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20)?;
        let (ear, socket) = (Arc::<Ear>::default(), Arc::new(socket));
        let receiver = thread::spawn({
            let (ear, socket) = (Arc::clone(&ear), Arc::clone(&socket));
            move || ear.listen(&socket)
        });
        Ok(Self { stage, ear, socket, receiver: Some(receiver) })
    }

    /// Sends from an address until it is banned; `strike` writes the line.
    pub(super) fn round(
        &self,
        number: u32,
        from: Ipv4Addr,
        limit: Duration,
        strike: impl FnOnce() -> Result<()>,
    ) -> Result<Round> {
        let ear = &self.ear;
        ear.count.store(0, Ordering::SeqCst);
        ear.last.store(0, Ordering::SeqCst);
        ear.round.store(number + 1, Ordering::SeqCst);
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let client = self.stage.client.clone();
        let sender = thread::spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || send(&client, from, number + 1, &stop, &sent)
        });
        let outcome = self.watch(&sent, limit, strike);
        stop.store(true, Ordering::SeqCst);
        let times = match sender.join() {
            Ok(times) => times?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let written = outcome?;
        // Numbers begin with 1.
        let first_missing = usize::try_from(ear.last.load(Ordering::SeqCst))?;
        let arrived = ear.count.load(Ordering::SeqCst);
        ensure!(
            u64::try_from(first_missing)? == arrived,
            "of {first_missing} packets of {from} before the ban only {arrived} arrived: the receiver is too slow"
        );
        let first = times.get(first_missing).context("a packet was sent after the ban")?;
        let before = times.get(first_missing.saturating_sub(1)).context("and one before it")?;
        Ok(Round {
            latency: first.saturating_duration_since(written),
            pause: first.saturating_duration_since(*before),
            missing: u64::try_from(times.len())? - arrived,
        })
    }

    /// Waits until the sender is heard, has the line written, and waits until the sender isn't heard any more; gives
    /// the moment before the write.
    fn watch(
        &self,
        sent: &AtomicU32,
        limit: Duration,
        strike: impl FnOnce() -> Result<()>,
    ) -> Result<Instant> {
        let begun = Instant::now();
        while self.ear.count.load(Ordering::SeqCst) < HEARD {
            ensure!(begun.elapsed() < limit, "the sender isn't heard");
            thread::sleep(Duration::from_micros(200));
        }
        // Not in step with anything.
        thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
        let written = Instant::now();
        strike()?;
        loop {
            let (heard, at) = (self.ear.count.load(Ordering::SeqCst), sent.load(Ordering::SeqCst));
            let since = Instant::now();
            while since.elapsed() < limit
                && (since.elapsed() < SILENCE.0
                    || sent.load(Ordering::SeqCst).wrapping_sub(at) < SILENCE.1)
            {
                thread::sleep(Duration::from_micros(500));
            }
            // On a busy machine the receiver may just not have had its turn.
            let queue = rustix::io::ioctl_fionread(&self.socket)?;
            if queue == 0 && self.ear.count.load(Ordering::SeqCst) == heard {
                return Ok(written);
            }
            if written.elapsed() > limit {
                bail!("no ban came in {} s", limit.as_secs());
            }
        }
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.ear.stop.store(true, Ordering::Relaxed);
        drop(self.receiver.take().map(JoinHandle::join));
    }
}

impl Ear {
    fn listen(&self, socket: &UdpSocket) {
        let mut packet = [0; 8];
        while !self.stop.load(Ordering::Relaxed) {
            // A timeout only lets us look whether to stop.
            let Ok(8) = socket.recv(&mut packet) else { continue };
            let [round, number] = [&packet[..4], &packet[4..]]
                .map(|four| four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
            if round == self.round.load(Ordering::SeqCst) {
                self.last.fetch_max(number, Ordering::SeqCst);
                self.count.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Sends until it is stopped; gives when each packet left.
fn send(
    client: &crate::netns::Space,
    from: Ipv4Addr,
    round: u32,
    stop: &AtomicBool,
    sent: &AtomicU32,
) -> Result<Vec<Instant>> {
    client.join()?;
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("bind {from}"))?;
    // Not connected: a filter that rejects would be heard of instead of sending.
    let server: std::net::SocketAddr = format!("{SERVER}:{PORT}").parse()?;
    // Or the kernel wakes us 50 µs late, to save power.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let mut times = Vec::with_capacity(1 << 12);
    while !stop.load(Ordering::Relaxed) {
        let number = u32::try_from(times.len() + 1)?;
        let packet = [round.to_be_bytes(), number.to_be_bytes()].concat();
        times.push(Instant::now());
        socket.send_to(&packet, server)?;
        sent.store(number, Ordering::SeqCst);
        thread::sleep(PAUSE);
    }
    Ok(times)
}

//! One subject with a wire of its own, set up once and flooded whenever it is its turn.

use std::fs;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender as Channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::sender::Sender;
use super::subject::{Installed, Subject};
use super::wire::{self, Wire};
use super::{Core, Flood, RECEIVER_CPU, SENDER_CPU};

/// A flood lasts about this long: sender and receiver have their cores for themselves meanwhile.
const ROUND: Duration = Duration::from_millis(80);
/// Frames that say how many a round has.
const SOUNDING: u32 = 4_096;
/// Enough to see the ring overflow, and few enough for who takes 100 µs each.
const LEAST: u32 = 1_024;
const MOST: u32 = 1_000_000;
/// An empty ring is one from which nothing has come for this long.
const QUIET: Duration = Duration::from_millis(2);
/// Longer than anything here takes, on a machine with other work too.
const PATIENCE: Duration = Duration::from_secs(90);

/// What one round has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Frames that the generator has made.
    pub(super) offered: f64,
    /// Those that the interface has taken, all of which were dropped.
    pub(super) dropped: f64,
    /// Seconds in which the sender sent.
    pub(super) sending: f64,
    /// The receiver's CPU nanoseconds.
    pub(super) cpu_ns: f64,
}

enum Order {
    Again,
    Flood(Flood),
}

/// A thread in the subject's namespaces; with it goes whatever the subject has set up.
pub(super) struct Lane {
    orders: Channel<Order>,
    rounds: Receiver<Result<Option<Round>>>,
}

impl Lane {
    /// Sets it up.
    pub(super) fn open(subject: Subject) -> Result<Self> {
        let (orders, from_orders) = mpsc::channel();
        let (to_rounds, rounds) = mpsc::channel();
        thread::spawn(move || {
            let laid = lay(&subject);
            let (laid, ready) = match laid {
                Ok(laid) => (Some(laid), Ok(None)),
                Err(error) => (None, Err(error)),
            };
            if to_rounds.send(ready).is_err() {
                return;
            }
            let Some((wire, sender, mut installed)) = laid else { return };
            let mut per_round = Vec::new();
            while let Ok(order) = from_orders.recv() {
                let done = match order {
                    Order::Again => match subject.again(&wire, installed) {
                        Ok(again) => {
                            installed = again;
                            Ok(None)
                        }
                        Err(error) => {
                            // Whoever asked is gone if this fails.
                            drop(to_rounds.send(Err(error)));
                            return;
                        }
                    },
                    Order::Flood(flood) => round(&wire, &sender, flood, &mut per_round).map(Some),
                };
                if to_rounds.send(done).is_err() {
                    return;
                }
            }
        });
        let lane = Self { orders, rounds };
        lane.answer()?;
        Ok(lane)
    }

    /// One round.
    pub(super) fn flood(&self, flood: Flood) -> Result<Round> {
        self.orders.send(Order::Flood(flood)).ok().context("its thread is gone")?;
        self.answer()?.context("expected a round")
    }

    /// Has an XDP program set up anew.
    pub(super) fn again(&self) -> Result<()> {
        self.orders.send(Order::Again).ok().context("its thread is gone")?;
        self.answer().map(drop)
    }

    fn answer(&self) -> Result<Option<Round>> {
        match self.rounds.recv_timeout(PATIENCE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => bail!("nothing after {} s", PATIENCE.as_secs()),
            Err(RecvTimeoutError::Disconnected) => bail!("its thread has panicked"),
        }
    }
}

fn lay(subject: &Subject) -> Result<(Wire, Sender, Installed)> {
    wire::leave_the_host()?;
    let sender = Sender::spawn(SENDER_CPU)?;
    let wire = Wire::lay(&sender)?;
    let installed = subject.install(&wire)?;
    Ok((wire, sender, installed))
}

fn round(
    wire: &Wire,
    sender: &Sender,
    flood: Flood,
    per_round: &mut Vec<(Flood, u32)>,
) -> Result<Round> {
    wire.receive_on(match flood.core {
        Core::Own => RECEIVER_CPU,
        Core::Senders => SENDER_CPU,
    })?;
    let known = per_round.iter().find(|(its, _)| *its == flood);
    let frames = match known {
        Some((_, frames)) => *frames,
        None => {
            let sounded = send(wire, sender, flood, SOUNDING)?;
            ensure!(sounded.dropped > 0.0, "no packet has reached the receiver");
            let seconds = match flood.core {
                Core::Own => sounded.sending,
                Core::Senders => sounded.sending + sounded.cpu_ns / 1e9,
            };
            let frames = f64::from(SOUNDING) * ROUND.as_secs_f64() / seconds;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between the two it is neither large nor negative"
            )]
            let frames = frames.clamp(f64::from(LEAST), f64::from(MOST)) as u32;
            per_round.push((flood, frames));
            frames
        }
    };
    send(wire, sender, flood, frames)
}

fn send(wire: &Wire, sender: &Sender, flood: Flood, frames: u32) -> Result<Round> {
    let before = wire.reading()?;
    let sending = sender.send(flood, frames)?;
    let after = drained(wire)?.since(&before);
    ensure!(
        after.delivered <= after.received / 100.0,
        "{} of {} packets weren't dropped: this isn't the filter it should be",
        after.delivered,
        after.received
    );
    Ok(Round {
        offered: f64::from(frames),
        dropped: after.received - after.delivered,
        sending: sending.as_secs_f64(),
        cpu_ns: after.cpu_ns,
    })
}

/// What has been counted once the ring is empty.
fn drained(wire: &Wire) -> Result<wire::Reading> {
    let deadline = Instant::now() + PATIENCE / 2;
    let mut last = wire.reading()?;
    loop {
        thread::sleep(QUIET);
        let now = wire.reading()?;
        if now.received == last.received && now.cpu_ns == last.cpu_ns {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the receiver doesn't come to rest");
        last = now;
    }
}

/// Whether this machine has a core for each side.
pub(super) fn two_cores() -> bool {
    fs::exists("/sys/devices/system/cpu/cpu1").unwrap_or(false)
}

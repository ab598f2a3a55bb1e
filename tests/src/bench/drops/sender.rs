//! The sending thread: it lives on its CPU and in a network namespace of its own.
#![expect(
    unsafe_code,
    reason = "unshare(2) counts as unsafe for what can be done with descriptors"
)]

use std::sync::mpsc::{self, Receiver, Sender as Channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use rustix::time::{ClockId, clock_gettime};

use super::Flood;
use super::generator::Generator;
use super::wire::ip;
use crate::bench::own_core;

/// Its end of the wire.
pub(super) const SENDING_END: &str = "rvsend";

enum Order {
    Up,
    Send(Flood, u32),
}

/// It ends when this is dropped.
pub(super) struct Sender {
    pub(super) namespace: String,
    orders: Channel<Order>,
    answers: Receiver<Result<Duration>>,
}

impl Sender {
    pub(super) fn spawn(cpu: usize) -> Result<Self> {
        let (orders, from_orders) = mpsc::channel();
        let (to_answers, answers) = mpsc::channel();
        let (to_namespace, namespace) = mpsc::channel();
        thread::spawn(move || {
            let alone = leave(cpu);
            let failed = alone.is_err();
            if to_namespace.send(alone).is_err() || failed {
                return;
            }
            let mut generators = Generators::default();
            while let Ok(order) = from_orders.recv() {
                let done = match order {
                    Order::Up => ip(&format!("link set {SENDING_END} up")).map(|()| Duration::ZERO),
                    Order::Send(flood, frames) => generators.send(flood, frames),
                };
                if to_answers.send(done).is_err() {
                    return;
                }
            }
        });
        let namespace = namespace.recv().context("the sender is gone")??;
        Ok(Self { namespace, orders, answers })
    }

    pub(super) fn up(&self) -> Result<()> {
        self.tell(Order::Up).map(drop)
    }

    /// Sends so many frames as fast as it can: its CPU time.
    pub(super) fn send(&self, flood: Flood, frames: u32) -> Result<Duration> {
        self.tell(Order::Send(flood, frames))
    }

    fn tell(&self, order: Order) -> Result<Duration> {
        self.orders.send(order).ok().context("the sender is gone")?;
        self.answers.recv().context("the sender is gone")?
    }
}

/// Goes to its CPU and namespace; the namespace's path.
fn leave(cpu: usize) -> Result<String> {
    // Behind the receiver, where both share it.
    own_core::take(cpu)?;
    // SAFETY: descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid()))
}

/// One for each flood, made when it is first asked for.
#[derive(Default)]
struct Generators(Vec<(Flood, Generator)>);

impl Generators {
    fn send(&mut self, flood: Flood, frames: u32) -> Result<Duration> {
        let known = self.0.iter().position(|(its, _)| *its == flood);
        let at = match known {
            Some(at) => at,
            None => {
                self.0.push((flood, Generator::new(flood, sending_end()?)?));
                self.0.len() - 1
            }
        };
        let (_, generator) = self.0.get(at).context("no generator")?;
        let before = cpu_time();
        generator.send(frames)?;
        Ok(cpu_time().saturating_sub(before))
    }
}

/// Without what it waits for (RCU, before it sends and after), so that it is the time in which it sent.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Its index. /sys shows the receiver's interfaces, so it is asked for by name.
fn sending_end() -> Result<u32> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    Ok(rustix::net::netdevice::name_to_index(socket, SENDING_END)?)
}

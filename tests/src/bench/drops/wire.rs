//! A veth pair between two namespaces that have no name: they end with the threads that are in them.
#![expect(
    unsafe_code,
    reason = "unshare(2) counts as unsafe for what can be done with descriptors"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender as Channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{CpuSet, Pid, UnshareFlags, gettid, sched_setaffinity, unshare_unsafe};

use super::generator::{Generator, MAC};
use super::{Sources, Stop, run};
use crate::bench::contention::pin;

const SENDING_END: &str = "rvsend";

/// Moves the calling thread into a network namespace and mounts of its own: /sys shows that namespace, and
/// what is pinned goes with it.
pub(super) fn leave_the_host() -> Result<()> {
    // SAFETY: descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
        .context("could not leave the host's namespaces: this needs root")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("could not make the mounts private")?;
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None).context("could not mount /sys")?;
    mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None)
        .context("could not mount bpffs")?;
    Ok(())
}

/// The receiving end.
pub(super) struct Wire {
    /// No two alike: the host sees all NAPI threads.
    pub(super) interface: String,
    pub(super) ifindex: u32,
    receiver: std::cell::Cell<Option<Pid>>,
}

/// What has been counted so far.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// Packets that the interface has taken.
    pub(super) received: f64,
    /// Packets that have passed all filters.
    pub(super) delivered: f64,
    /// The receiving thread's CPU time.
    pub(super) cpu_ns: f64,
    /// How long that thread had work, and somebody else its core.
    pub(super) wait_ns: f64,
}

impl Reading {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            received: self.received - before.received,
            delivered: self.delivered - before.delivered,
            cpu_ns: self.cpu_ns - before.cpu_ns,
            wait_ns: self.wait_ns - before.wait_ns,
        }
    }
}

impl Wire {
    /// Lays it from the calling thread's namespace to a new one, in which a sender waits on its CPU.
    pub(super) fn lay<'scope>(
        scope: &'scope Scope<'scope, '_>,
        cpu: usize,
    ) -> Result<(Self, Sender)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);

        let sender = Sender::spawn(scope, cpu)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let interface = format!("rv{}x{count}", std::process::id());
        let line = format!(
            "link add {interface} address {MAC} numrxqueues 1 numtxqueues 1 type veth \
             peer name {SENDING_END} numrxqueues 1 numtxqueues 1 netns {}",
            sender.namespace
        );
        ip(&line)?;
        ip("link set lo up")?;
        ip(&format!("addr add {}/24 dev {interface}", super::generator::RECEIVER))?;
        // NAPI without an XDP program is for GRO only, and redirected frames need NAPI.
        run("ethtool", &["-K", &interface, "gro", "on"], "")?;
        let class = Path::new("/sys/class/net").join(&interface);
        ip(&format!("link set {interface} up"))?;
        // Once there is NAPI, which there is while it is up.
        fs::write(class.join("threaded"), "1").context("could not thread the receiver")?;
        ip("route add default via 192.0.2.2")?;
        sender.tell(Order::Up)?;
        let ifindex = fs::read_to_string(class.join("ifindex"))?.trim().parse()?;
        Ok((Self { interface, ifindex, receiver: std::cell::Cell::new(None) }, sender))
    }

    /// Pins the thread that receives.
    pub(super) fn pin_receiver(&self, cpu: usize) -> Result<()> {
        let name = format!("napi/{}-", self.interface);
        let deadline = Instant::now() + Duration::from_secs(2);
        let thread = loop {
            if let Some(thread) = thread_named(&name)? {
                break thread;
            }
            ensure!(Instant::now() < deadline, "there is no kernel thread `{name}*`");
            thread::sleep(Duration::from_millis(5));
        };
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(Some(thread), &set).context("could not pin the receiver")?;
        go_first(thread).context("could not give the receiver its core")?;
        self.receiver.set(Some(thread));
        Ok(())
    }

    pub(super) fn reading(&self) -> Result<Reading> {
        let received = Path::new("/sys/class/net").join(&self.interface);
        let received = fs::read_to_string(received.join("statistics/rx_packets"))?;
        let thread = self.receiver.get().context("the receiver hasn't been pinned")?;
        let stat = fs::read_to_string(format!("/proc/{thread}/schedstat"))
            .context("the receiver is gone")?;
        let mut times = stat.split(' ').map(str::parse);
        let mut time = || times.next().context("expected two times in schedstat");
        Ok(Reading {
            received: received.trim().parse()?,
            delivered: delivered()?,
            cpu_ns: time()??,
            wait_ns: time()??,
        })
    }
}

/// IP packets that have come through to a protocol, in the calling thread's namespace.
fn delivered() -> Result<f64> {
    let snmp = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = snmp.lines().filter(|line| line.starts_with("Ip: "));
    let names = lines.next().unwrap_or_default().split(' ');
    let values = lines.next().unwrap_or_default().split(' ');
    let delivered = names.zip(values).find(|(name, _)| *name == "InDelivers");
    delivered.context("expected InDelivers in /proc/net/snmp")?.1.parse().context("InDelivers")
}

fn thread_named(prefix: &str) -> Result<Option<Pid>> {
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if name.starts_with(prefix) {
            return Ok(Pid::from_raw(pid));
        }
    }
    Ok(None)
}

fn ip(line: &str) -> Result<()> {
    run("ip", &line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(), "")
}

/// What else runs on this machine waits: real time, since a nice value counts in its own group only.
fn go_first(thread: Pid) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    let thread = thread.as_raw_nonzero().get();
    // SAFETY: the parameters live during the call, which only reads them.
    let result =
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameters) };
    ensure!(result == 0, "sched_setscheduler: {}", std::io::Error::last_os_error());
    Ok(())
}

enum Order {
    Up,
    Start(Sources),
    Stop,
}

/// The sending thread; it ends when this is dropped.
pub(super) struct Sender {
    namespace: String,
    orders: Channel<Order>,
    answers: Receiver<Result<()>>,
    stop: Arc<Stop>,
    /// Frames a second in what it has sent since it was started.
    rate: Arc<AtomicU64>,
}

impl Sender {
    fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, cpu: usize) -> Result<Self> {
        let (orders, from_orders) = mpsc::channel();
        let (to_answers, answers) = mpsc::channel();
        let (to_namespace, namespace) = mpsc::channel();
        let stop = Arc::new(Stop::new(false));
        let rate = Arc::new(AtomicU64::new(0));
        let (stopped, told_rate) = (Arc::clone(&stop), Arc::clone(&rate));
        scope.spawn(move || {
            let alone = pin(cpu).and_then(|()| {
                go_first(gettid()).context("could not give the sender its core")?;
                // SAFETY: descriptors stay shared.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
                let thread = gettid();
                Ok(format!("/proc/{}/task/{thread}/ns/net", std::process::id()))
            });
            let failed = alone.is_err();
            if to_namespace.send(alone).is_err() || failed {
                return;
            }
            let mut generator = None;
            // The flood goes on between `Start` and `Stop`; each is answered at once.
            while let Ok(order) = from_orders.recv() {
                let done = match order {
                    Order::Up => ip(&format!("link set {SENDING_END} up")),
                    Order::Start(sources) => begin(sources).map(|it| generator = Some(it)),
                    Order::Stop => Ok(()),
                };
                if to_answers.send(done).is_err() {
                    return;
                }
                let Some(generator) = generator.take() else { continue };
                let (begin, mut frames) = (Instant::now(), 0);
                while !stopped.load(Ordering::Relaxed) {
                    // Where it fails, whoever watches sees that nothing comes.
                    let Ok(sent) = generator.send() else { break };
                    frames += sent;
                    let rate = frames as f64 / begin.elapsed().as_secs_f64();
                    told_rate.store(rate.to_bits(), Ordering::Relaxed);
                }
            }
        });
        let namespace = namespace.recv().context("the sender is gone")??;
        Ok(Self { namespace, orders, answers, stop, rate })
    }

    pub(super) fn start(&self, sources: Sources) -> Result<()> {
        self.stop.store(false, Ordering::Relaxed);
        self.tell(Order::Start(sources))
    }

    /// Gives the frames a second that it has sent.
    pub(super) fn stop(&self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.tell(Order::Stop)?;
        Ok(f64::from_bits(self.rate.load(Ordering::Relaxed)))
    }

    fn tell(&self, order: Order) -> Result<()> {
        self.orders.send(order).ok().context("the sender is gone")?;
        self.answers.recv().context("the sender is gone")?
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn begin(sources: Sources) -> Result<Generator> {
    // /sys shows the receiver's interfaces; the sender's only other one is its loopback.
    let ifindex = rustix::net::netdevice::name_to_index(
        rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )?,
        SENDING_END,
    )?;
    Generator::new(sources, ifindex)
}

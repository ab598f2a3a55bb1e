//! A veth pair between two namespaces that have no name: they end with the threads that are in them.
#![expect(
    unsafe_code,
    reason = "unshare(2) counts as unsafe for what can be done with descriptors"
)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{CpuSet, Pid, UnshareFlags, sched_setaffinity, unshare_unsafe};

use super::generator::MAC;
use super::run;
use super::sender::{SENDING_END, Sender};
use crate::bench::own_core::go_first;

/// Before the sender, where both share a CPU.
const PRIORITY: i32 = 2;

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
    receiver: Pid,
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
}

impl Reading {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            received: self.received - before.received,
            delivered: self.delivered - before.delivered,
            cpu_ns: self.cpu_ns - before.cpu_ns,
        }
    }
}

impl Wire {
    /// Lays it from the calling thread's namespace to the sender's.
    pub(super) fn lay(sender: &Sender) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);

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
        sender.up()?;
        let ifindex = fs::read_to_string(class.join("ifindex"))?.trim().parse()?;
        let receiver = receiver(&interface)?;
        go_first(receiver, PRIORITY).context("could not give the receiver its core")?;
        Ok(Self { interface, ifindex, receiver })
    }

    /// Pins the thread that receives.
    pub(super) fn receive_on(&self, cpu: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(Some(self.receiver), &set).context("could not pin the receiver")
    }

    pub(super) fn reading(&self) -> Result<Reading> {
        let received = Path::new("/sys/class/net").join(&self.interface);
        let received = fs::read_to_string(received.join("statistics/rx_packets"))?;
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", self.receiver))
            .context("the receiver is gone")?;
        let time = stat.split(' ').next().context("expected times in schedstat")?;
        Ok(Reading {
            received: received.trim().parse()?,
            delivered: delivered()?,
            cpu_ns: time.parse().context("schedstat")?,
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

/// The kernel's thread, which comes a moment after it has been asked for.
fn receiver(interface: &str) -> Result<Pid> {
    let name = format!("napi/{interface}-");
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(thread) = thread_named(&name)? {
            return Ok(thread);
        }
        ensure!(Instant::now() < deadline, "there is no kernel thread `{name}*`");
        thread::sleep(Duration::from_millis(5));
    }
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

pub(super) fn ip(line: &str) -> Result<()> {
    run("ip", &line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(), "")
}

//! A core for the calling thread, or another one, alone.
#![expect(unsafe_code, reason = "sched_setscheduler(2) takes a pointer")]

use std::io;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, Pid, gettid, sched_setaffinity};

/// Keeps the calling thread, and what it starts, on one CPU.
///
/// # Errors
/// Where there is no such CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("could not pin a thread to CPU {cpu}"))
}

/// Keeps the calling thread on one CPU, where it goes first. Whoever does that rests now and then.
///
/// # Errors
/// Where there is no such CPU, or the kernel refuses.
pub fn take(cpu: usize) -> Result<()> {
    pin(cpu)?;
    go_first(gettid(), 1).context("could not give a thread its core")
}

/// Lets others have the core for a moment: kernel threads among them, which have no other.
pub fn rest() {
    thread::sleep(Duration::from_millis(2));
}

/// What else runs on this machine waits for a thread: real time, since a nice value counts in its own group
/// only.
///
/// # Errors
/// Where the kernel refuses.
pub fn go_first(thread: Pid, priority: i32) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    let thread = thread.as_raw_nonzero().get();
    // SAFETY: the parameters live during the call, which only reads them.
    let result =
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameters) };
    ensure!(result == 0, "sched_setscheduler: {}", io::Error::last_os_error());
    Ok(())
}

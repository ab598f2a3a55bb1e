//! The time, read cheaply.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};

use crate::maps;

/// One CPU's last reading of the clock.
#[repr(C)]
pub(crate) struct Clock {
    jiffies: u64,
    now_ns: u64,
}

/// Nanoseconds of `CLOCK_MONOTONIC`, at most a tick (1-10 ms) behind.
///
/// Reading the clock takes as long as everything else that a drop needs; the tick count is a plain
/// load, so the clock is read once a tick and CPU.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: no arguments, no preconditions.
    let jiffies = unsafe { bpf_jiffies64() };
    let Some(clock) = maps::CLOCK.get_ptr_mut(0) else { return read() };
    // SAFETY: an aligned value of this CPU alone, and network receive doesn't nest on a CPU.
    let clock = unsafe { &mut *clock };
    if clock.jiffies != jiffies {
        *clock = Clock { jiffies, now_ns: read() };
    }
    clock.now_ns
}

#[inline(always)]
fn read() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

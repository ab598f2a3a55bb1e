//! What a CPU remembers from packet to packet: the time, and how much it has announced.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};

use crate::maps;

const NS_PER_S: u64 = 1_000_000_000;

/// One CPU's memory.
#[repr(C)]
pub(crate) struct Cpu {
    /// Tick of the last reading of the clock.
    jiffies: u64,
    now_ns: u64,
    /// When the next drop event is due; it may come up to a second early.
    event_due_ns: u64,
    /// Drops not announced since the last event.
    pub(crate) suppressed: u32,
    _reserved: u32,
}

impl Cpu {
    /// This CPU's, with the time brought up to date.
    #[inline(always)]
    pub(crate) fn current() -> Option<&'static mut Self> {
        let cpu = maps::CPUS.get_ptr_mut(0)?;
        // SAFETY: an aligned value of this CPU alone. Network receive doesn't nest on a CPU, and the
        // program uses what an earlier call gave it no more.
        let cpu = unsafe { &mut *cpu };
        // SAFETY: no arguments, no preconditions.
        let jiffies = unsafe { bpf_jiffies64() };
        if cpu.jiffies != jiffies {
            cpu.jiffies = jiffies;
            // SAFETY: as above.
            cpu.now_ns = unsafe { bpf_ktime_get_ns() };
        }
        Some(cpu)
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`, at most a tick (1-10 ms) behind: reading the clock costs as much
    /// as all else that a drop needs, the tick count is a plain load.
    #[inline(always)]
    pub(crate) const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Whether a drop event may go out now, at `per_second` of them and in bursts of a second's worth.
    ///
    /// Generic cell rate algorithm (ITU-T I.371): one word of state, and a division only for a yes.
    #[inline(always)]
    pub(crate) fn may_announce(&mut self, per_second: u32) -> bool {
        if per_second == 0 || self.event_due_ns >= self.now_ns + NS_PER_S {
            return false;
        }
        self.event_due_ns = self.event_due_ns.max(self.now_ns) + NS_PER_S / u64::from(per_second);
        true
    }
}

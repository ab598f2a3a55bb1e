//! An entry of a ban map, as several CPUs and userspace use it at once.

use core::cell::UnsafeCell;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr;

use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED};

/// [`Entry`] in place, in the map's memory.
#[repr(transparent)]
pub(crate) struct Ban(UnsafeCell<Entry>);

// SAFETY: fields are read and written singly, each aligned and at most 64 bits wide, which the kernel's
// BPF memory model makes single accesses; the counters are added to atomically.
unsafe impl Sync for Ban {}

impl Ban {
    /// Whether it still holds at `now`.
    #[inline(always)]
    pub(crate) fn holds(&self, now_ns: u64) -> bool {
        // SAFETY: aligned and valid for the time of the program's run (RCU); volatile, since userspace
        // may write it meanwhile.
        let expires_ns = unsafe { ptr::read_volatile(&raw const (*self.0.get()).expires_ns) };
        now_ns < expires_ns
    }

    /// Whether an allowed prefix lies inside it.
    #[inline(always)]
    pub(crate) fn holds_allowed(&self) -> bool {
        // SAFETY: as in `holds`.
        let flags = unsafe { ptr::read_volatile(&raw const (*self.0.get()).flags) };
        flags & FLAG_HOLDS_ALLOWED != 0
    }

    /// Gives it another expiry and other flags.
    #[inline(always)]
    pub(crate) fn amend(&self, expires_ns: u64, flags: u32) {
        let entry = self.0.get();
        // SAFETY: as in `holds`; userspace, which alone changes bans, changes one at a time.
        unsafe { ptr::write_volatile(&raw mut (*entry).flags, flags) };
        // SAFETY: as above.
        unsafe { ptr::write_volatile(&raw mut (*entry).expires_ns, expires_ns) };
    }

    /// Counts a dropped frame of `bytes` bytes.
    #[inline(always)]
    pub(crate) fn count(&self, bytes: u64, now_ns: u64) {
        let entry = self.0.get();
        // SAFETY: as in `holds`.
        let (packets, total) = unsafe { (&raw mut (*entry).packets, &raw mut (*entry).bytes) };
        add(packets, 1);
        add(total, bytes);
        // SAFETY: as in `holds`; whichever CPU writes last, the times are a tick apart at most.
        unsafe { ptr::write_volatile(&raw mut (*entry).last_seen_ns, now_ns) };
    }
}

/// Adds atomically: BPF's `lock *(u64 *)(counter) += amount`.
#[inline(always)]
fn add(counter: *mut u64, amount: u64) {
    // SAFETY: `counter` is an aligned field of a map value. The intrinsic is what
    // `AtomicU64::fetch_add` would call; that one doesn't exist for BPF, whose target spec declares no
    // atomics wider than a pointer with a usable ordering.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}

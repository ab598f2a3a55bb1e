//! Fields of map values, which other CPUs and userspace read and write at the same time.

use core::cell::UnsafeCell;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr;

/// One such field: an integer of at most 64 bits, on its natural boundary, so that each access is a single
/// one that nobody sees half of.
#[repr(transparent)]
pub(crate) struct Shared<T>(UnsafeCell<T>);

// SAFETY: all access goes through the methods below, each of which is one load, one store or one atomic
// addition.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    #[inline(always)]
    pub(crate) fn get(&self) -> T {
        // SAFETY: a valid, aligned field; volatile, since it may change between two readings.
        unsafe { ptr::read_volatile(self.0.get()) }
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile(self.0.get(), value) }
    }
}

impl Shared<u64> {
    /// Adds, and loses nothing that another CPU adds meanwhile: BPF's `lock *(u64 *)(field) += amount`.
    ///
    /// `AtomicU64::fetch_add` would be this intrinsic, but core leaves it out for BPF.
    #[inline(always)]
    pub(crate) fn add(&self, amount: u64) {
        // SAFETY: a valid, aligned field.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0.get(), amount) };
    }
}

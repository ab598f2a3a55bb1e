//! An entry of a ban map, in place.

use core::mem::offset_of;

use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED};

use crate::shared::Shared;

/// [`Entry`], field by field.
#[repr(C)]
pub(crate) struct Ban {
    expires_ns: Shared<u64>,
    packets: Shared<u64>,
    bytes: Shared<u64>,
    last_seen_ns: Shared<u64>,
    flags: Shared<u32>,
    scope: Shared<u32>,
}

const _: () = {
    assert!(size_of::<Ban>() == size_of::<Entry>());
    assert!(offset_of!(Ban, expires_ns) == offset_of!(Entry, expires_ns));
    assert!(offset_of!(Ban, packets) == offset_of!(Entry, packets));
    assert!(offset_of!(Ban, bytes) == offset_of!(Entry, bytes));
    assert!(offset_of!(Ban, last_seen_ns) == offset_of!(Entry, last_seen_ns));
    assert!(offset_of!(Ban, flags) == offset_of!(Entry, flags));
    assert!(offset_of!(Ban, scope) == offset_of!(Entry, scope));
};

impl Ban {
    /// Whether it still holds.
    #[inline(always)]
    pub(crate) fn holds(&self, now_ns: u64) -> bool {
        now_ns < self.expires_ns.get()
    }

    /// Whether an allowed prefix lies inside it.
    #[inline(always)]
    pub(crate) fn holds_allowed(&self) -> bool {
        self.flags.get() & FLAG_HOLDS_ALLOWED != 0
    }

    /// Counts a dropped frame of `bytes` bytes.
    #[inline(always)]
    pub(crate) fn count(&self, bytes: u32, now_ns: u64) {
        self.packets.add(1);
        self.bytes.add(u64::from(bytes));
        self.last_seen_ns.set(now_ns);
    }

    /// Gives it another expiry and other flags, and leaves what it has counted.
    #[inline(always)]
    pub(crate) fn amend(&self, expires_ns: u64, flags: u32) {
        self.flags.set(flags);
        self.expires_ns.set(expires_ns);
    }
}

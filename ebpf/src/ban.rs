//! An entry of a ban map, in place.

use core::mem::offset_of;

use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED};

use crate::shared::Shared;

const NS_PER_S: u64 = 1_000_000_000;

/// What of a ban can be changed where it lies.
pub(crate) struct Amended {
    pub(crate) expires_ns: u64,
    pub(crate) flags: u16,
    pub(crate) scope: u16,
    pub(crate) scoped_until_s: u32,
}

/// [`Entry`], field by field.
#[repr(C)]
pub(crate) struct Ban {
    expires_ns: Shared<u64>,
    packets: Shared<u64>,
    bytes: Shared<u64>,
    last_seen_ns: Shared<u64>,
    flags: Shared<u16>,
    scope: Shared<u16>,
    scoped_until_s: Shared<u32>,
}

const _: () = {
    assert!(size_of::<Ban>() == size_of::<Entry>());
    assert!(offset_of!(Ban, expires_ns) == offset_of!(Entry, expires_ns));
    assert!(offset_of!(Ban, packets) == offset_of!(Entry, packets));
    assert!(offset_of!(Ban, bytes) == offset_of!(Entry, bytes));
    assert!(offset_of!(Ban, last_seen_ns) == offset_of!(Entry, last_seen_ns));
    assert!(offset_of!(Ban, flags) == offset_of!(Entry, flags));
    assert!(offset_of!(Ban, scope) == offset_of!(Entry, scope));
    assert!(offset_of!(Ban, scoped_until_s) == offset_of!(Entry, scoped_until_s));
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

    /// Adds what an older layout's entry has counted.
    #[inline(always)]
    pub(crate) fn carry(&self, packets: u64, bytes: u64) {
        self.packets.add(packets);
        self.bytes.add(bytes);
    }

    /// The index of the ports that it is about beside the ban of every port; 0 where there are none or
    /// their ban has lapsed.
    #[inline(always)]
    pub(crate) fn scope(&self, now_ns: u64) -> u32 {
        let scope = u32::from(self.scope.get());
        let until_s = self.scoped_until_s.get();
        // `SCOPED_PERMANENT` is 136 years.
        if now_ns < u64::from(until_s) * NS_PER_S { scope } else { 0 }
    }

    /// Gives it other expiries, flags and scope, and leaves what it has counted.
    #[inline(always)]
    pub(crate) fn amend(&self, amended: &Amended) {
        self.flags.set(amended.flags);
        self.scoped_until_s.set(amended.scoped_until_s);
        self.scope.set(amended.scope);
        self.expires_ns.set(amended.expires_ns);
    }
}

//! Layout 1, as far as it differs from [today's](crate::LAYOUT_VERSION): what taking over its maps needs.
//!
//! Keys, and the maps that aren't named here, are as in layout 2: `ALLOW_V4`, `ALLOW_V6`, `SETTINGS`,
//! `PREFILTER`, `EVENTS`.

/// The version.
pub const LAYOUT_VERSION: u32 = 1;

/// The value of `BANS_V4`, `BANS_V6`, `NETS_V4` and `NETS_V6`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Entry {
    /// When it lapses, in nanoseconds of `CLOCK_MONOTONIC`; [`PERMANENT`](crate::PERMANENT) for never.
    pub expires_ns: u64,
    /// Packets dropped by it.
    pub packets: u64,
    /// Bytes dropped by it.
    pub bytes: u64,
    /// When it last dropped, in nanoseconds of `CLOCK_MONOTONIC`; 0 for never.
    pub last_seen_ns: u64,
    /// 1: an allowed prefix lies inside.
    pub flags: u32,
    /// 0; there were no port-scoped bans.
    pub scope: u32,
}

/// Size of `COUNTERS`, whose reasons are the first of today's, in the same order.
pub const REASONS: u32 = 10;

/// The maps that it pinned: all of today's but `SCOPES`.
pub const PINNED: [&str; 10] = [
    "BANS_V4",
    "BANS_V6",
    "NETS_V4",
    "NETS_V6",
    "ALLOW_V4",
    "ALLOW_V6",
    "SETTINGS",
    "COUNTERS",
    "PREFILTER",
    "EVENTS",
];

impl From<Entry> for crate::Entry {
    /// The same ban, of every port.
    fn from(entry: Entry) -> Self {
        Self {
            expires_ns: entry.expires_ns,
            packets: entry.packets,
            bytes: entry.bytes,
            last_seen_ns: entry.last_seen_ns,
            flags: (entry.flags & 1) as u16,
            scope: 0,
            scoped_until_s: 0,
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 40);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya copies map keys and values as plain bytes; Pod is its promise for that"
)]
mod pod {
    // SAFETY: all fields are integers, `repr(C)` without padding (asserted by size above), every bit
    // pattern is a valid value.
    unsafe impl aya::Pod for super::Entry {}
}

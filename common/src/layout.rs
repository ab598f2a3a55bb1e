//! The maps' names, keys and values.
//!
//! | version | what it brought |
//! |---|---|
//! | 1 | the first; see [`v1`](crate::v1) |
//! | 2 | port-scoped bans: [`map::SCOPES`], [`Entry::scope`] and [`Entry::scoped_until_s`], [`Reason::PassedOtherPort`] |

/// Version of everything in this module; the maps are pinned under `<bpf_dir>/v<LAYOUT_VERSION>/`.
pub const LAYOUT_VERSION: u32 = 2;

/// Names of the maps, as pinned.
pub mod map {
    /// Exact IPv4 bans: hash, key `[u8; 4]` (network order), value [`super::Entry`].
    pub const BANS_V4: &str = "BANS_V4";
    /// IPv6 bans of a /64: hash, key `[u8; 8]` (the network half, network order), value [`super::Entry`].
    pub const BANS_V6: &str = "BANS_V6";
    /// IPv4 bans of any other prefix length: LPM trie, data `[u8; 8]` (the address, then four zeros),
    /// value [`super::Entry`]. The trie lays a value right behind its data, and the counters in it
    /// must be aligned: an atomic addition across a cache line is a fault on some machines.
    pub const NETS_V4: &str = "NETS_V4";
    /// IPv6 bans of any other prefix length: LPM trie, data `[u8; 16]`, value [`super::Entry`].
    pub const NETS_V6: &str = "NETS_V6";
    /// Allowed IPv4 prefixes: LPM trie, data `[u8; 4]`, value `u32` (1).
    pub const ALLOW_V4: &str = "ALLOW_V4";
    /// Allowed IPv6 prefixes: LPM trie, data `[u8; 16]`, value `u32` (1).
    pub const ALLOW_V6: &str = "ALLOW_V6";
    /// The port sets of port-scoped bans: array of [`crate::scope::SCOPES`] [`crate::scope::Scope`],
    /// indexed by [`super::Entry::scope`].
    pub const SCOPES: &str = "SCOPES";
    /// What the program does at all: array of one [`super::Settings`].
    pub const SETTINGS: &str = "SETTINGS";
    /// Packets by [`super::Reason`]: per-CPU array of `u64`.
    pub const COUNTERS: &str = "COUNTERS";
    /// What says in one look that a source has no exact ban: array of [`crate::prefilter::WORDS`]
    /// `u64`, made to be mapped into memory (`BPF_F_MMAPABLE`); see [`crate::prefilter`].
    pub const PREFILTER: &str = "PREFILTER";
    /// Announced drops: ring buffer of [`super::DropEvent`].
    pub const EVENTS: &str = "EVENTS";

    /// The maps that are pinned. The program has others, whose content an upgrade may forget.
    pub const PINNED: [&str; 11] = [
        BANS_V4, BANS_V6, NETS_V4, NETS_V6, ALLOW_V4, ALLOW_V6, SCOPES, SETTINGS, COUNTERS,
        PREFILTER, EVENTS,
    ];
}

/// Names of the programs in the object.
pub mod program {
    /// The one that is attached.
    pub const RAVELIN: &str = "ravelin";
    /// The one that carries out an [`Amendment`](crate::amendment::Amendment). It is never attached: userspace runs it by
    /// `BPF_PROG_TEST_RUN`.
    pub const AMEND: &str = "amend";
    /// The one that carries out a [`Carry`](crate::carry::Carry); never attached either.
    pub const CARRY: &str = "carry";
}

/// Expiry of a ban that never lapses.
pub const PERMANENT: u64 = u64::MAX;

/// An allowed prefix lies inside this ban: the program asks the allow list before it drops.
pub const FLAG_HOLDS_ALLOWED: u16 = 1;

/// [`Entry::scoped_until_s`] of a ban of ports that never lapses.
pub const SCOPED_PERMANENT: u32 = u32::MAX;

/// A ban as the kernel knows it: of every port until one moment, of some ports until another.
///
/// The two are apart so that neither makes the other longer than it was meant to be, and so that a
/// ban of every port costs what it did without ports: it is looked at first. A ban of ports only has
/// lapsed (0) as a ban of every port, a ban of every port only has scope 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Entry {
    /// When the ban of every port lapses, in nanoseconds of `CLOCK_MONOTONIC`; [`PERMANENT`] for never.
    pub expires_ns: u64,
    /// Packets dropped by it.
    pub packets: u64,
    /// Bytes dropped by it (frame length, from the Ethernet header on).
    pub bytes: u64,
    /// When it last dropped, in nanoseconds of `CLOCK_MONOTONIC`; 0 for never.
    pub last_seen_ns: u64,
    /// `FLAG_*`.
    pub flags: u16,
    /// Index into [`map::SCOPES`]: the ports that are banned beside, or after, the ban of every port; 0:
    /// none.
    pub scope: u16,
    /// When the ban of those ports lapses, in whole seconds of `CLOCK_MONOTONIC`; [`SCOPED_PERMANENT`]
    /// for never.
    pub scoped_until_s: u32,
}

/// What became of a packet: the index into the per-CPU counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Reason {
    /// Not banned.
    PassedMiss = 0,
    /// Neither IPv4 nor IPv6: ARP, LLDP, more than two VLAN tags, ...
    PassedNotIp = 1,
    /// Too short, or not what its EtherType says.
    PassedMalformed = 2,
    /// Under a ban, but on the allow list.
    PassedAllowed = 3,
    /// Under a ban that has lapsed.
    PassedExpired = 4,
    /// The program is told to pass everything (`ravelin panic`, observe mode).
    PassedOff = 5,
    /// Dropped by an exact IPv4 ban.
    DroppedV4 = 6,
    /// Dropped by the ban of an IPv6 /64.
    DroppedV6 = 7,
    /// Dropped by a prefix of another length, IPv4.
    DroppedNetV4 = 8,
    /// Dropped by a prefix of another length, IPv6.
    DroppedNetV6 = 9,
    /// Under a ban of ports, and bound for another one.
    PassedOtherPort = 10,
}

impl Reason {
    /// How many reasons there are: the size of the counters' map.
    pub const COUNT: u32 = 11;
    /// All of them, in index order, with a stable name for `status` and metrics.
    pub const ALL: [(Self, &'static str); Self::COUNT as usize] = [
        (Self::PassedMiss, "miss"),
        (Self::PassedNotIp, "not-ip"),
        (Self::PassedMalformed, "malformed"),
        (Self::PassedAllowed, "allowed"),
        (Self::PassedExpired, "expired"),
        (Self::PassedOff, "off"),
        (Self::DroppedV4, "v4"),
        (Self::DroppedV6, "v6"),
        (Self::DroppedNetV4, "net-v4"),
        (Self::DroppedNetV6, "net-v6"),
        (Self::PassedOtherPort, "other-port"),
    ];

    /// Whether the packet went through.
    pub const fn passed(self) -> bool {
        !matches!(self, Self::DroppedV4 | Self::DroppedV6 | Self::DroppedNetV4 | Self::DroppedNetV6)
    }
}

/// [`Settings::off`] as a deadline: from this value on, what is above it is the second of `CLOCK_MONOTONIC` from which
/// everything passes. So a start that nobody confirms ends by itself, also when nobody lives to end it.
pub const OFF_FROM: u32 = 16;

/// What userspace tells the program, read once a packet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Settings {
    /// Anything but 0: pass everything (`ravelin panic`); [`OFF_FROM`] and above: from a moment on.
    pub off: u32,
    /// Anything but 0 while the IPv4 trie holds entries; it is looked up only then. Not their number: a
    /// write that changes more than one byte may be seen half done, and 255 to 256 might pass for 0.
    pub nets_v4: u32,
    /// Likewise for the IPv6 trie.
    pub nets_v6: u32,
    /// Drop events a second and CPU that are announced; 0: none.
    pub events_per_second: u32,
}

/// A drop, announced through the ring buffer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct DropEvent {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Source address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// Interface it came in by.
    pub ifindex: u32,
    /// Frame length in bytes.
    pub length: u32,
    /// [`Reason`] of the drop.
    pub reason: u32,
    /// Drops on this CPU that weren't announced since the last event, for the rate limit.
    pub suppressed: u32,
}

const _: () = assert!(size_of::<Entry>() == 40);
const _: () = assert!(size_of::<Settings>() == 16);
const _: () = assert!(size_of::<DropEvent>() == 40);

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya copies map keys and values as plain bytes; Pod is its promise for that"
)]
mod pod {
    use super::{DropEvent, Entry, Settings};

    // SAFETY: all fields are integers, `repr(C)` without padding (asserted by size above), every bit
    // pattern is a valid value.
    unsafe impl aya::Pod for Entry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Settings {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DropEvent {}
}

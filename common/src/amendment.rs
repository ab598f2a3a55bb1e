//! What the program `amend` is told to write into an entry where it lies.
//!
//! Userspace can only replace an entry as a whole, and what was counted between its reading and its
//! writing is lost (0.24 % of the hits of a ban under full fire). So it has a program of its own do it,
//! run by `BPF_PROG_TEST_RUN` with an [`Amendment`] where an XDP program has its frame; it writes expiries,
//! flags and scope and leaves the counters alone.

/// The verdict of `amend` that says it is done (`XDP_PASS`).
pub const AMENDED: u32 = 2;

/// The verdict of `amend` that says there is no such entry (`XDP_DROP`). Any other: it couldn't read
/// what it was told.
pub const NO_SUCH_ENTRY: u32 = 1;

/// Where an entry is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Table {
    /// [`map::BANS_V4`](crate::map::BANS_V4).
    BansV4 = 0,
    /// [`map::BANS_V6`](crate::map::BANS_V6).
    BansV6 = 1,
    /// [`map::NETS_V4`](crate::map::NETS_V4). A trie answers with the longest prefix around what it is
    /// asked for: whoever amends makes sure that the very prefix is there.
    NetsV4 = 2,
    /// [`map::NETS_V6`](crate::map::NETS_V6); likewise.
    NetsV6 = 3,
}

/// What to write, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Amendment {
    /// A [`Table`].
    pub table: u32,
    /// Prefix length, for tries.
    pub prefix_len: u32,
    /// The map's key without prefix length, zeros behind it.
    pub key: [u8; 16],
    /// [`Entry::expires_ns`](crate::Entry::expires_ns).
    pub expires_ns: u64,
    /// [`Entry::flags`](crate::Entry::flags).
    pub flags: u16,
    /// [`Entry::scope`](crate::Entry::scope).
    pub scope: u16,
    /// [`Entry::scoped_until_s`](crate::Entry::scoped_until_s).
    pub scoped_until_s: u32,
}

impl Amendment {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();

    /// As the program reads it.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..4].copy_from_slice(&self.table.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.prefix_len.to_ne_bytes());
        bytes[8..24].copy_from_slice(&self.key);
        bytes[24..32].copy_from_slice(&self.expires_ns.to_ne_bytes());
        bytes[32..34].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[34..36].copy_from_slice(&self.scope.to_ne_bytes());
        bytes[36..].copy_from_slice(&self.scoped_until_s.to_ne_bytes());
        bytes
    }
}

const _: () = assert!(Amendment::SIZE == 40);

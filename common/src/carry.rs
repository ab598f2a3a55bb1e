//! What the program `carry` is told to add to what has been counted: the counts of maps of an older
//! layout, when theirs are final and packets are counted here already.
//!
//! Told as an [`Amendment`](crate::amendment::Amendment) is, and answered in the same words.

/// [`Carry::table`] that says the counters: the first four bytes of the key are the
/// [`Reason`](crate::Reason). Any other is a [`Table`](crate::amendment::Table).
pub const COUNTERS: u32 = 4;

/// What to add, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Carry {
    /// A [`Table`](crate::amendment::Table), or [`COUNTERS`].
    pub table: u32,
    /// Prefix length, for tries.
    pub prefix_len: u32,
    /// The map's key without prefix length, zeros behind it.
    pub key: [u8; 16],
    /// Packets to add.
    pub packets: u64,
    /// Bytes to add; counters have none.
    pub bytes: u64,
}

impl Carry {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();

    /// As the program reads it.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..4].copy_from_slice(&self.table.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.prefix_len.to_ne_bytes());
        bytes[8..24].copy_from_slice(&self.key);
        bytes[24..32].copy_from_slice(&self.packets.to_ne_bytes());
        bytes[32..].copy_from_slice(&self.bytes.to_ne_bytes());
        bytes
    }
}

const _: () = assert!(Carry::SIZE == 40);

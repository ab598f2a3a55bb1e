//! One bit per hash in front of the exact maps: where it is clear, the source is not banned.
//!
//! Almost every packet comes from a source that isn't banned, and a bit is cheaper to read than a hash
//! map (about 3 ns against 18). A ban is never missed by it as long as userspace sets the bit *before* it
//! inserts the entry, and clears bits only by rebuilding the bitmap from the entries, none of them
//! left out. A bit that is set without need (two sources share it, or its ban has lapsed) costs the
//! look-up it would have saved and nothing else, so the hash needs no secret.

/// Bits of the bitmap, as a power of two: 2 MiB, of which a million bans set 6 %.
const BITS: u32 = 24;

/// How many `u64` words the bitmap has: the size of [`map::PREFILTER`](crate::map::PREFILTER).
pub const WORDS: u32 = 1 << (BITS - u64::BITS.ilog2());

/// 2^64 divided by the golden ratio, odd: multiplying by it spreads keys over the upper bits (Knuth,
/// The Art of Computer Programming 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where a key's bit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bit {
    /// Index into the array of words, less than [`WORDS`].
    pub word: u32,
    /// The bit in that word, the only one set.
    pub mask: u64,
}

impl Bit {
    /// The bit of an IPv4 address, a key of [`map::BANS_V4`](crate::map::BANS_V4).
    #[inline(always)]
    pub const fn of_v4(address: [u8; 4]) -> Self {
        Self::of(u32::from_le_bytes(address) as u64)
    }

    /// The bit of an IPv6 /64, a key of [`map::BANS_V6`](crate::map::BANS_V6).
    #[inline(always)]
    pub const fn of_v6(network: [u8; 8]) -> Self {
        Self::of(u64::from_le_bytes(network))
    }

    #[inline(always)]
    const fn of(key: u64) -> Self {
        let hash = key.wrapping_mul(GOLDEN) >> (u64::BITS - BITS);
        Self { word: (hash >> u64::BITS.ilog2()) as u32, mask: 1 << (hash % u64::BITS as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_lies_in_the_map() {
        for address in [[0; 4], [255; 4], [198, 51, 100, 7], [0, 0, 0, 1]] {
            let Bit { word, mask } = Bit::of_v4(address);
            assert!(word < WORDS);
            assert_eq!(mask.count_ones(), 1);
        }
        assert!(Bit::of_v6([255; 8]).word < WORDS);
    }

    /// Neighbours are what a scan or a rented network brings: they must not share bits.
    #[test]
    fn neighbours_have_bits_of_their_own() {
        let mut bits = [(0, 0); 1 << 12];
        for (i, bit) in (0_u32..).zip(&mut bits) {
            let Bit { word, mask } = Bit::of_v4((0xc633_0000 | i).to_be_bytes());
            *bit = (word, mask);
        }
        bits.sort_unstable();
        assert!(bits.windows(2).all(|pair| pair[0] != pair[1]));

        for (i, bit) in (0_u64..).zip(&mut bits) {
            let Bit { word, mask } = Bit::of_v6((0x2001_0db8_0000_0000 | i).to_be_bytes());
            *bit = (word, mask);
        }
        bits.sort_unstable();
        let shared = bits.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(shared < bits.len() / 100, "{shared} of {} share a bit", bits.len());
    }
}

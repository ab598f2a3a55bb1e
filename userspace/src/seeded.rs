//! The hash of the tables that attackers choose the keys of.
//!
//! SipHash, the standard library's, costs as much as the rest of a lookup. foldhash's `quality` variant
//! is several times faster, and what makes SipHash worth its price doesn't apply here: a flood of
//! colliding keys needs the seed, the seed is random for each process (taken from the standard library,
//! which asks the kernel), and nothing that depends on it (an order, a timing of single lookups) reaches
//! the sender of a log line. The tables are bounded as well.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

/// A map with that hash.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Seeded>;

/// Makes hashers, all with this process's seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(SeedableRandomState);

impl Default for Seeded {
    fn default() -> Self {
        static SEED: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
            let random = || RandomState::new().build_hasher().finish();
            (random(), SharedSeed::from_u64(random()))
        });
        let (seed, shared) = &*SEED;
        Self(SeedableRandomState::with_seed(*seed, shared))
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

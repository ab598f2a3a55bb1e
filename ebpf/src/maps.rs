//! The maps. Names, keys and values are [`ravelin_common`]'s; sizes that matter are set at load.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use ravelin_common::scope::{self, Scope};
use ravelin_common::{Reason, Settings, prefilter};

use crate::ban::Ban;
use crate::cpu::Cpu;

/// Entries of an exact map unless userspace says otherwise (`ban.max`).
const BANS: usize = 1 << 20;
/// Entries of a trie. Prefixes are few; what comes in thousands are addresses.
const NETS: usize = 1 << 17;
const ALLOWED: usize = 1 << 14;
/// Only userspace inserts, so nothing is allocated in the fast path, and a million free slots needn't
/// be paid for.
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;
const EVENT_BYTES: usize = 1 << 18;

#[btf_map]
pub(crate) static BANS_V4: HashMap<[u8; 4], Ban, BANS, NO_PREALLOC> = HashMap::new();
#[btf_map]
pub(crate) static BANS_V6: HashMap<[u8; 8], Ban, BANS, NO_PREALLOC> = HashMap::new();
#[btf_map]
pub(crate) static NETS_V4: LpmTrie<[u32; 2], Ban, NETS> = LpmTrie::new();
#[btf_map]
pub(crate) static NETS_V6: LpmTrie<[u64; 2], Ban, NETS> = LpmTrie::new();
#[btf_map]
pub(crate) static ALLOW_V4: LpmTrie<u32, u32, ALLOWED> = LpmTrie::new();
#[btf_map]
pub(crate) static ALLOW_V6: LpmTrie<[u64; 2], u32, ALLOWED> = LpmTrie::new();
#[btf_map]
pub(crate) static PREFILTER: Array<
    u64,
    { prefilter::WORDS as usize },
    { BPF_F_MMAPABLE as usize },
> = Array::new();
#[btf_map]
pub(crate) static SCOPES: Array<Scope, { scope::SCOPES as usize }> = Array::new();
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { Reason::COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), EVENT_BYTES> = RingBuf::new();
/// The program's own. Nothing in it is worth keeping over an upgrade.
#[btf_map]
pub(crate) static CPUS: PerCpuArray<Cpu, 1> = PerCpuArray::new();

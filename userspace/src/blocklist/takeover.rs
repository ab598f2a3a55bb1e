//! Taking over what a Ravelin of an older layout has left: its maps, and its program in the links.
//!
//! | step | meanwhile |
//! |---|---|
//! | our maps get its bans, without counts | its program drops and counts |
//! | our program replaces it in the links | one of them sees each packet, and both know all bans |
//! | its counts, final now, are added to ours | our program drops and counts |
//! | its folder goes | |
//!
//! A step that is done twice does no harm, so a start that dies is finished by the next: a ban that is there
//! is left alone, and what has been added is removed from the old map right after. Killed just between those
//! two system calls, it counts that one ban's packets twice rather than not at all.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya_obj::generated::bpf_map_type;
use ipnet::IpNet;
use ravelin_common::v1::{self, Entry as OldEntry};
use ravelin_common::{Entry, Settings, map};

use super::amend::Counted;
use super::maps::{self, Added, Maps};
use super::pins::Pins;
use super::place::{self, NetV4, NetV6, Place};
use super::{Blocklist, BlocklistError, amend, sys};
use crate::event::Target;

/// Bans that enter by one call.
const BATCH: usize = 1_000;

/// The maps of layout 1; those that a takeover had removed already are `None`.
pub(super) struct Older {
    dir: PathBuf,
    bans_v4: Option<HashMap<MapData, [u8; 4], OldEntry>>,
    bans_v6: Option<HashMap<MapData, [u8; 8], OldEntry>>,
    nets_v4: Option<LpmTrie<MapData, [u8; 8], OldEntry>>,
    nets_v6: Option<LpmTrie<MapData, [u8; 16], OldEntry>>,
    allow_v4: Option<LpmTrie<MapData, [u8; 4], u32>>,
    allow_v6: Option<LpmTrie<MapData, [u8; 16], u32>>,
    settings: Option<Array<MapData, Settings>>,
    counters: Option<PerCpuArray<MapData, u64>>,
}

impl Older {
    /// What is pinned in the older layout, after a check of its shape; `None` where nothing is.
    pub(super) fn open(pins: &Pins) -> Result<Option<Self>, BlocklistError> {
        let dir = pins.layout_dir(v1::LAYOUT_VERSION);
        if !dir.is_dir() {
            return Ok(None);
        }
        Ok(Some(Self {
            bans_v4: open(&dir, map::BANS_V4)?,
            bans_v6: open(&dir, map::BANS_V6)?,
            nets_v4: open(&dir, map::NETS_V4)?,
            nets_v6: open(&dir, map::NETS_V6)?,
            allow_v4: open(&dir, map::ALLOW_V4)?,
            allow_v6: open(&dir, map::ALLOW_V6)?,
            settings: open(&dir, map::SETTINGS)?,
            counters: open(&dir, map::COUNTERS)?,
            dir,
        }))
    }

    /// How many entries its fuller exact map holds: none of ours may have less room.
    pub(super) fn largest(&self) -> Result<u32, BlocklistError> {
        let (mut v4, mut v6) = (0, 0);
        if let Some(bans) = &self.bans_v4 {
            maps::scan(bans, map::BANS_V4, |_, _| v4 += 1)?;
        }
        if let Some(bans) = &self.bans_v6 {
            maps::scan(bans, map::BANS_V6, |_, _| v6 += 1)?;
        }
        Ok(v4.max(v6))
    }

    /// Whether it was told to pass everything, and by whom: see [`Settings::off`].
    pub(super) fn off(&self) -> Result<u32, BlocklistError> {
        let Some(settings) = &self.settings else { return Ok(0) };
        let settings = settings.get(&0, 0);
        settings.map(|settings| settings.off).map_err(|error| read(map::SETTINGS, error))
    }

    /// Gives our maps its bans and its allow list; what they have already stays as it is.
    pub(super) fn fill(&self, ours: &mut Maps) -> Result<(), BlocklistError> {
        if let Some(bans) = &self.bans_v4 {
            let mut batch = (Vec::new(), Vec::new());
            let mut failed = Ok(());
            maps::scan(bans, map::BANS_V4, |key, entry| {
                if failed.is_ok() {
                    failed = fill_v4(ours, &mut batch, key, entry);
                }
            })?;
            failed?;
            flush_v4(ours, &mut batch)?;
        }
        if let Some(bans) = &self.bans_v6 {
            let mut failed = Ok(());
            maps::scan(bans, map::BANS_V6, |key, entry| {
                if failed.is_ok() {
                    failed = add(ours, place::of_v6(key), entry);
                }
            })?;
            failed?;
        }
        let known: HashSet<IpNet> = ours.nets()?.into_iter().map(|(net, _)| net).collect();
        for (net, _, entry) in self.nets()? {
            if !known.contains(&net) {
                add(ours, Target::from(net), entry)?;
            }
        }
        if let Some(allowed) = &self.allow_v4 {
            for key in allowed.keys() {
                let key = key.map_err(|error| read(map::ALLOW_V4, error))?;
                if let Some(net) = place::prefix_v4(key.prefix_len(), key.data()) {
                    ours.allow(net)?;
                }
            }
        }
        if let Some(allowed) = &self.allow_v6 {
            for key in allowed.keys() {
                let key = key.map_err(|error| read(map::ALLOW_V6, error))?;
                if let Some(net) = place::of_net_v6(key) {
                    ours.allow(net)?;
                }
            }
        }
        Ok(())
    }

    fn nets(&self) -> Result<Vec<(IpNet, Place, OldEntry)>, BlocklistError> {
        let mut nets = Vec::new();
        for item in self.nets_v4.iter().flatten() {
            let (key, entry): (NetV4, OldEntry) =
                item.map_err(|error| read(map::NETS_V4, error))?;
            nets.extend(place::of_net_v4(key).map(|net| (net, Place::NetV4(key), entry)));
        }
        for item in self.nets_v6.iter().flatten() {
            let (key, entry): (NetV6, OldEntry) =
                item.map_err(|error| read(map::NETS_V6, error))?;
            nets.extend(place::of_net_v6(key).map(|net| (net, Place::NetV6(key), entry)));
        }
        Ok(nets)
    }

    /// Adds what it has counted to what we count. Nobody writes to it any more.
    fn carry(&mut self, blocklist: &mut Blocklist) -> Result<(), BlocklistError> {
        if let Some(bans) = &mut self.bans_v4 {
            let mut counted = Vec::new();
            maps::scan(bans, map::BANS_V4, |key, entry| counted.extend(counts(key, entry)))?;
            for (key, count) in counted {
                amend::carry(&mut blocklist.ebpf, place::of_v4(key), count)?;
                bans.remove(&key).map_err(|error| gone(map::BANS_V4, error))?;
            }
        }
        if let Some(bans) = &mut self.bans_v6 {
            let mut counted = Vec::new();
            maps::scan(bans, map::BANS_V6, |key, entry| counted.extend(counts(key, entry)))?;
            for (key, count) in counted {
                amend::carry(&mut blocklist.ebpf, place::of_v6(key), count)?;
                bans.remove(&key).map_err(|error| gone(map::BANS_V6, error))?;
            }
        }
        // All of them, one by one: the kernel frees a large trie in one go, and stalls a CPU for as long.
        for (net, key, entry) in self.nets()? {
            if let Some((target, count)) = counts(Target::from(net), entry) {
                amend::carry(&mut blocklist.ebpf, target, count)?;
            }
            match (key, &mut self.nets_v4, &mut self.nets_v6) {
                (Place::NetV4(key), Some(nets), _) => {
                    nets.remove(&key).map_err(|error| gone(map::NETS_V4, error))?;
                }
                (Place::NetV6(key), _, Some(nets)) => {
                    nets.remove(&key).map_err(|error| gone(map::NETS_V6, error))?;
                }
                _ => {}
            }
        }
        if let Some(counters) = &mut self.counters {
            for reason in 0..v1::REASONS {
                let by_cpu =
                    counters.get(&reason, 0).map_err(|error| read(map::COUNTERS, error))?;
                amend::carry_counter(&mut blocklist.ebpf, reason, by_cpu.iter().sum())?;
                let zeros = PerCpuValues::try_from(vec![0_u64; by_cpu.len()])
                    .map_err(|source| maps::failed("write to", map::COUNTERS, source))?;
                counters.set(reason, zeros, 0).map_err(|error| gone(map::COUNTERS, error))?;
            }
        }
        Ok(())
    }

    fn remove(self) -> Result<(), BlocklistError> {
        let dir = self.dir.clone();
        drop(self);
        fs::remove_dir_all(&dir).map_err(|source| BlocklistError::Pin {
            action: "remove folder",
            path: dir,
            source,
        })
    }
}

impl Blocklist {
    /// The last steps, when our program has replaced the older one; whether it has, everywhere.
    pub(super) fn finish_takeover(&mut self, mut older: Older) -> Result<bool, BlocklistError> {
        if !self.runs_everywhere()? {
            return Ok(false);
        }
        // A packet that was in the older program's hands when it was replaced is counted by then.
        sys::wait_for_grace_period();
        older.carry(self)?;
        older.remove()?;
        Ok(true)
    }
}

fn fill_v4(
    ours: &mut Maps,
    batch: &mut (Vec<[u8; 4]>, Vec<Entry>),
    key: [u8; 4],
    entry: OldEntry,
) -> Result<(), BlocklistError> {
    // A bit that is clear says that no such ban is there.
    if !ours.claim(Place::V4(key)) {
        flush_v4(ours, batch)?;
        return add(ours, place::of_v4(key), entry);
    }
    batch.0.push(key);
    batch.1.push(uncounted(entry));
    if batch.0.len() < BATCH { Ok(()) } else { flush_v4(ours, batch) }
}

fn flush_v4(ours: &Maps, batch: &mut (Vec<[u8; 4]>, Vec<Entry>)) -> Result<(), BlocklistError> {
    let done = sys::update_batch(&ours.bans_v4, &batch.0, &batch.1);
    batch.0.clear();
    batch.1.clear();
    done.map_err(|(_, source)| maps::failed("write to", map::BANS_V4, source))
}

fn add(ours: &mut Maps, target: Target, entry: OldEntry) -> Result<(), BlocklistError> {
    match ours.add(target, uncounted(entry))? {
        Added::New | Added::Exists => Ok(()),
    }
}

/// The same ban, that has yet to count.
fn uncounted(entry: OldEntry) -> Entry {
    Entry { packets: 0, bytes: 0, ..entry.into() }
}

fn counts<K>(key: K, entry: OldEntry) -> Option<(K, Counted)> {
    let counted = Counted { packets: entry.packets, bytes: entry.bytes };
    (counted.packets != 0 || counted.bytes != 0).then_some((key, counted))
}

fn open<M: TryFrom<Map, Error = MapError>>(
    dir: &Path,
    name: &'static str,
) -> Result<Option<M>, BlocklistError> {
    let path = dir.join(name);
    let data = match MapData::from_pin(&path) {
        Ok(data) => data,
        Err(error) => match maps::io_error(error) {
            error if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            source => return Err(BlocklistError::Pin { action: "open", path, source }),
        },
    };
    let info = data.info().map_err(|error| maps::failed("look at", name, maps::io_error(error)))?;
    for (property, found, expected) in shape(name)
        .into_iter()
        .zip([
            info.map_type().map_or(u32::MAX, |kind| kind as u32),
            info.key_size(),
            info.value_size(),
        ])
        .map(|((property, expected), found)| (property, found, expected))
    {
        if found != expected {
            return Err(maps::wrong_shape(&path, property, found, expected));
        }
    }
    let map = Map::from_map_data(data).and_then(M::try_from);
    map.map(Some).map_err(|error| BlocklistError::Pin {
        action: "use",
        path,
        source: io::Error::other(error),
    })
}

/// Type, key size and value size in layout 1.
fn shape(name: &str) -> [(&'static str, u32); 3] {
    let (kind, key, value) = match name {
        map::BANS_V4 => (bpf_map_type::BPF_MAP_TYPE_HASH, 4, 40),
        map::BANS_V6 => (bpf_map_type::BPF_MAP_TYPE_HASH, 8, 40),
        map::NETS_V4 => (bpf_map_type::BPF_MAP_TYPE_LPM_TRIE, 12, 40),
        map::NETS_V6 => (bpf_map_type::BPF_MAP_TYPE_LPM_TRIE, 20, 40),
        map::ALLOW_V4 => (bpf_map_type::BPF_MAP_TYPE_LPM_TRIE, 8, 4),
        map::ALLOW_V6 => (bpf_map_type::BPF_MAP_TYPE_LPM_TRIE, 20, 4),
        map::SETTINGS => (bpf_map_type::BPF_MAP_TYPE_ARRAY, 4, 16),
        _ => (bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8),
    };
    [("type", kind as u32), ("key size", key), ("value size", value)]
}

fn read(name: &'static str, error: MapError) -> BlocklistError {
    maps::failed("read the older", name, maps::io_error(error))
}

fn gone(name: &'static str, error: MapError) -> BlocklistError {
    maps::failed("remove from the older", name, maps::io_error(error))
}

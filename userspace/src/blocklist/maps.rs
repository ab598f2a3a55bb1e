//! The maps, under their types: opened from pins after a check of their shape, read, written.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Pod, include_bytes_aligned};
use aya_obj::Object;
use aya_obj::generated::{BPF_ANY, BPF_NOEXIST, bpf_map_type};
use ipnet::IpNet;
use ravelin_common::prefilter::Bit;
use ravelin_common::scope::SCOPES;
use ravelin_common::{Entry, Reason, Settings, map};

use super::clock::Expiry;
use super::pins::Pins;
use super::place::{self, NetV4, NetV6, Place};
use super::scopes::Scopes;
use super::sys::{PrefilterWords, Scan};
use super::{BlocklistError, Counters, Extent};
use crate::event::{Ports, Target};

/// The XDP object, built by `cargo xtask build-ebpf`.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(env!("RAVELIN_XDP_OBJECT"));

/// The maps whose size is `ban.max`.
pub(super) const SIZED: [&str; 2] = [map::BANS_V4, map::BANS_V6];

/// Handles to the maps.
pub(super) struct Maps {
    pub(super) bans_v4: HashMap<MapData, [u8; 4], Entry>,
    pub(super) bans_v6: HashMap<MapData, [u8; 8], Entry>,
    nets_v4: LpmTrie<MapData, [u8; 8], Entry>,
    nets_v6: LpmTrie<MapData, [u8; 16], Entry>,
    allow_v4: LpmTrie<MapData, [u8; 4], u32>,
    allow_v6: LpmTrie<MapData, [u8; 16], u32>,
    pub(super) scopes: Scopes,
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, u64>,
    pub(super) prefilter: PrefilterWords,
}

/// What became of an entry that was to be added.
pub(super) enum Added {
    /// It is there.
    New,
    /// There is one already.
    Exists,
}

impl Maps {
    /// Out of the maps of a loaded object, or whatever else has them by name.
    pub(super) fn assemble(
        mut take: impl FnMut(&'static str) -> Result<Map, BlocklistError>,
    ) -> Result<Self, BlocklistError> {
        Ok(Self {
            bans_v4: typed(map::BANS_V4, &mut take)?,
            bans_v6: typed(map::BANS_V6, &mut take)?,
            nets_v4: typed(map::NETS_V4, &mut take)?,
            nets_v6: typed(map::NETS_V6, &mut take)?,
            allow_v4: typed(map::ALLOW_V4, &mut take)?,
            allow_v6: typed(map::ALLOW_V6, &mut take)?,
            scopes: Scopes::read(typed(map::SCOPES, &mut take)?)?,
            settings: typed(map::SETTINGS, &mut take)?,
            counters: typed(map::COUNTERS, &mut take)?,
            prefilter: match take(map::PREFILTER)? {
                Map::Array(data) => PrefilterWords::map(&data)
                    .map_err(|source| failed("map into memory", map::PREFILTER, source))?,
                _ => return Err(lacking(map::PREFILTER)),
            },
        })
    }

    /// Out of what is pinned.
    pub(super) fn pinned(pins: &Pins) -> Result<Self, BlocklistError> {
        check_pinned(pins)?;
        Self::assemble(|name| {
            let path = pins.map(name);
            let not_there = |error: MapError| match io_error(error) {
                error if error.kind() == io::ErrorKind::NotFound => {
                    BlocklistError::NothingPinned { path: path.clone() }
                }
                source => BlocklistError::Pin { action: "open", path: path.clone(), source },
            };
            MapData::from_pin(&path).and_then(Map::from_map_data).map_err(not_there)
        })
    }

    /// Adds an entry unless there is one.
    pub(super) fn add(&mut self, target: Target, entry: Entry) -> Result<Added, BlocklistError> {
        let flags = u64::from(BPF_NOEXIST);
        let place = Place::from(target);
        self.claim(place);
        let (name, result) = match place {
            Place::V4(key) => (map::BANS_V4, self.bans_v4.insert(key, entry, flags)),
            Place::V6(key) => (map::BANS_V6, self.bans_v6.insert(key, entry, flags)),
            // Kernels before 6.13 took no flags here; userspace knows what is in a trie.
            Place::NetV4(key) => {
                (map::NETS_V4, self.nets_v4.insert(&key, entry, u64::from(BPF_ANY)))
            }
            Place::NetV6(key) => {
                (map::NETS_V6, self.nets_v6.insert(&key, entry, u64::from(BPF_ANY)))
            }
        };
        match result.map_err(io_error) {
            Ok(()) => Ok(Added::New),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(Added::Exists),
            Err(error) if is_full(&error) => {
                Err(BlocklistError::Full { map: name, max: self.max_entries(name)?, target })
            }
            Err(source) => Err(failed("write to", name, source)),
        }
    }

    /// The entry of a target. A trie answers with the prefix around it where it hasn't the target
    /// itself: the caller knows that it has.
    pub(super) fn entry(&self, target: Target) -> Result<Option<Entry>, BlocklistError> {
        let (name, result) = match Place::from(target) {
            Place::V4(key) => (map::BANS_V4, self.bans_v4.get(&key, 0)),
            Place::V6(key) => (map::BANS_V6, self.bans_v6.get(&key, 0)),
            Place::NetV4(key) => (map::NETS_V4, self.nets_v4.get(&key, 0)),
            Place::NetV6(key) => (map::NETS_V6, self.nets_v6.get(&key, 0)),
        };
        present(result.map_err(io_error)).map_err(|source| failed("read", name, source))
    }

    /// Removes a target's entry; whether there was one.
    pub(super) fn remove(&mut self, target: Target) -> Result<bool, BlocklistError> {
        let (name, result) = match Place::from(target) {
            Place::V4(key) => (map::BANS_V4, self.bans_v4.remove(&key)),
            Place::V6(key) => (map::BANS_V6, self.bans_v6.remove(&key)),
            Place::NetV4(key) => (map::NETS_V4, self.nets_v4.remove(&key)),
            Place::NetV6(key) => (map::NETS_V6, self.nets_v6.remove(&key)),
        };
        present(result.map_err(io_error))
            .map(|gone| gone.is_some())
            .map_err(|source| failed("remove from", name, source))
    }

    /// Visits all exact bans.
    pub(super) fn each_exact(
        &self,
        mut visit: impl FnMut(Target, Entry),
    ) -> Result<(), BlocklistError> {
        scan(&self.bans_v4, map::BANS_V4, |key, entry| visit(place::of_v4(key), entry))?;
        scan(&self.bans_v6, map::BANS_V6, |key, entry| visit(place::of_v6(key), entry))
    }

    /// All banned prefixes in the tries.
    pub(super) fn nets(&self) -> Result<Vec<(IpNet, Entry)>, BlocklistError> {
        let mut nets = Vec::new();
        for item in &self.nets_v4 {
            let (key, entry): (NetV4, Entry) =
                item.map_err(|error| failed("list", map::NETS_V4, io_error(error)))?;
            nets.extend(place::of_net_v4(key).map(|net| (net, entry)));
        }
        for item in &self.nets_v6 {
            let (key, entry): (NetV6, Entry) =
                item.map_err(|error| failed("list", map::NETS_V6, io_error(error)))?;
            nets.extend(place::of_net_v6(key).map(|net| (net, entry)));
        }
        Ok(nets)
    }

    /// All allowed prefixes in the tries.
    pub(super) fn allowed(&self) -> Result<Vec<IpNet>, BlocklistError> {
        let mut nets = Vec::new();
        for key in self.allow_v4.keys() {
            let key = key.map_err(|error| failed("list", map::ALLOW_V4, io_error(error)))?;
            nets.extend(place::prefix_v4(key.prefix_len(), key.data()));
        }
        for key in self.allow_v6.keys() {
            let key = key.map_err(|error| failed("list", map::ALLOW_V6, io_error(error)))?;
            nets.extend(place::of_net_v6(key));
        }
        Ok(nets)
    }

    /// Adds a prefix to the allow list.
    pub(super) fn allow(&mut self, net: IpNet) -> Result<(), BlocklistError> {
        let (name, result) = match net {
            IpNet::V4(v4) => (map::ALLOW_V4, {
                let key = Key::new(v4.prefix_len().into(), v4.network().octets());
                self.allow_v4.insert(&key, 1, u64::from(BPF_ANY))
            }),
            IpNet::V6(v6) => (map::ALLOW_V6, {
                let key = Key::new(v6.prefix_len().into(), v6.network().octets());
                self.allow_v6.insert(&key, 1, u64::from(BPF_ANY))
            }),
        };
        match result.map_err(io_error) {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => {
                Err(BlocklistError::AllowFull { map: name, max: self.max_entries(name)?, net })
            }
            Err(source) => Err(failed("write to", name, source)),
        }
    }

    /// Takes a prefix off the allow list.
    pub(super) fn disallow(&mut self, net: IpNet) -> Result<(), BlocklistError> {
        let (name, result) = match net {
            IpNet::V4(v4) => (map::ALLOW_V4, {
                let key = Key::new(v4.prefix_len().into(), v4.network().octets());
                self.allow_v4.remove(&key)
            }),
            IpNet::V6(v6) => (map::ALLOW_V6, {
                let key = Key::new(v6.prefix_len().into(), v6.network().octets());
                self.allow_v6.remove(&key)
            }),
        };
        present(result.map_err(io_error))
            .map(drop)
            .map_err(|source| failed("remove from", name, source))
    }

    /// What an entry bans until when.
    pub(super) fn extent(&self, entry: &Entry) -> Extent {
        Extent::of_entry(entry, self.scopes.ports(entry.scope).cloned())
    }

    /// The scope for what `extent` bans, its set of ports written before an entry can refer to it.
    pub(super) fn scope(&mut self, extent: &Extent) -> Result<u16, BlocklistError> {
        if let Some(scope) = self.scopes.index(extent)? {
            return Ok(scope);
        }
        let mut used = [false; SCOPES as usize];
        let mut mark = |entry: &Entry| {
            if let Some(used) = used.get_mut(usize::from(entry.scope)) {
                *used = true;
            }
        };
        self.each_exact(|_, entry| mark(&entry))?;
        self.nets()?.iter().for_each(|(_, entry)| mark(entry));
        self.scopes.keep(&used);
        if let Some(scope) = self.scopes.index(extent)? {
            return Ok(scope);
        }
        tracing::warn!(
            max = SCOPES - 2,
            "No room for another set of ports: a ban of ports bans all of 1-65535. Give rules and bans by \
             hand fewer different `ports`."
        );
        let any = Extent::of(Some(&Ports::any()), Expiry::Permanent);
        Ok(self.scopes.index(&any)?.unwrap_or(1))
    }

    pub(super) fn settings(&self) -> Result<Settings, BlocklistError> {
        self.settings.get(&0, 0).map_err(|error| failed("read", map::SETTINGS, io_error(error)))
    }

    pub(super) fn set_settings(&mut self, settings: Settings) -> Result<(), BlocklistError> {
        self.settings
            .set(0, settings, 0)
            .map_err(|error| failed("write to", map::SETTINGS, io_error(error)))
    }

    pub(super) fn counters(&self) -> Result<Counters, BlocklistError> {
        let mut counters = Counters::default();
        for (reason, _) in Reason::ALL {
            let by_cpu = self
                .counters
                .get(&(reason as u32), 0)
                .map_err(|error| failed("read", map::COUNTERS, io_error(error)))?;
            counters.add(reason, by_cpu.iter().sum());
        }
        Ok(counters)
    }

    /// How many entries a map has room for.
    pub(super) fn max_entries(&self, name: &'static str) -> Result<u32, BlocklistError> {
        use aya::maps::IterableMap as _;
        let data = match name {
            map::BANS_V4 => self.bans_v4.map(),
            map::BANS_V6 => self.bans_v6.map(),
            map::NETS_V4 => self.nets_v4.map(),
            map::NETS_V6 => self.nets_v6.map(),
            map::ALLOW_V4 => self.allow_v4.map(),
            _ => self.allow_v6.map(),
        };
        let info = data.info().map_err(|error| failed("look at", name, io_error(error)))?;
        Ok(info.max_entries())
    }

    /// Sets the prefilter's bit of an exact ban that is about to be added; whether it was clear, and
    /// so no such ban there.
    pub(super) fn claim(&self, place: Place) -> bool {
        let bit = match place {
            Place::V4(key) => Bit::of_v4(key),
            Place::V6(key) => Bit::of_v6(key),
            Place::NetV4(_) | Place::NetV6(_) => return false,
        };
        let words = self.prefilter.words();
        let word = usize::try_from(bit.word).ok().and_then(|index| words.get(index));
        // The insert that follows is a system call: no CPU sees it before this.
        word.is_some_and(|word| word.fetch_or(bit.mask, Ordering::SeqCst) & bit.mask == 0)
    }
}

/// The ring buffer of drops, out of the same source as the other maps.
pub(super) fn events(
    mut take: impl FnMut(&'static str) -> Result<Map, BlocklistError>,
) -> Result<RingBuf<MapData>, BlocklistError> {
    typed(map::EVENTS, &mut take)
}

/// Refuses what is pinned in another shape than this program's maps have. What isn't pinned is fine.
///
/// aya 0.14 opens a pinned map unseen and goes by its own idea of it.
pub(super) fn check_pinned(pins: &Pins) -> Result<(), BlocklistError> {
    let object = Object::parse(OBJECT).map_err(|error| BlocklistError::Object {
        what: format!("a form that can be read ({error})"),
    })?;
    for name in map::PINNED {
        let expected = object.maps.get(name).ok_or_else(|| lacking(name))?;
        let path = pins.map(name);
        if !path.try_exists().is_ok_and(|there| there) {
            continue;
        }
        let info = MapData::from_pin(&path).and_then(|data| data.info()).map_err(|error| {
            BlocklistError::Pin { action: "open map", path: path.clone(), source: io_error(error) }
        })?;
        let kind = info.map_type().map_or(u32::MAX, |kind| kind as u32);
        let ring = expected.map_type() == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        let mut facts = vec![
            ("type", kind, expected.map_type()),
            ("flags", info.map_flags(), expected.map_flags()),
        ];
        if !ring {
            facts.push(("key size", info.key_size(), expected.key_size()));
            facts.push(("value size", info.value_size(), expected.value_size()));
        }
        if !SIZED.contains(&name) {
            facts.push(("max_entries", info.max_entries(), expected.max_entries()));
        }
        if let Some((property, found, expected)) =
            facts.into_iter().find(|(_, found, expected)| found != expected)
        {
            return Err(wrong_shape(&path, property, found, expected));
        }
    }
    Ok(())
}

pub(super) fn wrong_shape(
    path: &Path,
    property: &'static str,
    found: u32,
    expected: u32,
) -> BlocklistError {
    BlocklistError::WrongShape {
        path: path.to_owned(),
        property,
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

fn typed<M: TryFrom<Map, Error = MapError>>(
    name: &'static str,
    take: &mut impl FnMut(&'static str) -> Result<Map, BlocklistError>,
) -> Result<M, BlocklistError> {
    take(name)?.try_into().map_err(|error: MapError| BlocklistError::Object {
        what: format!("map `{name}` as expected ({error})"),
    })
}

pub(super) fn scan<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    name: &'static str,
    mut visit: impl FnMut(K, V),
) -> Result<(), BlocklistError> {
    let mut scan = Scan::of(map);
    while let Some(batch) = scan.next().map_err(|source| failed("list", name, source))? {
        batch.for_each(|(key, value)| visit(key, value));
    }
    Ok(())
}

fn lacking(name: &str) -> BlocklistError {
    BlocklistError::Object { what: format!("map `{name}`") }
}

pub(super) fn failed(action: &'static str, map: &'static str, source: io::Error) -> BlocklistError {
    BlocklistError::Map { action, map, source }
}

/// A hash says E2BIG, a trie ENOSPC.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC))
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel said, out of aya's ways to say it.
pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        MapError::KeyNotFound | MapError::ElementNotFound => io::ErrorKind::NotFound.into(),
        other => io::Error::other(other),
    }
}

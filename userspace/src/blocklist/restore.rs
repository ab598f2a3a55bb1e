//! Bans by the million: from the database into the kernel, as at start.

use ravelin_common::{Entry, map};

use super::place::{self, Place};
use super::{Blocklist, BlocklistError, Expiry, Extent, Inserted, maps, sys};
use crate::event::{Ports, Target};
use crate::seeded::HashMap;

/// Entries that go into the kernel by one call: a millisecond, so that it never holds up anything.
const BATCH: usize = 1_000;
/// Expiries of the database and of an adopted entry that are this close are the same one, converted
/// at two moments.
const SAME_NS: u64 = 1_000_000_000;

/// A ban that should stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Of whom.
    pub target: Target,
    /// Of which ports; `None`: every one.
    pub ports: Option<Ports>,
    /// Until when.
    pub expires: Expiry,
}

impl From<(Target, Expiry)> for Wanted {
    /// Of every port.
    fn from((target, expires): (Target, Expiry)) -> Self {
        Self { target, ports: None, expires }
    }
}

/// What [`Blocklist::restore`] did.
#[derive(Debug, Default)]
pub struct Restored {
    /// Bans that weren't in the kernel.
    pub added: usize,
    /// Bans that were and got another expiry.
    pub renewed: usize,
    /// Bans that were as they should be.
    pub unchanged: usize,
    /// Bans that aren't in the kernel now, each with why.
    pub refused: Vec<(Target, BlocklistError)>,
}

impl Blocklist {
    /// Bans all of these as [`ban`](Self::ban) would, as at start: by the batch, enforced as they
    /// go. What is in the kernel already and lapses within a second of what is wanted stays as it is.
    ///
    /// # Errors
    /// Where a map can't be read or written at all. What is refused singly (full, allowed) is in the
    /// result.
    pub fn restore(
        &mut self,
        bans: impl IntoIterator<Item = impl Into<Wanted>>,
    ) -> Result<Restored, BlocklistError> {
        let mut known: HashMap<Target, Expiry> = HashMap::default();
        known.reserve(self.len());
        if self.exact > 0 {
            self.maps.each_exact(|target, entry| {
                known.insert(target, Expiry::from_ns(entry.expires_ns));
            })?;
        }
        known.extend(
            self.nets
                .iter()
                .filter_map(|(net, known)| Some((Target::from(net), known.wanted.every?))),
        );

        let mut restored = Restored::default();
        let mut batches = Batches::default();
        let mut nets = Vec::new();
        for wanted in bans {
            let wanted = wanted.into();
            if matches!(Place::from(wanted.target), Place::NetV4(_) | Place::NetV6(_)) {
                nets.push(wanted);
                continue;
            }
            let Wanted { target, ports, expires } = wanted;
            if !self.is_missing(&known, target, ports.as_ref(), expires, &mut restored)? {
                continue;
            }
            // A bit that is clear says that the target is neither in the map nor on its way there.
            let place = Place::from(target);
            match place {
                Place::V4(key) if self.maps.claim(place) => {
                    batches
                        .v4
                        .push(key, self.fresh_entry(target, &Extent::of(ports.as_ref(), expires))?);
                }
                Place::V6(key) if self.maps.claim(place) => {
                    batches
                        .v6
                        .push(key, self.fresh_entry(target, &Extent::of(ports.as_ref(), expires))?);
                }
                _ => {
                    self.flush(&mut batches, &mut restored)?;
                    self.restore_one(target, ports.as_ref(), expires, &mut restored);
                }
            }
            if batches.v4.keys.len() >= BATCH || batches.v6.keys.len() >= BATCH {
                self.flush(&mut batches, &mut restored)?;
            }
        }
        self.flush(&mut batches, &mut restored)?;
        // The outer before the inner: what is nested then gets at once what those around it ask for, and
        // nothing that is there already has to be raised.
        nets.sort_by_key(|wanted| wanted.target.net().prefix_len());
        for Wanted { target, ports, expires } in nets {
            if self.is_missing(&known, target, ports.as_ref(), expires, &mut restored)? {
                self.restore_one(target, ports.as_ref(), expires, &mut restored);
            }
        }
        Ok(restored)
    }

    /// Whether a ban is to be made; if not, it is accounted for.
    fn is_missing(
        &self,
        known: &HashMap<Target, Expiry>,
        target: Target,
        ports: Option<&Ports>,
        expires: Expiry,
        restored: &mut Restored,
    ) -> Result<bool, BlocklistError> {
        if let Err(error) = self.allow.refuse(target) {
            restored.refused.push((target, error));
            return Ok(false);
        }
        let is_there = match ports {
            None => known.get(&target).is_some_and(|there| same(*there, expires)),
            Some(ports) => self.has(target, ports, expires)?,
        };
        restored.unchanged += usize::from(is_there);
        Ok(!is_there)
    }

    fn restore_one(
        &mut self,
        target: Target,
        ports: Option<&Ports>,
        expires: Expiry,
        restored: &mut Restored,
    ) {
        match self.ban(target, ports, expires) {
            Ok(Inserted::New) => restored.added += 1,
            Ok(Inserted::Renewed) => restored.renewed += 1,
            Err(error) => restored.refused.push((target, error)),
        }
    }

    /// Whether these ports are banned as long as wanted, by a ban of ports.
    fn has(&self, target: Target, ports: &Ports, expires: Expiry) -> Result<bool, BlocklistError> {
        let extent = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => {
                self.maps.entry(target)?.map(|entry| self.maps.extent(&entry))
            }
            Place::NetV4(_) | Place::NetV6(_) => {
                self.nets.get(target.net()).map(|known| known.wanted.clone())
            }
        };
        let scoped = extent.and_then(|extent| extent.scoped);
        Ok(scoped.is_some_and(|(known, until)| {
            known.covers(ports) && (until >= expires || same(until, expires))
        }))
    }

    /// Sends what has been gathered into the kernel.
    fn flush(
        &mut self,
        batches: &mut Batches,
        restored: &mut Restored,
    ) -> Result<(), BlocklistError> {
        let Batches { v4, v6 } = batches;
        let done_v4 = sys::update_batch(&self.maps.bans_v4, &v4.keys, &v4.entries);
        self.account(v4, done_v4, map::BANS_V4, place::of_v4, restored)?;
        let done_v6 = sys::update_batch(&self.maps.bans_v6, &v6.keys, &v6.entries);
        self.account(v6, done_v6, map::BANS_V6, place::of_v6, restored)
    }

    fn account<K: Copy>(
        &mut self,
        batch: &mut Batch<K>,
        result: Result<(), (usize, std::io::Error)>,
        name: &'static str,
        target: fn(K) -> Target,
        restored: &mut Restored,
    ) -> Result<(), BlocklistError> {
        let done = match result {
            Ok(()) => batch.keys.len(),
            Err((done, error)) if maps::is_full(&error) => {
                let max = self.maps.max_entries(name)?;
                restored.refused.extend(batch.keys[done..].iter().map(|key| {
                    let target = target(*key);
                    (target, BlocklistError::Full { map: name, max, target })
                }));
                done
            }
            Err((_, source)) => return Err(maps::failed("write to", name, source)),
        };
        for (key, entry) in batch.keys.iter().zip(&batch.entries).take(done) {
            self.note_lapse(target(*key), self.maps.extent(entry).last());
        }
        self.exact += done;
        self.exact_v6 += if name == map::BANS_V6 { done } else { 0 };
        restored.added += done;
        batch.keys.clear();
        batch.entries.clear();
        Ok(())
    }
}

/// What is on its way into the exact maps.
#[derive(Default)]
struct Batches {
    v4: Batch<[u8; 4]>,
    v6: Batch<[u8; 8]>,
}

struct Batch<K> {
    keys: Vec<K>,
    entries: Vec<Entry>,
}

impl<K> Batch<K> {
    fn push(&mut self, key: K, entry: Entry) {
        self.keys.push(key);
        self.entries.push(entry);
    }
}

impl<K> Default for Batch<K> {
    fn default() -> Self {
        Self { keys: Vec::with_capacity(BATCH), entries: Vec::with_capacity(BATCH) }
    }
}

fn same(there: Expiry, wanted: Expiry) -> bool {
    match (there, wanted) {
        (Expiry::At(there), Expiry::At(wanted)) => there.abs_diff(wanted) < SAME_NS,
        (Expiry::Permanent, Expiry::Permanent) => true,
        _ => false,
    }
}

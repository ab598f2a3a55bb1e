//! Banning, renewing, lifting, looking up; and what the allow list does to bans.

use std::collections::HashMap;

use ipnet::IpNet;
use ravelin_common::prefilter::Bit;
use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED, map};

use super::maps::{self, Added};
use super::nets::Drift;
use super::place::Place;
use super::{
    AllowOutcome, Blocklist, BlocklistError, Expiry, KernelBan, amend, flags_for, refuse_allowed,
};
use crate::event::Target;

/// Entries that go into the kernel by one call: a tenth of a millisecond, so that it never holds up
/// anything.
const BATCH: usize = 1_000;
/// Expiries of the database and of an adopted entry that are this close are the same one, converted
/// at two moments.
const SAME_NS: u64 = 1_000_000_000;
/// With so many bans gone, the bits they left behind are worth clearing.
const STALE_BITS: usize = 1 << 20;

/// What [`Blocklist::insert`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// The ban is new.
    New,
    /// It was there: its expiry is now this one, earlier or later; its counts go on.
    Renewed,
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
    /// Bans `target` until `expires`, or renews its ban, counts and all.
    ///
    /// # Errors
    /// [`BlocklistError::Full`] where there is no room; [`BlocklistError::Allowed`] where all of the
    /// target is on the allow list; where the kernel refuses.
    pub fn insert(&mut self, target: Target, expires: Expiry) -> Result<Inserted, BlocklistError> {
        refuse_allowed(&self.allow, target)?;
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self.insert_exact(target, expires),
            Place::NetV4(_) | Place::NetV6(_) => self.insert_net(target, expires),
        }
    }

    /// Bans all of these as [`insert`](Self::insert) would, as at start: by the batch, enforced as they
    /// go. What is in the kernel already and lapses within a second of what is wanted stays as it is.
    ///
    /// # Errors
    /// Where a map can't be read or written at all. What is refused singly (full, allowed) is in the
    /// result.
    pub fn restore(
        &mut self,
        bans: impl IntoIterator<Item = (Target, Expiry)>,
    ) -> Result<Restored, BlocklistError> {
        let mut known: HashMap<Target, Expiry> = HashMap::with_capacity(self.len());
        self.maps.each_exact(|target, entry| {
            known.insert(target, Expiry::from_ns(entry.expires_ns));
        })?;
        known.extend(self.nets.iter().map(|(net, net_ban)| (Target::from(net), net_ban.wanted)));

        let mut restored = Restored::default();
        let mut batches = Batches::default();
        for (target, expires) in bans {
            if let Err(error) = refuse_allowed(&self.allow, target) {
                restored.refused.push((target, error));
                continue;
            }
            match known.insert(target, expires) {
                Some(there) if same(there, expires) => restored.unchanged += 1,
                Some(_) => {
                    // It may still be waiting, if it was named twice.
                    self.flush(&mut batches, &mut restored)?;
                    match self.insert(target, expires) {
                        Ok(_) => restored.renewed += 1,
                        Err(error) => restored.refused.push((target, error)),
                    }
                }
                None => {
                    let entry = self.fresh_entry(target, expires);
                    match Place::from(target) {
                        Place::V4(key) => batches.v4.push(key, entry),
                        Place::V6(key) => batches.v6.push(key, entry),
                        Place::NetV4(_) | Place::NetV6(_) => match self.insert_net(target, expires)
                        {
                            Ok(_) => restored.added += 1,
                            Err(error) => restored.refused.push((target, error)),
                        },
                    }
                    if batches.v4.keys.len() >= BATCH || batches.v6.keys.len() >= BATCH {
                        self.flush(&mut batches, &mut restored)?;
                    }
                }
            }
        }
        self.flush(&mut batches, &mut restored)?;
        Ok(restored)
    }

    /// Lifts a ban; what it counted, or `None` where there is none. Prefixes inside it get back the
    /// expiry that was wanted for them.
    ///
    /// # Errors
    /// Where a map can't be written.
    pub fn remove(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self.remove_exact(target),
            Place::NetV4(_) | Place::NetV6(_) => self.remove_net(target),
        }
    }

    /// The ban of exactly this target, lapsed or not.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn entry(&self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let wanted = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => None,
            Place::NetV4(_) | Place::NetV6(_) => match self.nets.get(target.net()) {
                Some(net) => Some(net.wanted),
                None => return Ok(None),
            },
        };
        let entry = self.maps.entry(target)?;
        Ok(entry.map(|entry| {
            let ban = KernelBan::new(target, &entry);
            KernelBan { expires: wanted.unwrap_or(ban.expires), ..ban }
        }))
    }

    /// The ban around `target` that lapses last, itself left out: what goes on dropping it when its own
    /// is lifted.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn around(&self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let mut around = match self.nets.around(target) {
            Some((net, _)) => self.entry(Target::from(net))?,
            None => None,
        };
        if let IpNet::V6(net) = target.net()
            && net.prefix_len() > 64
        {
            let network = Target::of_offender(net.addr().into(), 64);
            let exact = self.entry(network)?;
            around = around.into_iter().chain(exact).max_by_key(|ban| ban.expires);
        }
        Ok(around)
    }

    /// Visits all bans, lapsed ones that haven't been swept among them; addresses first, in no order.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn each(&self, mut visit: impl FnMut(KernelBan)) -> Result<(), BlocklistError> {
        self.maps.each_exact(|target, entry| visit(KernelBan::new(target, &entry)))?;
        for (net, _) in self.nets.iter() {
            if let Some(ban) = self.entry(Target::from(net))? {
                visit(ban);
            }
        }
        Ok(())
    }

    /// All bans: see [`each`](Self::each).
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn entries(&self) -> Result<Vec<KernelBan>, BlocklistError> {
        let mut bans = Vec::with_capacity(self.len());
        self.each(|ban| bans.push(ban))?;
        Ok(bans)
    }

    /// Makes these prefixes the allow list, and no others. Bans inside it are removed; bans that hold a
    /// part of it go on, and pass that part.
    ///
    /// # Errors
    /// [`BlocklistError::AllowFull`] where they are too many; where a map can't be written. What has
    /// been allowed by then stays allowed.
    pub fn set_allowed(&mut self, nets: &[IpNet]) -> Result<AllowOutcome, BlocklistError> {
        let difference = self.allow.difference(nets);
        // First the list, then the flags that have the program ask it.
        for net in &difference.add {
            self.maps.allow(*net)?;
            self.allow.note_added(*net);
        }
        for net in &difference.remove {
            self.maps.disallow(*net)?;
            self.allow.note_removed(*net);
        }
        let mut outcome = AllowOutcome::default();
        for target in self.touched(&difference.add, &difference.remove)? {
            if self.allow.covering(target).is_some() {
                outcome.removed.extend(self.remove(target)?);
            } else {
                outcome.flagged += usize::from(self.set_flags(target)?);
            }
        }
        Ok(outcome)
    }

    /// Bans that a change of these allowed prefixes may concern.
    fn touched(&self, added: &[IpNet], removed: &[IpNet]) -> Result<Vec<Target>, BlocklistError> {
        let mut touched: Vec<Target> = Vec::new();
        let mut wide = false;
        for net in added.iter().chain(removed) {
            let target = Target::from(*net);
            // Inside one exact ban, or one itself: that one. Wider: any of many.
            match net {
                IpNet::V4(v4) if v4.prefix_len() == 32 => touched.push(target),
                IpNet::V6(v6) if v6.prefix_len() >= 64 => {
                    touched.push(Target::of_offender(v6.addr().into(), 64));
                }
                _ => wide = true,
            }
        }
        if wide {
            // What is taken off the list only un-flags, and no wide prefix lies in an exact ban.
            let wide: Vec<Target> = added.iter().map(|net| Target::from(*net)).collect();
            self.maps.each_exact(|target, _| {
                if wide.iter().any(|net| net.covers(target)) {
                    touched.push(target);
                }
            })?;
        }
        touched.extend(
            self.nets
                .iter()
                .map(|(net, _)| net)
                .filter(|net| {
                    let mut changed = added.iter().chain(removed);
                    changed.any(|change| change.contains(net) || net.contains(change))
                })
                .map(Target::from),
        );
        touched.sort_unstable();
        touched.dedup();
        Ok(touched)
    }

    /// Brings the flags of a ban, if there is one, in line with the allow list; whether an allowed
    /// prefix is new in it.
    fn set_flags(&mut self, target: Target) -> Result<bool, BlocklistError> {
        let known = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => self
                .maps
                .entry(target)?
                .map(|entry| (Expiry::from_ns(entry.expires_ns), entry.flags)),
            Place::NetV4(_) | Place::NetV6(_) => self
                .nets
                .get(target.net())
                .and_then(|net| net.kernel.map(|expires| (expires, net.flags))),
        };
        let Some((expires, before)) = known else { return Ok(false) };
        let flags = flags_for(&self.allow, target);
        if flags == before {
            return Ok(false);
        }
        let there = amend::amend(&mut self.ebpf, target, expires, flags)?;
        self.nets.written(target.net(), expires, flags);
        Ok(there && flags & FLAG_HOLDS_ALLOWED != 0)
    }

    fn fresh_entry(&self, target: Target, expires: Expiry) -> Entry {
        Entry {
            expires_ns: expires.as_ns(),
            flags: flags_for(&self.allow, target),
            ..Entry::default()
        }
    }

    fn insert_exact(
        &mut self,
        target: Target,
        expires: Expiry,
    ) -> Result<Inserted, BlocklistError> {
        let entry = self.fresh_entry(target, expires);
        loop {
            match self.maps.add(target, entry)? {
                Added::New => {
                    self.exact += 1;
                    self.note_lapse(target, expires);
                    return Ok(Inserted::New);
                }
                Added::Exists => {
                    let before = self.maps.entry(target)?.map(|entry| entry.expires_ns);
                    // Gone between the two calls: somebody lifted it by the pinned maps.
                    if !amend::amend(&mut self.ebpf, target, expires, entry.flags)? {
                        continue;
                    }
                    // A later lapse is found out when the earlier one comes.
                    if before.is_none_or(|before| expires < Expiry::from_ns(before)) {
                        self.note_lapse(target, expires);
                    }
                    return Ok(Inserted::Renewed);
                }
            }
        }
    }

    fn remove_exact(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        let Some(before) = self.maps.entry(target)? else { return Ok(None) };
        // Lapsed first, so that what is read next is what it counted in the end.
        if !amend::amend(&mut self.ebpf, target, Expiry::At(0), before.flags)? {
            return Ok(None);
        }
        let last = self.maps.entry(target)?.unwrap_or(before);
        if !self.maps.remove(target)? {
            return Ok(None);
        }
        self.note_gone();
        Ok(Some(KernelBan::new(target, &Entry { expires_ns: before.expires_ns, ..last })))
    }

    fn insert_net(&mut self, target: Target, expires: Expiry) -> Result<Inserted, BlocklistError> {
        let net = target.net();
        let flags = flags_for(&self.allow, target);
        let before = self.nets.get(net).map(|known| known.wanted);
        let new = self.nets.want(net, expires, flags);
        self.settle(net)?;
        if self.nets.get(net).is_none() {
            // Somebody lifted it by the pinned maps, and `settle` found out.
            return self.insert_net(target, expires);
        }
        if new {
            self.write_families()?;
            let effective = self.nets.effective(net).unwrap_or(expires);
            let entry =
                Entry { expires_ns: effective.as_ns(), ..self.fresh_entry(target, expires) };
            if let Err(error) = self.maps.add(target, entry) {
                self.nets.forget(net);
                self.settle(net)?;
                self.write_families()?;
                return Err(error);
            }
            self.nets.written(net, effective, flags);
        }
        if before.is_none_or(|before| expires < before) {
            self.lapses_nets.note(target, expires);
        }
        Ok(if new { Inserted::New } else { Inserted::Renewed })
    }

    pub(super) fn remove_net(
        &mut self,
        target: Target,
    ) -> Result<Option<KernelBan>, BlocklistError> {
        let net = target.net();
        let Some(known) = self.nets.get(net) else { return Ok(None) };
        // With no ban around it, it can stop before its counts are read. With one, that would be a
        // hole in it; a packet that is counted in the microsecond between is in the counters only.
        if self.nets.around(target).is_none() {
            amend::amend(&mut self.ebpf, target, Expiry::At(0), known.flags)?;
        }
        let entry = self.maps.entry(target)?;
        let there = self.maps.remove(target)?;
        self.nets.forget(net);
        self.settle(net)?;
        self.write_families()?;
        Ok(entry
            .filter(|_| there)
            .map(|entry| KernelBan { expires: known.wanted, ..KernelBan::new(target, &entry) }))
    }

    /// Writes to the tries what they should have of `root` and everything in it.
    pub(super) fn settle(&mut self, root: IpNet) -> Result<(), BlocklistError> {
        let Drift { raise, lower } = self.nets.drift(root);
        for (net, expires) in raise.into_iter().chain(lower) {
            let flags = self.nets.get(net).map_or(0, |known| known.flags);
            if amend::amend(&mut self.ebpf, Target::from(net), expires, flags)? {
                self.nets.written(net, expires, flags);
            } else {
                self.nets.forget(net);
            }
        }
        Ok(())
    }

    pub(super) fn note_lapse(&mut self, target: Target, expires: Expiry) {
        match Place::from(target) {
            Place::V4(key) => self.lapses_v4.note(key, expires),
            Place::V6(key) => self.lapses_v6.note(key, expires),
            Place::NetV4(_) | Place::NetV6(_) => self.lapses_nets.note(target, expires),
        }
    }

    pub(super) const fn note_gone(&mut self) {
        self.exact = self.exact.saturating_sub(1);
        self.gone += 1;
    }

    /// Learns what the exact maps hold, and makes the prefilter anew from it.
    pub(super) fn take_stock_of_exact(&mut self) -> Result<(), BlocklistError> {
        let mut words = vec![0_u64; self.maps.prefilter.words().len()];
        let (mut exact, lapses_v4, lapses_v6) = (0, &mut self.lapses_v4, &mut self.lapses_v6);
        lapses_v4.clear();
        lapses_v6.clear();
        self.maps.each_exact(|target, entry| {
            exact += 1;
            let expires = Expiry::from_ns(entry.expires_ns);
            let bit = match Place::from(target) {
                Place::V4(key) => {
                    lapses_v4.note(key, expires);
                    Bit::of_v4(key)
                }
                Place::V6(key) => {
                    lapses_v6.note(key, expires);
                    Bit::of_v6(key)
                }
                Place::NetV4(_) | Place::NetV6(_) => return,
            };
            if let Some(word) = usize::try_from(bit.word).ok().and_then(|at| words.get_mut(at)) {
                *word |= bit.mask;
            }
        })?;
        self.exact = exact;
        self.gone = 0;
        // Nobody inserts meanwhile, so no word loses a bit that is needed.
        for (word, fresh) in self.maps.prefilter.words().iter().zip(words) {
            word.store(fresh, std::sync::atomic::Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether so many bans have gone that stock is worth taking anew.
    pub(super) fn is_stale(&self) -> bool {
        let noted = self.lapses_v4.len() + self.lapses_v6.len();
        self.gone > STALE_BITS || noted > 2 * self.exact + STALE_BITS
    }

    /// Sends what has been gathered into the kernel.
    fn flush(
        &mut self,
        batches: &mut Batches,
        restored: &mut Restored,
    ) -> Result<(), BlocklistError> {
        let Batches { v4, v6 } = batches;
        let done_v4 = self.maps.add_batch_v4(&v4.keys, &v4.entries);
        self.account(v4, done_v4, map::BANS_V4, super::place::of_v4, restored)?;
        let done_v6 = self.maps.add_batch_v6(&v6.keys, &v6.entries);
        self.account(v6, done_v6, map::BANS_V6, super::place::of_v6, restored)
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
            self.note_lapse(target(*key), Expiry::from_ns(entry.expires_ns));
        }
        self.exact += done;
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

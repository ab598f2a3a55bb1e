//! What can be done about bans while the daemon is dead: the pinned maps, no program.

use std::path::Path;

use super::maps::Maps;
use super::pins::Pins;
use super::place::Place;
use super::probation::{OBSERVED, PANIC, Probation};
use super::{BlocklistError, Clock, Counters, KernelBan};
use crate::event::Target;

/// The pinned maps of a daemon that isn't there.
///
/// Not for use beside a living daemon, which keeps account of the maps.
pub struct Pinned {
    pins: Pins,
    pub(super) maps: Maps,
}

impl Pinned {
    /// Opens what is pinned under `bpf_dir`, after a check of its shape.
    ///
    /// # Errors
    /// [`BlocklistError::NothingPinned`] where nothing is; where something of another layout or shape is.
    pub fn open(bpf_dir: &Path) -> Result<Self, BlocklistError> {
        let pins = Pins::existing(bpf_dir)?;
        let maps = Maps::pinned(&pins)?;
        Ok(Self { pins, maps })
    }

    /// All bans, lapsed ones that nobody has swept among them. The expiry of a prefix is the kernel's:
    /// that of a wider ban around it, where that is later.
    ///
    /// # Errors
    /// Where a map can't be read.
    pub fn entries(&self) -> Result<Vec<KernelBan>, BlocklistError> {
        let mut bans = Vec::new();
        self.maps.each_exact(|target, entry| {
            bans.push(KernelBan::new(target, &entry, self.maps.extent(&entry)));
        })?;
        for (net, entry) in self.maps.nets()? {
            let extent = self.maps.extent(&entry);
            bans.push(KernelBan::new(Target::from(net), &entry, extent));
        }
        Ok(bans)
    }

    /// Packets by what became of them.
    ///
    /// # Errors
    /// Where the map can't be read.
    pub fn counters(&self) -> Result<Counters, BlocklistError> {
        self.maps.counters()
    }

    /// Lifts a ban; what it counted.
    ///
    /// Prefixes inside it keep the expiry that it forced on them until the daemon is back.
    ///
    /// # Errors
    /// Where a map can't be written.
    pub fn remove(&mut self, target: Target) -> Result<Option<KernelBan>, BlocklistError> {
        // A trie answers with the prefix around the target where it hasn't the target itself.
        let known = match Place::from(target) {
            Place::V4(_) | Place::V6(_) => true,
            Place::NetV4(_) | Place::NetV6(_) => {
                self.maps.nets()?.iter().any(|(net, _)| *net == target.net())
            }
        };
        let entry = if known { self.maps.entry(target)? } else { None };
        match entry {
            Some(entry) if self.maps.remove(target)? => {
                Ok(Some(KernelBan::new(target, &entry, self.maps.extent(&entry))))
            }
            _ => Ok(None),
        }
    }

    /// Lifts all bans; how many there were.
    ///
    /// # Errors
    /// Where a map can't be written.
    pub fn remove_all(&mut self) -> Result<u64, BlocklistError> {
        let mut removed = 0;
        for ban in self.entries()? {
            removed += u64::from(self.maps.remove(ban.target)?);
        }
        let mut settings = self.maps.settings()?;
        settings.nets_v4 = 0;
        settings.nets_v6 = 0;
        self.maps.set_settings(settings)?;
        Ok(removed)
    }

    /// Has the program pass everything, or enforce again.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn set_off(&mut self, off: bool) -> Result<(), BlocklistError> {
        let mut settings = self.maps.settings()?;
        let waits = Probation::of(settings.off, Clock::read().monotonic_ns());
        settings.off = match (off, waits) {
            (false, _) => 0,
            // Nothing is enforced that could be confirmed.
            (true, Probation::Until(_)) => OBSERVED,
            // A panic and what nobody confirmed are for a person to end: see `set_panic`.
            (true, Probation::Over | Probation::Failed) => settings.off.max(OBSERVED),
        };
        self.maps.set_settings(settings)
    }

    /// As [`set_off`](Self::set_off), by a person: a daemon that starts then leaves it so. Also beside a
    /// living daemon, which has to be told all the same.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub fn set_panic(&mut self, panic: bool) -> Result<(), BlocklistError> {
        let mut settings = self.maps.settings()?;
        settings.off = if panic { PANIC } else { 0 };
        self.maps.set_settings(settings)
    }

    /// Whether it passes everything because of a panic.
    ///
    /// # Errors
    /// Where the map can't be read.
    pub fn is_panic(&self) -> Result<bool, BlocklistError> {
        Ok(self.maps.settings()?.off == PANIC)
    }

    /// Takes the program off all interfaces; which. The maps stay.
    ///
    /// # Errors
    /// Where a pin can't be removed.
    pub fn detach(&mut self) -> Result<Vec<String>, BlocklistError> {
        self.pins.detach_all()
    }
}

/// Removes all link pins under `bpf_dir`, whatever is the matter with the maps; which interfaces.
///
/// # Errors
/// Where a pin can't be removed.
pub fn detach(bpf_dir: &Path) -> Result<Vec<String>, BlocklistError> {
    Pins::at(bpf_dir).detach_all()
}

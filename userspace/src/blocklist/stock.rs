//! Learning what the maps hold: at the start, and when so much has gone that it is worth the trouble.

use std::sync::atomic::Ordering;

use ravelin_common::Settings;
use ravelin_common::prefilter::Bit;

use super::place::Place;
use super::{Blocklist, BlocklistError};
use crate::event::Target;

/// With so many bans gone, the bits they left behind are worth clearing.
const STALE_BITS: usize = 1 << 20;

impl Blocklist {
    /// Learns what the maps hold, before the program of this process sees a packet.
    pub(super) fn take_stock(&mut self) -> Result<(), BlocklistError> {
        for net in self.maps.allowed()? {
            self.allow.note_added(net);
        }
        for (net, entry) in self.maps.nets()? {
            let extent = self.maps.extent(&entry);
            for expires in extent.lapses() {
                self.lapses_nets.note(Target::from(net), expires);
            }
            self.nets.adopt(net, extent, entry.flags);
        }
        self.take_stock_of_exact()?;
        // Also where the tries are as they were: the other settings may be new.
        self.settings = self.with_families();
        self.maps.set_settings(self.settings)
    }

    /// Says in the settings which tries are in use.
    pub(super) fn write_families(&mut self) -> Result<(), BlocklistError> {
        let settings = self.with_families();
        if settings != self.settings {
            self.maps.set_settings(settings)?;
            self.settings = settings;
        }
        Ok(())
    }

    fn with_families(&self) -> Settings {
        let (v4, v6) = self.nets.families();
        Settings { nets_v4: u32::from(v4), nets_v6: u32::from(v6), ..self.settings }
    }

    /// Learns what the exact maps hold, and makes the prefilter anew from it.
    pub(super) fn take_stock_of_exact(&mut self) -> Result<(), BlocklistError> {
        let mut words = vec![0_u64; self.maps.prefilter.words().len()];
        let (mut exact, mut exact_v6) = (0, 0);
        let (lapses_v4, lapses_v6) = (&mut self.lapses_v4, &mut self.lapses_v6);
        lapses_v4.clear();
        lapses_v6.clear();
        self.maps.each_exact(|target, entry| {
            exact += 1;
            let expires = self.maps.extent(&entry).last();
            let bit = match Place::from(target) {
                Place::V4(key) => {
                    lapses_v4.note(key, expires);
                    Bit::of_v4(key)
                }
                Place::V6(key) => {
                    exact_v6 += 1;
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
        self.exact_v6 = exact_v6;
        self.gone = 0;
        // Nobody inserts meanwhile, so no word loses a bit that is needed.
        for (word, fresh) in self.maps.prefilter.words().iter().zip(words) {
            word.store(fresh, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether so many bans have gone that stock is worth taking anew.
    pub(super) fn is_stale(&self) -> bool {
        let noted = self.lapses_v4.len() + self.lapses_v6.len();
        self.gone > STALE_BITS || noted > 2 * self.exact + STALE_BITS
    }
}

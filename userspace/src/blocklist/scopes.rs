//! The port sets in the kernel: which index is which set, and finding room for another.

use std::collections::HashMap;

use aya::maps::{Array, MapData};
use ravelin_common::map;
use ravelin_common::scope::{self, PortRange, Scope};

use super::maps::{failed, io_error};
use super::{BlocklistError, Extent};
use crate::event::Ports;

/// The sets by index, and the map that has them.
///
/// They come from rules and people, not from attackers; but sets of several rules that one offender
/// broke are joined, so that there can be more than anybody wrote down. Where there is no more room,
/// [`Ports::any`] stands for a set: it always has a place.
pub(super) struct Scopes {
    map: Array<MapData, Scope>,
    by_index: Vec<Option<Ports>>,
    index_of: HashMap<Ports, u16>,
}

impl Scopes {
    /// What a map holds.
    pub(super) fn read(map: Array<MapData, Scope>) -> Result<Self, BlocklistError> {
        let mut scopes = Self { map, by_index: Vec::new(), index_of: HashMap::new() };
        scopes.by_index.push(None);
        for index in 1..scope::SCOPES {
            let scope = scopes
                .map
                .get(&index, 0)
                .map_err(|error| failed("read", map::SCOPES, io_error(error)))?;
            let ports = ports_of(&scope);
            if let (Some(ports), Ok(index)) = (&ports, u16::try_from(index)) {
                scopes.index_of.entry(ports.clone()).or_insert(index);
            }
            scopes.by_index.push(ports);
        }
        Ok(scopes)
    }

    /// The ports of an entry's scope; `None` for 0, and for an index without a set.
    pub(super) fn ports(&self, scope: u16) -> Option<&Ports> {
        self.by_index.get(usize::from(scope))?.as_ref()
    }

    /// The index of the ports of an extent, 0 where it has none; `None` where there is no room for
    /// another set.
    pub(super) fn index(&mut self, extent: &Extent) -> Result<Option<u16>, BlocklistError> {
        let Some((ports, _)) = &extent.scoped else { return Ok(Some(0)) };
        if let Some(index) = self.index_of.get(ports) {
            return Ok(Some(*index));
        }
        // The last place is for the set that stands for all others.
        let reserved =
            usize::from(*ports != Ports::any() && !self.index_of.contains_key(&Ports::any()));
        let mut free = self.by_index.iter().enumerate().skip(1 + reserved);
        let Some(index) = free.find(|(_, ports)| ports.is_none()).map(|(index, _)| index) else {
            return Ok(None);
        };
        let index = u16::try_from(index).unwrap_or(0);
        self.map
            .set(index.into(), scope_of(ports), 0)
            .map_err(|error| failed("write to", map::SCOPES, io_error(error)))?;
        self.by_index[usize::from(index)] = Some(ports.clone());
        self.index_of.insert(ports.clone(), index);
        Ok(Some(index))
    }

    /// Forgets the sets that are in no entry; `used` says by index which are.
    pub(super) fn keep(&mut self, used: &[bool]) {
        let any = Ports::any();
        for (index, known) in self.by_index.iter_mut().enumerate() {
            let is_used = used.get(index).copied().unwrap_or(false);
            if let Some(ports) = known.take_if(|ports| !is_used && *ports != any) {
                self.index_of.remove(&ports);
            }
        }
    }
}

fn scope_of(ports: &Ports) -> Scope {
    let mut scope = Scope::default();
    for (range, (first, last)) in scope.ranges.iter_mut().zip(ports.ranges()) {
        *range = PortRange { first: *first, last: *last };
    }
    scope
}

fn ports_of(scope: &Scope) -> Option<Ports> {
    let used = scope.ranges.iter().take_while(|range| range.last != 0);
    Ports::of_ranges(used.map(|range| (range.first, range.last))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_from_the_map_as_they_were() {
        for text in ["25", "25,465,8000-8010", "1-65535"] {
            let ports: Ports = text.parse().unwrap();
            assert_eq!(ports_of(&scope_of(&ports)), Some(ports));
        }
        assert_eq!(ports_of(&Scope::default()), None);
    }
}

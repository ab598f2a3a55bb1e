//! The XDP object for another loader: its maps are to be pinned by name, so that we can feed them.
//!
//! How a BTF-defined map says so is libbpf's: a member `pinning` of the map's struct, that is a pointer to
//! an array of as many elements as the value is (`LIBBPF_PIN_BY_NAME`: 1), see `tools/lib/bpf/libbpf.c`,
//! `parse_btf_map_def`. The object in this binary doesn't: whoever loads it for a measurement or a test
//! wants maps of its own. So the BTF that goes out has, appended to the same types, a copy of each pinned
//! map's struct with that member; the new BTF is appended to the file. Nothing else is moved.

use std::collections::HashMap;

use ravelin_common::map;

use super::BlocklistError;
use super::maps::{OBJECT, SIZED};

/// Kinds of types in BTF (btf.h).
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const VAR: u32 = 14;

/// The XDP object, for xdp-loader and others that go by libbpf's rules: with its maps pinned by name, the
/// maps of addresses with room for `max` each (`ban.max`).
///
/// # Errors
/// Where the object inside this binary isn't of a form that we know.
pub fn for_loaders(max: u32) -> Result<Vec<u8>, BlocklistError> {
    pinned_by_name(OBJECT, max)
        .ok_or_else(|| BlocklistError::Object { what: "BTF in the form that is known".to_owned() })
}

fn pinned_by_name(object: &[u8], max: u32) -> Option<Vec<u8>> {
    let header = btf_section(object)?;
    let start = usize::try_from(u64_at(object, header + 24)?).ok()?;
    let size = usize::try_from(u64_at(object, header + 32)?).ok()?;
    let mut btf = Btf::parse(object.get(start..start.checked_add(size)?)?)?;
    let pinning = btf.name("pinning")?;
    let by_name = btf.number(1)?;
    let room = btf.number(max)?;
    let max_entries = btf.find_name("max_entries")?;
    for name in map::PINNED {
        let sized = SIZED.contains(&name).then_some((max_entries, room));
        btf.pin(name, (pinning, by_name), sized)?;
    }
    let btf = btf.finish()?;

    let mut out = object.to_vec();
    out.resize(out.len().next_multiple_of(8), 0);
    let at = u64::try_from(out.len()).ok()?;
    out.extend_from_slice(&btf);
    put(&mut out, header + 24, &at.to_le_bytes())?;
    put(&mut out, header + 32, &u64::try_from(btf.len()).ok()?.to_le_bytes())?;
    Some(out)
}

/// Where the header of section `.BTF` is, in a little-endian ELF of 64 bits.
fn btf_section(elf: &[u8]) -> Option<usize> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64_at(elf, 40)?).ok()?;
    let (entry, count) = (usize::from(u16_at(elf, 58)?), usize::from(u16_at(elf, 60)?));
    let names = usize::from(u16_at(elf, 62)?);
    let header = |index: usize| table.checked_add(index.checked_mul(entry)?);
    let names = usize::try_from(u64_at(elf, header(names)? + 24)?).ok()?;
    (0..count).filter_map(header).find(|header| {
        u32_at(elf, *header)
            .and_then(|name| elf.get(names.checked_add(usize::try_from(name).ok()?)?..))
            .is_some_and(|name| name.starts_with(b".BTF\0"))
    })
}

/// Types and names, as `Documentation/bpf/btf.rst` has them.
struct Btf {
    header: Vec<u8>,
    types: Vec<u8>,
    names: Vec<u8>,
    /// Where each type begins; type 1 is the first.
    at: Vec<usize>,
    /// Variables by name: where each begins.
    variables: HashMap<Vec<u8>, usize>,
}

impl Btf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        if u16_at(bytes, 0)? != 0xeb9f {
            return None;
        }
        let length = |at| usize::try_from(u32_at(bytes, at)?).ok();
        let header_size = length(4)?;
        let body = bytes.get(header_size..)?;
        let part = |start, size| body.get(length(start)?..)?.get(..length(size)?);
        let (types, names) = (part(8, 12)?.to_vec(), part(16, 20)?.to_vec());
        let header = bytes.get(..header_size)?.to_vec();
        let mut btf = Self { header, types, names, at: Vec::new(), variables: HashMap::new() };
        let mut at = 0;
        while at < btf.types.len() {
            let (kind, members) = kind(u32_at(&btf.types, at + 4)?);
            btf.at.push(at);
            if kind == VAR {
                btf.variables.insert(btf.name_at(at)?.to_vec(), at);
            }
            at += 12 + behind(kind, members)?;
        }
        Some(btf)
    }

    /// Gives the struct of the map `name` a member `pinning`, and another `max_entries` where asked for.
    fn pin(
        &mut self,
        name: &str,
        (pinning, by_name): (u32, u32),
        sized: Option<(u32, u32)>,
    ) -> Option<()> {
        let variable = *self.variables.get(name.as_bytes())?;
        let map = *self.at.get(usize::try_from(u32_at(&self.types, variable + 8)?).ok()? - 1)?;
        let (kind, members) = kind(u32_at(&self.types, map + 4)?);
        if kind != STRUCT {
            return None;
        }
        let end = map + 12 + behind(kind, members)?;
        let mut copy = self.types.get(map..end)?.to_vec();
        put(&mut copy, 4, &((STRUCT << 24) | (members + 1)).to_le_bytes())?;
        if let Some((max_entries, room)) = sized {
            let member =
                (12..copy.len()).step_by(12).find(|at| u32_at(&copy, *at) == Some(max_entries))?;
            put(&mut copy, member + 4, &room.to_le_bytes())?;
        }
        // Where the last member is: the struct is described, never laid out, and it must not grow beyond
        // the variable, whose size the kernel checks.
        let offset = u32_at(&copy, copy.len() - 4)?;
        for field in [pinning, by_name, offset] {
            copy.extend(field.to_le_bytes());
        }
        let id = self.add(&copy)?;
        put(&mut self.types, variable + 8, &id.to_le_bytes())
    }

    /// The type that says `value`: a pointer to an array of so many.
    fn number(&mut self, value: u32) -> Option<u32> {
        let some = self
            .at
            .iter()
            .find(|at| u32_at(&self.types, **at + 4).is_some_and(|info| kind(info).0 == ARRAY))?;
        let mut array = self.types.get(*some..*some + 24)?.to_vec();
        put(&mut array, 20, &value.to_le_bytes())?;
        let array = self.add(&array)?;
        let fields = [0, PTR << 24, array].map(u32::to_le_bytes);
        self.add(fields.as_flattened())
    }

    /// Appends a type; its number.
    fn add(&mut self, bytes: &[u8]) -> Option<u32> {
        self.at.push(self.types.len());
        self.types.extend_from_slice(bytes);
        u32::try_from(self.at.len()).ok()
    }

    /// Appends a name; where it is.
    fn name(&mut self, name: &str) -> Option<u32> {
        let at = u32::try_from(self.names.len()).ok()?;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        Some(at)
    }

    fn find_name(&self, name: &str) -> Option<u32> {
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let at = self.names.windows(wanted.len()).position(|window| window == wanted)?;
        u32::try_from(at + 1).ok()
    }

    fn name_at(&self, at: usize) -> Option<&[u8]> {
        let start = usize::try_from(u32_at(&self.types, at)?).ok()?;
        self.names.get(start..)?.split(|byte| *byte == 0).next()
    }

    /// The section's bytes.
    fn finish(mut self) -> Option<Vec<u8>> {
        let (types, names) =
            (u32::try_from(self.types.len()).ok()?, u32::try_from(self.names.len()).ok()?);
        for (at, value) in [(8, 0), (12, types), (16, types), (20, names)] {
            put(&mut self.header, at, &value.to_le_bytes())?;
        }
        Some([self.header, self.types, self.names].concat())
    }
}

/// The kind of a type, and how many members it has.
const fn kind(info: u32) -> (u32, u32) {
    ((info >> 24) & 0x1f, info & 0xffff)
}

/// How many bytes follow the first twelve of a type; `None` for kinds that came later.
fn behind(kind: u32, members: u32) -> Option<usize> {
    let members = usize::try_from(members).ok()?;
    Some(match kind {
        // INT, VAR, DECL_TAG.
        1 | VAR | 17 => 4,
        ARRAY => 12,
        // STRUCT, UNION, DATASEC, ENUM64.
        STRUCT | 5 | 15 | 19 => 12 * members,
        // ENUM, FUNC_PROTO.
        6 | 13 => 8 * members,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG.
        PTR | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use aya_obj::Object;
    use aya_obj::maps::PinningType;

    use super::*;

    #[test]
    fn what_goes_out_differs_in_its_pins_and_sizes_only() {
        let ours = Object::parse(OBJECT).unwrap();
        let out = for_loaders(4_711).unwrap();
        let theirs = Object::parse(&out).unwrap();
        assert_eq!(ours.maps.len(), theirs.maps.len());
        for (name, there) in &theirs.maps {
            let here = &ours.maps[name];
            let pinned = map::PINNED.contains(&name.as_str());
            assert_eq!(there.pinning() == PinningType::ByName, pinned, "{name}");
            assert_eq!(here.pinning(), PinningType::None, "{name}");
            let shape = |map: &aya_obj::Map| {
                (map.map_type(), map.key_size(), map.value_size(), map.map_flags())
            };
            assert_eq!(shape(here), shape(there), "{name}");
            let sized = SIZED.contains(&name.as_str());
            let max = if sized { 4_711 } else { here.max_entries() };
            assert_eq!(there.max_entries(), max, "{name}");
        }
        assert_eq!(ours.programs.len(), theirs.programs.len());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for end in 0..OBJECT.len().min(4_096) {
            assert!(pinned_by_name(&OBJECT[..end], 1).is_none());
        }
        assert!(pinned_by_name(b"", 1).is_none());
    }
}

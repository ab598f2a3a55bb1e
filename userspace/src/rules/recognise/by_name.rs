//! A table by name that is looked up for every line: names are few, mostly short, and a pack's, not an attacker's.

use super::Head;

/// What is kept by name.
#[derive(Debug)]
pub(super) struct ByName<T> {
    /// A power of two of them, at least half of them empty: by hash, then in the next ones, an index and one.
    slots: Box<[u16]>,
    named: Vec<Named<T>>,
}

#[derive(Debug)]
struct Named<T> {
    name: Box<[u8]>,
    head: Head,
    value: T,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { slots: Box::new([0]), named: Vec::new() }
    }
}

impl<T> ByName<T> {
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&T> {
        let head = Head::of(name);
        let mut at = start(head, name.len());
        loop {
            let slot = self.slots[at & (self.slots.len() - 1)];
            let Named { name: known, head: known_head, value } =
                self.named.get(usize::from(slot).checked_sub(1)?)?;
            let same = *known_head == head && known.len() == name.len();
            if same && (name.len() <= 8 || **known == *name) {
                return Some(value);
            }
            at += 1;
        }
    }

    /// Adds a name, or gives the one that is there another value.
    pub(super) fn insert(&mut self, name: &[u8], value: T) {
        if let Some(known) = self.named.iter_mut().find(|known| *known.name == *name) {
            known.value = value;
            return;
        }
        // What there is no number for is never found.
        if self.named.len() < usize::from(u16::MAX / 2) {
            self.named.push(Named { name: name.into(), head: Head::of(name), value });
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        let size = (2 * self.named.len()).next_power_of_two();
        let mut slots = vec![0; size];
        for (number, Named { name, head, .. }) in (1..).zip(&self.named) {
            let mut at = start(*head, name.len());
            while slots[at & (size - 1)] != 0 {
                at += 1;
            }
            slots[at & (size - 1)] = number;
        }
        self.slots = slots.into();
    }
}

#[inline]
fn start(head: Head, len: usize) -> usize {
    let mixed = (head.0 ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 48).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_found_and_nothing_else() {
        let names: Vec<String> = (0..300).map(|n| "x".repeat(n % 20) + &n.to_string()).collect();
        let mut table = ByName::default();
        assert_eq!(table.get(b""), None);
        for (n, name) in names.iter().enumerate() {
            table.insert(name.as_bytes(), n);
        }
        table.insert(b"", 400);
        table.insert(b"0", 500);
        for (n, name) in names.iter().enumerate().skip(1) {
            assert_eq!(table.get(name.as_bytes()), Some(&n));
            assert_eq!(table.get(format!("{name}\0").as_bytes()), None);
        }
        assert_eq!((table.get(b""), table.get(b"0")), (Some(&400), Some(&500)));
        assert_eq!(table.get(b"xxxxxxxxxxxxxxxx"), None);
    }
}

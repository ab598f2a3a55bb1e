//! The key of a trie, on the stack.

use aya_ebpf::btf_maps::lpm_trie::Key;

/// A key whose address lies on a boundary of eight bytes. The kernel's own is packed: the compiler would
/// write it byte by byte.
#[repr(C, align(8))]
pub(crate) struct Prefix<A> {
    _padding: u32,
    key: Key<A>,
}

impl<A> Prefix<A> {
    #[inline(always)]
    pub(crate) const fn new(address: A, bits: u32) -> Self {
        Self { _padding: 0, key: Key::new(bits, address) }
    }

    #[inline(always)]
    pub(crate) const fn key(&self) -> &Key<A> {
        &self.key
    }
}

//! A second program, never attached: userspace has it run to change an entry where it lies. See
//! [`ravelin_common::amendment`].

use core::mem::offset_of;

use aya_ebpf::bindings::xdp_action::XDP_ABORTED;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::packet::Frame as _;

use crate::ban::Ban;
use crate::frame::XdpFrame;
use crate::maps;

const BANS_V4: u32 = Table::BansV4 as u32;
const BANS_V6: u32 = Table::BansV6 as u32;
const NETS_V4: u32 = Table::NetsV4 as u32;
const NETS_V6: u32 = Table::NetsV6 as u32;

/// Does what the [`Amendment`] in place of a frame says.
#[expect(missing_docs, unreachable_pub, reason = "the macro writes a function without a comment")]
#[xdp]
pub fn amend(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    let Some(told) = frame.bytes::<{ Amendment::SIZE }>(0) else { return XDP_ABORTED };
    match entry(told) {
        Some(ban) => {
            ban.amend(
                u64_at(told, offset_of!(Amendment, expires_ns)),
                u32_at(told, offset_of!(Amendment, flags)),
            );
            AMENDED
        }
        None => NO_SUCH_ENTRY,
    }
}

/// A trie's key with its data aligned: the compiler copies by eight bytes, and the verifier takes that
/// on the stack only where it is aligned. A [`Key`] alone may be placed either way.
#[repr(C, align(8))]
struct Aligned<const N: usize> {
    _before: u32,
    key: Key<[u8; N]>,
}

impl<const N: usize> Aligned<N> {
    #[inline(always)]
    fn new(told: &[u8; Amendment::SIZE]) -> Self {
        let prefix_len = u32_at(told, offset_of!(Amendment, prefix_len));
        Self { _before: 0, key: Key::new(prefix_len, key(told)) }
    }
}

#[inline(always)]
fn entry(told: &[u8; Amendment::SIZE]) -> Option<&'static Ban> {
    match u32_at(told, offset_of!(Amendment, table)) {
        // SAFETY: as in `decide`: the reference stays valid for this run.
        BANS_V4 => unsafe { maps::BANS_V4.get(key(told)) },
        // SAFETY: likewise.
        BANS_V6 => unsafe { maps::BANS_V6.get(key(told)) },
        NETS_V4 => maps::NETS_V4.get(&Aligned::new(told).key),
        NETS_V6 => maps::NETS_V6.get(&Aligned::new(told).key),
        _ => None,
    }
}

#[inline(always)]
fn key<const N: usize>(told: &[u8; Amendment::SIZE]) -> [u8; N] {
    at(told, offset_of!(Amendment, key))
}

#[inline(always)]
fn u32_at(told: &[u8; Amendment::SIZE], offset: usize) -> u32 {
    u32::from_ne_bytes(at(told, offset))
}

#[inline(always)]
fn u64_at(told: &[u8; Amendment::SIZE], offset: usize) -> u64 {
    u64::from_ne_bytes(at(told, offset))
}

/// `N` bytes from `offset` on; both are constants that lie inside.
#[inline(always)]
fn at<const N: usize>(told: &[u8; Amendment::SIZE], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        if let Some(from) = told.get(offset + i) {
            *byte = *from;
        }
    }
    bytes
}

//! Changes a ban where it lies, on behalf of userspace: see [`ravelin_common::amendment`].

use aya_ebpf::bindings::xdp_action::XDP_ABORTED;
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::packet::Frame as _;

use crate::ban::{Amended, Ban};
use crate::frame::XdpFrame;
use crate::maps;
use crate::prefix::Prefix;

const WORDS: usize = size_of::<Amendment>() / 8;

/// Does what the [`Amendment`] in place of a frame says.
#[inline(always)]
pub(crate) fn amend(frame: &XdpFrame) -> u32 {
    let Some([place, high, low, expires_ns, rest]) = frame.words::<8, WORDS>(0) else {
        return XDP_ABORTED;
    };
    let [table, prefix_len] = halves(*place);
    let [a, b, c, d, ..] = *rest;
    let [_, scoped_until_s] = halves(*rest);
    let amended = Amended {
        expires_ns: u64::from_ne_bytes(*expires_ns),
        flags: u16::from_ne_bytes([a, b]),
        scope: u16::from_ne_bytes([c, d]),
        scoped_until_s,
    };
    match find(table, [*high, *low], prefix_len) {
        Some(ban) => {
            ban.amend(&amended);
            AMENDED
        }
        None => NO_SUCH_ENTRY,
    }
}

#[inline(always)]
pub(crate) fn find(table: u32, key: [[u8; 8]; 2], prefix_len: u32) -> Option<&'static Ban> {
    const BANS_V4: u32 = Table::BansV4 as u32;
    const BANS_V6: u32 = Table::BansV6 as u32;
    const NETS_V4: u32 = Table::NetsV4 as u32;
    const NETS_V6: u32 = Table::NetsV6 as u32;

    let [network, _host] = key;
    let [a, b, c, d, ..] = network;
    match table {
        // SAFETY: as in `decide`: the reference stays valid for this run.
        BANS_V4 => unsafe { maps::BANS_V4.get([a, b, c, d]) },
        // SAFETY: likewise.
        BANS_V6 => unsafe { maps::BANS_V6.get(network) },
        NETS_V4 => maps::NETS_V4.get(Prefix::new(halves(network), prefix_len).key()),
        NETS_V6 => maps::NETS_V6.get(Prefix::new(key.map(u64::from_ne_bytes), prefix_len).key()),
        _ => None,
    }
}

#[inline(always)]
pub(crate) const fn halves([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u32; 2] {
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

<<<<<<< HEAD
<<<<<<< HEAD
//! A second program, never attached: userspace has it run to change an entry where it lies. See
//! [`ravelin_common::amendment`].
=======
//! Changes a ban where it lies, on behalf of userspace: see [`ravelin_common::amendment`].
>>>>>>> kernel

use aya_ebpf::bindings::xdp_action::XDP_ABORTED;
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::packet::Frame as _;
<<<<<<< HEAD
=======
//! Changes bans where they are, on behalf of userspace.

use ravelin_common::packet::Frame;
use ravelin_common::{AMENDMENTS_MAX, Amendment, Table};
>>>>>>> lab
=======
>>>>>>> kernel

use crate::ban::Ban;
use crate::frame::XdpFrame;
use crate::maps;
<<<<<<< HEAD
<<<<<<< HEAD
=======
use crate::prefix::Prefix;
>>>>>>> kernel

const WORDS: usize = size_of::<Amendment>() / 8;

/// Does what the [`Amendment`] in place of a frame says.
#[inline(always)]
pub(crate) fn amend(frame: &XdpFrame) -> u32 {
    let Some([place, high, low, expires_ns, rest]) = frame.words::<8, WORDS>(0) else {
        return XDP_ABORTED;
    };
    let [table, prefix_len] = halves(*place);
    let [flags, _reserved] = halves(*rest);
    match find(table, [*high, *low], prefix_len) {
        Some(ban) => {
            ban.amend(u64::from_ne_bytes(*expires_ns), flags);
            AMENDED
        }
        None => NO_SUCH_ENTRY,
    }
}

#[inline(always)]
fn find(table: u32, key: [[u8; 8]; 2], prefix_len: u32) -> Option<&'static Ban> {
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
<<<<<<< HEAD
        BANS_V6 => unsafe { maps::BANS_V6.get([a, b, c, d, e, f, g, h]) },
        NETS_V4 => maps::NETS_V4.get(&Key::new(told.prefix_len, [a, b, c, d, e, f, g, h])),
        NETS_V6 => maps::NETS_V6.get(&Key::new(told.prefix_len, told.key)),
=======
use crate::prefix::Prefix;

/// Carries out the amendments that the frame consists of; gives how many found their ban.
#[inline(always)]
pub(crate) fn amend(frame: &XdpFrame) -> u32 {
    let mut amended = 0;
    for index in 0..AMENDMENTS_MAX {
        let Some(record) = frame.words(index * size_of::<Amendment>()) else { break };
        if amend_one(*record).is_some() {
            amended += 1;
        }
    }
    amended
}

/// Takes an [`Amendment`], as it lies in the frame.
#[inline(always)]
fn amend_one([high, low, expires_ns, rest]: [[u8; 8]; 4]) -> Option<()> {
    let [a, b, c, d, e, f, g, h] = rest;
    let flags = u32::from_ne_bytes([a, b, c, d]);
    let table = u16::from_ne_bytes([e, f]);
    let prefix_len = u32::from(u16::from_ne_bytes([g, h]));
    find(table, [high, low], prefix_len)?.amend(u64::from_ne_bytes(expires_ns), flags);
    Some(())
}

#[inline(always)]
fn find(table: u16, address: [[u8; 8]; 2], prefix_len: u32) -> Option<&'static Ban> {
    const BANS_V4: u16 = Table::BansV4 as u16;
    const BANS_V6: u16 = Table::BansV6 as u16;
    const NETS_V4: u16 = Table::NetsV4 as u16;
    const NETS_V6: u16 = Table::NetsV6 as u16;

    let [network, _host] = address;
    let [a, b, c, d, ..] = network;
    let v4 = [a, b, c, d];
    match table {
        // SAFETY: userspace, which alone removes entries, waits for this run.
        BANS_V4 => unsafe { maps::BANS_V4.get(v4) },
        // SAFETY: as above.
        BANS_V6 => unsafe { maps::BANS_V6.get(network) },
        NETS_V4 => maps::NETS_V4.get(Prefix::new([u32::from_ne_bytes(v4), 0], prefix_len).key()),
        NETS_V6 => {
            maps::NETS_V6.get(Prefix::new(address.map(u64::from_ne_bytes), prefix_len).key())
        }
>>>>>>> lab
=======
        BANS_V6 => unsafe { maps::BANS_V6.get(network) },
        NETS_V4 => maps::NETS_V4.get(Prefix::new(halves(network), prefix_len).key()),
        NETS_V6 => maps::NETS_V6.get(Prefix::new(key.map(u64::from_ne_bytes), prefix_len).key()),
>>>>>>> kernel
        _ => None,
    }
}

#[inline(always)]
const fn halves([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u32; 2] {
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

//! Changes bans where they are, on behalf of userspace.

use ravelin_common::packet::Frame;
use ravelin_common::{AMENDMENTS_MAX, Amendment, Table};

use crate::ban::Ban;
use crate::frame::XdpFrame;
use crate::maps;
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
        _ => None,
    }
}

//! Adds what maps of an older layout have counted, on behalf of userspace: see [`ravelin_common::carry`].

use aya_ebpf::bindings::xdp_action::XDP_ABORTED;
use ravelin_common::amendment::{AMENDED, NO_SUCH_ENTRY};
use ravelin_common::carry::{COUNTERS, Carry};
use ravelin_common::packet::Frame as _;

use crate::amend::{find, halves};
use crate::count;
use crate::frame::XdpFrame;

const WORDS: usize = size_of::<Carry>() / 8;

/// Does what the [`Carry`] in place of a frame says.
#[inline(always)]
pub(crate) fn carry(frame: &XdpFrame) -> u32 {
    let Some([place, high, low, packets, bytes]) = frame.words::<8, WORDS>(0) else {
        return XDP_ABORTED;
    };
    let [table, prefix_len] = halves(*place);
    let [packets, bytes] = [*packets, *bytes].map(u64::from_ne_bytes);
    if table == COUNTERS {
        let [reason, _] = halves(*high);
        return if count::carry(reason, packets) { AMENDED } else { NO_SUCH_ENTRY };
    }
    match find(table, [*high, *low], prefix_len) {
        Some(ban) => {
            ban.carry(packets, bytes);
            AMENDED
        }
        None => NO_SUCH_ENTRY,
    }
}

//! A second program, never attached: userspace has it run to change an entry where it lies. See
//! [`ravelin_common::amendment`].

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
    let Some(bytes) = frame.bytes::<{ Amendment::SIZE }>(0) else { return XDP_ABORTED };
    // SAFETY: as many bytes as an `Amendment` has, which takes any; packet memory needn't be aligned.
    let told = unsafe { bytes.as_ptr().cast::<Amendment>().read_unaligned() };
    match entry(&told) {
        Some(ban) => {
            ban.amend(told.expires_ns, told.flags);
            AMENDED
        }
        None => NO_SUCH_ENTRY,
    }
}

#[inline(always)]
fn entry(told: &Amendment) -> Option<&'static Ban> {
    let [a, b, c, d, e, f, g, h, ..] = told.key;
    match told.table {
        // SAFETY: as in `decide`: the reference stays valid for this run.
        BANS_V4 => unsafe { maps::BANS_V4.get([a, b, c, d]) },
        // SAFETY: likewise.
        BANS_V6 => unsafe { maps::BANS_V6.get([a, b, c, d, e, f, g, h]) },
        NETS_V4 => maps::NETS_V4.get(&Key::new(told.prefix_len, [a, b, c, d, e, f, g, h])),
        NETS_V6 => maps::NETS_V6.get(&Key::new(told.prefix_len, told.key)),
        _ => None,
    }
}

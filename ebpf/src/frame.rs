//! Packet memory, with the bounds checks that the verifier wants to see.

use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::Frame;

/// The frame of an XDP context.
///
/// Of a frame in several buffers (jumbo frames), it reaches the first: headers are always there.
pub(crate) struct XdpFrame {
    data: usize,
    data_end: usize,
}

impl XdpFrame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { data: ctx.data(), data_end: ctx.data_end() }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let start = self.data + offset;
        if start + N > self.data_end {
            return None;
        }
        // SAFETY: `N` bytes from `start` on lie in the packet, which lives as long as the context; the
        // verifier proves the same from the comparison above.
        Some(unsafe { &*(start as *const [u8; N]) })
    }
}

/// Length of the whole frame, all its buffers.
#[inline(always)]
pub(crate) fn len(ctx: &XdpContext) -> u32 {
    // SAFETY: the context is the one the kernel called us with.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) as u32 }
}

//! Packet memory, with the bounds checks that the verifier wants to see.

use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::{Frame, Packet};

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
        let data = ctx.data();
        // SAFETY: drivers align the IP header, which is 14 bytes (and 4 for each tag) into the frame, to 2 at
        // least, so the frame begins at an even address. Where a program before us moved its start, the loads
        // that this makes are still ones that the verifier lets through only on machines which can do them.
        unsafe { core::hint::assert_unchecked(data.is_multiple_of(2)) };
        Self { data, data_end: ctx.data_end() }
    }

    /// What there is of it from the IP header on.
    #[inline(always)]
    pub(crate) fn from(&self, packet: Packet<'_>) -> Self {
        let start = match packet {
            Packet::V4(packet) => packet.as_ptr(),
            Packet::V6(packet) => packet.as_ptr(),
        };
        Self { data: start as usize, data_end: self.data_end }
    }

    /// Length of the whole frame, all its buffers.
    ///
    /// The helper that knows costs 6 ns where returns are mitigated (Safe RET). A packet that ends in the
    /// first buffer has no other.
    #[expect(clippy::cast_possible_truncation, reason = "a frame has less than 4 GiB")]
    #[inline(always)]
    pub(crate) fn len(&self, ctx: &XdpContext, packet: Packet<'_>) -> u32 {
        let (start, announced) = match packet {
            Packet::V4(packet) => (packet.as_ptr() as usize, packet.announced_len()),
            Packet::V6(packet) => (packet.as_ptr() as usize, packet.announced_len()),
        };
        // Lengths are compared, not ends: the verifier of 6.1 adds nothing to a packet pointer that it
        // can't bound, and it can't after a byte swap.
        let first_buffer = self.data_end - self.data;
        if start - self.data + announced <= first_buffer {
            return first_buffer as u32;
        }
        // SAFETY: the context is the one the kernel called us with.
        unsafe { bpf_xdp_get_buff_len(ctx.ctx) as u32 }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn words<const W: usize, const N: usize>(&self, offset: usize) -> Option<&[[u8; W]; N]> {
        let start = self.data + offset;
        if start + W * N > self.data_end {
            return None;
        }
        // SAFETY: as many bytes from `start` on lie in the packet, which lives as long as the context; the
        // verifier proves the same from the comparison above.
        Some(unsafe { &*(start as *const [[u8; W]; N]) })
    }
}

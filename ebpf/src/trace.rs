//! What the program decides, by aya-log. Only in debugging builds (`cargo xtask build-ebpf --debug`): it
//! costs more than the rest of the program, and who sends the packets sets its rate.

use aya_ebpf::programs::XdpContext;
use ravelin_common::Reason;
use ravelin_common::packet::Packet;

/// Logs what became of a packet.
#[cfg(feature = "log")]
#[inline(always)]
pub(crate) fn decided(ctx: &XdpContext, packet: Packet<'_>, reason: Reason) {
    use aya_log_ebpf::info;

    let reason = reason as u32;
    // A source of either kind in one variable makes code that the verifier refuses.
    match packet {
        Packet::V4(packet) => {
            info!(ctx, "{:i}: reason {}", u32::from_be_bytes(packet.source()), reason);
        }
        Packet::V6(packet) => {
            let mut source = [0; 16];
            source.copy_from_slice(packet.source().as_flattened());
            info!(ctx, "{:i}: reason {}", source, reason);
        }
    }
}

#[cfg(not(feature = "log"))]
#[inline(always)]
pub(crate) const fn decided(_: &XdpContext, _: Packet<'_>, _: Reason) {}

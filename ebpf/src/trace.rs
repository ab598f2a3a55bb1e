//! What the program decides, by aya-log. Only in debugging builds (`cargo xtask build-ebpf --debug`): it
//! costs more than the rest of the program, and who sends the packets sets its rate.

use aya_ebpf::programs::XdpContext;
use ravelin_common::Reason;
use ravelin_common::packet::Packet;

/// Logs what became of a packet.
#[cfg(feature = "log")]
#[inline(always)]
pub(crate) fn decided(ctx: &XdpContext, packet: Packet<'_>, reason: Reason) {
    let verdict = if reason.passed() { "pass" } else { "drop" };
    aya_log_ebpf::info!(ctx, "{} {:i}: reason {}", verdict, packet.source(), reason as u32);
}

#[cfg(not(feature = "log"))]
#[inline(always)]
pub(crate) const fn decided(_: &XdpContext, _: Packet<'_>, _: Reason) {}

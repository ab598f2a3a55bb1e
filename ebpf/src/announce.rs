//! Tells userspace about drops, through the ring buffer and at a limited rate.

use core::net::IpAddr;

use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::Packet;
use ravelin_common::{DropEvent, Reason};

use crate::cpu::Cpu;
use crate::maps;

/// Announces a drop, or counts it as not announced.
#[inline(always)]
pub(crate) fn announce(
    cpu: &mut Cpu,
    per_second: u32,
    ctx: &XdpContext,
    packet: Packet<'_>,
    length: u32,
    reason: Reason,
) {
    if cpu.may_announce(per_second) {
        let event = DropEvent {
            time_ns: cpu.now_ns(),
            source: mapped(packet.source()),
            ifindex: u32::try_from(ctx.ingress_ifindex()).unwrap_or_default(),
            length,
            reason: reason as u32,
            suppressed: cpu.suppressed,
        };
        if maps::EVENTS.output_untyped::<DropEvent>(event, 0).is_ok() {
            cpu.suppressed = 0;
            return;
        }
    }
    cpu.suppressed = cpu.suppressed.saturating_add(1);
}

#[inline(always)]
fn mapped(source: IpAddr) -> [u8; 16] {
    match source {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

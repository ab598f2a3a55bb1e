//! The XDP program piece by piece, for `cargo xtask bench datapath`: each program here does a part more than
//! the one before it, of the same code that is shipped. It is built for the bench only, and never attached.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(unsafe_code, reason = "as in main.rs")]
#![expect(internal_features, reason = "as in main.rs")]
#![expect(dead_code, reason = "no program here uses all of what main.rs does")]

mod announce;
mod ban;
mod count;
mod cpu;
mod decide;
mod frame;
mod maps;
mod prefix;
mod shared;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::Packet;
use ravelin_common::prefilter::Bit;
use ravelin_common::{Reason, Settings};

use self::ban::Ban;
use self::cpu::Cpu;
use self::decide::{Hit, Verdict};
use self::frame::XdpFrame;
use self::shared::Shared;

/// Settings, and the source address.
#[xdp(frags)]
fn parse(ctx: XdpContext) -> u32 {
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| first_byte(packet) != 0))
}

/// And the prefilter.
#[xdp(frags)]
fn prefilter(ctx: XdpContext) -> u32 {
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| may_be_banned(packet)))
}

/// And the hash map.
#[xdp(frags)]
fn lookup(ctx: XdpContext) -> u32 {
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| banned(packet, true, |_| true)))
}

/// The hash map without the prefilter before it.
#[xdp(frags)]
fn lookup_alone(ctx: XdpContext) -> u32 {
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| banned(packet, false, |_| true)))
}

/// And the expiry, by the cached clock.
#[xdp(frags)]
fn expiry(ctx: XdpContext) -> u32 {
    let holds = |ban: &Ban| Cpu::current().is_some_and(|cpu| ban.holds(cpu.now_ns()));
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| banned(packet, true, holds)))
}

/// The expiry by the kernel's clock.
#[xdp(frags)]
fn expiry_by_clock(ctx: XdpContext) -> u32 {
    // SAFETY: no arguments, no preconditions.
    let holds = |ban: &Ban| ban.holds(unsafe { bpf_ktime_get_ns() });
    drops(packet(&XdpFrame::new(&ctx)).map(|(packet, _)| banned(packet, true, holds)))
}

/// And the flags: the whole decision.
#[xdp(frags)]
fn flags(ctx: XdpContext) -> u32 {
    drops(hit(&XdpFrame::new(&ctx)).map(|_| true))
}

/// And the counter of the reason.
#[xdp(frags)]
fn reason(ctx: XdpContext) -> u32 {
    drops(hit(&XdpFrame::new(&ctx)).map(|Decided { reason, .. }| {
        count::count(reason);
        true
    }))
}

/// And the ban's counters: all but the announcement.
#[xdp(frags)]
fn ban_counters(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    drops(hit(&frame).map(|Decided { packet, reason, hit: Hit { ban, cpu }, .. }| {
        count::count(reason);
        ban.count(frame.len(&ctx, packet), cpu.now_ns());
        true
    }))
}

/// And the announcement: what is shipped.
#[xdp(frags)]
fn whole(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    drops(hit(&frame).map(|Decided { packet, settings, reason, hit: Hit { ban, cpu } }| {
        let length = frame.len(&ctx, packet);
        count::count(reason);
        ban.count(length, cpu.now_ns());
        announce::announce(cpu, settings.events_per_second, &ctx, packet, length, reason);
        true
    }))
}

/// The same, not said to take frames in several buffers.
#[xdp]
fn whole_no_frags(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    drops(hit(&frame).map(|Decided { packet, settings, reason, hit: Hit { ban, cpu } }| {
        let length = frame.len(&ctx, packet);
        count::count(reason);
        ban.count(length, cpu.now_ns());
        announce::announce(cpu, settings.events_per_second, &ctx, packet, length, reason);
        true
    }))
}

/// The same with additions that lose what another CPU adds meanwhile.
#[xdp(frags)]
fn whole_plain(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    drops(hit(&frame).map(|Decided { packet, settings, reason, hit: Hit { ban, cpu } }| {
        let length = frame.len(&ctx, packet);
        count::count(reason);
        // SAFETY: `PlainBan` is laid out as `Ban` is.
        unsafe { &*core::ptr::from_ref(ban).cast::<PlainBan>() }.count(length, cpu.now_ns());
        announce::announce(cpu, settings.events_per_second, &ctx, packet, length, reason);
        true
    }))
}

/// [`Ban`], with the counters that whoever doesn't care would have.
#[repr(C)]
struct PlainBan {
    expires_ns: Shared<u64>,
    packets: Shared<u64>,
    bytes: Shared<u64>,
    last_seen_ns: Shared<u64>,
    flags: Shared<u16>,
    scope: Shared<u16>,
    scoped_until_s: Shared<u32>,
}

const _: () = assert!(size_of::<PlainBan>() == size_of::<Ban>());

impl PlainBan {
    #[inline(always)]
    fn count(&self, bytes: u32, now_ns: u64) {
        self.packets.set(self.packets.get() + 1);
        self.bytes.set(self.bytes.get() + u64::from(bytes));
        self.last_seen_ns.set(now_ns);
    }
}

/// A frame about which everything has been decided.
struct Decided<'frame> {
    packet: Packet<'frame>,
    settings: &'static Settings,
    reason: Reason,
    hit: Hit,
}

#[inline(always)]
fn packet(frame: &XdpFrame) -> Option<(Packet<'_>, &'static Settings)> {
    let settings = maps::SETTINGS.get(0)?;
    if settings.off != 0 {
        return None;
    }
    Some((Packet::parse(frame).ok()?, settings))
}

#[inline(always)]
fn hit(frame: &XdpFrame) -> Option<Decided<'_>> {
    let (packet, settings) = packet(frame)?;
    let Verdict { reason, hit } = decide::decide(frame, packet, settings);
    Some(Decided { packet, settings, reason, hit: hit? })
}

#[inline(always)]
fn first_byte(packet: Packet<'_>) -> u8 {
    match packet {
        Packet::V4(packet) => packet.source()[0],
        Packet::V6(packet) => packet.source()[0][0],
    }
}

#[inline(always)]
fn may_be_banned(packet: Packet<'_>) -> bool {
    match packet {
        Packet::V4(packet) => is_set(Bit::of_v4(packet.source())),
        Packet::V6(packet) => is_set(Bit::of_v6(packet.source()[0])),
    }
}

#[inline(always)]
fn is_set(bit: Bit) -> bool {
    maps::PREFILTER.get(bit.word).is_none_or(|word| word & bit.mask != 0)
}

/// Whether there is a ban that this holds of. One path a family, as in decide.rs: where they join before the
/// hash map, the key is put together from bytes, and the processor waits for them.
#[inline(always)]
fn banned(packet: Packet<'_>, filter: bool, holds: impl Fn(&'static Ban) -> bool) -> bool {
    match packet {
        Packet::V4(packet) => {
            let source = packet.source();
            if filter && !is_set(Bit::of_v4(source)) {
                return false;
            }
            // SAFETY: as in decide.rs.
            unsafe { maps::BANS_V4.get(source) }.is_some_and(holds)
        }
        Packet::V6(packet) => {
            let [network, _] = packet.source();
            if filter && !is_set(Bit::of_v6(network)) {
                return false;
            }
            // SAFETY: likewise.
            unsafe { maps::BANS_V6.get(network) }.is_some_and(holds)
        }
    }
}

#[inline(always)]
fn drops(answer: Option<bool>) -> u32 {
    if answer == Some(true) { XDP_DROP } else { XDP_PASS }
}

/// As in main.rs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// As in main.rs.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

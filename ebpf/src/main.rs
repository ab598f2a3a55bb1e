//! Ravelin's XDP program: drops frames whose source is banned, passes everything else.
//!
//! It fails open: whatever it can't read, look up or count passes.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    unsafe_code,
    reason = "map values, packet memory and kernel helpers are raw pointers; each module wraps its own"
)]
#![expect(internal_features, reason = "core has no atomic addition for BPF: shared.rs")]

mod amend;
mod announce;
mod ban;
mod carry;
mod count;
mod cpu;
mod decide;
mod frame;
mod maps;
mod prefix;
mod shared;
mod trace;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::{NoPacket, Packet};
use ravelin_common::{OFF_FROM, Reason};

use self::cpu::Cpu;
use self::decide::{Hit, Verdict};
use self::frame::XdpFrame;

/// What is attached to the interfaces.
#[xdp(frags)]
fn ravelin(ctx: XdpContext) -> u32 {
    let Some(settings) = maps::SETTINGS.get(0) else { return XDP_PASS };
    if settings.off != 0 && is_off(settings.off) {
        return pass(Reason::PassedOff);
    }
    let frame = XdpFrame::new(&ctx);
    let packet = match Packet::parse(&frame) {
        Ok(packet) => packet,
        Err(NoPacket::NotIp) => return pass(Reason::PassedNotIp),
        Err(NoPacket::Malformed) => return pass(Reason::PassedMalformed),
    };
    let Verdict { reason, hit } = decide::decide(&frame, packet, settings);
    trace::decided(&ctx, packet, reason);
    let Some(Hit { ban, cpu }) = hit else { return pass(reason) };

    let length = frame.len(&ctx, packet);
    count::count(reason);
    ban.count(length, cpu.now_ns());
    announce::announce(cpu, settings.events_per_second, &ctx, packet, length, reason);
    XDP_DROP
}

/// Whether everything passes: at once, or since a deadline that nobody lifted in time.
#[inline(always)]
fn is_off(off: u32) -> bool {
    let Some(second) = off.checked_sub(OFF_FROM) else { return true };
    Cpu::current().is_none_or(|cpu| cpu.now_ns() / 1_000_000_000 >= u64::from(second))
}

#[inline(always)]
fn pass(reason: Reason) -> u32 {
    count::count(reason);
    XDP_PASS
}

/// What userspace runs to change bans without losing a hit; never attached.
#[xdp]
fn amend(ctx: XdpContext) -> u32 {
    amend::amend(&XdpFrame::new(&ctx))
}

/// What userspace runs to bring over what an older layout has counted; never attached.
#[xdp]
fn carry(ctx: XdpContext) -> u32 {
    carry::carry(&XdpFrame::new(&ctx))
}

/// Some helpers, `bpf_trace_printk` among them, are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: nothing here panics, and the verifier would refuse the loop if it could be.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

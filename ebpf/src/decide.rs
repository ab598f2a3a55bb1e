//! Whether a packet is dropped.

use ravelin_common::packet::{Ipv4, Ipv6, Packet};
use ravelin_common::prefilter::Bit;
use ravelin_common::{Reason, Settings};

use crate::ban::Ban;
use crate::cpu::Cpu;
use crate::maps;
use crate::prefix::Prefix;

/// What becomes of a packet, and why.
pub(crate) struct Verdict {
    pub(crate) reason: Reason,
    /// The ban that drops it; none: it passes.
    pub(crate) hit: Option<Hit>,
}

/// A ban that holds, and the CPU that found out.
pub(crate) struct Hit {
    pub(crate) ban: &'static Ban,
    pub(crate) cpu: &'static mut Cpu,
}

/// Decides about a packet.
#[inline(always)]
pub(crate) fn decide(packet: Packet<'_>, settings: &Settings) -> Verdict {
    match packet {
        Packet::V4(packet) => judge(&packet, settings.nets_v4 != 0),
        Packet::V6(packet) => judge(&packet, settings.nets_v6 != 0),
    }
}

/// Asks for the exact ban first, then for the longest prefix: a lapsed exact ban hides no prefix.
#[inline(always)]
fn judge<P: Judged>(packet: &P, nets: bool) -> Verdict {
    let mut reason = Reason::PassedMiss;
    if let Some(ban) = packet.ban() {
        if let Some(verdict) = enforce(ban, P::DROPPED, packet) {
            return verdict;
        }
        reason = Reason::PassedExpired;
    }
    if nets && let Some(ban) = packet.net() {
        if let Some(verdict) = enforce(ban, P::DROPPED_NET, packet) {
            return verdict;
        }
        reason = Reason::PassedExpired;
    }
    Verdict { reason, hit: None }
}

/// What `ban` means for `packet`; nothing if it has lapsed.
#[inline(always)]
fn enforce<P: Judged>(ban: &'static Ban, reason: Reason, packet: &P) -> Option<Verdict> {
    let cpu = Cpu::current()?;
    if !ban.holds(cpu.now_ns()) {
        return None;
    }
    if packet.unbannable() || (ban.holds_allowed() && packet.allowed()) {
        return Some(Verdict { reason: Reason::PassedAllowed, hit: None });
    }
    Some(Verdict { reason, hit: Some(Hit { ban, cpu }) })
}

/// What the maps of its family say about a packet's source.
trait Judged {
    const DROPPED: Reason;
    const DROPPED_NET: Reason;

    /// Its exact ban, lapsed or not.
    fn ban(&self) -> Option<&'static Ban>;
    /// The longest banned prefix around it, lapsed or not.
    fn net(&self) -> Option<&'static Ban>;
    /// Whether it is on the allow list.
    fn allowed(&self) -> bool;
    /// Whether it belongs to a link, or to a host that has no address yet: router discovery, duplicate
    /// address detection and DHCP live on these, and whoever bans them cuts off the host itself.
    fn unbannable(&self) -> bool;
}

impl Judged for Ipv4<'_> {
    const DROPPED: Reason = Reason::DroppedV4;
    const DROPPED_NET: Reason = Reason::DroppedNetV4;

    #[inline(always)]
    fn ban(&self) -> Option<&'static Ban> {
        let source = self.source();
        if !may_be_banned(Bit::of_v4(source)) {
            return None;
        }
        // SAFETY: only userspace inserts and removes; without preallocation a removed entry is freed
        // after the program's RCU section, so that the reference stays valid for this run.
        unsafe { maps::BANS_V4.get(source) }
    }

    #[inline(always)]
    fn net(&self) -> Option<&'static Ban> {
        let source = u32::from_ne_bytes(self.source());
        maps::NETS_V4.get(Prefix::new([source, 0], 32).key())
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        let source = u32::from_ne_bytes(self.source());
        maps::ALLOW_V4.get(Prefix::new(source, 32).key()).is_some()
    }

    /// 169.254.0.0/16 (RFC 3927) and 0.0.0.0 (a DHCP client's).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        const PREFIX: u32 = u32::from_ne_bytes([0xff, 0xff, 0, 0]);
        const LINK_LOCAL: u32 = u32::from_ne_bytes([169, 254, 0, 0]);
        let source = u32::from_ne_bytes(self.source());
        source & PREFIX == LINK_LOCAL || source == 0
    }
}

impl Judged for Ipv6<'_> {
    const DROPPED: Reason = Reason::DroppedV6;
    const DROPPED_NET: Reason = Reason::DroppedNetV6;

    #[inline(always)]
    fn ban(&self) -> Option<&'static Ban> {
        let [network, _host] = self.source();
        if !may_be_banned(Bit::of_v6(network)) {
            return None;
        }
        // SAFETY: as for IPv4.
        unsafe { maps::BANS_V6.get(network) }
    }

    #[inline(always)]
    fn net(&self) -> Option<&'static Ban> {
        let source = self.source().map(u64::from_ne_bytes);
        maps::NETS_V6.get(Prefix::new(source, 128).key())
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        let source = self.source().map(u64::from_ne_bytes);
        maps::ALLOW_V6.get(Prefix::new(source, 128).key()).is_some()
    }

    /// `fe80::/10` (RFC 4291, section 2.5.6) and `::` (duplicate address detection, RFC 4862).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        const PREFIX: u64 = u64::from_ne_bytes([0xff, 0xc0, 0, 0, 0, 0, 0, 0]);
        const LINK_LOCAL: u64 = u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
        let [network, host] = self.source().map(u64::from_ne_bytes);
        network & PREFIX == LINK_LOCAL || (network == 0 && host == 0)
    }
}

/// Asks the prefilter. What can't be asked may be banned: the exact map knows.
#[inline(always)]
fn may_be_banned(bit: Bit) -> bool {
    maps::PREFILTER.get(bit.word).is_none_or(|word| word & bit.mask != 0)
}

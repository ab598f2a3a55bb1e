//! Whether a packet is dropped.

use ravelin_common::packet::{Ipv6, Packet};
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
        Packet::V4(packet) => judge(&V4(packet.source()), settings.nets_v4 != 0),
        Packet::V6(packet) => judge(&V6::from(packet), settings.nets_v6 != 0),
    }
}

/// Asks for the exact ban first, then for the longest prefix: a lapsed exact ban hides no prefix.
#[inline(always)]
fn judge<S: Source>(source: &S, nets: bool) -> Verdict {
    let mut reason = Reason::PassedMiss;
    if let Some(ban) = source.ban() {
        if let Some(verdict) = enforce(ban, S::DROPPED, source) {
            return verdict;
        }
        reason = Reason::PassedExpired;
    }
    if nets && let Some(ban) = source.net() {
        if let Some(verdict) = enforce(ban, S::DROPPED_NET, source) {
            return verdict;
        }
        reason = Reason::PassedExpired;
    }
    Verdict { reason, hit: None }
}

/// What `ban` means for a packet from `source`; nothing if it has lapsed.
#[inline(always)]
fn enforce<S: Source>(ban: &'static Ban, reason: Reason, source: &S) -> Option<Verdict> {
    let cpu = Cpu::current()?;
    if !ban.holds(cpu.now_ns()) {
        return None;
    }
    if source.unbannable() || (ban.holds_allowed() && source.allowed()) {
        return Some(Verdict { reason: Reason::PassedAllowed, hit: None });
    }
    Some(Verdict { reason, hit: Some(Hit { ban, cpu }) })
}

/// A source address, with what the maps of its family say about it.
trait Source {
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

struct V4([u8; 4]);

impl Source for V4 {
    const DROPPED: Reason = Reason::DroppedV4;
    const DROPPED_NET: Reason = Reason::DroppedNetV4;

    #[inline(always)]
    fn ban(&self) -> Option<&'static Ban> {
        if !may_be_banned(Bit::of_v4(self.0)) {
            return None;
        }
        // SAFETY: only userspace inserts and removes; without preallocation a removed entry is freed
        // after the program's RCU section, so that the reference stays valid for this run.
        unsafe { maps::BANS_V4.get(self.0) }
    }

    #[inline(always)]
    fn net(&self) -> Option<&'static Ban> {
        maps::NETS_V4.get(Prefix::new([u32::from_ne_bytes(self.0), 0], 32).key())
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        maps::ALLOW_V4.get(Prefix::new(u32::from_ne_bytes(self.0), 32).key()).is_some()
    }

    /// 169.254.0.0/16 (RFC 3927) and 0.0.0.0 (a DHCP client's).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        const PREFIX: u32 = u32::from_ne_bytes([0xff, 0xff, 0, 0]);
        const LINK_LOCAL: u32 = u32::from_ne_bytes([169, 254, 0, 0]);
        let source = u32::from_ne_bytes(self.0);
        source & PREFIX == LINK_LOCAL || source == 0
    }
}

/// Its network half, which decides about almost all packets, is taken from the frame once.
struct V6<'frame> {
    network: [u8; 8],
    packet: Ipv6<'frame>,
}

impl<'frame> From<Ipv6<'frame>> for V6<'frame> {
    #[inline(always)]
    fn from(packet: Ipv6<'frame>) -> Self {
        let [network, _host] = packet.source();
        Self { network, packet }
    }
}

impl V6<'_> {
    #[inline(always)]
    fn halves(&self) -> [u64; 2] {
        let [_network, host] = self.packet.source();
        [self.network, host].map(u64::from_ne_bytes)
    }
}

impl Source for V6<'_> {
    const DROPPED: Reason = Reason::DroppedV6;
    const DROPPED_NET: Reason = Reason::DroppedNetV6;

    #[inline(always)]
    fn ban(&self) -> Option<&'static Ban> {
        if !may_be_banned(Bit::of_v6(self.network)) {
            return None;
        }
        // SAFETY: as for IPv4.
        unsafe { maps::BANS_V6.get(self.network) }
    }

    #[inline(always)]
    fn net(&self) -> Option<&'static Ban> {
        maps::NETS_V6.get(Prefix::new(self.halves(), 128).key())
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        maps::ALLOW_V6.get(Prefix::new(self.halves(), 128).key()).is_some()
    }

    /// `fe80::/10` (RFC 4291, section 2.5.6) and `::` (duplicate address detection, RFC 4862).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        const PREFIX: u64 = u64::from_ne_bytes([0xff, 0xc0, 0, 0, 0, 0, 0, 0]);
        const LINK_LOCAL: u64 = u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
        let network = u64::from_ne_bytes(self.network);
        network & PREFIX == LINK_LOCAL || (network == 0 && self.halves() == [0, 0])
    }
}

/// Asks the prefilter. What can't be asked may be banned: the exact map knows.
#[inline(always)]
fn may_be_banned(bit: Bit) -> bool {
    maps::PREFILTER.get(bit.word).is_none_or(|word| word & bit.mask != 0)
}

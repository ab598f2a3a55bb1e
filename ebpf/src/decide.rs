//! Whether a packet is dropped.

use ravelin_common::destination::Destination;
use ravelin_common::packet::{Ipv6, Packet};
use ravelin_common::prefilter::Bit;
use ravelin_common::{Reason, Settings};

use crate::ban::Ban;
use crate::cpu::Cpu;
use crate::frame::XdpFrame;
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
pub(crate) fn decide(frame: &XdpFrame, packet: Packet<'_>, settings: &Settings) -> Verdict {
    match packet {
        Packet::V4(v4) => judge(&V4(v4.source()), settings.nets_v4 != 0, frame, packet),
        Packet::V6(v6) => judge(&V6::from(v6), settings.nets_v6 != 0, frame, packet),
    }
}

/// Asks for the exact ban first, then for the longest prefix: an exact ban that has lapsed, or that is
/// of other ports, hides no prefix.
#[inline(always)]
fn judge<S: Source>(source: &S, nets: bool, frame: &XdpFrame, packet: Packet<'_>) -> Verdict {
    let mut reason = Reason::PassedMiss;
    if let Some(ban) = source.ban() {
        match enforce(ban, S::DROPPED, source, frame, packet) {
            Ok(verdict) => return verdict,
            Err(passed) => reason = passed,
        }
    }
    if nets && let Some(ban) = source.net() {
        match enforce(ban, S::DROPPED_NET, source, frame, packet) {
            Ok(verdict) => return verdict,
            Err(passed) => reason = passed,
        }
    }
    Verdict { reason, hit: None }
}

/// What `ban` means for a packet from `source`; why it means nothing, if so.
#[inline(always)]
fn enforce<S: Source>(
    ban: &'static Ban,
    reason: Reason,
    source: &S,
    frame: &XdpFrame,
    packet: Packet<'_>,
) -> Result<Verdict, Reason> {
    let cpu = Cpu::current().ok_or(Reason::PassedMiss)?;
    if !ban.holds(cpu.now_ns()) {
        let scope = ban.scope(cpu.now_ns());
        if scope == 0 {
            return Err(Reason::PassedExpired);
        }
        if !bound_for(scope, &frame.from(packet), packet) {
            return Err(Reason::PassedOtherPort);
        }
    }
    if source.unbannable() || (ban.holds_allowed() && source.allowed()) {
        return Ok(Verdict { reason: Reason::PassedAllowed, hit: None });
    }
    Ok(Verdict { reason, hit: Some(Hit { ban, cpu }) })
}

/// Whether a packet is bound for a port of this scope, or hides where it is bound for.
#[inline(always)]
fn bound_for(scope: u32, bytes: &XdpFrame, packet: Packet<'_>) -> bool {
    let Some(scope) = maps::SCOPES.get(scope) else { return false };
    match Destination::of(packet, bytes) {
        Destination::Port(port) => scope.contains(port),
        Destination::Portless => false,
        Destination::Unknown => !scope.is_empty(),
    }
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

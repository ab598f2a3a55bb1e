//! Whether a source's frame is dropped.

use aya_ebpf::btf_maps::lpm_trie::Key;
use ravelin_common::packet::Source;
use ravelin_common::prefilter::Bit;
use ravelin_common::{Reason, Settings};

use crate::ban::Ban;
use crate::{clock, maps};

/// What becomes of a frame: dropped by `ban`, or passed where there is none.
pub(crate) struct Verdict {
    pub(crate) reason: Reason,
    pub(crate) ban: Option<&'static Ban>,
}

impl Verdict {
    #[inline(always)]
    pub(crate) const fn pass(reason: Reason) -> Self {
        Self { reason, ban: None }
    }
}

/// Decides about a frame from `source`.
#[inline(always)]
pub(crate) fn decide(source: Source<'_>, settings: &Settings) -> Verdict {
    match source {
        Source::V4(address) => judge(&V4(*address), settings.nets_v4 != 0),
        Source::V6(address) => judge(&V6(address), settings.nets_v6 != 0),
    }
}

/// The exact ban first, then the longest prefix; a lapsed exact ban hides no prefix.
#[inline(always)]
fn judge<A: Address>(address: &A, nets: bool) -> Verdict {
    let mut reason = Reason::PassedMiss;
    if let Some(ban) = address.ban() {
        if ban.holds(clock::now_ns()) {
            return enforce(ban, A::DROPPED, address);
        }
        reason = Reason::PassedExpired;
    }
    if nets && let Some(ban) = address.net() {
        if ban.holds(clock::now_ns()) {
            return enforce(ban, A::DROPPED_NET, address);
        }
        reason = Reason::PassedExpired;
    }
    Verdict::pass(reason)
}

/// Drops, unless the address may not be.
#[inline(always)]
fn enforce<A: Address>(ban: &'static Ban, reason: Reason, address: &A) -> Verdict {
    if address.unbannable() || (ban.holds_allowed() && address.allowed()) {
        return Verdict::pass(Reason::PassedAllowed);
    }
    Verdict { reason, ban: Some(ban) }
}

/// A source address, with what the maps of its family say about it.
trait Address {
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
struct V6<'frame>(&'frame [u8; 16]);

impl Address for V4 {
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
        let [a, b, c, d] = self.0;
        maps::NETS_V4.get(&Key::new(32, [a, b, c, d, 0, 0, 0, 0]))
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        maps::ALLOW_V4.get(&Key::new(32, self.0)).is_some()
    }

    /// 169.254.0.0/16 (RFC 3927) and 0.0.0.0 (a DHCP client's).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        matches!(self.0, [169, 254, _, _] | [0, 0, 0, 0])
    }
}

impl Address for V6<'_> {
    const DROPPED: Reason = Reason::DroppedV6;
    const DROPPED_NET: Reason = Reason::DroppedNetV6;

    #[inline(always)]
    fn ban(&self) -> Option<&'static Ban> {
        let [a, b, c, d, e, f, g, h, ..] = *self.0;
        let network = [a, b, c, d, e, f, g, h];
        if !may_be_banned(Bit::of_v6(network)) {
            return None;
        }
        // SAFETY: as for IPv4.
        unsafe { maps::BANS_V6.get(network) }
    }

    #[inline(always)]
    fn net(&self) -> Option<&'static Ban> {
        maps::NETS_V6.get(&Key::new(128, *self.0))
    }

    #[inline(always)]
    fn allowed(&self) -> bool {
        maps::ALLOW_V6.get(&Key::new(128, *self.0)).is_some()
    }

    /// `fe80::/10` (RFC 4291, section 2.5.6) and `::` (duplicate address detection, RFC 4862).
    #[inline(always)]
    fn unbannable(&self) -> bool {
        u128::from_ne_bytes(*self.0) == 0 || (self.0[0] == 0xfe && self.0[1] & 0xc0 == 0x80)
    }
}

/// Asks the prefilter. What can't be asked may be: the exact map knows.
#[inline(always)]
fn may_be_banned(bit: Bit) -> bool {
    maps::PREFILTER.get(bit.word).is_none_or(|word| word & bit.mask != 0)
}

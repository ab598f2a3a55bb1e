//! Tells userspace about drops, through the ring buffer and at a limited rate.

use aya_ebpf::programs::XdpContext;
use ravelin_common::packet::Source;
use ravelin_common::{DropEvent, Reason};

use crate::maps;

const NS_PER_S: u64 = 1_000_000_000;

/// What one CPU has announced.
#[repr(C)]
pub(crate) struct Pace {
    /// When the next event is due; it may come up to a second early.
    due_ns: u64,
    /// Drops not announced since the last event.
    suppressed: u64,
}

impl Pace {
    /// Whether an event may go out now, at `per_second` of them on this CPU and bursts of a second's
    /// worth.
    ///
    /// Generic cell rate algorithm (ITU-T I.371): one word of state, and a division only for a yes.
    #[inline(always)]
    fn allows(&mut self, now_ns: u64, per_second: u32) -> bool {
        if self.due_ns > now_ns + NS_PER_S {
            return false;
        }
        self.due_ns = self.due_ns.max(now_ns) + NS_PER_S / u64::from(per_second.max(1));
        true
    }
}

/// Announces the drop of a frame, or counts it as not announced.
#[inline(always)]
pub(crate) fn announce(
    ctx: &XdpContext,
    source: Source<'_>,
    reason: Reason,
    length: u32,
    now_ns: u64,
    per_second: u32,
) {
    if per_second == 0 {
        return;
    }
    let Some(pace) = maps::PACE.get_ptr_mut(0) else { return };
    // SAFETY: an aligned value of this CPU alone, and network receive doesn't nest on a CPU.
    let pace = unsafe { &mut *pace };
    if pace.allows(now_ns, per_second) {
        let event = DropEvent {
            time_ns: now_ns,
            source: mapped(source),
            ifindex: ctx.ingress_ifindex() as u32,
            length,
            reason: reason as u32,
            suppressed: pace.suppressed.min(u64::from(u32::MAX)) as u32,
        };
        if maps::EVENTS.output_untyped::<DropEvent>(event, 0).is_ok() {
            pace.suppressed = 0;
            return;
        }
    }
    pace.suppressed += 1;
}

/// IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
fn mapped(source: Source<'_>) -> [u8; 16] {
    match source {
        Source::V4(&[a, b, c, d]) => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d],
        Source::V6(address) => *address,
    }
}

//! Counts what became of frames.

use ravelin_common::Reason;

use crate::maps;

/// Counts a frame on this CPU.
#[inline(always)]
pub(crate) fn count(reason: Reason) {
    let Some(counter) = maps::COUNTERS.get_ptr_mut(reason as u32) else { return };
    // SAFETY: an aligned value of this CPU alone, and network receive doesn't nest on a CPU.
    unsafe { *counter += 1 };
}

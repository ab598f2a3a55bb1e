//! Counts what became of frames.

use ravelin_common::Reason;

use crate::maps;
use crate::shared::Shared;

/// Counts a frame on this CPU.
#[inline(always)]
pub(crate) fn count(reason: Reason) {
    let Some(counter) = maps::COUNTERS.get_ptr_mut(reason as u32) else { return };
    // SAFETY: an aligned value of this CPU alone, and network receive doesn't nest on a CPU.
    unsafe { *counter += 1 };
}

/// Adds frames that an older layout has counted; false where there is no such reason.
#[inline(always)]
pub(crate) fn carry(reason: u32, frames: u64) -> bool {
    let Some(counter) = maps::COUNTERS.get_ptr_mut(reason) else { return false };
    // SAFETY: an aligned value; atomic, since network receive may interrupt this program on its CPU.
    unsafe { (*counter.cast::<Shared<u64>>()).add(frames) };
    true
}

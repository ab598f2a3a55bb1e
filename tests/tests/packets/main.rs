//! The XDP program, packet by packet: what it reads, whom it drops, what it counts.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod amendments;
mod counters;
mod events;
mod expiry;
mod frames;
mod parsing;
mod verdicts;

use ravelin_tests::xdp::{Action, Program};

/// Runs one frame and asserts what became of it: the action, and that exactly this reason counted it.
#[track_caller]
fn assert_verdict(program: &Program, what: &str, frame: &[u8], action: Action, reason: &str) {
    let before = program.counts();
    let done = program.run(frame);
    let after = program.counts();
    let counted: Vec<_> = after
        .iter()
        .map(|(name, count)| {
            let earlier = before.iter().find(|(earlier, _)| earlier == name);
            (*name, count - earlier.map_or(0, |(_, count)| *count))
        })
        .filter(|(_, count)| *count != 0)
        .collect();
    assert_eq!((done, counted), (action, vec![(reason, 1)]), "{what}: {frame:02x?}");
}

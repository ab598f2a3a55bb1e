//! The XDP program against a model of it, over frames that nobody thought of.
//!
//! The model is [`oracle`] for the parsing and [`Bans`] for the decision, neither of which shares code
//! with the program. Frames come from a seed, so that a difference can be had again.
#![expect(clippy::panic, reason = "it is how a difference is reported")]

mod bans;
mod frames;

use std::collections::BTreeMap;

use ravelin_common::destination::Destination;
use ravelin_common::packet::{NoPacket, Packet};
use ravelin_common::{Reason, Settings};

pub use self::bans::{Bans, Verdict};
pub use self::frames::Frames;
use crate::oracle;
use crate::xdp::{Action, Program};

/// Frames between two looks at the counters.
const ROUND: usize = 8_192;
/// `BPF_PROG_TEST_RUN` takes no frame that is shorter than an Ethernet header.
const SHORTEST_RUN: usize = 14;

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    /// Frames that the program was run with.
    pub run: usize,
    /// Frames that only its parser was run with, being too short for `BPF_PROG_TEST_RUN`.
    pub parsed_only: usize,
    /// Frames the program was run with, by what became of them.
    pub reasons: BTreeMap<&'static str, u64>,
}

/// Runs the program with at least `at_least` frames from `seed`.
///
/// # Panics
/// At the first difference: in what the parser finds, in verdict and reason of a frame, in what a ban
/// has counted in the end.
pub fn compare(seed: u64, at_least: usize) -> Compared {
    let bans = Bans::new();
    let mut program = Program::load();
    program.set(Settings { nets_v4: 1, nets_v6: 1, ..Settings::default() });
    bans.enter_into(&mut program);

    let mut frames = Frames::new(seed, bans.addresses());
    let mut compared = Compared::default();
    let mut hits = BTreeMap::new();
    while compared.run < at_least {
        let mut by_reason: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
        let mut in_round = 0;
        while in_round < ROUND {
            let frame = frames.next_frame();
            let expected = oracle::source(&frame);
            let parsed = Packet::parse(&frame[..]).map(Packet::source);
            assert!(parsed == expected, "parser: {parsed:?}, oracle: {expected:?}: {frame:02x?}");
            if frame.len() < SHORTEST_RUN {
                compared.parsed_only += 1;
                continue;
            }
            in_round += 1;
            let verdict = match expected {
                Ok(source) => bans.judge(source, compare_destination(&frame)),
                Err(NoPacket::NotIp) => Verdict::pass(Reason::PassedNotIp),
                Err(NoPacket::Malformed) => Verdict::pass(Reason::PassedMalformed),
            };
            if let Some(ban) = verdict.ban {
                let (packets, bytes) = hits.entry(ban).or_insert((0_u64, 0_u64));
                *packets += 1;
                *bytes += frame.len() as u64;
            }
            by_reason.entry(name(verdict.reason)).or_default().push(frame);
        }
        for (reason, group) in by_reason {
            run_group(&program, reason, &group, seed);
            *compared.reasons.entry(reason).or_default() += group.len() as u64;
        }
        compared.run += in_round;
    }
    for ban in bans.targets() {
        let entry = program.entry(ban);
        let expected = hits.get(ban).copied().unwrap_or_default();
        assert_eq!((entry.packets, entry.bytes), expected, "packets and bytes of {ban}");
    }
    compared
}

/// What the oracle says of where a frame is bound for, after the parser has said the same.
fn compare_destination(frame: &[u8]) -> Destination {
    let (start, expected) = oracle::destination(frame).expect("it has a source");
    let packet = Packet::parse(frame).expect("it has a source");
    let found = Destination::of(packet, &frame[start..]);
    assert!(found == expected, "destination: {found:?}, oracle: {expected:?}: {frame:02x?}");
    expected
}

/// Runs frames that are all expected to have the same reason: the counters, read once, then say of each
/// that it had.
fn run_group(program: &Program, reason: &'static str, frames: &[Vec<u8>], seed: u64) {
    let before = program.counts();
    let mut dropped = 0_usize;
    for frame in frames {
        dropped += usize::from(program.run(frame) == Action::Drop);
    }
    let counted = since(&before, &program.counts());
    let passes = Reason::ALL.iter().any(|(known, name)| *name == reason && known.passed());
    let expected_drops = if passes { 0 } else { frames.len() };
    if counted == [(reason, frames.len() as u64)] && dropped == expected_drops {
        return;
    }
    // Which one was it?
    for frame in frames {
        let before = program.counts();
        let action = program.run(frame);
        let counted = since(&before, &program.counts());
        if counted != [(reason, 1)] || (action == Action::Pass) != passes {
            panic!(
                "seed {seed}: expected {reason}, the program says {action:?} and {counted:?}: \
                 {frame:02x?}"
            );
        }
    }
    panic!(
        "seed {seed}: expected {} of {reason} and {expected_drops} dropped, got {counted:?} and {dropped}, \
            each frame alone as expected",
        frames.len()
    );
}

fn since(
    before: &[(&'static str, u64)],
    after: &[(&'static str, u64)],
) -> Vec<(&'static str, u64)> {
    let earlier =
        |name| before.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
    after
        .iter()
        .map(|(name, count)| (*name, count - earlier(*name)))
        .filter(|(_, count)| *count != 0)
        .collect()
}

fn name(reason: Reason) -> &'static str {
    Reason::ALL.iter().find(|(known, _)| *known == reason).map_or("?", |(_, name)| *name)
}

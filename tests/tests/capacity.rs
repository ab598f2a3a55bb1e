//! A million bans: they load, they all drop, and one too many is refused.

use std::net::Ipv4Addr;

use aya::maps::MapError;
use ravelin_common::prefilter::{Bit, WORDS};
use ravelin_tests::xdp::{Action, PERMANENT_ENTRY, Program};

const BANS: u32 = 1_000_000;

/// Spread over all of the address space, no two alike: an odd factor permutes the numbers.
fn source(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(index.wrapping_mul(0x9e37_79b1) | 0x4000_0000)
}

fn frame(source: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(source.octets());
    frame.extend([192, 0, 2, 1]);
    frame
}

#[test]
fn a_million_bans_hold_and_one_more_is_refused() {
    let mut program = Program::load_sized(BANS);

    let mut sources: Vec<_> = (0..).map(source).take(3 * BANS as usize).collect();
    sources.sort_unstable();
    sources.dedup();
    let (banned, others) = sources.split_at(BANS as usize);

    let mut words = vec![0_u64; WORDS as usize];
    for source in banned {
        let Bit { word, mask } = Bit::of_v4(source.octets());
        words[word as usize] |= mask;
    }
    let mut prefilter = program.prefilter();
    for (index, word) in (0..).zip(&words) {
        prefilter.set(index, word, 0).unwrap();
    }
    let mut bans = program.bans_v4();
    for source in banned {
        bans.insert(source.octets(), PERMANENT_ENTRY, 0).unwrap();
    }

    let refused = bans.insert(others[0].octets(), PERMANENT_ENTRY, 0).unwrap_err();
    let MapError::SyscallError(refused) = refused else { panic!("{refused}") };
    assert_eq!(refused.io_error.raw_os_error(), Some(libc::E2BIG), "{refused}");
    // What is there already can still be changed.
    bans.insert(banned[0].octets(), PERMANENT_ENTRY, 0).unwrap();

    // None was thrown out for another, and nobody else suffers.
    for source in banned.iter().step_by(97) {
        assert_eq!(program.run(&frame(*source)), Action::Drop, "{source}");
    }
    for source in others.iter().step_by(997) {
        assert_eq!(program.run(&frame(*source)), Action::Pass, "{source}");
    }
}

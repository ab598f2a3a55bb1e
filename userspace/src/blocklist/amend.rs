//! Changing an entry where it lies, by the program made for it: see [`ravelin_common::amendment`].

use std::io;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use ravelin_common::Entry;
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::carry::{self, Carry};
use ravelin_common::map;
use ravelin_common::program::{AMEND, CARRY};

use super::place::Place;
use super::{BlocklistError, maps, program};
use crate::event::Target;

/// What an entry gets.
#[derive(Clone, Copy)]
pub(super) struct Amended {
    pub(super) expires_ns: u64,
    pub(super) flags: u16,
    pub(super) scope: u16,
    pub(super) scoped_until_s: u32,
}

impl Amended {
    /// A ban that is over.
    pub(super) const OVER: Self = Self { expires_ns: 0, flags: 0, scope: 0, scoped_until_s: 0 };

    /// As it is.
    pub(super) const fn of(entry: &Entry) -> Self {
        let Entry { expires_ns, flags, scope, scoped_until_s, .. } = *entry;
        Self { expires_ns, flags, scope, scoped_until_s }
    }
}

/// Gives the entry of `target` other expiries, flags and ports; false where there is none. Nothing that
/// it counts meanwhile is lost.
pub(super) fn amend(
    ebpf: &mut Ebpf,
    target: Target,
    amended: Amended,
) -> Result<bool, BlocklistError> {
    let (table, prefix_len, key) = address(target);
    let amendment = Amendment {
        table: table as u32,
        prefix_len,
        key,
        expires_ns: amended.expires_ns,
        flags: amended.flags,
        scope: amended.scope,
        scoped_until_s: amended.scoped_until_s,
    };
    run(ebpf, AMEND, &amendment.to_bytes())
        .map_err(|source| BlocklistError::Amend { target, source })
}

/// What a ban of an older layout has counted.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// Adds to the counts of `target`; false where it isn't banned.
pub(super) fn carry(
    ebpf: &mut Ebpf,
    target: Target,
    counted: Counted,
) -> Result<bool, BlocklistError> {
    let Counted { packets, bytes } = counted;
    let (table, prefix_len, key) = address(target);
    let carry = Carry { table: table as u32, prefix_len, key, packets, bytes };
    run(ebpf, CARRY, &carry.to_bytes()).map_err(|source| BlocklistError::Amend { target, source })
}

/// Adds to the counter of a reason.
pub(super) fn carry_counter(
    ebpf: &mut Ebpf,
    reason: u32,
    packets: u64,
) -> Result<(), BlocklistError> {
    let key = widened(&reason.to_ne_bytes());
    let carry = Carry { table: carry::COUNTERS, prefix_len: 0, key, packets, bytes: 0 };
    run(ebpf, CARRY, &carry.to_bytes())
        .map(drop)
        .map_err(|source| maps::failed("add to", map::COUNTERS, source))
}

/// Has one of the programs for userspace do what `frame` says; false where there is no such entry.
fn run(ebpf: &mut Ebpf, name: &str, frame: &[u8]) -> io::Result<bool> {
    let program: &mut Xdp = program(ebpf, name).map_err(io::Error::other)?;
    let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
    match program.test_run(options) {
        Ok(result) if result.return_value == AMENDED => Ok(true),
        Ok(result) if result.return_value == NO_SUCH_ENTRY => Ok(false),
        Ok(result) => {
            let answer = result.return_value;
            Err(io::Error::other(format!("the program `{name}` answered {answer}")))
        }
        Err(ProgramError::SyscallError(error)) => Err(error.io_error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Where the entry of a target is, as these programs are told.
fn address(target: Target) -> (Table, u32, [u8; 16]) {
    match Place::from(target) {
        Place::V4(key) => (Table::BansV4, 0, widened(&key)),
        Place::V6(key) => (Table::BansV6, 0, widened(&key)),
        Place::NetV4(key) => (Table::NetsV4, Key::prefix_len(&key), widened(&key.data())),
        Place::NetV6(key) => (Table::NetsV6, Key::prefix_len(&key), key.data()),
    }
}

fn widened(key: &[u8]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..key.len()].copy_from_slice(key);
    wide
}

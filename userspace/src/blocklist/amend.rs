//! Changing an entry where it lies, by the program made for it: see [`ravelin_common::amendment`].

use std::io;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use ravelin_common::Entry;
use ravelin_common::amendment::{AMENDED, Amendment, NO_SUCH_ENTRY, Table};
use ravelin_common::program::AMEND;

use super::place::Place;
use super::{BlocklistError, program};
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
    let (table, prefix_len, key) = match Place::from(target) {
        Place::V4(key) => (Table::BansV4, 0, widened(&key)),
        Place::V6(key) => (Table::BansV6, 0, widened(&key)),
        Place::NetV4(key) => (Table::NetsV4, Key::prefix_len(&key), widened(&key.data())),
        Place::NetV6(key) => (Table::NetsV6, Key::prefix_len(&key), key.data()),
    };
    let amendment = Amendment {
        table: table as u32,
        prefix_len,
        key,
        expires_ns: amended.expires_ns,
        flags: amended.flags,
        scope: amended.scope,
        scoped_until_s: amended.scoped_until_s,
    };
    let failed = |source| BlocklistError::Amend { target, source };
    let program: &mut Xdp = program(ebpf, AMEND)?;
    let frame = amendment.to_bytes();
    let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
    match program.test_run(options) {
        Ok(result) if result.return_value == AMENDED => Ok(true),
        Ok(result) if result.return_value == NO_SUCH_ENTRY => Ok(false),
        Ok(result) => Err(failed(io::Error::other(format!(
            "the program `{AMEND}` answered {}",
            result.return_value
        )))),
        Err(ProgramError::SyscallError(error)) => Err(failed(error.io_error)),
        Err(error) => Err(failed(io::Error::other(error))),
    }
}

fn widened(key: &[u8]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..key.len()].copy_from_slice(key);
    wide
}

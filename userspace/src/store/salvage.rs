//! What can still be read of a database that was set aside: who was banned how often, so that a repeat
//! offender stays one. Bans themselves are in the kernel.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::effect::Effect;
use super::read::Reader;
use crate::event::Timestamp;

/// The offences, as far as they can be read.
pub fn salvage(aside: &Path) -> Vec<Effect> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(aside, flags) else { return Vec::new() };
    let reader = Reader::over(connection, aside.to_owned());
    let mut found = Vec::new();
    let beginning = Timestamp::from_micros(i64::MIN);
    if let Err(error) = reader.offences(beginning, |row| found.push(Effect::Offences(row))) {
        tracing::warn!(%error, "Not all offences could be read of the damaged database.");
    }
    tracing::info!(offences = found.len(), "Taken over from the damaged database.");
    found
}

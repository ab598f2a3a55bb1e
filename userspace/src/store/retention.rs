//! What is forgotten, so that the file can't grow for ever.

use std::time::Duration;

use rusqlite::{TransactionBehavior, params};

use super::{Store, StoreError};
use crate::event::Timestamp;

/// How long things are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// The past.
    pub history: Duration,
    /// Entries of the past, whatever their age: an attacker writes them.
    pub history_rows: u64,
    /// Mails after the relay took or refused them.
    pub mails: Duration,
    /// Offences: `ban.forget_after`.
    pub offences: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { history: 90 * DAY, history_rows: 2_000_000, mails: 30 * DAY, offences: 7 * DAY }
    }
}

/// Rows that go at once: the writer isn't held up noticeably.
const STEP: u32 = 2_000;

impl Store {
    /// Forgets a step's worth of what is too old, and gives the room back to the file system; true where
    /// there is more to do. Bans that stand, positions and mails under way are never forgotten.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn forget(&mut self, retention: &Retention, now: Timestamp) -> Result<bool, StoreError> {
        let Retention { history, history_rows, mails, offences } = *retention;
        let rows = i64::try_from(history_rows).unwrap_or(i64::MAX);
        let mut run = || {
            let connection = self.connection();
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut forgotten = 0;
            for (sql, before) in [
                (
                    "DELETE FROM history WHERE id IN
                         (SELECT id FROM history WHERE at < ?1 ORDER BY at LIMIT ?2)",
                    now.saturating_sub(history).as_micros(),
                ),
                (
                    "DELETE FROM history WHERE id IN
                         (SELECT id FROM history
                          WHERE id <= (SELECT max(id) FROM history) - ?1 ORDER BY id LIMIT ?2)",
                    rows,
                ),
                (
                    "DELETE FROM mails WHERE id IN
                         (SELECT id FROM mails WHERE state != 'queued' AND settled < ?1 LIMIT ?2)",
                    now.saturating_sub(mails).as_micros(),
                ),
                (
                    "DELETE FROM offences WHERE target IN
                         (SELECT target FROM offences WHERE last < ?1 LIMIT ?2)",
                    now.saturating_sub(offences).as_micros(),
                ),
                (
                    "DELETE FROM allowed WHERE target IN
                         (SELECT target FROM allowed WHERE expires < ?1 LIMIT ?2)",
                    now.as_micros(),
                ),
            ] {
                forgotten += transaction.prepare_cached(sql)?.execute(params![before, STEP])?;
            }
            transaction.commit()?;
            if forgotten > 0 {
                connection.execute_batch("PRAGMA incremental_vacuum(256)")?;
            }
            Ok(forgotten >= STEP as usize)
        };
        run().map_err(|source| self.read().failed("forget the old", source))
    }
}

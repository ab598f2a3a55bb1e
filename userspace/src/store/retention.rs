//! What is forgotten, so that the file can't grow for ever.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::{Store, StoreError};
use crate::event::Timestamp;

/// How long things are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// The past.
    pub history: Duration,
    /// Entries of the past, whatever their age: an attacker writes them.
    pub history_rows: u64,
    /// Bytes of the database; above it the oldest past goes, whatever its age.
    pub bytes: u64,
    /// Mails after the relay took or refused them.
    pub mails: Duration,
    /// Offences: `ban.forget_after`.
    pub offences: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            history: 90 * DAY,
            history_rows: 2_000_000,
            bytes: 1 << 30,
            mails: 30 * DAY,
            offences: 7 * DAY,
        }
    }
}

/// Rows that go at once: the writer isn't held up noticeably.
const STEP: u32 = 2_000;
/// The same where it is for the room that they take: each may hold twenty long lines.
const LARGE_STEP: u32 = 500;
/// Pages that are given back at once, a MiB.
const PAGES: u64 = 256;

impl Store {
    /// Forgets a step's worth of what is too old; true where there is more to do. [`Self::shrink`] gives the
    /// room back. Bans that stand, positions and mails under way are never forgotten.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn forget(&mut self, retention: &Retention, now: Timestamp) -> Result<bool, StoreError> {
        let Retention { history, history_rows, bytes: _, mails, offences } = *retention;
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
            Ok(forgotten >= STEP as usize)
        };
        run().map_err(|source| self.read().failed("forget the old", source))
    }

    /// Takes a step towards no more bytes than [`Retention::bytes`]: the oldest entries of the past go, then
    /// mails that were settled; and gives free room back to the file system. True where there is more to do.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn shrink(&mut self, retention: &Retention) -> Result<bool, StoreError> {
        let mut run = || {
            let connection = self.connection();
            let before = Room::of(connection)?;
            let mut gone = 0;
            if before.used() > retention.bytes {
                for sql in [
                    "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY id LIMIT ?1)",
                    "DELETE FROM mails WHERE id IN
                         (SELECT id FROM mails WHERE state != 'queued' ORDER BY id LIMIT ?1)",
                ] {
                    gone = connection.prepare_cached(sql)?.execute([LARGE_STEP])?;
                    if gone > 0 {
                        break;
                    }
                }
            }
            let mut after = Room::of(connection)?;
            if after.free > PAGES || (gone > 0 && after.free > 0) {
                // As a statement it would free one page only.
                connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
                after = Room::of(connection)?;
            }
            Ok((gone > 0 && after.used() > retention.bytes) || after.free > PAGES)
        };
        run().map_err(|source| self.read().failed("give room back", source))
    }
}

/// Pages of the file.
#[derive(Clone, Copy, Debug)]
struct Room {
    size: u64,
    pages: u64,
    free: u64,
}

impl Room {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let read = |pragma: &str| {
            let value = connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            value.map(|value| u64::try_from(value).unwrap_or(0))
        };
        Ok(Self {
            size: read("page_size")?,
            pages: read("page_count")?,
            free: read("freelist_count")?,
        })
    }

    /// Bytes that hold something.
    const fn used(self) -> u64 {
        self.pages.saturating_sub(self.free).saturating_mul(self.size)
    }
}

//! A span of the past, read as a stream: there may be more of it than memory.

use super::StoreError;
use super::read::{HistoryEntry, Reader, history_entry};
use crate::event::Timestamp;

/// A mail that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MadeMail {
    /// When.
    pub made: Timestamp,
    /// One line.
    pub subject: String,
    /// The highest level told.
    pub level: u8,
    /// `queued`, `sent` or `refused`.
    pub state: String,
    /// What was said last where it isn't sent.
    pub error: Option<String>,
}

impl Reader {
    /// What happened from `since` on and before `until`, oldest first, without the lines that are its evidence.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn past(
        &self,
        since: Timestamp,
        until: Timestamp,
        mut each: impl FnMut(HistoryEntry),
    ) -> Result<(), StoreError> {
        self.query(
            "read history",
            "SELECT id, at, kind, target, origin, rule, level, reason, expires, offences, packets,
                 bytes, withheld, NULL, ports
             FROM history WHERE at >= ?1 AND at < ?2 ORDER BY at, id",
            [since.as_micros(), until.as_micros()],
            |row| Ok(self.understood("history", row, history_entry(row)?).map(&mut each)),
        )
    }

    /// When the first thing happened that is remembered.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn begins(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut first = None;
        self.query("read history", "SELECT min(at) FROM history", [], |row| {
            first = row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros);
            Ok(Some(()))
        })?;
        Ok(first)
    }

    /// Mails made from `since` on, newest first.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn mails(&self, since: Timestamp) -> Result<Vec<MadeMail>, StoreError> {
        let mut mails = Vec::new();
        self.query(
            "read mails",
            "SELECT made, subject, level, state, error FROM mails WHERE made >= ?1
             ORDER BY made DESC, id DESC",
            [since.as_micros()],
            |row| {
                mails.push(MadeMail {
                    made: Timestamp::from_micros(row.get(0)?),
                    subject: row.get(1)?,
                    level: row.get(2)?,
                    state: row.get(3)?,
                    error: row.get(4)?,
                });
                Ok(Some(()))
            },
        )?;
        Ok(mails)
    }
}

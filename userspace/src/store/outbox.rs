//! The outbox: entries that wait to become part of a mail, and mails until the relay has them.
//!
//! An entry is committed together with the effect that it tells of, and goes in the same transaction
//! that makes its mail; a mail stays until the relay took or refused it. So each entry is in one mail,
//! whenever the daemon dies.

use std::num::NonZeroI64;

use rusqlite::types::Value;
use rusqlite::{Row, Transaction, TransactionBehavior, params};

use super::commit::count;
use super::read::Reader;
use super::{Store, StoreError};
use crate::event::Timestamp;

/// A mail's number in this database; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MailId(NonZeroI64);

/// What waits in a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// Which.
    pub lane: String,
    /// Entries, also those that are only counted.
    pub entries: u64,
    /// When the oldest came.
    pub first: Timestamp,
    /// When the newest came.
    pub last: Timestamp,
    /// Whether any of them is told `again`.
    pub again: bool,
}

/// A lane's entries, about to become a mail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// The highest level's first, then the oldest, as many as were asked for: the mail room's encoding.
    pub notices: Vec<String>,
    /// Everything, by topic, highest level first.
    pub topics: Vec<Topic>,
}

/// Entries of one topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    /// What they have in common.
    pub topic: String,
    /// The highest among them.
    pub level: u8,
    /// How many.
    pub entries: u64,
}

/// A composed mail, not yet numbered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The same as HTML; empty: there is none.
    pub html: String,
    /// The highest told.
    pub level: u8,
    /// The host part of its Message-ID.
    pub host: String,
}

/// A mail on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mail {
    /// Its number.
    pub id: MailId,
    /// Which lane it came from.
    pub lane: String,
    /// When it was made.
    pub made: Timestamp,
    /// With angle brackets; the same at every attempt.
    pub message_id: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The same as HTML; empty: there is none.
    pub html: String,
    /// The highest told.
    pub level: u8,
    /// Attempts that failed.
    pub attempts: u32,
}

impl Mail {
    /// A mail that never was in the outbox, such as a test of the relay.
    pub fn loose(made: Timestamp, message_id: String, draft: Draft) -> Self {
        let Draft { subject, body, html, level, .. } = draft;
        Self {
            id: MailId(NonZeroI64::MIN),
            lane: "loose".to_owned(),
            made,
            message_id,
            subject,
            body,
            html,
            level,
            attempts: 0,
        }
    }
}

/// The outbox in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MailStats {
    /// Mails that the relay hasn't taken yet.
    pub queued: u64,
    /// Mails that it took, ever.
    pub sent: u64,
    /// Mails that it refused for good, or wouldn't take for days, ever.
    pub failed: u64,
    /// Entries that wait to be told.
    pub waiting: u64,
}

impl Reader {
    /// What waits, by lane; a lane where nothing does is left out.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        let mut waiting = Vec::new();
        self.query(
            "read the outbox",
            "SELECT lane, sum(times), min(queued), max(queued), max(again) FROM entries
             GROUP BY lane",
            [],
            |row| {
                waiting.push(Waiting {
                    lane: row.get(0)?,
                    entries: number(row, 1)?,
                    first: Timestamp::from_micros(row.get(2)?),
                    last: Timestamp::from_micros(row.get(3)?),
                    again: row.get(4)?,
                });
                Ok(Some(()))
            },
        )?;
        Ok(waiting)
    }

    /// Lane and birth of each mail made after `since`, oldest first.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn made(&self, since: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.births("SELECT lane, made FROM mails WHERE made > ?1 ORDER BY made", since)
    }

    /// Lane and birth of the newest mail of each lane that hasn't been taken yet.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn unsent(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.births(
            "SELECT lane, max(made) FROM mails WHERE state = 'queued' AND made > ?1 GROUP BY lane",
            Timestamp::from_micros(i64::MIN),
        )
    }

    /// When the lane's newest mail was made; where it has none, when the database was.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn newest(&self, lane: &str) -> Result<Timestamp, StoreError> {
        let made: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(made) FROM mails WHERE lane = ?1")
            .and_then(|mut statement| statement.query_row([lane], |row| row.get(0)))
            .map_err(|source| self.failed("read the outbox", source))?;
        Ok(match (made, self.meta("created")?) {
            (Some(made), _) | (None, Some(Value::Integer(made))) => Timestamp::from_micros(made),
            (None, _) => Timestamp::default(),
        })
    }

    /// Mails of these lanes whose time has come, the oldest first, at most 16.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn due(&self, lanes: &[&str], now: Timestamp) -> Result<Vec<Mail>, StoreError> {
        let mut due = Vec::new();
        self.query(
            "read the outbox",
            "SELECT id, lane, made, message_id, subject, body, html, level, attempts FROM mails
             WHERE state = 'queued' AND due <= ?1
                 AND lane IN (SELECT value FROM json_each(?2)) ORDER BY id LIMIT 16",
            params![now.as_micros(), serde_json::json!(lanes).to_string()],
            |row| {
                due.extend(
                    NonZeroI64::new(row.get(0)?).map(MailId).map(|id| mail(id, row)).transpose()?,
                );
                Ok(Some(()))
            },
        )?;
        Ok(due)
    }

    /// When the next mail's time comes in these lanes.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn next_due(&self, lanes: &[&str]) -> Result<Option<Timestamp>, StoreError> {
        let mut next = None;
        self.query(
            "read the outbox",
            "SELECT min(due) FROM mails
             WHERE state = 'queued' AND lane IN (SELECT value FROM json_each(?1))",
            [serde_json::json!(lanes).to_string()],
            |row| {
                next = row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros);
                Ok(Some(()))
            },
        )?;
        Ok(next)
    }

    /// The outbox in numbers.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn mail_stats(&self) -> Result<MailStats, StoreError> {
        let total = |key| {
            self.meta(key).map(|value| match value {
                Some(Value::Integer(total)) => u64::try_from(total).unwrap_or(0),
                _ => 0,
            })
        };
        Ok(MailStats {
            queued: self.one("count mails", "SELECT count(*) FROM mails WHERE state = 'queued'")?,
            sent: total(SENT)?,
            failed: total(REFUSED)?,
            waiting: self.one("count entries", "SELECT coalesce(sum(times), 0) FROM entries")?,
        })
    }

    fn births(&self, sql: &str, since: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut births = Vec::new();
        self.query("read the outbox", sql, [since.as_micros()], |row| {
            births.push((row.get(0)?, Timestamp::from_micros(row.get(1)?)));
            Ok(Some(()))
        })?;
        Ok(births)
    }
}

impl Store {
    /// Makes a mail of all that waits in a lane, in one transaction that is synced to disk. `compose` gets
    /// up to `notices` entries in full, and all of them as numbers; nothing where nothing waits, unless
    /// `compose` makes something of it (a sign of life). `remember`: whom it tells counts as told in this
    /// lane, see [`Self::put_off_told`].
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn make_mail(
        &mut self,
        lane: &str,
        now: Timestamp,
        notices: usize,
        remember: bool,
        compose: impl FnOnce(&Batch) -> Option<Draft>,
    ) -> Result<Option<MailId>, StoreError> {
        self.synced("make a mail", |transaction| {
            let batch = batch(transaction, lane, notices)?;
            let Some(draft) = compose(&batch) else { return Ok(None) };
            let Draft { subject, body, html, level, host } = draft;
            let entries: u64 = batch.topics.iter().map(|topic| topic.entries).sum();
            transaction.execute(
                "INSERT INTO mails (lane, made, message_id, subject, body, html, level, entries, due)
                 VALUES (?1, ?2, '', ?3, ?4, ?5, ?6, ?7, ?2)",
                params![lane, now.as_micros(), subject, body, html, level, count(entries)],
            )?;
            let id = transaction.last_insert_rowid();
            transaction.execute(
                "UPDATE mails SET message_id = printf('<ravelin-%d-%s@%s>', id,
                     (SELECT value FROM meta WHERE key = 'id'), ?2) WHERE id = ?1",
                params![id, host],
            )?;
            if remember {
                // Who was forgotten is told once more: better than a table without end.
                transaction.execute(
                    "DELETE FROM told WHERE lane = ?1
                         AND (SELECT count(*) FROM told WHERE lane = ?1) > ?2",
                    params![lane, TOLD_MAX],
                )?;
                transaction.execute(
                    "INSERT INTO told SELECT lane, offender, max(level) FROM entries
                         WHERE lane = ?1 AND offender IS NOT NULL GROUP BY offender
                     ON CONFLICT DO UPDATE SET level = max(level, excluded.level)",
                    [lane],
                )?;
            }
            transaction.execute("DELETE FROM entries WHERE lane = ?1", [lane])?;
            Ok(NonZeroI64::new(id).map(MailId))
        })
    }

    /// Moves what is no news to another lane: entries whose offender the lane's mails have told already,
    /// at their level or above, and that aren't told `again`.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn put_off_told(&mut self, lane: &str, to: &str) -> Result<(), StoreError> {
        const KNOWN: &str = "lane = ?1 AND again = 0 AND EXISTS (SELECT 1 FROM told
            WHERE told.lane = entries.lane AND told.offender = entries.offender
                AND told.level >= entries.level)";
        // Looked at before it is written: most of the time there is nothing to do.
        let any: bool = self
            .read()
            .connection
            .prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM entries WHERE {KNOWN})"))
            .and_then(|mut statement| statement.query_row([lane], |row| row.get(0)))
            .map_err(|source| self.read().failed("read the outbox", source))?;
        if any {
            self.synced("put off what is no news", |transaction| {
                transaction.execute(
                    &format!("UPDATE entries SET lane = ?2 WHERE {KNOWN}"),
                    params![lane, to],
                )
            })?;
        }
        Ok(())
    }

    /// Begins a lane's memory of whom it has told anew.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn forget_told(&mut self, lane: &str) -> Result<(), StoreError> {
        self.synced("forget whom mails have told", |transaction| {
            transaction.execute("DELETE FROM told WHERE lane = ?1", [lane])
        })?;
        Ok(())
    }

    /// The relay has it.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn sent(&mut self, id: MailId, now: Timestamp) -> Result<(), StoreError> {
        self.settle(id, "sent", SENT, now, None)
    }

    /// The relay will never have it.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn refused(&mut self, id: MailId, error: &str, now: Timestamp) -> Result<(), StoreError> {
        self.settle(id, "refused", REFUSED, now, Some(error))
    }

    /// It didn't work this time.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn failed(
        &mut self,
        id: MailId,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.synced("put a mail off", |transaction| {
            transaction.execute(
                "UPDATE mails SET attempts = attempts + 1, due = ?2, error = ?3
                 WHERE id = ?1 AND state = 'queued'",
                params![id.0.get(), retry_at.as_micros(), error],
            )
        })?;
        Ok(())
    }

    fn settle(
        &mut self,
        id: MailId,
        state: &str,
        total: &str,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.synced("settle a mail", |transaction| {
            let settled = transaction.execute(
                "UPDATE mails SET state = ?2, settled = ?3, error = ?4
                 WHERE id = ?1 AND state = 'queued'",
                params![id.0.get(), state, now.as_micros(), error],
            )?;
            transaction.execute(
                "INSERT INTO meta VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
                params![total, i64::try_from(settled).unwrap_or(0)],
            )
        })?;
        Ok(())
    }

    /// A transaction that a power cut can't take back.
    fn synced<T>(
        &mut self,
        task: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = || {
            let connection = self.connection();
            connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        let done = run();
        let back = self.connection().pragma_update(None, "synchronous", "NORMAL");
        done.and_then(|done| back.map(|()| done)).map_err(|source| self.read().failed(task, source))
    }
}

/// Offenders that a lane remembers to have told.
const TOLD_MAX: i64 = 100_000;

const SENT: &str = "mails_sent";
const REFUSED: &str = "mails_refused";

fn batch(transaction: &Transaction<'_>, lane: &str, notices: usize) -> rusqlite::Result<Batch> {
    let mut batch = Batch::default();
    let mut statement = transaction.prepare_cached(
        "SELECT topic, max(level), sum(times) FROM entries WHERE lane = ?1 GROUP BY topic
         ORDER BY max(level) DESC, sum(times) DESC",
    )?;
    let topics = statement.query_map([lane], |row| {
        Ok(Topic { topic: row.get(0)?, level: row.get(1)?, entries: number(row, 2)? })
    })?;
    for topic in topics {
        batch.topics.push(topic?);
    }
    let mut statement = transaction.prepare_cached(
        "SELECT notice FROM entries WHERE lane = ?1 ORDER BY level DESC, id LIMIT ?2",
    )?;
    let rows = statement
        .query_map(params![lane, i64::try_from(notices).unwrap_or(i64::MAX)], |row| row.get(0))?;
    for notice in rows {
        batch.notices.push(notice?);
    }
    Ok(batch)
}

fn mail(id: MailId, row: &Row<'_>) -> rusqlite::Result<Mail> {
    Ok(Mail {
        id,
        lane: row.get(1)?,
        made: Timestamp::from_micros(row.get(2)?),
        message_id: row.get(3)?,
        subject: row.get(4)?,
        body: row.get(5)?,
        html: row.get(6)?,
        level: row.get(7)?,
        attempts: row.get(8)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

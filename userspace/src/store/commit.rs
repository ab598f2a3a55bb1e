//! Effects into tables, in one transaction.

use std::collections::HashMap;

use rusqlite::{Transaction, TransactionBehavior, params};

use super::effect::{
    AlertRecord, Allowed, Anchor, Checkpoint, Effect, Evidence, OutboxEntry, Position,
};
use super::read::Offences;
use super::{Store, StoreError};
use crate::event::{BanOrder, Ports, Target, Timestamp};
use crate::policy::OpenSession;

/// What a commit contained.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Committed {
    /// Effects.
    pub effects: usize,
    /// Outbox entries among them: the mail room has something to look at.
    pub mail: usize,
}

/// Entries that wait in a lane one by one; what comes on top of them is only counted by topic, so that a
/// flood of alerts can't fill the disk. No mail could tell so many anyway.
pub(super) const WAITING_MAX: i64 = 10_000;

/// Checkpoints kept of each source: a day and more at one each few minutes.
const CHECKPOINTS: u32 = 320;

/// Under this name `meta` has until when what was awaited has been told.
pub(super) const AWAITED: &str = "awaited_until";

/// Under these `meta` has what the wall's clock is measured by.
pub(super) const BOOT: &str = "boot";
pub(super) const BOOTED: &str = "booted";

/// Effects that leave a cache behind which isn't worth its memory.
const LARGE: usize = 10_000;

impl Store {
    /// All of `effects` in their order, or none.
    ///
    /// # Errors
    ///
    /// What SQLite says: disk full, damaged, read-only.
    pub fn commit(&mut self, effects: &[Effect]) -> Result<Committed, StoreError> {
        let path = self.read().path().to_owned();
        self.try_commit(effects).map_err(|source| StoreError::sqlite(&path, "commit", source))
    }

    fn try_commit(&mut self, effects: &[Effect]) -> rusqlite::Result<Committed> {
        let transaction =
            self.connection().transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Writing { transaction: &transaction, waiting: HashMap::new() };
        let mut committed = Committed { effects: effects.len(), mail: 0 };
        for effect in effects {
            batch.write(effect)?;
            committed.mail += usize::from(matches!(effect, Effect::Mail(_)));
        }
        transaction.commit()?;
        if effects.len() > LARGE {
            self.connection().execute_batch("PRAGMA shrink_memory")?;
        }
        Ok(committed)
    }
}

/// A transaction under way.
struct Writing<'t> {
    transaction: &'t Transaction<'t>,
    /// Entries that wait, by lane, as far as this transaction had to know.
    waiting: HashMap<&'static str, i64>,
}

impl Writing<'_> {
    fn write(&mut self, effect: &Effect) -> rusqlite::Result<()> {
        match effect {
            Effect::Position(position) => self.position(position),
            Effect::Forgotten { source } => {
                self.execute("DELETE FROM checkpoints WHERE source = ?1", [source])?;
                self.execute("DELETE FROM positions WHERE source = ?1", [source])
            }
            Effect::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Effect::Sessions(open) => self.sessions(open),
            Effect::Awaited { until } => self.execute(
                "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
                params![AWAITED, until.as_micros()],
            ),
            Effect::Clock { anchor, stepped } => self.clock(anchor, *stepped),
            Effect::Banned { order, evidence } => {
                self.ban(order)?;
                self.offence(order)?;
                self.ban_history("ban", order, evidence)
            }
            Effect::Standing { order } => {
                if self.knows(order)? {
                    return Ok(());
                }
                self.ban(order)?;
                self.offence(order)?;
                self.ban_history("ban", order, &Evidence::default())
            }
            Effect::Offences(Offences { target, count, last }) => self.execute(
                "INSERT INTO offences VALUES (?1, ?2, ?3) ON CONFLICT (target)
                     DO UPDATE SET count = max(count, ?2), last = max(last, ?3)",
                params![target.to_string(), count, last.as_micros()],
            ),
            Effect::Late { order, evidence } => {
                self.offence(order)?;
                self.ban_history("late", order, evidence)
            }
            Effect::Unbanned { target, at, by, forgive, packets, bytes } => {
                self.end_history("unban", *target, *at, Some(by.to_string()), *packets, *bytes)?;
                if *forgive { self.forgive(*target) } else { Ok(()) }
            }
            Effect::Lapsed { target, at, packets, bytes } => {
                self.end_history("lapse", *target, *at, None, *packets, *bytes)
            }
            Effect::Alert(alert) => self.alert(alert),
            Effect::Counts { target, packets, bytes } => self.counts(*target, *packets, *bytes),
            Effect::Mail(entry) => self.entry(entry),
            Effect::Allowed(allowed) => self.allow(allowed),
            Effect::Disallowed { target } => {
                self.execute("DELETE FROM allowed WHERE target = ?1", [target.to_string()])
            }
        }
    }

    fn position(&self, position: &Position) -> rusqlite::Result<()> {
        let Position { source, place } = position;
        self.execute("INSERT OR REPLACE INTO positions VALUES (?1, ?2)", [source, place])
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
        let Checkpoint { position: Position { source, place }, at, behind, bytes } = checkpoint;
        // A daemon that is started again and again stays at the same place.
        let known = self
            .transaction
            .prepare_cached(
                "UPDATE checkpoints SET behind = ?3 WHERE place = ?2 AND id =
                     (SELECT id FROM checkpoints WHERE source = ?1 ORDER BY id DESC LIMIT 1)",
            )?
            .execute(params![source, place, behind])?;
        if known > 0 {
            return Ok(());
        }
        self.execute(
            "INSERT INTO checkpoints (source, at, place, behind, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![source, at.as_micros(), place, behind, count(*bytes)],
        )?;
        self.execute(
            "DELETE FROM checkpoints WHERE source = ?1 AND id <=
                 (SELECT id FROM checkpoints WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![source, CHECKPOINTS],
        )
    }

    fn sessions(&self, open: &[OpenSession]) -> rusqlite::Result<()> {
        self.execute("DELETE FROM sessions", [])?;
        for OpenSession { addr, port, pid, since } in open {
            self.execute(
                "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4)",
                params![addr.to_string(), port, pid, since.as_micros()],
            )?;
        }
        Ok(())
    }

    fn clock(&self, anchor: &Anchor, stepped: i64) -> rusqlite::Result<()> {
        if stepped != 0 {
            for sql in [
                "UPDATE bans SET since = since + ?1, expires = expires + ?1",
                "UPDATE allowed SET since = since + ?1, expires = expires + ?1",
                "UPDATE offences SET last = last + ?1",
                "UPDATE checkpoints SET at = at + ?1",
                "UPDATE sessions SET since = since + ?1",
                "UPDATE entries SET queued = queued + ?1",
                "UPDATE mails SET made = made + ?1, due = due + ?1, settled = settled + ?1",
            ] {
                self.execute(sql, [stepped])?;
            }
        }
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        self.execute(sql, params![BOOT, anchor.boot])?;
        self.execute(sql, params![BOOTED, anchor.booted_us])
    }

    fn ban(&self, order: &BanOrder) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO bans (target, since, expires, origin, rule, level, reason, offences, ports)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (target, ports) DO UPDATE SET since = ?2, expires = ?3, origin = ?4, rule = ?5,
                 level = ?6, reason = ?7, offences = ?8",
            params![
                order.target.to_string(),
                order.since.as_micros(),
                order.expires().map(Timestamp::as_micros),
                order.origin.to_string(),
                order.rule,
                order.level,
                order.reason,
                order.offences,
                order.ports.as_ref().map(Ports::to_string).unwrap_or_default(),
            ],
        )
    }

    fn knows(&self, order: &BanOrder) -> rusqlite::Result<bool> {
        let ports = order.ports.as_ref().map(Ports::to_string).unwrap_or_default();
        self.transaction
            .prepare_cached("SELECT 1 FROM bans WHERE target = ?1 AND ports = ?2")?
            .exists(params![order.target.to_string(), ports])
    }

    fn offence(&self, order: &BanOrder) -> rusqlite::Result<()> {
        if order.offences == 0 {
            return Ok(());
        }
        self.execute(
            "INSERT OR REPLACE INTO offences VALUES (?1, ?2, ?3)",
            params![order.target.to_string(), order.offences, order.since.as_micros()],
        )
    }

    fn forgive(&self, target: Target) -> rusqlite::Result<()> {
        let target = target.to_string();
        self.execute("DELETE FROM offences WHERE target = ?1 AND count <= 1", [&target])?;
        self.execute("UPDATE offences SET count = count - 1 WHERE target = ?1", [&target])
    }

    fn ban_history(
        &self,
        kind: &str,
        order: &BanOrder,
        evidence: &Evidence,
    ) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO history
                 (at, kind, target, origin, rule, level, reason, expires, offences, evidence, ports)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                order.since.as_micros(),
                kind,
                order.target.to_string(),
                order.origin.to_string(),
                order.rule,
                order.level,
                order.reason,
                order.expires().map(Timestamp::as_micros),
                order.offences,
                evidence.stored(),
                order.ports.as_ref().map(Ports::to_string),
            ],
        )
    }

    /// A ban's end takes along what is known about the ban, the latest where there are several.
    fn end_history(
        &self,
        kind: &str,
        target: Target,
        at: Timestamp,
        by: Option<String>,
        packets: u64,
        bytes: u64,
    ) -> rusqlite::Result<()> {
        let target = target.to_string();
        self.execute(
            "INSERT INTO history
                 (at, kind, target, origin, rule, level, reason, expires, offences, packets, bytes)
             SELECT ?1, ?2, ?3, coalesce(?4, origin), rule, level, reason, expires, offences, ?5, ?6
             FROM (SELECT 1) LEFT JOIN bans ON target = ?3
             ORDER BY since DESC LIMIT 1",
            params![at.as_micros(), kind, target, by, count(packets), count(bytes)],
        )?;
        self.execute("DELETE FROM bans WHERE target = ?1", [&target])
    }

    fn alert(&self, alert: &AlertRecord) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO history (at, kind, target, rule, level, reason, withheld, evidence)
             VALUES (?1, 'alert', ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                alert.at.as_micros(),
                alert.target.map(|target| target.to_string()),
                alert.rule,
                alert.level,
                alert.description,
                alert.withheld.map(|why| why.as_str()),
                alert.evidence.stored(),
            ],
        )
    }

    fn allow(&self, allowed: &Allowed) -> rusqlite::Result<()> {
        let Allowed { target, since, expires } = allowed;
        self.execute(
            "INSERT OR REPLACE INTO allowed VALUES (?1, ?2, ?3)",
            params![target.to_string(), since.as_micros(), expires.map(Timestamp::as_micros)],
        )
    }

    fn counts(&self, target: Target, packets: u64, bytes: u64) -> rusqlite::Result<()> {
        self.execute(
            "UPDATE bans SET packets = ?2, bytes = ?3 WHERE target = ?1",
            params![target.to_string(), count(packets), count(bytes)],
        )
    }

    fn entry(&mut self, entry: &OutboxEntry) -> rusqlite::Result<()> {
        let waiting = match self.waiting.get(entry.lane) {
            Some(waiting) => *waiting,
            None => self.transaction.query_row(
                "SELECT count(*) FROM entries WHERE lane = ?1",
                [entry.lane],
                |row| row.get(0),
            )?,
        };
        let OutboxEntry { lane, queued, level, topic, offender, again, notice } = entry;
        if waiting >= WAITING_MAX {
            let merged = self
                .transaction
                .prepare_cached(
                    "UPDATE entries SET times = times + 1 WHERE id =
                         (SELECT id FROM entries WHERE lane = ?1 AND topic = ?2 LIMIT 1)",
                )?
                .execute(params![lane, topic])?;
            if merged > 0 {
                self.waiting.insert(lane, waiting);
                return Ok(());
            }
        }
        self.waiting.insert(lane, waiting + 1);
        self.execute(
            "INSERT INTO entries (lane, queued, level, topic, offender, again, notice)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![lane, queued.as_micros(), level, topic, offender, again, notice],
        )
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(params).map(|_rows| ())
    }
}

/// SQLite counts to 2^63.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

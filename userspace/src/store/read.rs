//! Reading what is stored.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::commit::{AWAITED, BOOT, BOOTED};
use super::effect::{Allowed, Anchor, Checkpoint, Evidence, Position};
use super::{StoreError, schema};
use crate::event::{BanOrder, Ports, Target, Timestamp, Ttl};
use crate::policy::OpenSession;

/// A connection that sees the last commit, also while the daemon writes.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
    path: PathBuf,
}

/// A ban as it stands in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredBan {
    /// The decision.
    pub order: BanOrder,
    /// Dropped as of the last sync.
    pub packets: u64,
    /// Dropped as of the last sync.
    pub bytes: u64,
}

/// A target's record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offences {
    /// Whose.
    pub target: Target,
    /// Bans that count.
    pub count: u32,
    /// The last one's begin.
    pub last: Timestamp,
}

/// A ban that began, or was lifted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// When, by its line's time.
    pub at: Timestamp,
    /// Of what.
    pub target: Target,
    /// Its end, `None` in it: until lifted. `None`: it was lifted.
    pub until: Option<Option<Timestamp>>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HistoryKind {
    /// A ban was made.
    Ban,
    /// A ban was decided whose end had passed already.
    Late,
    /// A ban was lifted.
    Unban,
    /// A ban reached its end.
    Lapse,
    /// A rule fired, or a ban was withheld.
    Alert,
}

/// A piece of the past. What a kind doesn't have is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// Grows with time of writing.
    pub id: i64,
    /// When it happened, by its line's time.
    pub at: Timestamp,
    /// What happened.
    pub kind: HistoryKind,
    /// To whom.
    pub target: Option<Target>,
    /// Who decided; of a lapse: who had banned.
    pub origin: Option<String>,
    /// Which rule decided or fired.
    pub rule: Option<u32>,
    /// Its level.
    pub level: Option<u8>,
    /// For people.
    pub reason: Option<String>,
    /// The ban's end.
    pub expires: Option<Timestamp>,
    /// Which ports the ban was about; also `None`: every one.
    pub ports: Option<Ports>,
    /// Which ban of this target it was.
    pub offences: Option<u32>,
    /// Dropped, at a ban's end.
    pub packets: Option<u64>,
    /// Dropped, at a ban's end.
    pub bytes: Option<u64>,
    /// Why no ban came.
    pub withheld: Option<String>,
    /// The lines.
    pub evidence: Evidence,
}

/// Which part of the past; the newest come first.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Of exactly this target.
    pub target: Option<Target>,
    /// Of this kind.
    pub kind: Option<HistoryKind>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this id: the next page.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Reader {
    /// Looks into `state_dir/ravelin.db` without writing, beside a running daemon or without one.
    ///
    /// # Errors
    ///
    /// No database there, no permission, one that we don't know.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        schema::open_to_read(state_dir)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Each ban that stands, in no particular order, also one whose end has passed since. Streams: a
    /// million of them never are in memory at once.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn bans(&self, mut each: impl FnMut(StoredBan)) -> Result<(), StoreError> {
        self.query(
            "read bans",
            "SELECT target, since, expires, origin, rule, level, reason, offences, packets, bytes,
                 ports
             FROM bans",
            [],
            |row| Ok(self.understood("bans", row, stored_ban(row)?).map(&mut each)),
        )
    }

    /// The ban of exactly this target, the latest where it has several, of different ports.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn ban(&self, target: Target) -> Result<Option<StoredBan>, StoreError> {
        let mut found = None;
        self.query(
            "read a ban",
            "SELECT target, since, expires, origin, rule, level, reason, offences, packets, bytes,
                 ports
             FROM bans WHERE target = ?1 ORDER BY since",
            [target.to_string()],
            |row| {
                found = self.understood("bans", row, stored_ban(row)?);
                Ok(Some(()))
            },
        )?;
        Ok(found)
    }

    /// Bans that stand.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn ban_count(&self) -> Result<u64, StoreError> {
        self.one("count bans", "SELECT count(DISTINCT target) FROM bans")
    }

    /// Offenders whose last ban began at `since` or later.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn offences(
        &self,
        since: Timestamp,
        mut each: impl FnMut(Offences),
    ) -> Result<(), StoreError> {
        self.query(
            "read offences",
            "SELECT target, count, last FROM offences WHERE last >= ?1",
            [since.as_micros()],
            |row| {
                let (count, last) = (row.get(1)?, Timestamp::from_micros(row.get(2)?));
                let offences =
                    parsed::<Target>(row, 0)?.map(|target| Offences { target, count, last });
                Ok(self.understood("offences", row, offences).map(&mut each))
            },
        )
    }

    /// What counts against exactly this target.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn offences_of(&self, target: Target) -> Result<Option<Offences>, StoreError> {
        let mut found = None;
        self.query(
            "read offences",
            "SELECT count, last FROM offences WHERE target = ?1",
            [target.to_string()],
            |row| {
                let (count, last) = (row.get(0)?, Timestamp::from_micros(row.get(1)?));
                found = Some(Offences { target, count, last });
                Ok(Some(()))
            },
        )?;
        Ok(found)
    }

    /// What people allowed, also what is over since.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn allowed(&self) -> Result<Vec<Allowed>, StoreError> {
        let mut allowed = Vec::new();
        self.query(
            "read the allow list",
            "SELECT target, since, expires FROM allowed ORDER BY since, target",
            [],
            |row| {
                let since = Timestamp::from_micros(row.get(1)?);
                let expires = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros);
                let entry =
                    parsed::<Target>(row, 0)?.map(|target| Allowed { target, since, expires });
                allowed.extend(self.understood("allowed", row, entry));
                Ok(Some(()))
            },
        )?;
        Ok(allowed)
    }

    /// How far each source has been read.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn positions(&self) -> Result<Vec<Position>, StoreError> {
        let mut positions = Vec::new();
        self.query("read positions", "SELECT source, place FROM positions", [], |row| {
            positions.push(Position { source: row.get(0)?, place: row.get(1)? });
            Ok(Some(()))
        })?;
        Ok(positions)
    }

    /// Where a source stood, newest first.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn checkpoints(&self, source: &str) -> Result<Vec<Checkpoint>, StoreError> {
        let mut checkpoints = Vec::new();
        self.query(
            "read checkpoints",
            "SELECT place, at, behind, bytes FROM checkpoints WHERE source = ?1 ORDER BY id DESC",
            [source],
            |row| {
                checkpoints.push(Checkpoint {
                    position: Position { source: source.to_owned(), place: row.get(0)? },
                    at: Timestamp::from_micros(row.get(1)?),
                    behind: row.get(2)?,
                    bytes: counted(row, 3)?.unwrap_or(0),
                });
                Ok(Some(()))
            },
        )?;
        Ok(checkpoints)
    }

    /// The SSH sessions that were open at the last checkpoint.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn sessions(&self) -> Result<Vec<OpenSession>, StoreError> {
        let mut open = Vec::new();
        let sql = "SELECT addr, port, pid, since FROM sessions ORDER BY since";
        self.query("read sessions", sql, [], |row| {
            let (port, pid) = (row.get(1)?, row.get(2)?);
            let since = Timestamp::from_micros(row.get(3)?);
            let session = parsed(row, 0)?.map(|addr| OpenSession { addr, port, pid, since });
            open.extend(self.understood("sessions", row, session));
            Ok(Some(()))
        })?;
        Ok(open)
    }

    /// Until when it has been told what was awaited and didn't come.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn awaited_until(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(match self.meta(AWAITED)? {
            Some(Value::Integer(micros)) => Some(Timestamp::from_micros(micros)),
            _ => None,
        })
    }

    /// What the wall's clock was measured by when that was written last.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        Ok(match (self.meta(BOOT)?, self.meta(BOOTED)?) {
            (Some(Value::Text(boot)), Some(Value::Integer(booted_us))) => {
                Some(Anchor { boot, booted_us })
            }
            _ => None,
        })
    }

    /// Bans that began or were lifted at `since` or later, oldest first.
    ///
    /// # Errors
    ///
    /// What SQLite says; a row that can't be understood is logged and left out.
    pub fn turns(&self, since: Timestamp) -> Result<Vec<Turn>, StoreError> {
        let mut turns = Vec::new();
        self.query(
            "read the history of bans",
            "SELECT target, at, expires, kind = 'unban' FROM history
             WHERE at >= ?1 AND kind IN ('ban', 'late', 'unban') ORDER BY at, id",
            [since.as_micros()],
            |row| {
                let at = Timestamp::from_micros(row.get(1)?);
                let expires = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros);
                let until = (!row.get::<_, bool>(3)?).then_some(expires);
                let turn = parsed::<Target>(row, 0)?.map(|target| Turn { at, target, until });
                turns.extend(self.understood("history", row, turn));
                Ok(Some(()))
            },
        )?;
        Ok(turns)
    }

    /// The past, newest first.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn history(&self, filter: &HistoryFilter) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut conditions = vec!["1"];
        let mut params: Vec<Value> = Vec::new();
        let HistoryFilter { target, kind, since, before, limit } = filter;
        for (condition, value) in [
            ("target = ?", target.map(|target| target.to_string().into())),
            ("kind = ?", kind.map(|kind| kind.as_str().to_owned().into())),
            ("at >= ?", since.map(|since| since.as_micros().into())),
            ("id < ?", before.map(Value::from)),
        ] {
            if let Some(value) = value {
                conditions.push(condition);
                params.push(value);
            }
        }
        params.push(limit.map_or(-1, i64::from).into());
        let sql = format!(
            "SELECT id, at, kind, target, origin, rule, level, reason, expires, offences, packets,
                 bytes, withheld, evidence, ports
             FROM history WHERE {} ORDER BY id DESC LIMIT ?",
            conditions.join(" AND ")
        );
        let mut entries = Vec::new();
        self.query("read history", &sql, params_from_iter(params), |row| {
            entries.extend(self.understood("history", row, history_entry(row)?));
            Ok(Some(()))
        })?;
        Ok(entries)
    }

    pub(super) fn over(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path }
    }

    pub(super) fn one(&self, task: &'static str, sql: &str) -> Result<u64, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map(|number| u64::try_from(number).unwrap_or(0))
            .map_err(|source| self.failed(task, source))
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .map_err(|source| self.failed("read meta", source))
    }

    /// Runs `each` over the rows of a query; `None` from it is a row that was left out.
    pub(super) fn query(
        &self,
        task: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<()>>,
    ) -> Result<(), StoreError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            while let Some(row) = rows.next()? {
                each(row)?;
            }
            Ok(())
        };
        run().map_err(|source| self.failed(task, source))
    }

    pub(super) fn failed(&self, task: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, task, source)
    }

    /// A row that somebody edited by hand shouldn't take the rest with it.
    pub(super) fn understood<T>(
        &self,
        table: &str,
        row: &Row<'_>,
        parsed: Result<T, String>,
    ) -> Option<T> {
        parsed
            .inspect_err(|error| {
                let key = row.get_ref(0);
                tracing::warn!(table, ?key, %error, path = %self.path.display(), "Left a stored row out.");
            })
            .ok()
    }
}

fn stored_ban(row: &Row<'_>) -> rusqlite::Result<Result<StoredBan, String>> {
    let since = Timestamp::from_micros(row.get(1)?);
    let ttl = match row.get::<_, Option<i64>>(2)? {
        Some(expires) => Ttl::For(Timestamp::from_micros(expires).since(since)),
        None => Ttl::Permanent,
    };
    let ports = match row.get_ref(10)?.as_str()? {
        "" => None,
        text => match text.parse() {
            Ok(ports) => Some(ports),
            Err(error) => return Ok(Err(format!("{error}"))),
        },
    };
    let (target, origin) = match (parsed(row, 0)?, parsed(row, 3)?) {
        (Ok(target), Ok(origin)) => (target, origin),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
    };
    Ok(Ok(StoredBan {
        order: BanOrder {
            target,
            since,
            ttl,
            ports,
            origin,
            rule: row.get(4)?,
            level: row.get(5)?,
            reason: row.get(6)?,
            offences: row.get(7)?,
        },
        packets: counted(row, 8)?.unwrap_or(0),
        bytes: counted(row, 9)?.unwrap_or(0),
    }))
}

pub(super) fn history_entry(row: &Row<'_>) -> rusqlite::Result<Result<HistoryEntry, String>> {
    let kind = match parsed(row, 2)? {
        Ok(kind) => kind,
        Err(error) => return Ok(Err(error)),
    };
    let target = match row.get::<_, Option<String>>(3)?.map(|text| text.parse()).transpose() {
        Ok(target) => target,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    Ok(Ok(HistoryEntry {
        id: row.get(0)?,
        at: Timestamp::from_micros(row.get(1)?),
        kind,
        target,
        origin: row.get(4)?,
        rule: row.get(5)?,
        level: row.get(6)?,
        reason: row.get(7)?,
        expires: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
        offences: row.get(9)?,
        packets: counted(row, 10)?,
        bytes: counted(row, 11)?,
        withheld: row.get(12)?,
        evidence: Evidence::restored(row.get::<_, Option<String>>(13)?.as_deref()),
        // Text for people only: what can't be understood is left out.
        ports: row.get::<_, Option<String>>(14)?.and_then(|text| text.parse().ok()),
    }))
}

fn parsed<T: FromStr<Err: ToString>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Result<T, String>> {
    Ok(row.get_ref(column)?.as_str()?.parse().map_err(|error: T::Err| error.to_string()))
}

fn counted(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|number| u64::try_from(number).unwrap_or(0)))
}

impl HistoryKind {
    /// As stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Late => "late",
            Self::Unban => "unban",
            Self::Lapse => "lapse",
            Self::Alert => "alert",
        }
    }
}

impl FromStr for HistoryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Ban, Self::Late, Self::Unban, Self::Lapse, Self::Alert]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("expected ban, late, unban, lapse or alert, got `{text}`"))
    }
}

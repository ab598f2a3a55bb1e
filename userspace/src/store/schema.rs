//! The file: making, upgrading, refusing, setting aside.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::read::Reader;
use super::{FILE, Store, StoreError};
use crate::event::Timestamp;

/// The schema's version, SQLite's `user_version`: the number of migrations so far.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// What opening the database involved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Opened {
    /// There was none; bans that stand in the kernel are unknown to it.
    pub created: bool,
    /// The damaged one's new name.
    pub set_aside: Option<PathBuf>,
    /// It can't be used, for this reason, and something stands in for it.
    pub unusable: Option<String>,
    /// The older version that was brought up to date.
    pub upgraded_from: Option<i64>,
}

/// `RVLN`, so that `file(1)` and we know our own.
const APPLICATION_ID: i64 = 0x5256_4c4e;

/// Each brings the schema one version further; a released one never changes.
///
/// Times are microseconds since the Unix epoch, targets text with prefix length, 64-bit identifiers
/// are stored as the signed number with the same bits.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Bans that stand; expires NULL: until lifted. packets and bytes are as of the last sync.
    CREATE TABLE bans (
        target TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        expires INTEGER,
        origin TEXT NOT NULL,
        rule INTEGER,
        level INTEGER,
        reason TEXT NOT NULL,
        offences INTEGER NOT NULL,
        packets INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;

    -- How often a target was banned, for ban.escalate; forgotten after ban.forget_after.
    CREATE TABLE offences (
        target TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        last INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The past; evidence is lines joined by newlines.
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('ban', 'late', 'unban', 'lapse', 'alert')),
        target TEXT,
        origin TEXT,
        rule INTEGER,
        level INTEGER,
        reason TEXT,
        expires INTEGER,
        offences INTEGER,
        packets INTEGER,
        bytes INTEGER,
        withheld TEXT,
        evidence TEXT
    ) STRICT;
    CREATE INDEX history_target ON history (target, id);
    CREATE INDEX history_at ON history (at);

    -- place is the source room's encoding (JSON).
    CREATE TABLE positions (
        source TEXT PRIMARY KEY,
        place TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- What waits to become part of a mail; times > 1: told as a number.
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lane TEXT NOT NULL,
        queued INTEGER NOT NULL,
        level INTEGER NOT NULL,
        topic TEXT NOT NULL,
        notice TEXT NOT NULL,
        times INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE INDEX entries_lane ON entries (lane, topic);

    -- AUTOINCREMENT: an id is never used again, since Message-ID is made of it.
    CREATE TABLE mails (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lane TEXT NOT NULL,
        made INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        level INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'refused')),
        attempts INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL,
        settled INTEGER,
        error TEXT
    ) STRICT;
    CREATE INDEX mails_due ON mails (due) WHERE state = 'queued';
    CREATE INDEX mails_made ON mails (lane, made);
",
    "
    -- Targets that a person allowed; expires NULL: until taken off.
    CREATE TABLE allowed (
        target TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        expires INTEGER
    ) STRICT, WITHOUT ROWID;
",
    "
    -- A target may have a ban of every port (ports '') beside one of some ('25,465'): all hold.
    CREATE TABLE bans_by_ports (
        target TEXT NOT NULL,
        ports TEXT NOT NULL DEFAULT '',
        since INTEGER NOT NULL,
        expires INTEGER,
        origin TEXT NOT NULL,
        rule INTEGER,
        level INTEGER,
        reason TEXT NOT NULL,
        offences INTEGER NOT NULL,
        packets INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (target, ports)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO bans_by_ports
        SELECT target, '', since, expires, origin, rule, level, reason, offences, packets, bytes
        FROM bans;
    DROP TABLE bans;
    ALTER TABLE bans_by_ports RENAME TO bans;

    -- Which ports a ban was about; NULL: every one.
    ALTER TABLE history ADD COLUMN ports TEXT;
",
    "
    -- Whom an entry blames; again 0: no news where that one was told at this level already.
    ALTER TABLE entries ADD COLUMN offender TEXT;
    ALTER TABLE entries ADD COLUMN again INTEGER NOT NULL DEFAULT 1;

    -- Offenders that a lane's mails have told since its memory began, with the highest level told.
    CREATE TABLE told (
        lane TEXT NOT NULL,
        offender TEXT NOT NULL,
        level INTEGER NOT NULL,
        PRIMARY KEY (lane, offender)
    ) STRICT, WITHOUT ROWID;

    -- The body once more, as HTML; empty: there is none.
    ALTER TABLE mails ADD COLUMN html TEXT NOT NULL DEFAULT '';
",
    "
    -- Where a source stood at some times, the latest few hundred of each: from there its lines are read
    -- once more at a start, to rebuild what is kept in memory only. behind: how much its stamps lagged
    -- (microseconds); NULL: what was read then was a backlog. bytes: read since the one before.
    CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        at INTEGER NOT NULL,
        place TEXT NOT NULL,
        behind INTEGER,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX checkpoints_source ON checkpoints (source, id);

    -- Authenticated SSH sessions, as of the last checkpoint: one may be older than what is read once more.
    CREATE TABLE sessions (
        addr TEXT NOT NULL,
        port INTEGER,
        pid INTEGER,
        since INTEGER NOT NULL
    ) STRICT;
",
];

pub(super) fn open(state_dir: &Path) -> Result<(Store, Opened), StoreError> {
    // Only what we make is made private: a `state_dir` that is a shared directory keeps its mode.
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(|source| {
        StoreError::Path { task: "make the directory", path: state_dir.to_owned(), source }
    })?;
    let path = state_dir.join(FILE);
    let mut opened = Opened::default();
    let connection = match connect(&path, MIGRATIONS) {
        Ok((connection, from)) => {
            opened.created = from == 0;
            opened.upgraded_from = (from != 0 && from != VERSION).then_some(from);
            connection
        }
        Err(error) if error.is_corrupt() => {
            opened.set_aside = Some(set_aside(&path)?);
            opened.created = true;
            create(&path)?
        }
        Err(error) => return Err(error),
    };
    Ok((Store { reader: Reader::over(connection, path), awaits: None }, opened))
}

pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    connect(path, MIGRATIONS).map(|(connection, _)| connection)
}

pub(super) fn open_to_read(state_dir: &Path) -> Result<Reader, StoreError> {
    let path = state_dir.join(FILE);
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    let failed = |source| StoreError::sqlite(&path, "open it", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    known_version(&connection, &path, VERSION)?;
    Ok(Reader::over(connection, path))
}

/// One that is nowhere, and empty.
pub(super) fn in_memory(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::sqlite(path, "stand in for it", source);
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut connection, 0, MIGRATIONS).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    Ok(connection)
}

/// Whether it is a database of ours, of just this version.
pub(super) fn is_ours(connection: &Connection, path: &Path) -> bool {
    known_version(connection, path, VERSION).is_ok_and(|found| found == VERSION)
}

/// Renames the database and its companions, so that nothing of them ends up in the next one.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = |source| StoreError::Path { task: "set aside", path: path.to_owned(), source };
    let stamp = Timestamp::now().to_string().replace(':', "-");
    let renamed = suffixed(path, &format!(".damaged-{stamp}"));
    for companion in ["", "-wal", "-shm"] {
        match fs::rename(suffixed(path, companion), suffixed(&renamed, companion)) {
            Ok(()) => {}
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(aside(source)),
        }
    }
    Ok(renamed)
}

const BUSY: Duration = Duration::from_secs(5);

/// Opens or makes it, checks whose it is, and migrates; gives the version it had.
fn connect(path: &Path, migrations: &[&str]) -> Result<(Connection, i64), StoreError> {
    private(path)?;
    let failed = |source| StoreError::sqlite(path, "open it", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let from = known_version(&connection, path, known)?;
    // `auto_vacuum` binds only before the first table; room is then given back in small steps. The cache
    // (KiB) is for a feed of a million bans, which lie scattered; a commit that filled it empties it.
    connection
        .execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -65536;
             PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF;",
        )
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, from, migrations)
        .map_err(|source| StoreError::sqlite(path, "bring the schema up to date", source))?;
    Ok((connection, from))
}

/// Log lines are nobody else's business: the file is ours alone, and SQLite gives its companions the
/// same mode.
fn private(path: &Path) -> Result<(), StoreError> {
    let failed = |task| move |source| StoreError::Path { task, path: path.to_owned(), source };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("open"))?;
    let mode = file.metadata().map_err(failed("look at"))?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed("make private"))?;
    }
    Ok(())
}

fn known_version(connection: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    let read = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::sqlite(path, "read its version", source))
    };
    let (found, application) = (read("user_version")?, read("application_id")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|source| StoreError::sqlite(path, "read its schema", source))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

fn migrate(connection: &mut Connection, from: i64, migrations: &[&str]) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if from >= known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &migrations[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    // What tells this database's Message-IDs from those of one that was set aside.
    transaction.execute(
        "INSERT INTO meta VALUES ('id', lower(hex(randomblob(8)))), ('created', ?1)
         ON CONFLICT DO NOTHING",
        [Timestamp::now().as_micros()],
    )?;
    transaction.commit()
}

pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrates_step_by_step_and_keeps_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let steps = [MIGRATIONS[0], "ALTER TABLE positions ADD COLUMN cursor TEXT;"];
        let (old, from) = connect(&path, &steps[..1]).unwrap();
        assert_eq!(from, 0);
        old.execute("INSERT INTO positions VALUES ('auth.log', 'there')", []).unwrap();
        let id: String =
            old.query_row("SELECT value FROM meta WHERE key = 'id'", [], |row| row.get(0)).unwrap();
        drop(old);

        let (new, from) = connect(&path, &steps).unwrap();
        assert_eq!(from, 1);
        let (place, kept): (String, String) = new
            .query_row(
                "SELECT place, (SELECT value FROM meta WHERE key = 'id') FROM positions
                 WHERE cursor IS NULL",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((place.as_str(), kept), ("there", id));
        drop(new);

        let error = connect(&path, &steps[..1]).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("install that version again"), "{error}");
    }

    #[test]
    fn a_database_from_before_ports_keeps_its_bans_and_its_past() {
        let dir = tempfile::tempdir().unwrap();
        let (old, _) = connect(&dir.path().join(FILE), &MIGRATIONS[..2]).unwrap();
        old.execute_batch(
            "INSERT INTO bans VALUES
                 ('198.51.100.7/32', 1000000, NULL, 'rule', 5720, 10, 'brute force', 2, 17, 999),
                 ('2001:db8::/64', 2000000, 9000000, 'hand', NULL, NULL, 'by hand', 1, 0, 0);
             INSERT INTO history (at, kind, target, origin, reason, offences, evidence)
                 VALUES (1000000, 'ban', '198.51.100.7/32', 'rule', 'brute force', 2, '');",
        )
        .unwrap();
        drop(old);

        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened.upgraded_from, Some(2));
        let mut bans = Vec::new();
        store.read().bans(|ban| bans.push(ban)).unwrap();
        bans.sort_by_key(|ban| ban.order.since);
        let [first, second] = &bans[..] else { panic!("{bans:?}") };
        assert_eq!((first.order.rule, first.order.offences), (Some(5720), 2));
        assert_eq!((first.packets, first.bytes, first.order.expires()), (17, 999, None));
        assert_eq!(second.order.expires(), Some(Timestamp::from_secs(9)));
        assert!(bans.iter().all(|ban| ban.order.ports.is_none()));
        let past = store.read().history(&crate::store::HistoryFilter::default()).unwrap();
        assert_eq!((past.len(), past[0].offences, past[0].ports.clone()), (1, Some(2), None));
    }

    #[test]
    fn a_failed_migration_leaves_the_old_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        drop(connect(&path, MIGRATIONS).unwrap());
        let mut steps = MIGRATIONS.to_vec();
        steps.push("CREATE TABLE half (a TEXT); CREATE TABLE meta (key TEXT);");
        assert!(connect(&path, &steps).is_err());
        let (connection, from) = connect(&path, MIGRATIONS).unwrap();
        assert_eq!(from, VERSION);
        assert!(connection.prepare("SELECT * FROM half").is_err());
    }
}

//! What the database says: followed while the daemon lives, and read in a copy when it is dead, so that the
//! next start finds everything as the dead one left it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ravelin::event::Target;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::line::serial;

/// A row of the history.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `alert`, `ban`, ...
    pub(super) kind: String,
    /// Of whom.
    pub(super) target: Option<Target>,
    /// The number of the last line that led to it.
    pub(super) serial: Option<u64>,
    /// Which ban of this target it was.
    pub(super) offences: Option<u32>,
}

/// Follows the history.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    pages: Arc<Pages>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Pages {
    read: Mutex<Read>,
    changed: Condvar,
    /// Nobody may look while the daemon is dead; held during a look.
    closed: Mutex<bool>,
}

#[derive(Debug, Default)]
struct Read {
    last: i64,
    serials: BTreeSet<u64>,
}

const LOOK_EVERY: Duration = Duration::from_millis(15);

impl Ledger {
    /// Of the database in this folder, which needn't be there yet.
    pub(super) fn follow(state: &Path) -> Self {
        let path = state.join(ravelin::store::FILE);
        let pages = Arc::<Pages>::default();
        let stop = Arc::<AtomicBool>::default();
        let reader = thread::spawn({
            let (path, pages, stop) = (path.clone(), Arc::clone(&pages), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // Busy, or not there: looked at again.
                    drop(pages.look(&path));
                    thread::sleep(LOOK_EVERY);
                }
            }
        });
        Self { path, pages, stop, reader: Some(reader) }
    }

    /// Whether the line with this number is committed within this time.
    pub(super) fn waits_for(&self, serial: u64, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut read = self.pages.read();
        while !read.serials.contains(&serial) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            read = self
                .pages
                .changed
                .wait_timeout(read, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Nobody looks from now on, until [`Self::open`].
    pub(super) fn close(&self) {
        *self.pages.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// The daemon lives again.
    pub(super) fn open(&self) {
        *self.pages.closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// One number out of the database of a living daemon; nothing where it can't be read just now.
    pub(super) fn number(&self, sql: &str) -> Option<i64> {
        let connection = look_into(&self.path).ok()?;
        connection.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Nobody else can write from now on, until the connection is dropped.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn lock(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(20))?;
        // Or it would tidy up what the next start has to find.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("BEGIN IMMEDIATE").context("lock the database")?;
        Ok(connection)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.reader.take().map(JoinHandle::join));
    }
}

impl Pages {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, path: &Path) -> rusqlite::Result<()> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed || !path.exists() {
            return Ok(());
        }
        let connection = look_into(path)?;
        let (mut last, mut serials) = (self.read().last, Vec::new());
        let mut statement =
            connection.prepare("SELECT id, evidence FROM history WHERE id > ?1 ORDER BY id")?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            serials.extend(last_serial(row.get::<_, Option<String>>(1)?.as_deref()));
        }
        let mut read = self.read();
        read.last = last;
        read.serials.extend(serials);
        drop(read);
        self.changed.notify_all();
        Ok(())
    }
}

fn look_into(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

fn last_serial(evidence: Option<&str>) -> Option<u64> {
    serial(evidence?.lines().next_back()?)
}

/// A database as its daemon left it.
#[derive(Debug)]
pub(super) struct Remains {
    connection: Connection,
    /// The write-ahead log ends in the middle of a transaction.
    pub(super) torn: bool,
}

/// What became of a mail.
#[derive(Clone, Debug)]
pub(super) struct Mailed {
    /// Which of the mail room's queues.
    pub(super) lane: String,
    /// With its brackets.
    pub(super) message_id: String,
    /// Notices in it.
    pub(super) entries: u64,
    /// `queued`, `sent` or `refused`.
    pub(super) state: String,
}

impl Remains {
    /// Copies the database beside itself, into `folder`, and opens the copy.
    ///
    /// # Errors
    /// Where it can't be copied or read.
    pub(super) fn of(path: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let name = path.file_name().context("a database has a name")?.to_string_lossy();
        for old in ["", "-wal", "-shm"] {
            let copy = folder.join(format!("{name}{old}"));
            if copy.exists() {
                fs::remove_file(&copy)?;
            }
        }
        for part in ["", "-wal"] {
            let from = path.with_file_name(format!("{name}{part}"));
            if from.exists() {
                fs::copy(&from, folder.join(format!("{name}{part}")))
                    .with_context(|| format!("copy {}", from.display()))?;
            }
        }
        let copy = folder.join(&*name);
        let torn = Frames::of(&copy).is_ok_and(|mut frames| frames.end_inside());
        let connection = Connection::open(&copy).context("open the copied database")?;
        Ok(Self { connection, torn })
    }

    /// The bans that stand in it.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn bans(&self) -> Result<Vec<Target>> {
        let mut statement = self.connection.prepare("SELECT target FROM bans")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(row?.parse()?)).collect()
    }

    /// The history, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn history(&self) -> Result<Vec<Row>> {
        let mut statement = self
            .connection
            .prepare("SELECT kind, target, evidence, offences FROM history ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(Row {
                kind: row.get(0)?,
                target: row.get::<_, Option<String>>(1)?.and_then(|target| target.parse().ok()),
                serial: last_serial(row.get::<_, Option<String>>(2)?.as_deref()),
                offences: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// All mails, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn mails(&self) -> Result<Vec<Mailed>> {
        let mut statement = self
            .connection
            .prepare("SELECT lane, message_id, entries, state FROM mails ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            let entries: i64 = row.get(2)?;
            Ok(Mailed {
                lane: row.get(0)?,
                message_id: row.get(1)?,
                entries: u64::try_from(entries).unwrap_or(0),
                state: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Notices that wait to become part of a mail, by lane.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn waiting(&self) -> Result<HashMap<String, u64>> {
        let mut statement =
            self.connection.prepare("SELECT lane, sum(times) FROM entries GROUP BY lane")?;
        let rows = statement.query_map([], |row| {
            let waiting: i64 = row.get(1)?;
            Ok((row.get(0)?, u64::try_from(waiting).unwrap_or(0)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Looks whether a write-ahead log ends inside a transaction (SQLite's file format, section 4.1).
#[derive(Debug)]
pub(super) struct Frames {
    log: File,
    /// Those of the frames that belong to it.
    salts: [u8; 8],
    page: u64,
    /// The first frame that hasn't been seen.
    at: u64,
    torn: bool,
}

impl Frames {
    /// Of the log beside this database.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push("-wal");
        let log = File::open(PathBuf::from(name))?;
        Ok(Self { log, salts: [0; 8], page: 0, at: 32, torn: false })
    }

    /// Whether frames follow the last commit, by now.
    pub(super) fn end_inside(&mut self) -> bool {
        let mut header = [0; 24];
        if self.log.read_exact_at(&mut header, 0).is_err() {
            return false;
        }
        if header[16..] != self.salts {
            // Begun anew from its start.
            self.salts.copy_from_slice(&header[16..]);
            self.page = u64::from(big_endian(&header[8..12]));
            self.at = 32;
            self.torn = false;
        }
        let mut frame = [0; 16];
        while self.log.read_exact_at(&mut frame, self.at).is_ok() && frame[8..] == self.salts {
            self.torn = big_endian(&frame[4..8]) == 0;
            self.at += 24 + self.page;
        }
        self.torn
    }
}

fn big_endian(four: &[u8]) -> u32 {
    four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

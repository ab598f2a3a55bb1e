//! SQLite: schema, bans, history, outbox, positions.
//!
//! One [`Store`] writes, on a thread of its own ([`Writer`]); any number of [`Reader`]s look on (the
//! command line, also when the daemon is dead). What a batch of lines did (bans, history, mail) and how
//! far it was read ([`Position`]) are one transaction, so that after `kill -9` no line is missed and none
//! counts twice.
//!
//! **Durability.** WAL with `synchronous=NORMAL`: a commit survives the death of the process, and costs
//! no fsync on the way of a ban. A power cut may take the last transactions, positions and effects
//! together: their lines are read again, and lead to the same bans. Only a mail can't be taken back, so
//! its birth and its end (and with them all before) are synced to disk.
#![forbid(unsafe_code)]

mod commit;
mod effect;
mod outbox;
mod read;
mod retention;
mod salvage;
mod schema;
mod span;
mod stand_in;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

pub use self::commit::Committed;
pub use self::effect::{
    AlertRecord, Allowed, Anchor, Checkpoint, Effect, Evidence, OutboxEntry, Position,
};
pub use self::outbox::{Batch, Draft, Mail, MailId, MailStats, Topic, Waiting};
pub use self::read::{HistoryEntry, HistoryFilter, HistoryKind, Offences, Reader, StoredBan, Turn};
pub use self::retention::Retention;
pub use self::salvage::salvage;
pub use self::schema::{Opened, VERSION};
pub use self::span::MadeMail;
pub use self::writer::{Gone, Handle, Writer, WriterHealth};

/// The database's name in `state_dir`.
pub const FILE: &str = "ravelin.db";

/// The one writer's connection.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
    /// This isn't the database, which can't be used yet.
    awaits: Option<stand_in::Awaited>,
}

impl Store {
    /// Opens `state_dir/ravelin.db`, makes it where there is none, and brings an older one up to date.
    /// A damaged one is set aside, which [`Opened`] tells.
    ///
    /// # Errors
    ///
    /// A directory or file that can't be used, a database that isn't ours or was written by a newer
    /// ravelin.
    pub fn open(state_dir: &Path) -> Result<(Self, Opened), StoreError> {
        schema::open(state_dir)
    }

    /// As [`Store::open`]; but where it can't be used, what can be read of it, or nothing, stands in for it,
    /// which [`Opened`] tells. See [`Store::take_over`].
    ///
    /// # Errors
    ///
    /// A database that isn't ours or was written by a newer ravelin.
    pub fn open_or_stand_in(state_dir: &Path) -> Result<(Self, Opened), StoreError> {
        stand_in::open(state_dir)
    }

    /// Everything that can be read, as of the last commit.
    pub const fn read(&self) -> &Reader {
        &self.reader
    }

    /// Sets a database that turned out to be damaged aside and begins a fresh one in its place; gives the
    /// damaged one's new name.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; it can be tried again.
    pub fn renew(&mut self) -> Result<PathBuf, StoreError> {
        let path = self.reader.path().to_owned();
        let aside = schema::set_aside(&path)?;
        // SQLite removes its write-ahead log by name when it closes: the old connection has to be gone
        // before the new one's log bears that name.
        let nothing = Connection::open_in_memory()
            .map_err(|source| StoreError::sqlite(&path, "close it", source))?;
        drop(std::mem::replace(self.connection(), nothing));
        *self.connection() = schema::create(&path)?;
        Ok(aside)
    }

    /// A disk that takes nothing.
    #[cfg(test)]
    pub(crate) fn forbid_writing(&mut self, forbidden: bool) {
        self.connection().pragma_update(None, "query_only", forbidden).unwrap();
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.reader.connection
    }
}

/// Why the database couldn't do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Directory or file can't be made or read.
    #[error(
        "can't {task} `{}`: {source}; give ravelin a directory that it can write, by `state_dir`",
        path.display()
    )]
    Path {
        /// What was tried.
        task: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No database there to look into.
    #[error("no database at `{}`: the daemon hasn't run with this `state_dir` yet", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Written by a newer ravelin.
    #[error(
        "`{}` has database version {found}, expected at most {known}: a newer ravelin wrote it; install \
         that version again, or move the file away to begin a fresh one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// A SQLite file, but somebody else's.
    #[error("`{}` is another program's database: move it away, or set `state_dir`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Damaged.
    #[error("`{}` is damaged: {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Anything else that SQLite says: disk full, busy, read-only, i/o.
    #[error("can't {task} in `{}`: {source}", path.display())]
    Sqlite {
        /// What was tried.
        task: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Whether [`Store::renew`] is what helps.
    pub const fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    fn sqlite(path: &Path, task: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, source }
            }
            _ => Self::Sqlite { task, path, source },
        }
    }
}

#[cfg(test)]
mod tests;

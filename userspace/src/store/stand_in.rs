//! A database that can't be used when the daemon starts: the disk is full or read-only, the directory isn't
//! ours, or isn't there. What can be read of it is; nothing is written until it can be opened.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::read::Reader;
use super::{FILE, Opened, Store, StoreError, schema};

/// What is waited for.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) state_dir: PathBuf,
    /// Why it couldn't be opened, at last.
    pub(super) why: String,
}

/// Opens the database, or else something in its place.
pub(super) fn open(state_dir: &Path) -> Result<(Store, Opened), StoreError> {
    let error = match schema::open(state_dir) {
        Ok(opened) => return Ok(opened),
        // It is there, and not for us: the admin has to decide.
        Err(error @ (StoreError::Newer { .. } | StoreError::Foreign { .. })) => return Err(error),
        Err(error) => error,
    };
    let path = state_dir.join(FILE);
    let connection = match read_only(state_dir, &path) {
        Some(connection) => connection,
        None => schema::in_memory(&path)?,
    };
    let why = error.to_string();
    let awaits = Some(Awaited { state_dir: state_dir.to_owned(), why: why.clone() });
    let opened = Opened { unusable: Some(why), ..Opened::default() };
    Ok((Store { reader: Reader::over(connection, path), awaits }, opened))
}

/// What is there, where it can be read as of the last commit.
fn read_only(state_dir: &Path, path: &Path) -> Option<Connection> {
    if let Ok(reader) = schema::open_to_read(state_dir)
        && reader.positions().is_ok()
    {
        return Some(reader.connection);
    }
    // Where nobody can write, and nothing waits in the log, the file alone is all of it.
    let log = schema::suffixed(path, "-wal");
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let name = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).ok()?;
    schema::is_ours(&connection, path).then_some(connection)
}

impl Store {
    /// Why there is only something in the database's place, if so.
    pub fn stands_in(&self) -> Option<&str> {
        self.awaits.as_ref().map(|awaited| awaited.why.as_str())
    }

    /// Opens the database itself, where this only stands in for it; says what that involved.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; it can be tried again.
    pub fn take_over(&mut self) -> Result<Option<Opened>, StoreError> {
        let Some(awaited) = &mut self.awaits else { return Ok(None) };
        match schema::open(&awaited.state_dir) {
            Ok((mut store, opened)) => {
                std::mem::swap(self, &mut store);
                Ok(Some(opened))
            }
            Err(error) => {
                awaited.why = error.to_string();
                Err(error)
            }
        }
    }
}

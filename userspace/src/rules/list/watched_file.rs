//! A file of the admin's that is looked at now and then, and read again when it has changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// One that has just been read, or couldn't be.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    /// What it was like at the last look; `None`: it wasn't there.
    seen: Option<Stamp>,
    /// What it was like when it was last to be read.
    tried: Option<Stamp>,
}

impl WatchedFile {
    /// It is to be read now.
    pub(crate) fn new(path: &Path) -> Self {
        let seen = Stamp::of(path);
        Self { path: path.to_owned(), seen, tried: seen }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at it. Whether it has changed and is to be read now, once two looks agree, so that nobody is watched
    /// while he writes.
    pub(crate) fn has_changed(&mut self) -> bool {
        let stamp = Stamp::of(&self.path);
        let settled = stamp == self.seen;
        self.seen = stamp;
        let changed = settled && stamp != self.tried;
        if changed {
            self.tried = stamp;
        }
        changed
    }
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

//! The files beside a log: what rotation made of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::position::{FilePosition, Head};
use super::reader::{FileKey, modified};

/// How often a folder in which files are renamed is read again.
const ATTEMPTS: usize = 4;
/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// A regular file beside the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
    pub(super) size: u64,
    pub(super) modified: i64,
    /// Its name is one that rotation gives.
    pub(super) rotated: bool,
    /// Its name is one that rotation gives and packs.
    pub(super) packed: bool,
}

impl Sibling {
    /// Whether it had the log's name, and may hold anything.
    pub(super) const fn had_the_name(&self) -> bool {
        (self.rotated || self.packed) && self.size > 0
    }

    /// Whether it may be the file of this position, which has its inode. An inode is used again by whatever comes next,
    /// another log's file perhaps: what has a strange name must begin likewise.
    pub(super) fn may_be(&self, position: &FilePosition) -> bool {
        !self.packed && (self.rotated || position.head != Head::EMPTY)
    }

    /// Whether it was written to after `floor`.
    pub(super) const fn is_after(&self, floor: i64) -> bool {
        self.modified > floor || self.is_coarse() && self.modified >= whole_second(floor)
    }

    /// Whether it has kept this time of a file that it was made of.
    pub(super) const fn is_of(&self, modified: i64) -> bool {
        self.modified == modified || self.is_coarse() && self.modified == whole_second(modified)
    }

    /// Some packers keep only the second.
    const fn is_coarse(&self) -> bool {
        self.packed && self.modified % SECOND == 0
    }

    /// Opens it; `None` where that can't be.
    ///
    /// # Errors
    ///
    /// `NotFound` where another file has its name by now.
    pub(super) fn open_if_there(&self) -> io::Result<Option<File>> {
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            opened => Ok(opened.ok()),
        }
    }

    /// Opens it; `NotFound` where another file has its name by now.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = open(&self.path)?;
        match FileKey::of(&file.metadata()?) == self.key {
            true => Ok(file),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The regular files in the log's directory, the log itself left out; where the log is a symbolic
/// link, also those in its target's directory. Oldest first.
pub(super) fn siblings(log: &Path) -> io::Result<Vec<Sibling>> {
    let mut found = Vec::new();
    let mut names = vec![log.to_owned()];
    if let Ok(real) = fs::canonicalize(log)
        && real.parent() != log.parent().and_then(|parent| fs::canonicalize(parent).ok()).as_deref()
    {
        names.push(real);
    }
    let logs: BTreeSet<_> = names.iter().filter_map(|name| name.file_name()).collect();
    for name in &names {
        let Some(base) = name.file_name() else { continue };
        for entry in fs::read_dir(parent(name))? {
            let entry = entry?;
            // Gone since it was listed.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() || logs.contains(entry.file_name().as_os_str()) {
                continue;
            }
            found.push(Sibling {
                path: entry.path(),
                key: FileKey::of(&metadata),
                size: metadata.size(),
                modified: modified(&metadata),
                rotated: is_rotation_of(&entry.file_name(), base),
                packed: unpacked_name(&entry.file_name())
                    .is_some_and(|name| is_rotation_of(name, base)),
            });
        }
    }
    // What is being packed is still there as it was.
    let plain: BTreeSet<PathBuf> =
        found.iter().filter(|file| file.rotated).map(|file| file.path.clone()).collect();
    found.retain(|file| !file.packed || !plain.contains(&file.path.with_extension("")));
    found.sort_by(|a, b| (a.modified, &b.path).cmp(&(b.modified, &a.path)));
    Ok(found)
}

/// The same, as they were all at one time: while a folder is read, a file that is renamed may be missed.
pub(super) fn settled(log: &Path) -> io::Result<Vec<Sibling>> {
    let mut found = siblings(log)?;
    for _ in 0..ATTEMPTS {
        let again = siblings(log)?;
        let same =
            |(one, other): (&Sibling, &Sibling)| (one.key, &one.path) == (other.key, &other.path);
        if found.len() == again.len() && found.iter().zip(&again).all(same) {
            return Ok(again);
        }
        found = again;
    }
    Ok(found)
}

const fn whole_second(time: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(SECOND))
}

/// The log, and what rotation made of it, the latest first.
pub(in super::super) fn files_of(log: &Path) -> Vec<PathBuf> {
    let old = siblings(log).unwrap_or_default().into_iter().rev().filter(|file| file.rotated);
    std::iter::once(log.to_owned()).chain(old.map(|file| file.path)).collect()
}

/// The files that are there of a log now, to find again what was read of it.
#[derive(Debug)]
pub(in super::super) struct Found {
    current: Option<FileKey>,
    files: Vec<Sibling>,
}

impl Found {
    /// The log, and what is beside it.
    pub(in super::super) fn beside(log: &Path) -> Self {
        let mut files = siblings(log).unwrap_or_default();
        if let Ok(metadata) = fs::metadata(log) {
            files.push(Sibling {
                path: log.to_owned(),
                key: FileKey::of(&metadata),
                size: metadata.size(),
                modified: modified(&metadata),
                rotated: false,
                packed: false,
            });
        }
        Self { current: files.last().filter(|last| last.path == log).map(|last| last.key), files }
    }

    /// The file that a position is about, or a copy of it that rotation has made.
    pub(in super::super) fn find(&self, position: &FilePosition) -> Option<(FileKey, PathBuf)> {
        let begins_like = |file: &&Sibling| {
            let opened = open(&file.path).and_then(|file| position.head.matches(&file));
            file.size >= position.offset && opened.unwrap_or(false)
        };
        let key = FileKey::at(position);
        let is_it = |file: &Sibling| file.may_be(position) || self.current == Some(key);
        let same = self.files.iter().find(|file| file.key == key && is_it(file));
        let found = same.filter(begins_like).or_else(|| {
            let copies = self.files.iter().rev().filter(|file| file.rotated);
            copies.filter(|_| position.offset > 0).find(begins_like)
        });
        found.map(|file| (file.key, file.path.clone()))
    }

    /// How long it is.
    pub(in super::super) fn size(&self, key: FileKey) -> Option<u64> {
        self.files.iter().find(|file| file.key == key).map(|file| file.size)
    }
}

/// The directory a path lies in.
pub(in super::super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Opens a regular file for reading; never blocks on, and never disturbs, anything else.
///
/// # Errors
///
/// Those of `stat` and `open`; for anything but a regular file one that names what it is.
pub(in super::super) fn open(path: &Path) -> io::Result<File> {
    let regular = |metadata: &fs::Metadata| match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(io::Error::other("expected a file, got a directory")),
        _ => Err(io::Error::other("expected a regular file, got a device, FIFO or socket")),
    };
    regular(&fs::metadata(path)?)?;
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Whether `name` is what a rotation of `base` is called: `auth.log.1`, `auth.log-20240131`,
/// `auth.log.old`, and with logrotate's `extension` `auth-20240131.log`.
fn is_rotation_of(name: &OsStr, base: &OsStr) -> bool {
    let (name, base) = (name.as_bytes(), base.as_bytes());
    if let Some(rest) = name.strip_prefix(base) {
        return rest == b".old" || is_serial(rest);
    }
    let Some(dot) = base.iter().rposition(|&byte| byte == b'.') else { return false };
    let (stem, extension) = base.split_at(dot);
    name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)).is_some_and(is_serial)
}

/// `.1`, `-20240131`, `.2024-01-31T10:00:00`.
fn is_serial(text: &[u8]) -> bool {
    match text {
        [b'.' | b'-' | b'_', first, rest @ ..] => {
            first.is_ascii_digit()
                && rest.iter().all(|byte| byte.is_ascii_digit() || b".-_T:Z".contains(byte))
        }
        _ => false,
    }
}

/// What a file was called before it was packed in a way that can be unpacked.
fn unpacked_name(name: &OsStr) -> Option<&OsStr> {
    let name = name.as_bytes();
    PACKED[..3].iter().find_map(|ending| name.strip_suffix(*ending)).map(OsStr::from_bytes)
}

/// Endings that compression gives; of these, Ravelin reads the first three.
const PACKED: [&[u8]; 6] = [b".gz", b".zst", b".xz", b".bz2", b".lz4", b".zip"];

/// Whether a file is packed, by its name.
pub(in super::super) fn is_archive(name: &OsStr) -> bool {
    PACKED.iter().any(|ending| name.as_bytes().ends_with(ending))
}

/// The names that something called `name` may be a rotation of, see [`is_rotation_of`].
pub(in super::super) fn origins(name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let old = name.strip_suffix(b".old").map(<[u8]>::to_vec);
    let starts = (1..name.len()).filter(|&from| b".-_".contains(&name[from]));
    let serials = starts.flat_map(move |from| {
        // Where the name ends, or its extension begins.
        let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > from);
        let ends = dot.into_iter().chain([name.len()]);
        ends.filter(move |&to| is_serial(&name[from..to]))
            .map(move |to| [&name[..from], &name[to..]].concat())
    });
    old.into_iter().chain(serials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotation_gives() {
        for (name, base, rotated) in [
            ("auth.log.1", "auth.log", true),
            ("auth.log-20240131", "auth.log", true),
            ("auth.log.old", "auth.log", true),
            ("auth-20240131.log", "auth.log", true),
            ("auth.1.log", "auth.log", true),
            ("eve.json.2024-01-31T10:00:00Z", "eve.json", true),
            ("secure-20240131", "secure", true),
            ("auth.log.1.gz", "auth.log", false),
            ("auth.log.bak", "auth.log", false),
            ("auth.log", "auth.log", false),
            ("auth2.log", "auth.log", false),
            ("auth-old.log", "auth.log", false),
            ("secure", "secure2", false),
        ] {
            assert_eq!(is_rotation_of(name.as_ref(), base.as_ref()), rotated, "{name} of {base}");
            let found = origins(name.as_bytes()).any(|origin| origin == base.as_bytes());
            assert_eq!(found, rotated, "{name} of {base}");
        }
    }

    #[test]
    fn a_bare_name_lies_in_the_working_directory() {
        assert_eq!(parent(Path::new("auth.log")), Path::new("."));
        assert_eq!(parent(Path::new("/var/log/auth.log")), Path::new("/var/log"));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("got a directory"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert!(open(&fifo).unwrap_err().to_string().contains("FIFO"));
    }
}

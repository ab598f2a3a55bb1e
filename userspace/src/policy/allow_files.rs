//! `allow` out of files: an address or prefix a line, read again when the file changes.
//!
//! Whoever is on such a list would be wronged by a ban, so what can be read counts: at a start the good lines of a
//! broken file, later what was there before.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::config::parse_prefix;
use crate::rules::WatchedFile;

/// Bytes that a file may have.
const MOST_BYTES: u64 = 4 << 20;
/// Entries that a file may have.
const MOST_ENTRIES: usize = 1 << 13;
/// Entries of all files: the kernel has room for 16,384 of each family, of which others want some.
const MOST_IN_ALL: usize = 12 << 10;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum AllowFileError {
    /// It can't be read.
    #[error("can't read the allow file `{}`: {source}; make it, or take it out of `allow`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe.
    #[error("expected a file, got something else at `{}`; name another in `allow`", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// More than is read.
    #[error(
        "expected at most {MOST_ENTRIES} entries in {MOST_BYTES} bytes in the allow file `{}`, got more; write prefixes \
         instead of addresses",
        path.display()
    )]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// A line that isn't one.
    #[error("{}:{line}: {problem}, got `{text}`; mend the line or take it out", path.display())]
    BadLine {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// As written.
        text: String,
        /// What was expected.
        problem: String,
    },
}

/// Reads a whole file: its entries, and the first thing that is wrong with it.
pub fn read(path: &Path) -> (Vec<IpNet>, Option<AllowFileError>) {
    match bytes(path) {
        Ok(bytes) => parse(path, &bytes),
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, AllowFileError> {
    let unreadable = |source| AllowFileError::Unreadable { path: path.to_owned(), source };
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(AllowFileError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(AllowFileError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> (Vec<IpNet>, Option<AllowFileError>) {
    let (mut nets, mut first) = (Vec::new(), None);
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let entry = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if entry.is_empty() {
            continue;
        }
        if nets.len() == MOST_ENTRIES {
            first.get_or_insert(AllowFileError::TooLong { path: path.to_owned() });
            break;
        }
        match parse_prefix(&String::from_utf8_lossy(entry)) {
            Ok(net) => nets.push(net),
            Err(problem) => {
                let shown = String::from_utf8_lossy(&entry[..entry.len().min(80)]);
                first.get_or_insert(AllowFileError::BadLine {
                    path: path.to_owned(),
                    line: at + 1,
                    text: shown.escape_debug().to_string(),
                    problem,
                });
            }
        }
    }
    (nets, first)
}

/// The files of a configuration, looked at now and then.
#[derive(Debug, Default)]
pub struct AllowFiles(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    file: WatchedFile,
    /// `None` until it could be read.
    nets: Option<Vec<IpNet>>,
    error: Option<AllowFileError>,
}

impl AllowFiles {
    /// Reads them.
    pub fn new(paths: &[PathBuf]) -> Self {
        let mut files = Self::default();
        files.follow(paths);
        files
    }

    /// Takes those of another configuration, reads them, and keeps what it knows of files that are still named.
    pub fn follow(&mut self, paths: &[PathBuf]) {
        let mut old = std::mem::take(&mut self.0);
        self.0.extend(paths.iter().map(|path| {
            let known = old.iter_mut().find(|old| old.file.path() == path);
            let mut watched = Watched {
                file: WatchedFile::new(path),
                nets: known.and_then(|known| known.nets.take()),
                error: None,
            };
            watched.read();
            watched
        }));
    }

    /// Looks at the files, and reads those that have changed. Says whether there is anything new.
    pub fn look(&mut self) -> bool {
        let mut news = false;
        for watched in &mut self.0 {
            if watched.file.has_changed() {
                watched.read();
                news = true;
            }
        }
        news
    }

    /// What they hold, as far as there is room for it.
    pub fn nets(&self) -> Vec<IpNet> {
        self.entries().take(MOST_IN_ALL).collect()
    }

    /// How many entries there is no room for.
    pub fn left_out(&self) -> usize {
        self.entries().count().saturating_sub(MOST_IN_ALL)
    }

    fn entries(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().filter_map(|watched| watched.nets.as_deref()).flatten().copied()
    }

    /// Those that something is wrong with.
    pub fn troubles(&self) -> impl Iterator<Item = (&Path, &AllowFileError)> {
        self.0.iter().filter_map(|watched| Some((watched.file.path(), watched.error.as_ref()?)))
    }
}

impl Watched {
    fn read(&mut self) {
        let (nets, error) = read(self.file.path());
        if error.is_none() || self.nets.is_none() {
            self.nets = Some(nets);
        }
        self.error = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_addresses_and_prefixes_and_a_bad_one_is_named() {
        let path = Path::new("/etc/ravelin/friends");
        let text = b"# friends\n192.0.2.7\n\n 198.51.100.0/24 # office\n2001:db8::/48\nno.example\n203.0.113.0/33\n";
        let (nets, error) = parse(path, text);
        let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/48"]);
        assert_eq!(
            error.unwrap().to_string(),
            "/etc/ravelin/friends:6: expected an address or prefix such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48, \
             got `no.example`; mend the line or take it out"
        );
        assert!(parse(path, b"").1.is_none());
        let many = "192.0.2.1\n".repeat(MOST_ENTRIES + 1);
        let (nets, error) = parse(path, many.as_bytes());
        assert!(nets.len() == MOST_ENTRIES && error.is_some());
        assert!(read(Path::new("/dev/zero")).1.is_some());
    }

    #[test]
    fn what_can_be_read_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("friends");
        fs::write(&path, "192.0.2.7\nnobody\n").unwrap();
        let mut files = AllowFiles::new(std::slice::from_ref(&path));
        let held = |files: &AllowFiles| -> Vec<String> {
            files.nets().iter().map(|net| net.addr().to_string()).collect()
        };
        assert_eq!(held(&files), ["192.0.2.7"], "the good lines of a broken file");
        assert_eq!(files.troubles().count(), 1);

        fs::write(&path, "192.0.2.8\n192.0.2.9\n").unwrap();
        assert!(!files.look(), "it may still be being written");
        assert!(files.look() && !files.look());
        assert_eq!(held(&files), ["192.0.2.8", "192.0.2.9"]);
        assert_eq!(files.troubles().count(), 0);

        fs::write(&path, "192.0.2.8\nnobody at all\n").unwrap();
        assert!(!files.look() && files.look());
        assert_eq!(held(&files), ["192.0.2.8", "192.0.2.9"], "as before");
        files.follow(std::slice::from_ref(&path));
        assert_eq!(held(&files).len(), 2, "over a reload too");
        fs::remove_file(&path).unwrap();
        assert!(!files.look() && files.look());
        assert_eq!(held(&files).len(), 2);
        let told = files.troubles().next().unwrap().1.to_string();
        assert!(told.contains("friends") && told.contains("take it out of `allow`"), "{told}");
        files.follow(&[]);
        assert!(held(&files).is_empty());
    }
}

//! Which files match a pattern now: a thread looks when a folder on the way changes, and every second.
//!
//! It only says what is there; which of it is to be read, [`choose`] decides for whoever knows what is
//! read already.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glob::{MatchOptions, Pattern};

use super::SpawnError;
use super::tail::{FileKey, is_archive, modified, origins};
use super::watch::{Stopper, Watcher, Woken};

/// Files of one pattern that are read at once.
pub const MOST_FILES: usize = 100;
/// Files that are looked at; what is more isn't even counted.
const MOST_FOUND: usize = 10_000;
/// Folders that are looked into.
const MOST_FOLDERS: usize = 1_000;
/// So much later another file must have been written to before it takes the place of one that is read.
const STAYS: i64 = 3_600_000_000_000;
/// Names seldom come alone.
const GATHER: Duration = Duration::from_millis(10);

/// As shells have it: a star takes no slash and no dot in front.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A file that matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Match {
    path: PathBuf,
    key: FileKey,
    /// Its name is a symbolic link.
    link: bool,
    modified: i64,
}

/// What a look found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matches {
    /// By path.
    pub files: Vec<Match>,
    /// What couldn't be looked into, in one line.
    pub refused: Option<String>,
}

/// What of it is to be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// These.
    pub files: Vec<PathBuf>,
    /// So many more match.
    pub excess: usize,
}

/// A thread that looks; stopped when dropped.
#[derive(Debug)]
pub struct GlobHandle {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

/// Whether a path is a pattern.
pub fn is_glob(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// Whether a path matches a pattern, be it there or not.
pub fn matches(pattern: &Path, path: &Path) -> bool {
    let pattern = Pattern::new(&pattern.to_string_lossy());
    pattern.is_ok_and(|pattern| pattern.matches_path_with(path, OPTIONS))
}

/// What matches now.
pub fn look(pattern: &Path) -> Matches {
    Look::at(pattern).0
}

/// Starts to look; `tell` is given what is found whenever that is another than before, `told` at first. What
/// it doesn't take (false) it is told again.
///
/// # Errors
///
/// [`SpawnError`] where the system gives no thread or descriptor.
pub fn spawn_glob(
    pattern: PathBuf,
    told: Matches,
    tell: impl Fn(&Matches) -> bool + Send + 'static,
) -> Result<GlobHandle, SpawnError> {
    let failed = |source| SpawnError { path: pattern.clone(), source };
    let stopper = Stopper::new().map_err(failed)?;
    let watcher = Watcher::new(&pattern, stopper.clone());
    let of = pattern.clone();
    let thread = thread::Builder::new()
        .name("glob".to_owned())
        .spawn(move || follow(&of, told, watcher, tell))
        .map_err(failed)?;
    Ok(GlobHandle { stopper, thread: Some(thread) })
}

impl Drop for GlobHandle {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of its has been printed by then.
            drop(thread.join());
        }
    }
}

fn follow(
    pattern: &Path,
    mut told: Matches,
    mut watcher: Watcher,
    tell: impl Fn(&Matches) -> bool,
) {
    loop {
        let (found, folders) = Look::at(pattern);
        if !found.says_the_same(&told) && tell(&found) {
            told = found;
        }
        if watcher.watch_folders(folders) {
            continue;
        }
        match watcher.wait() {
            Woken::Stop => return,
            Woken::Changed => thread::sleep(GATHER),
            Woken::Floor => {}
        }
    }
}

/// Which of the files that match are to be read: not those that are `named` by themselves, nor what rotation
/// made of others, nor a file by two of its names; and of too many, those that were written to last. `reading`
/// are those that are read already.
pub fn choose(found: &[Match], reading: &BTreeSet<PathBuf>, named: &[PathBuf]) -> Choice {
    let names: HashSet<&Path> =
        found.iter().map(|file| &*file.path).chain(reading.iter().map(|path| &**path)).collect();
    let is_rotated = |path: &Path| {
        let Some(name) = path.file_name() else { return false };
        is_archive(name)
            || origins(name.as_bytes())
                .any(|origin| names.contains(&*path.with_file_name(OsString::from_vec(origin))))
    };
    let key = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| FileKey::of(&metadata));
    let mut taken: HashSet<FileKey> = named.iter().filter_map(key).collect();
    let mut files: Vec<&Match> = found
        .iter()
        .filter(|file| !named.contains(&file.path) && !is_rotated(&file.path))
        .collect();
    // A link is another name, however long it has been read: it may lead elsewhere tomorrow.
    files.sort_by_key(|file| (file.link, !reading.contains(&file.path)));
    files.retain(|file| taken.insert(file.key));
    let until = |file: &Match| {
        file.modified.saturating_add(if reading.contains(&file.path) { STAYS } else { 0 })
    };
    files.sort_by(|a, b| (until(b), &a.path).cmp(&(until(a), &b.path)));
    let excess = files.len().saturating_sub(MOST_FILES);
    let mut files: Vec<PathBuf> =
        files.into_iter().take(MOST_FILES).map(|file| file.path.clone()).collect();
    files.sort();
    Choice { files, excess }
}

impl Matches {
    /// Whether a file has this name.
    pub fn has(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Whether nothing has changed that matters: when files were written to, only where they are too many.
    fn says_the_same(&self, other: &Self) -> bool {
        let all = self.files.len() > MOST_FILES;
        self.refused == other.refused
            && self.files.len() == other.files.len()
            && self.files.iter().zip(&other.files).all(|(one, other)| {
                one.path == other.path
                    && one.key == other.key
                    && one.link == other.link
                    && (!all || one.modified == other.modified)
            })
    }
}

/// One look, folder by folder.
#[derive(Default)]
struct Look {
    found: BTreeMap<PathBuf, Match>,
    /// Those that were looked into.
    folders: Vec<PathBuf>,
    refused: Option<String>,
}

impl Look {
    /// What matches, and the folders whose changes matter.
    fn at(pattern: &Path) -> (Matches, Vec<PathBuf>) {
        let mut look = Self::default();
        let mut paths = vec![PathBuf::new()];
        let mut parts = pattern.components().peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let name = part.as_os_str();
            let pattern = match part {
                Component::Normal(name) if is_glob(Path::new(name)) => {
                    Pattern::new(&name.to_string_lossy()).ok()
                }
                _ => None,
            };
            paths = match pattern {
                Some(pattern) => {
                    paths.iter().flat_map(|folder| look.enter(folder, &pattern, last)).collect()
                }
                None => paths.into_iter().map(|path| path.join(name)).collect(),
            };
            paths.truncate(if last { MOST_FOUND } else { MOST_FOLDERS });
        }
        for path in paths {
            look.take(path);
        }
        let files = look.found.into_values().collect();
        (Matches { files, refused: look.refused }, look.folders)
    }

    /// The names in a folder that match.
    fn enter(&mut self, folder: &Path, pattern: &Pattern, last: bool) -> Vec<PathBuf> {
        if self.folders.len() == MOST_FOLDERS {
            return Vec::new();
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let everyday =
                    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                if !everyday {
                    self.refused = Some(format!("{}: {error}", folder.display()));
                }
                return Vec::new();
            }
        };
        self.folders.push(folder.to_owned());
        let is_match = |name: &OsStr| pattern.matches_with(&name.to_string_lossy(), OPTIONS);
        let names = entries.flatten().map(|entry| entry.file_name());
        let paths = names.filter(|name| is_match(name)).map(|name| folder.join(name));
        paths.take(if last { MOST_FOUND } else { MOST_FOLDERS }).collect()
    }

    fn take(&mut self, path: PathBuf) {
        let Ok(metadata) = fs::metadata(&path) else { return };
        if metadata.is_file() {
            let link = fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink());
            let (key, modified) = (FileKey::of(&metadata), modified(&metadata));
            self.found.insert(path.clone(), Match { path, key, link, modified });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;
    use std::time::{Instant, SystemTime};

    use super::*;

    struct Bench(tempfile::TempDir);

    impl Bench {
        /// Files, the one written to last at the end.
        fn with(files: &[&str]) -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            for (age, file) in files.iter().rev().enumerate() {
                bench.make(file, age as u64);
            }
            bench
        }

        fn make(&self, file: &str, age: u64) {
            let path = self.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn short(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
            let short =
                |path: PathBuf| path.strip_prefix(self.0.path()).unwrap().display().to_string();
            paths.into_iter().map(short).collect()
        }

        fn found(&self, pattern: &str) -> Vec<String> {
            self.short(look(&self.path(pattern)).files.into_iter().map(|file| file.path))
        }

        fn chosen(&self, pattern: &str, reading: &[&str], named: &[&str]) -> (Vec<String>, usize) {
            let reading = reading.iter().map(|name| self.path(name)).collect();
            let named: Vec<_> = named.iter().map(|name| self.path(name)).collect();
            let choice = choose(&look(&self.path(pattern)).files, &reading, &named);
            (self.short(choice.files), choice.excess)
        }
    }

    #[test]
    fn patterns_are_shells() {
        let bench = Bench::with(&["a.log", "b.log", ".c.log", "x/a.log", "y/b.log", "y/z/c.log"]);
        fs::create_dir(bench.path("d.log")).unwrap();
        for (pattern, expected) in [
            ("*.log", &["a.log", "b.log"][..]),
            ("[!a].log", &["b.log"]),
            (".*.log", &[".c.log"]),
            ("*/*.log", &["x/a.log", "y/b.log"]),
            ("?/a.log", &["x/a.log"]),
            ("absent/*.log", &[]),
            ("a.log/*.log", &[]),
        ] {
            assert_eq!(bench.found(pattern), expected, "{pattern}");
            assert_eq!(look(&bench.path(pattern)).refused, None);
            for name in expected {
                assert!(matches(&bench.path(pattern), &bench.path(name)), "{name}");
            }
        }
        assert!(!matches(&bench.path("*.log"), &bench.path("x/a.log")));
    }

    #[test]
    fn what_rotation_made_and_what_is_named_is_left_out() {
        let bench = Bench::with(&[
            "a.log",
            "a.log.1",
            "a.log.2.gz",
            "a-20240131.log",
            "b.log.1",
            "c.log",
            "lost.gz",
        ]);
        let left = |reading: &[&str], named: &[&str]| bench.chosen("*", reading, named).0;
        assert_eq!(left(&[], &[]), ["a.log", "b.log.1", "c.log"]);
        // Moved away this moment, and not yet made again.
        assert_eq!(left(&["b.log"], &[]), ["a.log", "c.log"]);
        assert_eq!(left(&[], &["c.log"]), ["a.log", "b.log.1"]);
        symlink("c.log", bench.path("d")).unwrap();
        symlink("e", bench.path("broken")).unwrap();
        assert_eq!(left(&[], &[]), ["a.log", "b.log.1", "c.log"], "one file, one name");
        assert_eq!(left(&["d"], &[]), ["a.log", "b.log.1", "c.log"]);
        assert_eq!(left(&[], &["d"]), ["a.log", "b.log.1"]);
    }

    #[test]
    fn of_too_many_the_latest_are_read_and_those_that_are_stay() {
        let names: Vec<String> = (0..MOST_FILES + 2).map(|n| format!("{n:04}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let bench = Bench::with(&names);
        let (chosen, excess) = bench.chosen("*", &[], &[]);
        assert_eq!((chosen.len(), excess), (MOST_FILES, 2));
        assert_eq!(chosen[0], "0002");
        let (chosen, _) = bench.chosen("*", &["0000"], &[]);
        assert_eq!(chosen[..2], ["0000", "0003"]);
        // But not for ever.
        bench.make("0000", 7_200);
        assert_eq!(bench.chosen("*", &["0000"], &[]).0[0], "0002");
    }

    #[test]
    fn what_comes_and_goes_is_told_as_it_happens() {
        let bench = Bench::with(&["a/one.log"]);
        let pattern = bench.path("*/*.log");
        let (sender, told) = mpsc::channel();
        let tell = move |found: &Matches| sender.send(found.clone()).is_ok();
        let handle = spawn_glob(pattern.clone(), look(&pattern), tell).unwrap();
        let wait_for = |names: &[&str]| {
            let give_up = Instant::now() + Duration::from_secs(60);
            loop {
                let left = give_up.saturating_duration_since(Instant::now());
                let found = told.recv_timeout(left).unwrap();
                if bench.short(found.files.iter().map(|file| file.path.clone())) == names {
                    return;
                }
            }
        };
        bench.make("a/two.log", 0);
        wait_for(&["a/one.log", "a/two.log"]);
        bench.make("b/three.log", 0);
        wait_for(&["a/one.log", "a/two.log", "b/three.log"]);
        fs::remove_dir_all(bench.path("a")).unwrap();
        wait_for(&["b/three.log"]);
        drop(handle);
    }

    #[test]
    fn what_cannot_be_looked_into_is_told() {
        let bench = Bench::with(&["a/one.log"]);
        let loops = bench.path("loop");
        symlink("loop", &loops).unwrap();
        let refused = look(&loops.join("*.log")).refused.unwrap();
        assert!(refused.contains("loop: "), "{refused}");
    }
}

//! Wakes a source's thread when its file or directory changed, by inotify; a floor under the polling
//! guarantees progress where that fails.
//!
//! Nothing depends on what an event says, nor on all of them coming: each only means "look again".

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use inotify::{Inotify, WatchDescriptor, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::tail::{FileKey, parent};

/// How often a file is looked at when nothing wakes us.
const FLOOR: Duration = Duration::from_secs(1);
/// The same where inotify isn't to be had.
const UNWATCHED: Duration = Duration::from_millis(250);

/// What matters of a file.
const FILE: WatchMask = WatchMask::MODIFY.union(WatchMask::ATTRIB).union(WatchMask::MOVE_SELF);
/// What matters of a directory: names that come, and files that become readable.
const DIRECTORY: WatchMask =
    WatchMask::CREATE.union(WatchMask::MOVED_TO).union(WatchMask::ATTRIB).union(WatchMask::ONLYDIR);

/// What matters of a folder whose names matter.
const NAMES: WatchMask = DIRECTORY.union(WatchMask::DELETE).union(WatchMask::MOVED_FROM);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Woken {
    /// Something changed.
    Changed,
    /// Nothing did for as long as the floor allows.
    Floor,
    /// Somebody wants us to stop.
    Stop,
}

/// Ends the wait of a [`Watcher`], from another thread.
#[derive(Clone, Debug)]
pub(super) struct Stopper(Arc<OwnedFd>);

/// Watches one log and its directory, or folders.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    stop: Stopper,
    log: PathBuf,
    /// The files that were open at the last [`Watcher::watch`].
    keys: Vec<FileKey>,
    /// The folders that were wanted at the last [`Watcher::watch_folders`].
    folders: Vec<PathBuf>,
    watched: HashSet<WatchDescriptor>,
    /// Time to make sure that what is watched still is what should be.
    stale: bool,
    /// What inotify refused, as long as it does.
    refused: Option<String>,
    floor: Duration,
}

impl Stopper {
    pub(super) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(fd)))
    }

    /// Readable once it was stopped.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(super) fn stop(&self) {
        // Fails only where the counter is full, and then the waiter wakes as well.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }
}

impl Watcher {
    /// Never fails: without inotify it is a timer, and says why.
    pub(super) fn new(log: &Path, stop: Stopper) -> Self {
        let (inotify, refused) = match Inotify::init() {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => (None, Some(remedy(&error))),
        };
        Self {
            inotify,
            stop,
            log: log.to_owned(),
            keys: Vec::new(),
            folders: Vec::new(),
            watched: HashSet::new(),
            stale: true,
            refused,
            floor: FLOOR,
        }
    }

    /// Why inotify doesn't serve, in one line.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Watches these open files, and the directories that the log's name and its target lie in.
    /// Whether a watch was added: then look again before waiting, for what happened before it.
    pub(super) fn watch(&mut self, files: impl Iterator<Item = (FileKey, RawFd)>) -> bool {
        if self.inotify.is_none() {
            return false;
        }
        let (keys, fds): (Vec<_>, Vec<_>) = files.unzip();
        if keys == self.keys && !self.stale {
            return false;
        }
        self.keys = keys;
        self.stale = false;
        self.refused = None;
        // By descriptor, since the name may be another file's by now.
        let files = fds.into_iter().map(|fd| (PathBuf::from(format!("/proc/self/fd/{fd}")), FILE));
        let target = fs::canonicalize(&self.log).ok();
        let logs = [Some(&self.log), target.as_ref()].into_iter().flatten();
        let directories = logs.map(|log| (parent(log).to_owned(), DIRECTORY));
        let wanted: Vec<_> = files.chain(directories).collect();
        self.want(wanted)
    }

    /// Watches these folders, for names that come and go. Whether a watch was added, as with
    /// [`Watcher::watch`].
    pub(super) fn watch_folders(&mut self, folders: Vec<PathBuf>) -> bool {
        if self.inotify.is_none() || folders == self.folders && !self.stale {
            return false;
        }
        self.folders.clone_from(&folders);
        self.stale = false;
        self.refused = None;
        self.want(folders.into_iter().map(|folder| (folder, NAMES)).collect())
    }

    /// Watches these and nothing else; whether one is new.
    fn want(&mut self, wanted: Vec<(PathBuf, WatchMask)>) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut watches = inotify.watches();
        let mut watched = HashSet::new();
        for (path, mask) in wanted {
            // What is watched already gives the same descriptor again.
            match watches.add(path, mask) {
                Ok(watch) => drop(watched.insert(watch)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.refused = Some(remedy(&error)),
            }
        }
        for gone in self.watched.difference(&watched) {
            // Fails where the kernel has removed it already, with its file.
            watches.remove(gone.clone()).ok();
        }
        let added = !watched.is_subset(&self.watched);
        self.watched = watched;
        added
    }

    /// Waits until something changes, at most as long as the floor allows.
    pub(super) fn wait(&mut self) -> Woken {
        let floor = if self.refused.is_some() { UNWATCHED } else { self.floor };
        let timeout = Timespec::try_from(floor).ok();
        let mut fds = vec![PollFd::new(&self.stop.0, PollFlags::IN)];
        if let Some(inotify) = &self.inotify {
            fds.push(PollFd::from_borrowed_fd(inotify.as_fd(), PollFlags::IN));
        }
        let ready = match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => return Woken::Changed,
            // Out of memory: a timer all the same.
            Err(_) => {
                self.stale = true;
                thread::sleep(UNWATCHED);
                return Woken::Floor;
            }
        };
        if !fds[0].revents().is_empty() {
            return Woken::Stop;
        }
        if ready == 0 {
            self.stale = true;
            return Woken::Floor;
        }
        self.drain();
        Woken::Changed
    }

    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        if let Some(inotify) = &mut self.inotify {
            // What doesn't fit wakes us once more; what fails is reported by the next watch.
            inotify.read_events(&mut buffer).ok();
        }
    }
}

fn remedy(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => format!("{error}; raise fs.inotify.max_user_watches"),
        Some(Errno::MFILE) => format!("{error}; raise fs.inotify.max_user_instances"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        watcher: Watcher,
        stopper: Stopper,
    }

    impl Bench {
        /// With a floor that no test outlives, so that only events wake.
        fn new(log: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let stopper = Stopper::new().unwrap();
            let mut watcher = Watcher::new(&dir.path().join(log), stopper.clone());
            watcher.floor = Duration::from_secs(600);
            Self { dir, watcher, stopper }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn watch(&mut self, files: &[&File]) -> bool {
            self.watcher.stale = true;
            let added = self.watcher.watch(
                files.iter().map(|file| (FileKey::of(&file.metadata().unwrap()), file.as_raw_fd())),
            );
            assert_eq!(self.watcher.refused(), None);
            added
        }
    }

    #[test]
    fn writing_wakes_whatever_the_name() {
        let mut bench = Bench::new("log");
        let mut file = File::create(bench.path("log")).unwrap();
        assert!(bench.watch(&[&file]));
        assert!(!bench.watch(&[&file]), "nothing new");
        file.write_all(b"line\n").unwrap();
        assert_eq!(bench.watcher.wait(), Woken::Changed);
        fs::rename(bench.path("log"), bench.path("log.1")).unwrap();
        assert_eq!(bench.watcher.wait(), Woken::Changed);
        file.write_all(b"line\n").unwrap();
        assert_eq!(bench.watcher.wait(), Woken::Changed);
    }

    #[test]
    fn a_file_that_appears_or_is_moved_in_wakes() {
        let mut bench = Bench::new("log");
        bench.watch(&[]);
        drop(File::create(bench.path("tmp")).unwrap());
        assert_eq!(bench.watcher.wait(), Woken::Changed);
        fs::rename(bench.path("tmp"), bench.path("log")).unwrap();
        assert_eq!(bench.watcher.wait(), Woken::Changed);
    }

    #[test]
    fn a_rotation_beside_the_target_of_a_link_wakes() {
        let mut bench = Bench::new("log");
        fs::create_dir(bench.path("real")).unwrap();
        drop(File::create(bench.path("real/log")).unwrap());
        symlink("real/log", bench.path("log")).unwrap();
        bench.watch(&[]);
        drop(File::create(bench.path("real/new")).unwrap());
        assert_eq!(bench.watcher.wait(), Woken::Changed);
    }

    #[test]
    fn a_directory_that_appears_later_is_watched_then() {
        let mut bench = Bench::new("later/log");
        assert!(!bench.watch(&[]));
        fs::create_dir(bench.path("later")).unwrap();
        assert!(!bench.watcher.watch(std::iter::empty()), "not every time");
        bench.watcher.floor = Duration::from_millis(1);
        assert_eq!(bench.watcher.wait(), Woken::Floor);
        bench.watcher.floor = Duration::from_secs(600);
        assert!(bench.watcher.watch(std::iter::empty()));
        drop(File::create(bench.path("later/log")).unwrap());
        assert_eq!(bench.watcher.wait(), Woken::Changed);
    }

    #[test]
    fn a_stop_wakes_and_stays() {
        let mut bench = Bench::new("log");
        let stopper = bench.stopper.clone();
        let other = thread::spawn(move || stopper.stop());
        assert_eq!(bench.watcher.wait(), Woken::Stop);
        other.join().unwrap();
        assert_eq!(bench.watcher.wait(), Woken::Stop);
    }

    #[test]
    fn without_inotify_it_is_a_timer() {
        let mut bench = Bench::new("log");
        bench.watcher.inotify = None;
        bench.watcher.refused = Some(remedy(&Errno::MFILE.into()));
        assert!(bench.watcher.refused().unwrap().contains("max_user_instances"));
        assert_eq!(bench.watcher.wait(), Woken::Floor);
    }
}

//! A log file's lines, each with the time when it was written.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::wait::until;

/// A line of a log.
#[derive(Clone, Debug)]
pub struct Written {
    /// When it was written: the file's own time of modification, read as soon as the kernel had told of
    /// it. That is never later than the write of the line's last byte by more than the time it took to
    /// wake up, and on kernels before 6.13 up to a timer tick earlier.
    pub at: SystemTime,
    /// The line, without its end.
    pub line: String,
}

/// Follows a file from now on.
#[derive(Debug)]
pub struct LogWatch {
    name: String,
    lines: Arc<Mutex<Vec<Written>>>,
    stop: Arc<AtomicBool>,
    follower: Option<JoinHandle<Result<()>>>,
}

impl LogWatch {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let context = || format!("could not follow {}", path.display());
        let file = File::open(path).with_context(context)?;
        let notify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&notify, path, inotify::WatchFlags::MODIFY).with_context(context)?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let follower = thread::spawn({
            let (lines, stop) = (Arc::clone(&lines), Arc::clone(&stop));
            move || follow(file, &notify, &lines, &stop)
        });
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, lines, stop, follower: Some(follower) })
    }

    /// How many lines there are so far: what comes from now on is numbered from here.
    pub fn mark(&self) -> usize {
        self.locked().len()
    }

    /// The lines from a mark on.
    pub fn since(&self, mark: usize) -> Vec<Written> {
        self.locked().get(mark..).unwrap_or_default().to_vec()
    }

    /// Waits for a line that `wanted` knows, among those from a mark on, and gives the first.
    ///
    /// # Errors
    /// Where none has come after `limit`.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mark: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Written> {
        until(&format!("{what} in {}", self.name), limit, || {
            Ok(self.since(mark).into_iter().find(|line| wanted(&line.line)))
        })
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Written>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.follower.take().map(JoinHandle::join) {
            eprintln!("following {} ended early: {error:#}", self.name);
        }
    }
}

fn follow(
    mut file: File,
    notify: &OwnedFd,
    lines: &Mutex<Vec<Written>>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut pending = Vec::new();
    loop {
        let at = file.metadata()?.modified()?;
        file.read_to_end(&mut pending)?;
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(Written { at, line });
        }
        wait_for_more(notify, stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// Sleeps until the file has been written to, or somebody wants to stop.
fn wait_for_more(notify: &OwnedFd, stop: &AtomicBool) -> Result<()> {
    let a_while = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    loop {
        let mut ready = [PollFd::new(notify, PollFlags::IN)];
        if poll(&mut ready, Some(&a_while))? == 0 {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            continue;
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(notify, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("could not read inotify events"),
            }
        }
    }
}

//! Hands announced drops to the engine, which knows the bans that wait for their first, and what a
//! debugging build of the program logs to the daemon's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::pipeline::Command;
use crate::blocklist::{DropEvents, ProgramLog};
use crate::source::{CommandSender, SendError};

/// How long the end may go unnoticed.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What the kernel side tells.
pub(super) struct FromKernel {
    /// Drops.
    pub(super) drops: DropEvents,
    /// Of a debugging build.
    pub(super) log: Option<ProgramLog>,
}

/// The thread; ends when dropped.
pub(super) struct Announcer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Announcer {
    /// Starts it. Without it bans work all the same; only their first drop isn't told.
    pub(super) fn spawn(kernel: FromKernel, commands: CommandSender<Command>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("drops".to_owned())
            .spawn(move || announce(kernel, &commands, &stopped))
            .map_err(|error| tracing::warn!(%error, "No thread for announced drops."))
            .ok();
        Self { stop, thread }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of its has been printed by then.
            drop(thread.join());
        }
    }
}

fn announce(kernel: FromKernel, commands: &CommandSender<Command>, stop: &AtomicBool) {
    let FromKernel { mut drops, mut log } = kernel;
    while !stop.load(Relaxed) {
        let wanted = PollFlags::IN;
        let polled = match &log {
            Some(log) => {
                let fds = &mut [PollFd::new(&drops, wanted), PollFd::new(log, wanted)];
                poll(fds, Some(&NAP))
            }
            None => poll(&mut [PollFd::new(&drops, wanted)], Some(&NAP)),
        };
        if let Err(error) = polled
            && error != rustix::io::Errno::INTR
        {
            tracing::warn!(%error, "Announced drops can't be waited for.");
            return;
        }
        if let Some(log) = &mut log {
            log.flush();
        }
        while let Some(event) = drops.next() {
            // A full lane: the engine has better things to do than to hear of drops.
            if commands.send(Command::Dropped(event)) == Err(SendError::Closed) {
                return;
            }
        }
    }
}

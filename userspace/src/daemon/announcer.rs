//! Hands announced drops to the engine, which knows the bans that wait for their first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::pipeline::Command;
use crate::blocklist::DropEvents;
use crate::source::{CommandSender, SendError};

/// How long the end may go unnoticed.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The thread; ends when dropped.
pub(super) struct Announcer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Announcer {
    /// Starts it. Without it bans work all the same; only their first drop isn't told.
    pub(super) fn spawn(drops: DropEvents, commands: CommandSender<Command>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("drops".to_owned())
            .spawn(move || announce(drops, &commands, &stopped))
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

fn announce(mut drops: DropEvents, commands: &CommandSender<Command>, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let polled = poll(&mut [PollFd::new(&drops, PollFlags::IN)], Some(&NAP));
        if let Err(error) = polled
            && error != rustix::io::Errno::INTR
        {
            tracing::warn!(%error, "Announced drops can't be waited for.");
            return;
        }
        while let Some(event) = drops.next() {
            // A full lane: the engine has better things to do than to hear of drops.
            if commands.send(Command::Dropped(event)) == Err(SendError::Closed) {
                return;
            }
        }
    }
}

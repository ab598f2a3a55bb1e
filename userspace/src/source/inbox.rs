//! How the engine's one thread takes its work: a bounded lane for each source, served in turn, and
//! commands before them all.
//!
//! A full lane makes its source wait, so nothing is dropped; the file keeps what isn't read yet. Since
//! the lanes are served in turn, a flood in one log delays a line in another by one batch.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Batch, SourceStatus};

/// Batches that wait in one lane.
const LANE: usize = 4;
/// Commands that wait.
const COMMANDS: usize = 1024;

/// The receiving end, the engine's. `C` is what commands are.
#[derive(Debug)]
pub struct Inbox<C> {
    shared: Arc<Shared<C>>,
}

/// The sending end of one source; closed when dropped, which also drops what waits in it: what wasn't
/// taken isn't committed, and will be read again.
#[derive(Debug)]
pub struct Lane<C> {
    shared: Arc<Shared<C>>,
    closer: LaneCloser<C>,
    status: Arc<SourceStatus>,
}

/// The sending end for commands.
#[derive(Debug)]
pub struct CommandSender<C> {
    shared: Arc<Shared<C>>,
}

/// What the engine has to do next.
#[derive(Debug)]
pub enum Received<C> {
    /// A command.
    Command(C),
    /// Lines.
    Batch(Batch),
    /// Nothing until the deadline.
    Deadline,
}

/// The engine or whoever started the source wants no more of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the lane is closed")]
pub struct LaneClosed;

/// A command that wasn't accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The engine is gone.
    #[error("the engine has stopped")]
    Closed,
    /// Too many wait already.
    #[error("the engine has {COMMANDS} commands waiting; try again later")]
    Full,
}

/// Closes a lane from outside its source's thread.
#[derive(Debug)]
pub(super) struct LaneCloser<C> {
    shared: Arc<Shared<C>>,
    key: u64,
}

#[derive(Debug)]
struct Shared<C> {
    state: Mutex<InboxState<C>>,
    /// There is work.
    ready: Condvar,
    /// There is room in a lane, or a lane was closed.
    room: Condvar,
}

#[derive(Debug)]
struct InboxState<C> {
    commands: VecDeque<C>,
    lanes: Vec<Queue>,
    /// The lane to be served next.
    turn: usize,
    /// Key of the next lane.
    keys: u64,
    closed: bool,
}

#[derive(Debug)]
struct Queue {
    key: u64,
    batches: VecDeque<Batch>,
    status: Arc<SourceStatus>,
}

impl<C> Default for Inbox<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Inbox<C> {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(InboxState {
                    commands: VecDeque::new(),
                    lanes: Vec::new(),
                    turn: 0,
                    keys: 0,
                    closed: false,
                }),
                ready: Condvar::new(),
                room: Condvar::new(),
            }),
        }
    }

    /// A sending end for commands.
    pub fn commands(&self) -> CommandSender<C> {
        CommandSender { shared: Arc::clone(&self.shared) }
    }

    /// A lane for a source; `status` counts what goes through it.
    pub fn lane(&self, status: Arc<SourceStatus>) -> Lane<C> {
        let mut state = self.shared.lock();
        let key = state.keys;
        state.keys += 1;
        let queue = Queue { key, batches: VecDeque::new(), status: Arc::clone(&status) };
        state.lanes.push(queue);
        Lane {
            shared: Arc::clone(&self.shared),
            closer: LaneCloser { shared: Arc::clone(&self.shared), key },
            status,
        }
    }

    /// Batches that all of its lanes hold when they are full.
    pub fn capacity(&self) -> usize {
        self.shared.lock().lanes.len() * LANE
    }

    /// Waits for work, but not longer than until `deadline`: commands first, then a batch of the lane
    /// whose turn it is. Work that is there is returned even after the deadline.
    pub fn receive(&self, deadline: Option<Instant>) -> Received<C> {
        let mut state = self.shared.lock();
        loop {
            if let Some(command) = state.commands.pop_front() {
                return Received::Command(command);
            }
            if let Some((batch, status)) = state.take_batch() {
                drop(state);
                self.shared.room.notify_all();
                status.taken(batch.lines.len(), batch.lines.taken());
                return Received::Batch(batch);
            }
            state = match deadline {
                None => self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Received::Deadline;
                    }
                    let waited = self.shared.ready.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<C> Drop for Inbox<C> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.commands.clear();
        state.lanes.clear();
        drop(state);
        self.shared.room.notify_all();
    }
}

impl<C> Lane<C> {
    /// Hands over a batch; waits as long as the lane is full.
    ///
    /// # Errors
    ///
    /// [`LaneClosed`] where it was closed, before or while it waited.
    pub fn push(&self, batch: Batch) -> Result<(), LaneClosed> {
        let bytes = batch.lines.taken();
        let mut state = self.shared.lock();
        loop {
            let queue = state.lanes.iter_mut().find(|queue| queue.key == self.closer.key);
            let Some(queue) = queue else { return Err(LaneClosed) };
            if queue.batches.len() < LANE {
                self.status.queued(bytes);
                queue.batches.push_back(batch);
                drop(state);
                self.shared.ready.notify_one();
                return Ok(());
            }
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What counts what goes through it.
    pub fn status(&self) -> &Arc<SourceStatus> {
        &self.status
    }

    pub(super) fn closer(&self) -> LaneCloser<C> {
        LaneCloser { shared: Arc::clone(&self.shared), key: self.closer.key }
    }
}

impl<C> Drop for Lane<C> {
    fn drop(&mut self) {
        self.closer.close();
    }
}

impl<C> LaneCloser<C> {
    /// Takes the lane out, with what waits in it.
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        if let Some(at) = state.lanes.iter().position(|queue| queue.key == self.key) {
            state.lanes.remove(at);
            if state.turn > at {
                state.turn -= 1;
            }
        }
        drop(state);
        self.shared.room.notify_all();
    }
}

impl<C> Clone for CommandSender<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> CommandSender<C> {
    /// Hands over a command; never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the engine is gone or too many commands wait.
    pub fn send(&self, command: C) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(SendError::Closed);
        }
        if state.commands.len() >= COMMANDS {
            return Err(SendError::Full);
        }
        state.commands.push_back(command);
        drop(state);
        self.shared.ready.notify_one();
        Ok(())
    }
}

impl<C> Shared<C> {
    /// Nothing panics while it holds the lock, and were it so, the queues would still be whole.
    fn lock(&self) -> MutexGuard<'_, InboxState<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> InboxState<C> {
    fn take_batch(&mut self) -> Option<(Batch, Arc<SourceStatus>)> {
        for _ in 0..self.lanes.len() {
            self.turn %= self.lanes.len();
            let queue = &mut self.lanes[self.turn];
            self.turn += 1;
            if let Some(batch) = queue.batches.pop_front() {
                return Some((batch, Arc::clone(&queue.status)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::super::{Lines, Position, SourceId, State};
    use super::*;
    use crate::event::Timestamp;

    fn batch(source: u16, text: &str) -> Batch {
        Batch {
            source: SourceId::new(source),
            trusted: true,
            arrived: Timestamp::now(),
            lines: Lines::new(
                text.to_owned().into(),
                std::iter::once(0..text.len()).collect(),
                text.len(),
            ),
            position: Position::File { files: vec![], left: vec![], since: None },
            reports: vec![],
        }
    }

    fn lane(inbox: &Inbox<&'static str>) -> Lane<&'static str> {
        inbox.lane(Arc::new(SourceStatus::new("log".to_owned(), State::Reading)))
    }

    fn received(inbox: &Inbox<&'static str>) -> String {
        match inbox.receive(Some(Instant::now())) {
            Received::Command(command) => command.to_owned(),
            Received::Batch(batch) => {
                let line = batch.lines().next().unwrap();
                format!("{}:{}", batch.source.index(), str::from_utf8(line.bytes).unwrap())
            }
            Received::Deadline => "deadline".to_owned(),
        }
    }

    #[test]
    fn commands_come_first_and_lanes_in_turn() {
        let inbox = Inbox::new();
        let (flood, quiet) = (lane(&inbox), lane(&inbox));
        for text in ["a", "b", "c"] {
            flood.push(batch(0, text)).unwrap();
        }
        quiet.push(batch(1, "x")).unwrap();
        assert_eq!(flood.status().row().lag_bytes, 3);
        inbox.commands().send("stop").unwrap();
        let order: Vec<_> = (0..6).map(|_| received(&inbox)).collect();
        assert_eq!(order, ["stop", "0:a", "1:x", "0:b", "0:c", "deadline"]);
        let row = flood.status().row();
        assert_eq!((row.lag_bytes, row.lines, row.bytes), (0, 3, 3));
    }

    #[test]
    fn a_full_lane_makes_its_source_wait_and_no_other() {
        let inbox = Inbox::new();
        let (full, other) = (lane(&inbox), lane(&inbox));
        let (pushed, count) = mpsc::channel();
        let writer = thread::spawn(move || {
            for number in 0..LANE + 2 {
                full.push(batch(0, &number.to_string())).unwrap();
                pushed.send(()).unwrap();
            }
            full
        });
        for _ in 0..LANE {
            count.recv().unwrap();
        }
        other.push(batch(1, "x")).unwrap();
        assert_eq!([received(&inbox), received(&inbox)], ["0:0", "1:x"]);
        count.recv().unwrap();
        assert!(count.try_recv().is_err(), "room for one was made, and one has come");
        assert_eq!(received(&inbox), "0:1");
        count.recv().unwrap();
        drop(writer.join().unwrap());
    }

    #[test]
    fn whoever_waits_is_woken_when_it_is_closed() {
        let inbox = Inbox::new();
        let lane = lane(&inbox);
        let closer = lane.closer();
        for _ in 0..LANE {
            lane.push(batch(0, "")).unwrap();
        }
        let writer = thread::spawn(move || lane.push(batch(0, "")));
        closer.close();
        assert_eq!(writer.join().unwrap(), Err(LaneClosed));
        assert_eq!(received(&inbox), "deadline", "what waited in it is gone");
    }

    #[test]
    fn a_dropped_inbox_closes_everything() {
        let inbox = Inbox::new();
        let (lane, commands) = (lane(&inbox), inbox.commands());
        drop(inbox);
        assert_eq!(lane.push(batch(0, "")), Err(LaneClosed));
        assert_eq!(commands.send("late"), Err(SendError::Closed));
    }

    #[test]
    fn commands_are_bounded() {
        let inbox = Inbox::new();
        let commands = inbox.commands();
        for _ in 0..COMMANDS {
            commands.send("again").unwrap();
        }
        assert_eq!(commands.clone().send("again"), Err(SendError::Full));
    }

    #[test]
    fn waiting_ends_with_work() {
        let inbox = Inbox::new();
        let commands = inbox.commands();
        let sender = thread::spawn(move || commands.send("go").unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(matches!(inbox.receive(Some(deadline)), Received::Command("go")));
        sender.join().unwrap();
    }
}

//! A source's life: a thread that polls its tail, hands batches to its lane and sleeps in its watcher.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::inbox::LaneCloser;
use super::watch::{Stopper, Watcher, Woken};
use super::{Lane, LineCap, Polled, Position, Report, SourceId, SourceStatus, Tail};

/// What to follow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSource {
    /// Its batches bear it.
    pub id: SourceId,
    /// The log.
    pub path: PathBuf,
    /// Its longest line.
    pub cap: LineCap,
    /// The admin trusts it, whoever may write to it.
    pub trusted: bool,
    /// Its name may go for good, see [`Tail::vanishing`].
    pub vanishes: bool,
    /// Where to go on, as last committed.
    pub stored: Option<Position>,
}

/// A running source; stopped when dropped.
#[derive(Debug)]
pub struct SourceHandle<C> {
    status: Arc<SourceStatus>,
    stopper: Stopper,
    closer: LaneCloser<C>,
    thread: Option<JoinHandle<()>>,
}

/// A source's thread couldn't be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a thread to read `{path}`, got none; raise the limit of processes and open files"
)]
pub struct SpawnError {
    /// The log.
    pub path: PathBuf,
    #[source]
    pub(super) source: std::io::Error,
}

/// Starts to follow a file. When this returns, the first look has been taken: of what is written from
/// now on nothing is missed.
///
/// # Errors
///
/// [`SpawnError`] where the system gives no thread or descriptor. Everything that may be wrong with the
/// file is no error but a state, and is tried again.
pub fn spawn<C: Send + 'static>(
    source: FileSource,
    lane: Lane<C>,
) -> Result<SourceHandle<C>, SpawnError> {
    let FileSource { id, path, cap, trusted, vanishes, stored } = source;
    let failed = |source| SpawnError { path: path.clone(), source };
    let stopper = Stopper::new().map_err(failed)?;
    let status = Arc::clone(lane.status());
    let closer = lane.closer();
    let tail = Tail::new(id, path.clone(), cap, stored, Instant::now());
    let tail = if trusted { tail.trusted() } else { tail };
    let mut tail = if vanishes { tail.vanishing() } else { tail };
    publish(&mut tail, &status);
    let watcher = Watcher::new(&path, stopper.clone());
    let thread = thread::Builder::new()
        .name(format!("source-{}", id.index()))
        .spawn(move || run(tail, watcher, &lane))
        .map_err(failed)?;
    Ok(SourceHandle::new(status, stopper, closer, thread))
}

impl<C> SourceHandle<C> {
    pub(super) const fn new(
        status: Arc<SourceStatus>,
        stopper: Stopper,
        closer: LaneCloser<C>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self { status, stopper, closer, thread: Some(thread) }
    }

    /// How it is doing.
    pub const fn status(&self) -> &Arc<SourceStatus> {
        &self.status
    }

    /// Ends it, and waits until it has ended. What the engine hasn't taken by then it won't get.
    pub fn stop(self) {
        drop(self);
    }
}

impl<C> Drop for SourceHandle<C> {
    fn drop(&mut self) {
        self.stopper.stop();
        self.closer.close();
        if let Some(thread) = self.thread.take() {
            // A panic of its has been printed by then.
            drop(thread.join());
        }
    }
}

fn run<C>(mut tail: Tail, mut watcher: Watcher, lane: &Lane<C>) {
    let mut refused = None;
    loop {
        let polled = tail.poll(Instant::now());
        publish(&mut tail, lane.status());
        match polled {
            Polled::Batch(batch) => {
                if lane.push(batch).is_err() {
                    return;
                }
                continue;
            }
            Polled::Busy => continue,
            Polled::Idle => {}
        }
        if watcher.watch(tail.files()) {
            continue;
        }
        if watcher.refused() != refused.as_deref() {
            refused = watcher.refused().map(str::to_owned);
            if let Some(error) = refused.clone() {
                tail.report(Report::Unwatched { error });
                continue;
            }
        }
        if watcher.wait() == Woken::Stop {
            return;
        }
    }
}

fn publish(tail: &mut Tail, status: &SourceStatus) {
    status.set_trust(tail.trust(Instant::now()));
    status.set_state(tail.state());
    status.set_unread(tail.unread());
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    use super::super::{Batch, Inbox, Received, State};
    use super::*;

    fn start(inbox: &Inbox<()>, path: &Path, stored: Option<Position>) -> SourceHandle<()> {
        let status = SourceStatus::new(path.display().to_string(), State::Waiting);
        let source = FileSource {
            id: SourceId::new(3),
            path: path.to_owned(),
            cap: LineCap::TEXT,
            trusted: true,
            vanishes: false,
            stored,
        };
        spawn(source, inbox.lane(Arc::new(status))).unwrap()
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The next batch that has lines.
    fn lines(inbox: &Inbox<()>) -> (Vec<String>, Batch) {
        loop {
            let deadline = Instant::now() + Duration::from_secs(60);
            match inbox.receive(Some(deadline)) {
                Received::Batch(batch) if batch.lines.is_empty() => {}
                Received::Batch(batch) => {
                    let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
                    return (batch.lines.iter().map(text).collect(), batch);
                }
                other => panic!("expected lines, got {other:?}"),
            }
        }
    }

    #[test]
    fn lines_come_as_they_are_written_and_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        append(&log, "old\n");
        let inbox = Inbox::new();
        let source = start(&inbox, &log, None);
        append(&log, "1\n");
        let (read, batch) = lines(&inbox);
        assert_eq!((read, batch.source), (vec!["1".to_owned()], SourceId::new(3)));
        fs::rename(&log, dir.path().join("log.1")).unwrap();
        append(&log, "2\n");
        let (read, batch) = lines(&inbox);
        assert_eq!(read, ["2"]);
        let row = source.status().row();
        assert_eq!((row.lines, row.bytes), (2, 4));
        assert_eq!(row.state, "reading");
        source.stop();
        append(&log, "3\n");
        let source = start(&inbox, &log, Some(batch.position));
        assert_eq!(lines(&inbox).0, ["3"]);
        source.stop();
    }

    #[test]
    fn it_stops_while_its_lane_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let inbox = Inbox::new();
        let source = start(&inbox, &log, None);
        append(&log, &"line\n".repeat(100_000));
        lines(&inbox);
        source.stop();
    }

    #[test]
    fn it_ends_when_the_engine_does() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let inbox = Inbox::new();
        let mut source = start(&inbox, &log, None);
        drop(inbox);
        append(&log, "line\n");
        source.thread.take().unwrap().join().unwrap();
    }
}

//! The journal, read by a supervised `journalctl`: our own cursor, back-off when it dies, and each entry
//! made a line of syslog whose program is who really said it.
//!
//! A full lane leaves the pipe full, which makes `journalctl` wait: the journal keeps what isn't read.

pub(super) mod entry;
mod handover;

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use memchr::memchr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::entry::Entry;
pub use self::handover::Handover;
use self::handover::last_of;
use super::thread::{SourceHandle, SpawnError};
use super::trust::Trust;
use super::watch::Stopper;
use super::{Batch, Lane, LineCap, Lines, Position, Report, SourceId, SourceStatus, State};
use crate::config::Input;
use crate::event::Timestamp;

/// The program.
const JOURNALCTL: &str = "journalctl";
/// What of an entry is of use.
const FIELDS: &str = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_COMM,_EXE,_UID,_PID,_SYSTEMD_UNIT,\
                      _TRANSPORT,_HOSTNAME";
/// It may take so long to tell the last entry.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses before it is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// An entry may measure so much, as JSON.
const CAP: usize = LineCap::EVE.bytes();
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Of what it complains, so much is told.
const COMPLAINT: usize = 300;

/// What to follow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JournalSource {
    /// Its batches bear it.
    pub id: SourceId,
    /// Where the journal's files lie; `None`: the host's own.
    pub directory: Option<PathBuf>,
    /// Where to go on, as last committed.
    pub stored: Option<Position>,
    /// Where there is no such: what was read before instead of the journal.
    pub handover: Option<Handover>,
}

/// Starts to follow the journal. Without a stored position it is entered at its end, which is looked for
/// before this returns: of what is logged from now on nothing is missed.
///
/// # Errors
///
/// [`SpawnError`] where the system gives no thread or descriptor. A `journalctl` that can't be run is a
/// state, and is tried again.
pub fn spawn_journal<C: Send + 'static>(
    source: JournalSource,
    lane: Lane<C>,
) -> Result<SourceHandle<C>, SpawnError> {
    spawn_with(JOURNALCTL.into(), source, lane)
}

/// Whether the journal can be read now.
///
/// # Errors
///
/// One line for people, with the remedy; also where the input isn't a journal.
pub fn journal_answers(input: &Input) -> Result<(), String> {
    let Input::Journal { directory } = input else { return Err("not a journal".to_owned()) };
    let stopper = Stopper::new().map_err(|error| error.to_string())?;
    last_cursor(Path::new(JOURNALCTL), directory.as_deref(), &stopper).map(drop)
}

fn spawn_with<C: Send + 'static>(
    program: PathBuf,
    source: JournalSource,
    lane: Lane<C>,
) -> Result<SourceHandle<C>, SpawnError> {
    let JournalSource { id, directory, stored, handover } = source;
    let failed = |source| SpawnError { path: "journald".into(), source };
    let stopper = Stopper::new().map_err(failed)?;
    let place = match stored {
        Some(Position::Journal { cursor }) => Some(cursor),
        Some(Position::File { .. } | Position::Glob { .. }) | None => None,
    };
    let status = Arc::clone(lane.status());
    status.set_trust(&Trust::Journal);
    let closer = lane.closer();
    let mut journal = Journal {
        id,
        program,
        directory,
        place,
        handover,
        stopper: stopper.clone(),
        moved: false,
        reports: Vec::new(),
        state: State::Waiting,
    };
    if journal.place.is_none() {
        journal.enter_anew(&status);
    }
    let thread = thread::Builder::new()
        .name(format!("source-{}", id.index()))
        .spawn(move || journal.run(&lane))
        .map_err(failed)?;
    Ok(SourceHandle::new(status, stopper, closer, thread))
}

/// A followed journal.
struct Journal {
    id: SourceId,
    program: PathBuf,
    directory: Option<PathBuf>,
    /// The last entry that was handed out; `Some(None)`: there was none, all are to be read; `None`: not
    /// known yet, to be entered after the handover or at its end.
    place: Option<Option<String>>,
    handover: Option<Handover>,
    stopper: Stopper,
    /// The place changed without lines.
    moved: bool,
    reports: Vec<Report>,
    state: State,
}

/// Why following ended.
enum Ended {
    /// We are to stop.
    Stopped,
    /// For this reason; it had given something before or hadn't.
    Died { why: String, gave: bool },
}

impl Journal {
    /// Enters the journal after what was read instead of it before, or at its end.
    fn enter_anew(&mut self, status: &SourceStatus) {
        let place = match &self.handover {
            Some(handover) => self.place_after(handover),
            None => last_cursor(&self.program, self.directory.as_deref(), &self.stopper),
        };
        match place {
            Ok(cursor) => {
                if let Some(Handover { log, at, .. }) = self.handover.take() {
                    tracing::info!(log, %at, "The journal is read on from the last line of the log.");
                }
                self.place = Some(cursor);
                self.moved = true;
            }
            Err(error) => self.enter(State::Failed(error), status),
        }
    }

    fn run<C>(mut self, lane: &Lane<C>) {
        let mut pause = BACK_OFF.0;
        loop {
            if self.place.is_none() {
                self.enter_anew(lane.status());
            }
            if (self.moved || !self.reports.is_empty()) && self.hand_over(lane, &[]).is_err() {
                return;
            }
            if self.place.is_some() {
                match self.follow(lane) {
                    Ended::Stopped => return,
                    Ended::Died { why, gave } => {
                        self.enter(State::Failed(why), lane.status());
                        if gave {
                            pause = BACK_OFF.0;
                        }
                    }
                }
                if !self.reports.is_empty() && self.hand_over(lane, &[]).is_err() {
                    return;
                }
            }
            if wait(&self.stopper, None, None, pause) == Ready::Stop {
                return;
            }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// Reads one `journalctl` to its end.
    fn follow<C>(&mut self, lane: &Lane<C>) -> Ended {
        let died = |why: String| Ended::Died { why, gave: false };
        let mut command = command(&self.program, self.directory.as_deref());
        // The running boot is meant by --follow alone; all that is there by --merge.
        command.args(["--follow", "--no-tail", "--merge", "--all", FIELDS]);
        if let Some(Some(cursor)) = &self.place {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let mut child = match Running::start(&mut command) {
            Ok(child) => child,
            Err(error) => return died(not_run(&self.program, &error)),
        };
        let mut entries = Entries::default();
        let mut complaint = Vec::new();
        let mut gave = false;
        loop {
            match child.read(&self.stopper, None, &mut entries.buffer, &mut complaint) {
                Ok(Heard::Stop) => return Ended::Stopped,
                Ok(Heard::Nothing) => {
                    // It follows, and there is no more.
                    lane.status().set_behind(Duration::ZERO);
                    continue;
                }
                Ok(Heard::End) => {
                    return Ended::Died { why: child.last_words(&self.program, &complaint), gave };
                }
                Ok(Heard::Bytes) => {}
                Err(error) => return Ended::Died { why: error.to_string(), gave },
            }
            let taken = entries.split();
            lane.status().set_unread(child.unread() + entries.buffer.len() as u64);
            if taken.is_empty() {
                continue;
            }
            gave = true;
            self.enter(State::Reading, lane.status());
            if self.hand_over(lane, &taken).is_err() {
                return Ended::Stopped;
            }
        }
    }

    /// Makes lines of entries, and hands them over with the place behind them.
    fn hand_over<C>(&mut self, lane: &Lane<C>, entries: &[Taken]) -> Result<(), super::LaneClosed> {
        let mut text = Vec::new();
        let mut ranges = Vec::with_capacity(entries.len());
        let mut size = 0;
        let mut newest = None;
        let (mut overlong, mut cut) = (0, 0);
        for taken in entries {
            size += taken.size;
            match Entry::parse(&taken.json) {
                Some(entry) => {
                    let from = text.len();
                    entry.write_line(LineCap::TEXT.bytes(), &mut text);
                    ranges.push(from..text.len());
                    newest = newest.max(entry.taken_in());
                    self.place = Some(Some(entry.cursor.into_owned()));
                }
                None if taken.json.len() < taken.size => {
                    overlong += 1;
                    cut += taken.size as u64;
                }
                None => tracing::debug!("An entry of the journal can't be understood."),
            }
        }
        if overlong > 0 {
            self.reports.push(Report::Overlong { lines: overlong, bytes: cut });
        }
        let arrived = Timestamp::now();
        if let Some(newest) = newest {
            lane.status().set_behind(arrived.since(newest));
        }
        self.moved = false;
        lane.push(Batch {
            source: self.id,
            arrived,
            lines: Lines::new(text.into(), ranges, size),
            trusted: true,
            position: Position::Journal { cursor: self.place.clone().flatten() },
            reports: std::mem::take(&mut self.reports),
        })
    }

    fn enter(&mut self, state: State, status: &SourceStatus) {
        if self.state != state {
            match (&self.state, &state) {
                (_, State::Failed(error)) => {
                    self.reports.push(Report::Failed { error: error.clone() });
                }
                (State::Failed(_), _) => self.reports.push(Report::Recovered),
                _ => {}
            }
            self.state = state;
        }
        status.set_state(&self.state);
    }
}

/// The cursor of the last entry there is; `None`: there is no entry.
fn last_cursor(
    program: &Path,
    directory: Option<&Path>,
    stopper: &Stopper,
) -> Result<Option<String>, String> {
    let text = query(program, directory, &["--lines=1".to_owned()], stopper)?;
    last_of(&text, program)
}

/// What `journalctl` prints when it is asked for some of the entries that are there.
fn query(
    program: &Path,
    directory: Option<&Path>,
    args: &[String],
    stopper: &Stopper,
) -> Result<Vec<u8>, String> {
    let mut command = command(program, directory);
    command.args(args).args(["--merge", "--all", FIELDS]);
    let mut child = Running::start(&mut command).map_err(|error| not_run(program, &error))?;
    let (mut text, mut complaint) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heard = child.read(stopper, Some(deadline), &mut text, &mut complaint);
        match heard.map_err(|error| error.to_string())? {
            Heard::Stop => return Err("stopped".to_owned()),
            Heard::End => break,
            // Enough: what comes behind isn't looked at.
            _ if text.len() > 16 * CAP => return Ok(text),
            _ if Instant::now() >= deadline => {
                return Err(format!("{} doesn't answer", program.display()));
            }
            Heard::Bytes | Heard::Nothing => {}
        }
    }
    if !child.ended_well() {
        return Err(child.last_words(program, &complaint));
    }
    Ok(text)
}

fn command(program: &Path, directory: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command.args(["--output=json", "--no-pager", "--quiet"]);
    if let Some(directory) = directory {
        command.arg("--directory").arg(directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn not_run(program: &Path, error: &io::Error) -> String {
    format!(
        "{} can't be run ({error}); install systemd's journalctl, or read a file instead",
        program.display()
    )
}

/// Entries as they come out of the pipe.
#[derive(Default)]
struct Entries {
    buffer: Vec<u8>,
    /// Bytes passed over of an entry that is too long.
    passed: usize,
}

/// One entry.
struct Taken {
    /// Empty where it was too long.
    json: Vec<u8>,
    /// Bytes that it took.
    size: usize,
}

impl Entries {
    /// The entries that are whole.
    fn split(&mut self) -> Vec<Taken> {
        let mut taken = Vec::new();
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &self.buffer[from..]) {
            let size = self.passed + length + 1;
            let json = match size > CAP {
                true => Vec::new(),
                false => self.buffer[from..from + length].to_vec(),
            };
            taken.push(Taken { json, size });
            (self.passed, from) = (0, from + length + 1);
        }
        self.buffer.drain(..from);
        if self.buffer.len() > CAP {
            self.passed += self.buffer.len();
            self.buffer.clear();
        }
        taken
    }
}

/// A `journalctl`; killed when dropped.
struct Running {
    child: Child,
    output: ChildStdout,
    errors: Option<std::process::ChildStderr>,
}

/// What came of a wait.
enum Heard {
    Stop,
    Nothing,
    Bytes,
    End,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let errors = child.stderr.take();
        Ok(Self { child, output, errors })
    }

    fn read(
        &mut self,
        stopper: &Stopper,
        until: Option<Instant>,
        text: &mut Vec<u8>,
        complaint: &mut Vec<u8>,
    ) -> io::Result<Heard> {
        let floor = Duration::from_secs(1);
        let left = until.map_or(floor, |until| until.saturating_duration_since(Instant::now()));
        let errors = self.errors.as_ref().map(AsFd::as_fd);
        match wait(stopper, Some(self.output.as_fd()), errors, left.min(floor)) {
            Ready::Stop => Ok(Heard::Stop),
            Ready::Nothing => Ok(Heard::Nothing),
            Ready::Errors => {
                let mut some = [0; 512];
                let read = self.errors.as_mut().map_or(Ok(0), |errors| errors.read(&mut some))?;
                if read == 0 {
                    self.errors = None;
                }
                let room = COMPLAINT.saturating_sub(complaint.len());
                complaint.extend_from_slice(&some[..read.min(room)]);
                Ok(Heard::Nothing)
            }
            Ready::Output => {
                let filled = text.len();
                text.resize(filled + CHUNK, 0);
                let read = self.output.read(&mut text[filled..]);
                text.truncate(filled + read.as_ref().map_or(0, |read| *read));
                Ok(if read? == 0 { Heard::End } else { Heard::Bytes })
            }
        }
    }

    /// Bytes that wait in the pipe.
    fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.output).unwrap_or(0)
    }

    fn ended_well(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// What is to be said of its end.
    fn last_words(&mut self, program: &Path, complaint: &[u8]) -> String {
        let mut said = complaint.to_vec();
        if let Some(errors) = self.errors.take() {
            // What it said last may not have been read yet; its end closes the pipe.
            errors.take(COMPLAINT as u64).read_to_end(&mut said).ok();
        }
        let ended = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let said = String::from_utf8_lossy(&said);
        let said = said.trim().lines().last().unwrap_or("no word").escape_debug().to_string();
        format!("{} ended ({ended}): {said}", program.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ready {
    Stop,
    Output,
    Errors,
    Nothing,
}

fn wait(
    stopper: &Stopper,
    output: Option<BorrowedFd<'_>>,
    errors: Option<BorrowedFd<'_>>,
    time: Duration,
) -> Ready {
    let timeout = Timespec::try_from(time).ok();
    let mut fds = vec![PollFd::from_borrowed_fd(stopper.fd(), PollFlags::IN)];
    fds.extend(output.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    fds.extend(errors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR) => return Ready::Nothing,
        Ok(_) => {}
        // Out of memory: a timer all the same.
        Err(_) => {
            thread::sleep(Duration::from_millis(250));
            return Ready::Nothing;
        }
    }
    let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    match ready[..] {
        [true, ..] => Ready::Stop,
        // Complaints first: the output's end ends it all.
        [_, _, true] => Ready::Errors,
        [_, true, ..] => Ready::Output,
        _ => Ready::Nothing,
    }
}

#[cfg(test)]
mod tests;

//! How the daemon dies, and what it leaves.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use ravelin::event::Target;
use rusqlite::Connection;

use super::ground::Ground;
use super::ledger::{Frames, Ledger, Remains};
use super::relay::Stage;

/// One death.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Death {
    /// So long after it was ready.
    Random(Duration),
    /// So long after it was started.
    Starting(Duration),
    /// At a chosen moment.
    At(Point),
}

/// A chosen moment.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Point {
    /// A ban is in the kernel, and can't be in the database.
    InKernel,
    /// A commit is being written.
    InCommit,
    /// A ban is in the database, and its mail isn't made.
    Committed,
    /// A mail is made; the relay hasn't said its first word.
    MailMade,
    /// Inside a mail.
    MailUnderWay,
    /// The relay has the mail, and hasn't said so.
    MailUnanswered,
    /// The relay has said 250, and the daemon can't have committed that.
    MailTaken,
    /// That the mail was taken has just been committed.
    MailSettled,
}

impl Point {
    /// In the order of a ban's life.
    pub const ALL: [Self; 8] = [
        Self::InKernel,
        Self::InCommit,
        Self::Committed,
        Self::MailMade,
        Self::MailUnderWay,
        Self::MailUnanswered,
        Self::MailTaken,
        Self::MailSettled,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InKernel => "ban in the kernel, not committed",
            Self::InCommit => "inside a commit",
            Self::Committed => "ban committed, mail not made",
            Self::MailMade => "mail made, relay silent",
            Self::MailUnderWay => "inside the mail",
            Self::MailUnanswered => "relay has the mail, no 250 yet",
            Self::MailTaken => "after the relay's 250, before its commit",
            Self::MailSettled => "after that commit",
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(after) => write!(f, "{} ms after it was ready", after.as_millis()),
            Self::Starting(after) => write!(f, "{} ms after its start", after.as_millis()),
            Self::At(point) => f.write_str(point.name()),
        }
    }
}

/// What a death left.
#[derive(Clone, Debug, Default)]
pub struct Autopsy {
    /// Bans in the kernel that the database doesn't know.
    pub uncommitted: usize,
    /// The write-ahead log ends inside a transaction.
    pub torn: bool,
    /// Notices that wait for their mail to be made.
    pub waiting: u64,
    /// Mails that the database has as not sent.
    pub queued: usize,
    /// Those of them that the relay has taken: their doubles are allowed.
    pub taken: BTreeSet<String>,
    /// The chosen moment came.
    pub hit: bool,
}

impl fmt::Display for Autopsy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bans uncommitted{}, {} notices waiting, {} mails queued, {} of them taken{}",
            self.uncommitted,
            if self.torn { ", commit cut off" } else { "" },
            self.waiting,
            self.queued,
            self.taken.len(),
            if self.hit { "" } else { " (the moment didn't come)" },
        )
    }
}

/// All deaths in the order in which they come.
pub(super) fn schedule(random: u32, at_points: u32, rng: &mut fastrand::Rng) -> Vec<Death> {
    let mut deaths: Vec<Death> = (0..random)
        .map(|n| match n % 6 {
            5 => Death::Starting(Duration::from_millis(rng.u64(0..250))),
            _ => Death::Random(Duration::from_millis(rng.u64(0..900))),
        })
        .collect();
    for _ in 0..at_points {
        deaths.extend(Point::ALL.map(Death::At));
    }
    rng.shuffle(&mut deaths);
    deaths
}

/// How long a chosen moment is waited for.
const PATIENCE: Duration = Duration::from_secs(25);

/// Waits for the moment, kills the daemon that was started, and looks at what is left.
pub(super) fn die(death: Death, ground: &mut Ground, ledger: &Ledger) -> Result<Autopsy> {
    let hit = match death {
        Death::Starting(after) => {
            thread::sleep(after);
            true
        }
        Death::Random(after) => {
            ground.ready()?;
            ledger.open();
            thread::sleep(after);
            true
        }
        Death::At(point) => {
            ground.ready()?;
            ledger.open();
            at(point, ground, ledger)?
        }
    };
    if ground.is_alive() {
        ground.kill()?;
    }
    ledger.close();
    ground.relay.release();
    let mut autopsy = open(ground, ledger)?;
    // Whether a commit was cut off only shows afterwards.
    autopsy.hit = hit && (death != Death::At(Point::InCommit) || autopsy.torn);
    Ok(autopsy)
}

/// Kills it at a chosen moment; false where that doesn't come.
fn at(point: Point, ground: &mut Ground, ledger: &Ledger) -> Result<bool> {
    match point {
        Point::InKernel => {
            let lock = ledger.lock()?;
            let hit = uncommitted(&lock, ground, 1)?;
            ground.kill()?;
            Ok(hit)
        }
        Point::InCommit => {
            // Much is kept waiting, so that the commit is a long one.
            let lock = ledger.lock()?;
            uncommitted(&lock, ground, 40)?;
            let mut frames = Frames::of(ledger.path())?;
            frames.end_inside();
            drop(lock);
            busily(PATIENCE, || frames.end_inside());
            ground.kill()?;
            Ok(true)
        }
        Point::Committed => {
            let waits = "SELECT count(*) FROM entries WHERE lane = 'alert'";
            let hit = comes(PATIENCE, || Ok(ledger.number(waits).is_some_and(|count| count > 0)))?;
            ground.kill()?;
            Ok(hit)
        }
        Point::MailMade => held(Stage::Greeting, ground),
        Point::MailUnderWay => held(Stage::InData, ground),
        Point::MailUnanswered => held(Stage::Unanswered, ground),
        Point::MailTaken => {
            ground.relay.hold(Stage::Taken);
            if !ground.relay.waits(PATIENCE) {
                return Ok(false);
            }
            let lock = ledger.lock()?;
            let client = ground.relay.answer()?;
            let pid = ground.pid()?;
            let read = comes(Duration::from_secs(2), || Ok(has_read_all(pid, client)))?;
            ground.kill()?;
            drop(lock);
            Ok(read)
        }
        Point::MailSettled => {
            let sent = "SELECT count(*) FROM mails WHERE state = 'sent'";
            let before = ledger.number(sent).unwrap_or(0);
            let hit =
                comes(PATIENCE, || Ok(ledger.number(sent).is_some_and(|count| count > before)))?;
            ground.kill()?;
            Ok(hit)
        }
    }
}

/// Waits until the kernel has so many bans more than the locked database, or there is no sign of them.
fn uncommitted(lock: &Connection, ground: &Ground, count: usize) -> Result<bool> {
    let known: BTreeSet<Target> = {
        let mut statement = lock.prepare("SELECT target FROM bans")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.filter_map(|row| row.ok()?.parse().ok()).collect()
    };
    let maps = ground.maps()?;
    // The daemon doesn't wait for the lock for longer than five seconds.
    comes(Duration::from_secs(4), || {
        let unknown = maps.entries()?.into_iter().filter(|ban| !known.contains(&ban.target));
        Ok(unknown.count() >= count)
    })
}

fn held(stage: Stage, ground: &mut Ground) -> Result<bool> {
    ground.relay.hold(stage);
    let hit = ground.relay.waits(PATIENCE);
    ground.kill()?;
    Ok(hit)
}

/// Whether it comes within this time.
fn comes(limit: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if look()? {
            return Ok(true);
        }
        thread::sleep(Duration::from_micros(300));
    }
    Ok(false)
}

/// As [`comes`], without a moment's sleep.
fn busily(limit: Duration, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() && begun.elapsed() < limit {
        std::hint::spin_loop();
    }
}

/// Whether a process has read everything that came over a TCP connection, by its end of it; it may have
/// closed that since.
fn has_read_all(pid: u32, client: SocketAddr) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let port = format!(":{:04X}", client.port());
    !table.lines().skip(1).any(|line| {
        let mut words = line.split_ascii_whitespace();
        let local = words.nth(1).unwrap_or_default();
        let queues = words.nth(2).unwrap_or_default();
        local.ends_with(&port) && !queues.ends_with(":00000000")
    })
}

fn open(ground: &Ground, ledger: &Ledger) -> Result<Autopsy> {
    let remains = Remains::of(ledger.path(), &ground.scratch())?;
    let known: BTreeSet<Target> = remains.bans()?.into_iter().collect();
    let uncommitted = ground.kernel()?.iter().filter(|ban| !known.contains(&ban.target)).count();
    let queued: Vec<String> = remains
        .mails()?
        .into_iter()
        .filter(|mail| mail.state == "queued")
        .map(|mail| mail.message_id)
        .collect();
    let taken: BTreeSet<String> =
        ground.relay.taken().into_iter().map(|taken| taken.message_id).collect();
    let waiting = remains.waiting()?;
    Ok(Autopsy {
        uncommitted,
        torn: remains.torn,
        waiting: waiting.get("alert").copied().unwrap_or(0),
        queued: queued.len(),
        taken: queued.into_iter().filter(|id| taken.contains(id)).collect(),
        hit: false,
    })
}

//! What is remembered survives what can happen to a host: `kill -9`, a full disk, a damaged database, a
//! reboot, a clock that jumps. A daemon that really runs, in a network namespace. Needs root and `ip`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is wrong")]

mod clocks;
#[path = "../operator/daemon.rs"]
#[expect(dead_code, reason = "the operator's tests use all of it")]
mod daemon;
mod damage;
mod disk;
mod rebuild;

use std::fs;
use std::time::Duration;

use ravelin::event::Timestamp;
use ravelin::store::{FILE, HistoryEntry, HistoryFilter, HistoryKind, Reader};
use ravelin_tests::netns::Pair;

use self::daemon::Daemon;

const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "203.0.113.1";
const TARGET: &str = "198.51.100.7/32";

/// A line of sshd's about the client, so long ago.
fn failed_login(pid: usize, ago: Duration) -> String {
    let at = Timestamp::now().saturating_sub(ago);
    format!("{at} web1 sshd[{pid}]: Failed password for root from {CLIENT} port 4711 ssh2")
}

/// A pair of hosts, and a daemon that protects the server.
fn running(more: &str) -> (Pair, Daemon) {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, more);
    (pair, daemon)
}

impl Daemon {
    fn store(&self) -> Reader {
        Reader::open(&self.path("state")).unwrap()
    }

    /// What is on disk of the client's past, oldest first.
    fn past(&self) -> Vec<HistoryEntry> {
        let filter =
            HistoryFilter { target: Some(TARGET.parse().unwrap()), ..HistoryFilter::default() };
        let mut past = self.store().history(&filter).unwrap();
        past.reverse();
        past
    }

    fn times(&self, kind: HistoryKind) -> usize {
        self.past().iter().filter(|entry| entry.kind == kind).count()
    }

    /// Ends it as an admin does.
    fn stop(&mut self) {
        self.signal("-TERM");
        // Closed in order, the database is one file.
        let log = self.path("state").join(format!("{FILE}-wal"));
        self.wait_until("it has ended", || !log.exists());
        self.kill();
    }

    /// Waits until everything that is in the log has had its effect, and that is on disk.
    fn settles(&self) {
        let there = fs::metadata(self.auth_log()).unwrap().len();
        self.wait_until("all lines are committed", || {
            let positions = self.store().positions().unwrap();
            let offset = format!("\"offset\":{there},");
            positions.iter().any(|position| position.place.contains(&offset))
        });
    }

    /// Waits until the client is banned, and that is on disk.
    fn bans_the_client(&self) {
        self.wait_until("the guesser is banned", || self.banned() == [TARGET]);
        self.wait_until("the ban is on disk", || self.times(HistoryKind::Ban) > 0);
    }
}

//! A disk that is full, a directory that is read-only, missing, or somebody else's: protection goes on, it is
//! said, and what happened is written once the disk works again, once.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ravelin::store::HistoryKind;
use ravelin_tests::netns::Pair;

use super::{Daemon, TARGET, failed_login};

const NOW: Duration = Duration::ZERO;

/// A small file system of its own for the state; goes with this.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it where the daemon's state is.
    fn below(daemon: &Daemon) -> Self {
        let path = daemon.path("state");
        fs::create_dir(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=2m,mode=700", "rvstate"], &path);
        Self(path)
    }

    fn fill(&self) {
        let mut size = 1 << 20;
        // The last page as well.
        while size > 0 {
            let mut all = fs::read(self.filler()).unwrap_or_default();
            all.resize(all.len() + size, b'x');
            if fs::write(self.filler(), &all).is_err() {
                all.truncate(all.len() - size);
                fs::write(self.filler(), &all).unwrap();
                size /= 2;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn run(program: &str, args: &[&str], path: &Path) {
    let done = Command::new(program).args(args).arg(path).status().unwrap();
    assert!(done.success(), "{program} {args:?} {}", path.display());
}

fn guesses(daemon: &Daemon, from: usize) {
    for n in from..from + 8 {
        daemon.log_line(&failed_login(n, NOW));
    }
}

fn is_degraded(daemon: &Daemon) {
    daemon.wait_until("it says so", || {
        daemon.health().contains(&"database-failing".to_owned())
            && daemon.status()["state"] == "degraded"
    });
}

/// The disk works again: all is told and written, once.
fn catches_up(daemon: &Daemon) {
    daemon.wait_until("it has caught up", || {
        !daemon.health().contains(&"database-failing".to_owned())
            && daemon.times(HistoryKind::Ban) == 1
    });
    daemon.settles();
    assert_eq!(daemon.times(HistoryKind::Ban), 1);
    assert_eq!(daemon.banned(), [TARGET]);
    assert_eq!(daemon.store().ban_count().unwrap(), 1);
}

#[test]
fn a_full_disk_keeps_nobody_from_being_banned_and_nothing_is_lost_or_doubled() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let disk = Disk::below(&daemon);
    daemon.restart();
    daemon.settles();
    disk.fill();
    guesses(&daemon, 800);
    daemon.wait_until("the guesser is banned", || daemon.banned() == [TARGET]);
    is_degraded(&daemon);
    assert_eq!(daemon.times(HistoryKind::Ban), 0, "it isn't on disk");
    disk.free();
    catches_up(&daemon);
    let evidence = daemon.past();
    let ban = evidence.iter().find(|entry| entry.kind == HistoryKind::Ban).unwrap();
    assert_eq!(ban.evidence.lines().len(), 8, "{ban:?}");
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing_either() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let disk = Disk::below(&daemon);
    daemon.restart();
    daemon.settles();
    disk.fill();
    guesses(&daemon, 800);
    daemon.wait_until("the guesser is banned", || daemon.banned() == [TARGET]);
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.banned(), [TARGET], "the kernel knows");
    is_degraded(&daemon);
    disk.free();
    catches_up(&daemon);
}

#[test]
fn a_read_only_directory_is_read_and_written_once_it_can_be() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let disk = Disk::below(&daemon);
    daemon.restart();
    for n in 0..4 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.settles();
    daemon.stop();
    disk.remount("ro");
    daemon.restart();
    is_degraded(&daemon);
    // The position is known: it was read.
    for n in 4..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned() == [TARGET]);
    disk.remount("rw");
    catches_up(&daemon);
}

#[test]
fn a_directory_of_somebody_elses_or_none_at_all_is_said_and_waited_for() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let state = daemon.path("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(65_534), Some(65_534)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    // Root may do everything, unless that is taken from it.
    daemon.restart_by(&[
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-all",
    ]);
    is_degraded(&daemon);
    guesses(&daemon, 800);
    daemon.wait_until("the guesser is banned", || daemon.banned() == [TARGET]);
    chown(&state, Some(0), Some(0)).unwrap();
    catches_up(&daemon);
}

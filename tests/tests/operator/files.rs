//! Log files that come and go while the daemon runs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, failed_login};

/// Writes to a log that may not be there yet.
fn write(daemon: &Daemon, name: &str, lines: impl IntoIterator<Item = String>) {
    let mut file = OpenOptions::new().append(true).create(true).open(daemon.path(name)).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
}

/// The sources that `status` shows by the end of their names: state and lines.
fn sources(daemon: &Daemon) -> Vec<(String, String, u64)> {
    let status = daemon.status();
    let rows = status["sources"].as_array().unwrap();
    let folder = format!("{}/", daemon.path("").display());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| {
            let name = text(&row["name"]).replace(folder.trim_end_matches('/'), "");
            (
                name.trim_start_matches('/').to_owned(),
                text(&row["state"]),
                row["lines"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn are(daemon: &Daemon, expected: &[(&str, &str, u64)]) -> bool {
    let mut now = sources(daemon);
    now.sort();
    let now = now.iter().map(|(name, state, lines)| (&**name, &**state, *lines));
    now.eq(expected.iter().copied())
}

fn positions(daemon: &Daemon) -> Vec<String> {
    let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
    reader.positions().unwrap().into_iter().map(|position| position.source).collect()
}

fn guesses(from: u32, count: u32) -> impl Iterator<Item = String> {
    (from..from + count).map(|pid| failed_login(pid, "root"))
}

/// A daemon that reads `logs/*.log`, and `logs/named.log` by itself.
fn following(pair: &Pair) -> Daemon {
    let mut daemon = Daemon::configured(&pair.server, "");
    let logs = daemon.path("logs");
    fs::create_dir(&logs).unwrap();
    let logs = logs.display();
    daemon.configure(&format!(
        "sources: [{{format: syslog, file: {logs}/named.log}}, {{format: syslog, file: {logs}/*.log}}]\n"
    ));
    write(&daemon, "logs/named.log", guesses(1, 1));
    daemon.restart();
    daemon
}

#[test]
fn files_of_a_pattern_are_read_as_they_appear_each_once_and_where_they_were_left() {
    let pair = Pair::new();
    let mut daemon = following(&pair);
    let pattern = "logs/*.log";
    // What is named is read by its name; of the pattern there is nothing yet.
    assert!(are(&daemon, &[(pattern, "waiting", 0), ("logs/named.log", "reading", 0)]));
    let check = daemon.cli(&["check"]);
    assert!(check.out.contains("no file matches") && check.code == 0, "{check:?}");

    // One that appears is read from its beginning.
    write(&daemon, "logs/a.log", guesses(100, 3));
    write(&daemon, "logs/named.log", guesses(2, 1));
    daemon.wait_until("it is read", || {
        are(&daemon, &[("logs/a.log", "reading", 3), ("logs/named.log", "reading", 1)])
    });
    // What rotation makes of it isn't another log.
    fs::rename(daemon.path("logs/a.log"), daemon.path("logs/a.log.1")).unwrap();
    fs::rename(daemon.path("logs/a.log.1"), daemon.path("logs/a-20240131.log")).unwrap();
    write(&daemon, "logs/a-20240131.log", guesses(200, 1));
    write(&daemon, "logs/a.log", guesses(300, 1));
    daemon.wait_until("both are read", || {
        are(&daemon, &[("logs/a.log", "reading", 5), ("logs/named.log", "reading", 1)])
    });
    daemon.wait_until("that is on disk", || positions(&daemon).len() == 3);
    daemon.wait_until("it bans", || {
        daemon.banned() == [format!("{CLIENT}/32")] || {
            write(&daemon, "logs/a.log", guesses(1_000, 1));
            false
        }
    });
    daemon.cli(&["unban", CLIENT]).done();

    // While it is dead: one goes on, one appears.
    let lines = |daemon: &Daemon| sources(daemon)[0].2;
    let before = lines(&daemon);
    daemon.wait_until("all is on disk", || {
        let size = fs::metadata(daemon.path("logs/a.log")).unwrap().len();
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        let place = reader.positions().unwrap().into_iter();
        place
            .filter(|it| it.source.ends_with("/a.log"))
            .any(|it| it.place.contains(&format!("\"offset\":{size}")))
    });
    assert!(before > 0);
    daemon.kill();
    write(&daemon, "logs/a.log", guesses(400, 2));
    write(&daemon, "logs/b.log", guesses(500, 4));
    daemon.restart();
    daemon.wait_until("they are read", || {
        are(
            &daemon,
            &[
                ("logs/a.log", "reading", 2),
                ("logs/b.log", "reading", 4),
                ("logs/named.log", "reading", 0),
            ],
        )
    });

    // A reload that names one hands it over, where it was left.
    let logs = daemon.path("logs");
    let logs = logs.display();
    daemon.configure(&format!(
        "sources: [{{format: syslog, file: {logs}/b.log}}, {{format: syslog, file: {logs}/*.log}}]\n"
    ));
    daemon.cli(&["reload"]).done();
    write(&daemon, "logs/b.log", guesses(600, 1));
    daemon.wait_until("it is read on", || {
        are(
            &daemon,
            &[
                ("logs/a.log", "reading", 2),
                ("logs/b.log", "reading", 1),
                ("logs/named.log", "reading", 0),
            ],
        )
    });
}

#[test]
fn more_files_than_are_read_are_said_and_the_latest_are() {
    let pair = Pair::new();
    let daemon = following(&pair);
    for number in 0..ravelin::source::MOST_FILES + 3 {
        write(&daemon, &format!("logs/{number:03}.log"), []);
    }
    let told = || daemon.health().contains(&"source-excess".to_owned());
    daemon.wait_until("it is told", || told());
    assert_eq!(daemon.status()["state"], "degraded");
    daemon.wait_until("all there is room for are read", || {
        sources(&daemon).len() == ravelin::source::MOST_FILES + 1
    });
    for number in 0..3 {
        fs::remove_file(daemon.path(&format!("logs/{number:03}.log"))).unwrap();
    }
    daemon.wait_until("it is over", || !told());
}

#[test]
fn what_was_rotated_and_packed_while_it_was_dead_is_read_on() {
    let (_pair, mut daemon) = super::running();
    let log = daemon.auth_log();
    write(&daemon, "auth.log", guesses(1, 2));
    daemon.wait_until("they are read", || sources(&daemon)[0].2 == 2);
    daemon.wait_until("that is on disk", || {
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        let size = fs::metadata(&log).unwrap().len();
        reader
            .positions()
            .unwrap()
            .iter()
            .any(|it| it.place.contains(&format!("\"offset\":{size}")))
    });
    daemon.kill();
    // As logrotate with `compress` and without `delaycompress`, twice.
    for number in [2, 1] {
        write(&daemon, "auth.log", guesses(10 * number, 8));
        let old = daemon.path(&format!("auth.log.{number}"));
        fs::rename(&log, &old).unwrap();
        assert!(Command::new("gzip").arg(&old).status().unwrap().success());
        assert!(!old.exists());
    }
    write(&daemon, "auth.log", guesses(100, 1));
    daemon.restart();
    daemon.wait_until("all is read", || sources(&daemon)[0].2 == 17);
    daemon.wait_until("it bans", || daemon.banned() == [format!("{CLIENT}/32")]);
    assert!(!daemon.log().contains("may be lost"), "{}", daemon.log());
    daemon.kill();
    daemon.restart();
    assert_eq!(sources(&daemon)[0].2, 0, "nothing twice");
}

/// A small disk; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn at(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs"]).arg(&path);
        assert!(mount.status().unwrap().success());
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn on_a_full_disk_what_was_written_counts_and_what_comes_after_too() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let disk = Disk::at(daemon.path("disk"));
    let log = disk.path().join("auth.log");
    daemon.configure(&format!("sources: [{{format: syslog, file: {}}}]\n", log.display()));
    fs::write(&log, "").unwrap();
    daemon.restart();
    // A line is cut where the disk ends.
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    let mut pid = 0_u32;
    let whole = loop {
        let line =
            format!("{} web1 sshd[{pid}]: Server listening on 0.0.0.0 port 22.\n", super::now());
        pid += 1;
        if file.write_all(line.as_bytes()).is_err() {
            break pid - 1;
        }
    };
    let text = fs::read_to_string(&log).unwrap();
    let lines = text.lines().count() as u64 - u64::from(!text.ends_with('\n'));
    assert_eq!(lines, u64::from(whole));
    daemon.wait_until("what is whole is read", || sources(&daemon)[0].2 == lines);
    assert!(daemon.health().is_empty(), "{:?}", daemon.health());
    // Somebody makes room as people do, and the writer goes on in the middle of the line.
    drop(file);
    fs::rename(&log, disk.path().join("auth.log.1")).unwrap();
    fs::write(&log, "").unwrap();
    fs::remove_file(disk.path().join("auth.log.1")).unwrap();
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    writeln!(file, "rest of a line").unwrap();
    for line in guesses(5_000, 20) {
        writeln!(file, "{line}").unwrap();
    }
    daemon.wait_until("it bans", || daemon.banned() == [format!("{CLIENT}/32")]);
    drop(disk);
}

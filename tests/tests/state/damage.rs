//! A database that is damaged: it is set aside under a dated name, that is said, and the bans of the kernel
//! are in the new one.

use std::fs;
use std::path::PathBuf;

use ravelin::store::{FILE, HistoryKind, VERSION};
use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, TARGET, running};

/// Bans that stand.
const BANS: u64 = 20;

/// What was set aside.
fn aside(daemon: &Daemon) -> Vec<PathBuf> {
    let entries = fs::read_dir(daemon.path("state")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| {
        let name = path.to_string_lossy();
        // With what SQLite had beside it.
        name.contains(".damaged-20") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    paths.filter(is_one).collect()
}

/// A daemon with a ban by hand, killed, and its database once more in one file.
fn killed() -> (Pair, Daemon) {
    let (pair, mut daemon) =
        running("mail: {to: [root@server.example], relay: 'smtp://127.0.0.1:9'}\n");
    daemon.cli(&["ban", CLIENT, "--reason", "by hand", "--ttl", "1h"]).done();
    for n in 1..BANS {
        daemon.cli(&["ban", &format!("192.0.2.{n}"), "--ttl", "1h"]).done();
    }
    daemon.wait_until("that is on disk", || daemon.store().ban_count().unwrap() == BANS);
    daemon.stop();
    (pair, daemon)
}

fn goes_on(daemon: &mut Daemon) {
    daemon.restart();
    assert_eq!(aside(daemon).len(), 1);
    assert!(daemon.health().contains(&"database-damaged".to_owned()), "{:?}", daemon.health());
    assert_eq!(daemon.status()["state"], "degraded");
    assert!(daemon.log().contains("set aside as"), "{}", daemon.log());
    assert_eq!(daemon.banned().len() as u64, BANS);
    assert!(daemon.banned().contains(&TARGET.to_owned()));
    // They are in the new database: a reboot would bring them back.
    assert_eq!(daemon.store().ban_count().unwrap(), BANS);
    assert_eq!(daemon.times(HistoryKind::Ban), 1);
    daemon.wait_until("it is mailed", || {
        let store = daemon.store();
        let waits = store.waiting().unwrap().iter().any(|lane| lane.entries > 0);
        waits || store.mail_stats().unwrap().queued > 0
    });
    // Another start finds all in order.
    daemon.restart();
    assert!(daemon.health().iter().all(|code| code != "database-damaged"));
    assert_eq!((daemon.banned().len() as u64, aside(daemon).len()), (BANS, 1));
}

#[test]
fn one_that_is_garbage() {
    let (_pair, mut daemon) = killed();
    fs::write(daemon.path("state").join(FILE), "not a database at all ".repeat(1_000)).unwrap();
    goes_on(&mut daemon);
}

#[test]
fn one_that_ends_in_the_middle() {
    let (_pair, mut daemon) = killed();
    let path = daemon.path("state").join(FILE);
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() / 2]).unwrap();
    goes_on(&mut daemon);
}

#[test]
fn one_whose_beginning_is_whole() {
    let (_pair, mut daemon) = killed();
    let path = daemon.path("state").join(FILE);
    let mut content = fs::read(&path).unwrap();
    // Header and schema stay, what lies behind them doesn't.
    let from = content.len() / 3;
    content[from..].fill(0x5a);
    fs::write(&path, content).unwrap();
    goes_on(&mut daemon);
}

#[test]
fn one_that_a_newer_version_wrote_is_refused_with_the_remedy_and_the_drops_go_on() {
    let (_pair, mut daemon) = killed();
    let path = daemon.path("state").join(FILE);
    let mut content = fs::read(&path).unwrap();
    // SQLite's user_version.
    let newer = u32::try_from(VERSION).unwrap() + 1;
    content[60..64].copy_from_slice(&newer.to_be_bytes());
    fs::write(&path, &content).unwrap();
    let said = daemon.cli(&["run"]);
    assert_eq!(said.code, 1, "{said:?}");
    for words in ["a newer ravelin wrote it", "install that version again", FILE] {
        assert!(said.err.contains(words), "{said:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), content, "nothing was touched");
    assert_eq!(daemon.banned().len() as u64, BANS);
    daemon.kill();
}

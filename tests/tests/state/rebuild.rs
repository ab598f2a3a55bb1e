//! Windows, scores and sessions come back after `kill -9`, and nothing is told or done twice.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ravelin::event::Timestamp;
use ravelin::store::{HistoryEntry, HistoryKind};

use super::{CLIENT, Daemon, SERVER, TARGET, failed_login, running};

const NOW: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);

/// Mail that nobody takes waits in the outbox.
const MAIL: &str = "mail: {to: [root@server.example], relay: 'smtp://127.0.0.1:9'}\n";

#[test]
fn the_eighth_failure_after_a_kill_bans_with_all_eight_as_evidence() {
    let (_pair, mut daemon) = running("");
    for n in 0..7 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.settles();
    daemon.kill();
    daemon.restart();
    assert!(daemon.log().contains("Rebuilt windows"), "{}", daemon.log());
    assert!(daemon.banned().is_empty());
    daemon.log_line(&failed_login(807, NOW));
    daemon.bans_the_client();
    let past = daemon.past();
    let ban = past.iter().find(|entry| entry.kind == HistoryKind::Ban).unwrap();
    assert_eq!((ban.rule, ban.evidence.lines().len()), (Some(5720), 8), "{ban:?}");
    assert!(ban.evidence.lines()[0].contains("sshd[800]"), "{ban:?}");
    assert_eq!(daemon.times(HistoryKind::Ban), 1);
}

#[test]
fn a_day_of_slow_guessing_is_remembered_through_kills_and_rotations() {
    let (_pair, mut daemon) = running("");
    daemon.settles();
    let guesses = |daemon: &Daemon, range: std::ops::Range<u32>| {
        for n in range {
            daemon.log_line(&failed_login(800 + n as usize, (30 - n) * 40 * MINUTE));
        }
    };
    daemon.kill();
    guesses(&daemon, 0..15);
    daemon.restart();
    daemon.settles();
    daemon.kill();
    fs::rename(daemon.auth_log(), daemon.path("auth.log.1")).unwrap();
    fs::File::create(daemon.auth_log()).unwrap();
    guesses(&daemon, 15..29);
    daemon.restart();
    daemon.settles();
    for _ in 0..2 {
        daemon.kill();
        daemon.restart();
    }
    assert_eq!(daemon.times(HistoryKind::Ban), 0);
    daemon.log_line(&failed_login(900, NOW));
    daemon.bans_the_client();
    let past = daemon.past();
    let ban = past.iter().find(|entry| entry.kind == HistoryKind::Ban).unwrap();
    assert_eq!(ban.rule, Some(310_501), "{ban:?}");
}

#[test]
fn what_was_told_and_done_before_the_kill_is_not_again() {
    let (_pair, mut daemon) = running(MAIL);
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.bans_the_client();
    daemon.settles();
    daemon.wait_until("the ban is told", || told(&daemon) == 1);
    let past = daemon.past();
    let logged = daemon.log().matches("ban target=").count();
    daemon.kill();
    daemon.restart();
    daemon.log_line("Nov 24 10:00:00 web1 cron[1]: nothing");
    daemon.settles();
    assert_eq!(daemon.past(), past);
    assert_eq!(daemon.log().matches("ban target=").count(), logged);
    assert_eq!(told(&daemon), 1);
    assert_eq!(daemon.banned(), [TARGET]);

    // The ban consumed its evidence, also after it was lifted.
    daemon.cli(&["unban", CLIENT]).done();
    daemon.wait_until("that is on disk", || daemon.times(HistoryKind::Unban) == 1);
    daemon.kill();
    daemon.restart();
    for n in 0..7 {
        daemon.log_line(&failed_login(900 + n, NOW));
    }
    daemon.settles();
    assert_eq!(daemon.times(HistoryKind::Ban), 1, "seven are too few");
    daemon.log_line(&failed_login(907, NOW));
    daemon.wait_until("the eighth bans", || daemon.times(HistoryKind::Ban) == 2);
}

#[test]
fn a_lapsed_ban_does_not_come_back_after_a_restart() {
    let (_pair, mut daemon) = running("ban: {ttl: 1s, escalate: []}\n");
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.wait_until("the ban has lapsed", || daemon.times(HistoryKind::Lapse) == 1);
    daemon.settles();
    daemon.kill();
    daemon.restart();
    daemon.log_line(&failed_login(900, NOW));
    daemon.settles();
    assert_eq!((daemon.times(HistoryKind::Ban), daemon.banned()), (1, vec![]));
}

#[test]
fn a_session_is_remembered() {
    let (pair, mut daemon) = running("");
    let listener = pair.server.enter(|| TcpListener::bind((SERVER, 22))).unwrap();
    let client = pair.client.enter(|| TcpStream::connect((SERVER, 22))).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let line = failed_login(700, NOW).replace("Failed", "Accepted");
    daemon.log_line(&line.replace("4711", &peer.port().to_string()));
    daemon.settles();
    daemon.kill();
    daemon.restart();
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.wait_until("the guesses are told", || daemon.times(HistoryKind::Alert) > 0);
    let withheld = |entry: &HistoryEntry| entry.withheld.as_deref() == Some("live-session");
    assert!(daemon.past().iter().any(withheld), "{:?}", daemon.past());
    assert!(daemon.banned().is_empty());
    drop((client, accepted));
}

#[test]
fn nothing_is_rebuilt_where_that_is_configured() {
    let (_pair, mut daemon) = running("state: {rebuild_megabytes: 0}\n");
    for n in 0..7 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.settles();
    daemon.kill();
    daemon.restart();
    daemon.log_line(&failed_login(807, NOW));
    daemon.settles();
    assert_eq!(daemon.times(HistoryKind::Ban), 0);
}

/// What was or will be mailed about attackers, one by one.
fn told(daemon: &Daemon) -> u64 {
    let store = daemon.store();
    let mails = store.made(Timestamp::from_micros(i64::MIN)).unwrap();
    let mails = mails.iter().filter(|(lane, _)| lane == "alert").count() as u64;
    let waiting = store.waiting().unwrap();
    mails + waiting.iter().filter(|lane| lane.lane == "alert").map(|lane| lane.entries).sum::<u64>()
}

//! No silent loss of protection.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, SERVER, failed_login, now, running};

fn told(daemon: &Daemon, code: &str) -> bool {
    daemon.health().iter().any(|standing| standing == code)
}

#[test]
fn a_ban_on_the_wrong_interface_is_seen_to_be_ineffective() {
    let pair = Pair::new();
    pair.server.ip(&["link", "add", "d0", "type", "bridge"]);
    let daemon = Daemon::start(&pair.server, "interfaces: [d0]\n");
    daemon.cli(&["ban", CLIENT]).done();
    let mut pid = 800;
    daemon.wait_until("the ban is seen to be ineffective", || {
        daemon.log_line(&failed_login(pid, "root"));
        pid += 1;
        told(&daemon, "ban-ineffective")
    });
    assert_eq!(daemon.status()["state"], "degraded");
    let remedy = daemon.status()["health"][0]["remedy"].as_str().unwrap().to_owned();
    assert!(remedy.contains("198.51.100.7/32") && remedy.contains("d0"), "{remedy}");
    daemon.cli(&["unban", CLIENT]).done();
    daemon.wait_until("it is over", || !told(&daemon, "ban-ineffective"));
}

#[test]
fn a_ban_that_drops_is_effective_whatever_is_logged_late() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    // Long after its ban, by the line's own time and by ours.
    daemon.wait_until("the lines are read", || {
        daemon.log_line(&failed_login(800, "root"));
        let shown = daemon.cli(&["show", CLIENT, "--json"]).json();
        let since: jiff::Timestamp = shown["ban"]["since"].as_str().unwrap().parse().unwrap();
        jiff::Timestamp::now().duration_since(since).as_secs() > 6
    });
    assert!(daemon.health().is_empty(), "{:?}", daemon.health());
}

#[test]
fn a_source_full_of_foreign_lines_is_told_until_it_is_not() {
    let (_pair, daemon) = running();
    let lines = |message: &str| {
        for _ in 0..100 {
            daemon.log_line(&format!("{} web1 sshd[9]: {message}", now()));
        }
    };
    lines("hello world");
    daemon.wait_until("it is told", || told(&daemon, "unrecognised"));
    // That doesn't mean that the host isn't protected.
    assert_eq!(daemon.cli(&["status"]).code, 0);
    lines("Server listening on 0.0.0.0 port 22.");
    daemon.wait_until("it is over", || daemon.health().is_empty());
}

#[test]
fn a_source_that_cannot_be_read_is_told_until_it_can() {
    let (_pair, daemon) = running();
    let log = daemon.auth_log();
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    daemon.wait_until("it is told", || told(&daemon, "source-unreadable"));
    let status = daemon.status();
    assert_eq!(status["state"], "degraded");
    assert_eq!(status["sources"][0]["state"], "error: expected a file, got a directory");
    assert_eq!(daemon.cli(&["status"]).code, 1);
    fs::remove_dir(&log).unwrap();
    fs::write(&log, "").unwrap();
    daemon.wait_until("it is over", || daemon.health().is_empty());
    assert_eq!(daemon.status()["state"], "enforcing");
}

#[test]
fn a_source_that_is_written_to_faster_than_it_is_read_lags_until_it_does_not() {
    /// More than is read in five seconds on any machine.
    const PLENTY: usize = 256 << 20;

    let (_pair, daemon) = running();
    let line = format!("{} web1 sshd[9]: Server listening on 0.0.0.0 port 22.\n", now());
    let text = line.repeat(PLENTY / 4 / line.len());
    let mut log = OpenOptions::new().append(true).open(daemon.auth_log()).unwrap();
    let lag = |daemon: &Daemon| daemon.status()["sources"][0]["lag_bytes"].as_u64().unwrap();
    daemon.wait_until("it is told", || {
        if lag(&daemon) < PLENTY as u64 {
            log.write_all(text.as_bytes()).unwrap();
        }
        told(&daemon, "source-lagging")
    });
    assert!(lag(&daemon) > 0);
    // What isn't there doesn't lag.
    log.set_len(0).unwrap();
    daemon.wait_until("it is over", || !told(&daemon, "source-lagging"));
    assert_eq!(lag(&daemon), 0);
}

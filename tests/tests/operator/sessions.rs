//! Live SSH sessions, which the kernel confirms. No sshd: a connection to port 22 and its log lines.

use std::net::{SocketAddr, TcpListener, TcpStream};

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, SERVER, failed_login, is_cut_off, now, running};

/// A connection from the client to the server's port 22, both ends.
fn session(pair: &Pair) -> (TcpStream, TcpStream, SocketAddr) {
    let listener = pair.server.enter(|| TcpListener::bind((SERVER, 22))).unwrap();
    let client = pair.client.enter(|| {
        // The client's address is the only one with a route.
        TcpStream::connect((SERVER, 22)).unwrap()
    });
    let (accepted, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), CLIENT);
    (client, accepted, peer)
}

fn guesses(daemon: &Daemon, pids: std::ops::Range<u32>) {
    for pid in pids {
        daemon.log_line(&failed_login(pid, "root"));
    }
}

#[test]
fn a_ban_that_would_cut_off_an_ssh_session_needs_force() {
    let (pair, daemon) = running();
    let ends = session(&pair);
    for target in [CLIENT, "198.51.100.0/24"] {
        let refused = daemon.cli(&["ban", target]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.err.contains(&ends.2.to_string()) && refused.err.contains("--force"),
            "{refused:?}"
        );
    }
    daemon.cli(&["ban", "192.0.2.0/24"]).done();
    daemon.cli(&["ban", CLIENT, "--force"]).done();
    assert!(is_cut_off(&pair));
    drop(ends);

    // The session that the command itself is typed in.
    let mut command = daemon.command(&["ban", "203.0.113.0/25"]);
    let output = command.env("SSH_CONNECTION", "203.0.113.7 4711 203.0.113.1 22").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("203.0.113.7"));
}

#[test]
fn guesses_beside_a_session_alert_and_do_not_ban_until_it_is_over() {
    let (pair, daemon) = running();
    let ends = session(&pair);
    let accepted = |port: u16| {
        format!(
            "{} web1 sshd[700]: Accepted password for alice from {CLIENT} port {port} ssh2",
            now()
        )
    };
    daemon.log_line(&accepted(ends.2.port()));
    guesses(&daemon, 800..810);
    daemon.wait_until("the guesses are told", || {
        daemon.cli(&["history", "--json"]).done().out.contains("live-session")
    });
    assert!(daemon.banned().is_empty());

    // The connection ends, and the line that says so is lost.
    drop(ends);
    // The kernel is asked once a second.
    let mut pid = 900;
    daemon.wait_until("the guesser is banned", || {
        daemon.log_line(&failed_login(pid, "root"));
        pid += 1;
        daemon.banned() == ["198.51.100.7/32"]
    });

    // A line about a session that isn't there shields nobody.
    daemon.cli(&["unban", CLIENT]).done();
    daemon.log_line(&accepted(4711));
    guesses(&daemon, 2_000..2_012);
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
}

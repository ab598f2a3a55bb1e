//! The commands as an admin types them, on a daemon that really runs in a network namespace: by hand, by
//! its files, by what happens around it. Needs root, `ip` and `ping`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is wrong")]

mod allow;
mod capacity;
mod confirm;
mod daemon;
mod dispatched;
mod doctor;
mod exports;
mod files;
mod handover;
mod metrics;
mod panic;
mod past;
mod ports;
mod reload;
mod report;
mod rules;
mod sandbox;
mod secrets;
mod sessions;
mod surroundings;
mod top;
mod trust;
mod undo;
mod vigilance;

use std::fs;

use ravelin_tests::netns::Pair;

use self::daemon::Daemon;

const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "203.0.113.1";

/// A line of sshd's about the client, as of now.
fn failed_login(pid: u32, user: &str) -> String {
    format!("{} web1 sshd[{pid}]: Failed password for {user} from {CLIENT} port 4711 ssh2", now())
}

/// An ISO 8601 stamp, as rsyslog writes it.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// A pair of hosts, and a daemon that protects the server.
fn running() -> (Pair, Daemon) {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "");
    (pair, daemon)
}

/// Whether the client's pings are answered.
fn gets_through(pair: &Pair) -> bool {
    pair.client.pings(CLIENT, SERVER, 1)
}

fn is_cut_off(pair: &Pair) -> bool {
    pair.client.is_cut_off(CLIENT, SERVER, 2)
}

#[test]
fn every_command_has_help_and_says_what_is_wrong_with_its_use() {
    for command in [
        &["allow"][..],
        &["ban"],
        &["confirm"],
        &["doctor"],
        &["history"],
        &["list"],
        &["mail", "test"],
        &["object"],
        &["panic"],
        &["reload"],
        &["report"],
        &["show"],
        &["status"],
        &["top"],
        &["unban"],
    ] {
        let run = |last: &str| {
            let mut args = command.to_vec();
            args.push(last);
            daemon::program().args(args).output().unwrap()
        };
        let help = run("--help");
        assert_eq!(help.status.code(), Some(0), "{command:?}");
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains("Usage: ravelin") && help.contains("--config"), "{help}");
        let wrong = run("--no-such-option");
        assert_eq!(wrong.status.code(), Some(2), "{command:?}");
    }
    for args in [&["ban", "host.example"][..], &["allow"], &["show"], &["unban"], &["mail"]] {
        let wrong = daemon::program().args(args).output().unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_test_mail_says_exactly_what_the_relay_said() {
    let pair = Pair::new();
    // Nobody listens there.
    let daemon = Daemon::configured(
        &pair.server,
        "mail: {to: [root@server.example], relay: 'smtp://127.0.0.1:25'}\n",
    );
    let sent = daemon.cli(&["mail", "test"]);
    assert_eq!(sent.code, 1);
    assert!(
        sent.out.contains("smtp://127.0.0.1:25") && sent.out.contains("refused"),
        "{}",
        sent.out
    );
    let config = fs::read_to_string(daemon.config()).unwrap();
    fs::write(daemon.config(), config.replace("smtp://", "gopher://")).unwrap();
    let sent = daemon.cli(&["mail", "test"]);
    assert_eq!(sent.code, 1);
    assert!(sent.err.contains("smtp+starttls://"), "{}", sent.err);
    daemon.configure("");
    let sent = daemon.cli(&["mail", "test"]);
    assert_eq!(sent.code, 1);
    assert!(sent.err.contains("nobody would get the mail"), "{}", sent.err);
}

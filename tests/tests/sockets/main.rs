//! Sockets that others write to, with those who really do: Suricata, logger(1), rsyslogd. Needs root and what
//! `cargo xtask test` installs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is wrong")]

#[path = "../operator/daemon.rs"]
#[expect(dead_code, reason = "the operator's tests use all of it")]
mod daemon;
mod suricata;
mod syslog;

use ravelin_tests::netns::Pair;

use self::daemon::Daemon;

/// The client, which sends logs and attacks.
const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "203.0.113.1";

fn is_banned(daemon: &Daemon, address: &str) -> bool {
    daemon.banned().contains(&format!("{address}/32"))
}

fn told(daemon: &Daemon, code: &str) -> bool {
    daemon.health().iter().any(|standing| standing == code)
}

fn is_cut_off(pair: &Pair) -> bool {
    pair.client.is_cut_off(CLIENT, SERVER, 2)
}

/// A number in the listener's part of a source's status.
fn count(daemon: &Daemon, source: &str, of: &str) -> u64 {
    let status = daemon.status();
    let sources = status["sources"].as_array().unwrap();
    let found = sources.iter().find(|row| row["name"] == source);
    let row = found.unwrap_or_else(|| panic!("no source {source}: {sources:?}"));
    row["listener"][of].as_u64().unwrap()
}

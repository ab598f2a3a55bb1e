//! Reboots and clocks that were set while no daemon ran: what is left of a ban is as long as it should be,
//! and a repeat offender stays one.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use ravelin::store::{Anchor, Effect, FILE, HistoryKind, Store};

use super::{CLIENT, Daemon, TARGET, failed_login, running};

const NOW: Duration = Duration::ZERO;
const HOUR: i64 = 3_600;

/// When the client's ban ends, in seconds from now.
fn left(daemon: &Daemon) -> i64 {
    let list = daemon.cli(&["list", "--json"]).done().json();
    let bans = list.as_array().unwrap();
    let ban = bans.iter().find(|ban| ban["target"] == TARGET).unwrap_or_else(|| panic!("{list}"));
    let expires: Timestamp = ban["expires"].as_str().unwrap().parse().unwrap();
    expires.duration_since(Timestamp::now()).as_secs()
}

fn offences(daemon: &Daemon) -> u64 {
    let story = daemon.cli(&["show", CLIENT, "--json"]).done().json();
    story["offences"]["count"].as_u64().unwrap_or(0)
}

/// The wall's clock was set by so many seconds since the daemon wrote down how it stood: all that it wrote is
/// as it would be.
fn set_clock(daemon: &Daemon, by: i64) {
    let (mut store, _) = Store::open(&daemon.path("state")).unwrap();
    let anchor = store.read().anchor().unwrap().unwrap();
    let moved = Anchor { booted_us: anchor.booted_us - by * 1_000_000, ..anchor };
    // As if it had been written that much earlier.
    store.commit(&[Effect::Clock { anchor: moved, stepped: -by * 1_000_000 }]).unwrap();
}

/// Another boot: nothing is in the kernel, and it is another one that the database tells of.
fn reboot(daemon: &Daemon) {
    for entry in fs::read_dir(daemon.bpf()).unwrap() {
        let path = entry.unwrap().path();
        drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
    }
    let (mut store, _) = Store::open(&daemon.path("state")).unwrap();
    let anchor = store.read().anchor().unwrap().unwrap();
    let earlier = Anchor { boot: "an earlier one".to_owned(), booted_us: anchor.booted_us - 7 };
    store.commit(&[Effect::Clock { anchor: earlier, stepped: 0 }]).unwrap();
}

#[test]
fn a_reboot_restores_what_is_left_of_a_ban_with_its_story_and_its_offences() {
    let (_pair, mut daemon) = running("ban: {ttl: 1h, escalate: [2h]}\n");
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.bans_the_client();
    daemon.settles();
    daemon.kill();
    reboot(&daemon);
    assert!(daemon.cli(&["list", "--json"]).code != 0 || daemon.banned().is_empty());
    daemon.restart();
    assert_eq!(daemon.banned(), [TARGET]);
    assert!((HOUR - 120..=HOUR).contains(&left(&daemon)), "{}", left(&daemon));
    let story = daemon.cli(&["show", CLIENT, "--json"]).done().json();
    assert_eq!(story["ban"]["rule"], 5720, "{story}");
    assert_eq!((daemon.times(HistoryKind::Ban), offences(&daemon)), (1, 1));
}

#[test]
fn a_repeat_offender_stays_one_through_kill_and_reboot() {
    let (_pair, mut daemon) = running("ban: {ttl: 1s, escalate: [2h]}\n");
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.wait_until("the ban has lapsed", || daemon.times(HistoryKind::Lapse) == 1);
    daemon.settles();
    daemon.kill();
    reboot(&daemon);
    daemon.restart();
    assert!(daemon.banned().is_empty());
    for n in 0..8 {
        daemon.log_line(&failed_login(900 + n, NOW));
    }
    daemon.wait_until("it is banned again", || daemon.banned() == [TARGET]);
    assert!((2 * HOUR - 120..=2 * HOUR).contains(&left(&daemon)), "{}", left(&daemon));
    daemon.wait_until("that is on disk", || offences(&daemon) == 2);
}

#[test]
fn a_clock_that_was_set_between_two_daemons_neither_frees_nor_jails() {
    let (_pair, mut daemon) = running("ban: {ttl: 1h, escalate: [2h]}\n");
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.bans_the_client();
    daemon.settles();
    for by in [24 * HOUR, -24 * HOUR] {
        daemon.kill();
        set_clock(&daemon, by);
        daemon.restart();
        assert!(daemon.log().contains("The clock was set"), "{}", daemon.log());
        assert_eq!(daemon.banned(), [TARGET], "{by}");
        assert!((HOUR - 120..=HOUR).contains(&left(&daemon)), "{by}: {}", left(&daemon));
        let story = daemon.cli(&["show", CLIENT, "--json"]).done().json();
        assert_eq!((&story["ban"]["rule"], offences(&daemon)), (&5720.into(), 1), "{story}");
    }
    assert!(daemon.path("state").join(FILE).exists());
}

#[test]
fn a_ban_from_before_a_reboot_is_not_longer_than_it_was_though_the_clock_was_set_back() {
    let (_pair, mut daemon) = running("ban: {ttl: 1h, escalate: [2h]}\n");
    for n in 0..8 {
        daemon.log_line(&failed_login(800 + n, NOW));
    }
    daemon.bans_the_client();
    daemon.settles();
    daemon.kill();
    reboot(&daemon);
    // What it wrote was of a clock a day ahead, and nobody can know.
    let (mut store, _) = Store::open(&daemon.path("state")).unwrap();
    let anchor = store.read().anchor().unwrap().unwrap();
    store.commit(&[Effect::Clock { anchor, stepped: 24 * HOUR * 1_000_000 }]).unwrap();
    drop(store);
    daemon.restart();
    assert!((HOUR - 120..=HOUR).contains(&left(&daemon)), "{}", left(&daemon));
}

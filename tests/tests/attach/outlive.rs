//! `kill -9`: bans hold, and lapse, while nobody lives.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use ravelin::blocklist::{Blocklist, Clock, Expiry, Options};
use ravelin::config::XdpMode;
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Flood, Pair, Victim};

use super::{
    CLIENT, CLIENT_V4, SERVER, SERVER_V4, SERVER_V6, in_time, open, options, target, wait_until,
};

const DIR: &str = "RAVELIN_TEST_BPF_DIR";
const NETWORK: &str = "198.51.100.0/24";
/// How often the restless daemon is killed, each time a turn later.
const KILLS: usize = 10;
const TTL: Duration = Duration::from_secs(3);

/// What the test below starts and kills; by itself it does nothing.
#[test]
#[ignore = "a process for another test to kill"]
fn daemon() {
    let Some(dir) = env::var_os(DIR) else { return };
    let (mut blocklist, opened) = Blocklist::open(&inside(dir)).unwrap();
    assert!(opened.refused.is_empty());
    let expires = in_time(TTL);
    blocklist.insert(target(CLIENT), expires).unwrap();
    blocklist.insert(target("2001:db8:51::/64"), Expiry::Permanent).unwrap();
    println!("\nexpires {}", expires.as_ns());
    thread::sleep(Duration::from_secs(600));
}

/// Likewise: bans the client's network for good, and then never ceases to change bans inside it.
#[test]
#[ignore = "a process for another test to kill"]
fn restless_daemon() {
    let Some(dir) = env::var_os(DIR) else { return };
    let (mut blocklist, opened) = Blocklist::open(&inside(dir)).unwrap();
    assert!(opened.refused.is_empty());
    blocklist.insert(target(NETWORK), Expiry::Permanent).unwrap();
    for turn in 0_u32.. {
        println!("\nturn {turn}");
        for length in (25_u8..32).chain((25..32).rev()) {
            let nested = target(&format!("198.51.100.7/{length}"));
            let expires = in_time(Duration::from_millis(u64::from(length)));
            blocklist.insert(nested, expires).unwrap();
            blocklist.insert(target(NETWORK), Expiry::Permanent).unwrap();
            if length % 2 == 0 {
                blocklist.remove(nested).unwrap();
            }
        }
        blocklist.set_allowed(&[target("198.51.100.128/30").net()]).unwrap();
        blocklist.insert(target(CLIENT), in_time(Duration::from_millis(5))).unwrap();
        blocklist.set_allowed(&[]).unwrap();
        blocklist.sweep(&Clock::read()).unwrap();
        blocklist.remove(target(CLIENT)).unwrap();
    }
}

/// What the child's blocklist is opened with.
fn inside(dir: OsString) -> Options {
    Options {
        bpf_dir: PathBuf::from(dir),
        interfaces: vec!["s0".to_owned()],
        xdp_mode: XdpMode::Auto,
        max: 4_096,
        events_per_second: 0,
        confirm_within: None,
    }
}

/// Wherever a daemon is killed, also between two writes to nested prefixes, and however often it comes back:
/// not one packet of a banned network arrives.
#[test]
fn killed_and_restarted_under_fire_lets_nothing_through() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    // The network is banned before the first packet is sent.
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    blocklist.insert(target(NETWORK), Expiry::Permanent).unwrap();
    drop(blocklist);
    let victim = Victim::listen(&pair.server, (SERVER_V4, 9));
    let flood = Flood::start(&pair.client, CLIENT_V4, (SERVER_V4, 9));
    for round in 0..KILLS {
        let mut child = pair
            .server
            .command(env::current_exe().unwrap())
            .args(["--exact", "outlive::restless_daemon", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let turns = lines.filter(|line| line.as_ref().unwrap().starts_with("turn "));
        assert_eq!(turns.take(1 + round).count(), 1 + round, "it ended by itself");
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }
    drop(flood);
    assert_eq!(victim.received(), 0, "something was let through");
    let (blocklist, opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert!(opened.adopted >= Some(1), "{opened:?}");
    let counters = blocklist.counters().unwrap();
    assert!(counters.of(Reason::DroppedNetV4) > 10_000, "{counters:?}");
    assert_eq!(counters.of(Reason::PassedExpired), 0, "{counters:?}");
}

#[test]
fn a_killed_daemon_leaves_its_bans_which_lapse_on_time() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut child = pair
        .server
        .command(env::current_exe().unwrap())
        .args(["--exact", "outlive::daemon", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let expires: u64 = lines
        .find_map(|line| line.unwrap().strip_prefix("expires ").map(|ns| ns.parse().unwrap()))
        .expect("the child banned");
    // nsenter has become the child itself.
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());

    let blocked = pair.client.is_cut_off(CLIENT, SERVER, 1);
    if Clock::read().monotonic_ns() < expires {
        assert!(blocked);
    }
    wait_until("the ban lapses", || !pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(Clock::read().monotonic_ns() >= expires, "it lapsed too early");
    assert!(pair.client.is_cut_off("2001:db8:51::7", SERVER_V6, 1));

    let (blocklist, opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert_eq!(opened.adopted, Some(2));
    assert!(blocklist.entry(target(CLIENT)).unwrap().unwrap().packets >= 1);
}

/// Without bpffs in its usual place (as after boot on a host without systemd), it is mounted.
#[test]
fn a_missing_bpffs_is_mounted() {
    let exe = env::current_exe().unwrap();
    // In a mount namespace of its own, with nothing mounted on /sys/fs/bpf.
    let script = format!(
        "umount -l /sys/fs/bpf; while umount /sys/fs/bpf 2>/dev/null; do :; done; \
         exec {} --exact outlive::mounts --ignored --nocapture",
        exe.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", &script])
        .env(DIR, "/sys/fs/bpf/ravelin")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("mounted it"), "{told}");
}

/// The inner half of the test above.
#[test]
#[ignore = "runs inside a mount namespace that another test makes"]
fn mounts() {
    let Some(dir) = env::var_os(DIR) else { return };
    let options = Options {
        bpf_dir: PathBuf::from(dir),
        interfaces: Vec::new(),
        xdp_mode: XdpMode::Auto,
        max: 16,
        events_per_second: 0,
        confirm_within: None,
    };
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts().contains(" /sys/fs/bpf "));
    let (_blocklist, _opened) = Blocklist::open(&options).unwrap();
    assert!(mounts().contains(" /sys/fs/bpf bpf "));
    println!("\nmounted it");
}

//! `kill -9`: bans hold, and lapse, while nobody lives.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use ravelin::blocklist::{Blocklist, Clock, Expiry, Options};
use ravelin::config::XdpMode;
use ravelin_tests::netns::{BpfDir, Pair};

use super::{CLIENT, SERVER, SERVER_V6, in_time, open, options, target, wait_until};

const DIR: &str = "RAVELIN_TEST_BPF_DIR";
const TTL: Duration = Duration::from_secs(3);

/// What the test below starts and kills; by itself it does nothing.
#[test]
#[ignore = "a process for another test to kill"]
fn daemon() {
    let Some(dir) = env::var_os(DIR) else { return };
    let options = Options {
        bpf_dir: PathBuf::from(dir),
        interfaces: vec!["s0".to_owned()],
        xdp_mode: XdpMode::Auto,
        max: 4_096,
        events_per_second: 0,
    };
    let (mut blocklist, opened) = Blocklist::open(&options).unwrap();
    assert!(opened.refused.is_empty());
    let expires = in_time(TTL);
    blocklist.insert(target(CLIENT), expires).unwrap();
    blocklist.insert(target("2001:db8:51::/64"), Expiry::Permanent).unwrap();
    println!("\nexpires {}", expires.as_ns());
    thread::sleep(Duration::from_secs(600));
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
    };
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts().contains(" /sys/fs/bpf "));
    let (_blocklist, _opened) = Blocklist::open(&options).unwrap();
    assert!(mounts().contains(" /sys/fs/bpf bpf "));
    println!("\nmounted it");
}

//! The sandbox around the running daemon: all of its threads are in it, nothing gets out of it, it is never a
//! reason not to protect. That the daemon does all its work in it is what the other tests show, which run it as it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, failed_login, is_cut_off, running};

/// CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF.
const FEW: &str = "000000c000001004";
/// The same without the first: what the unit gives.
const OF_THE_UNIT: &str = "000000c000001000";

fn pid(daemon: &Daemon) -> String {
    daemon.status()["pid"].to_string()
}

/// What `/proc` says of each of its threads.
fn threads(daemon: &Daemon) -> Vec<String> {
    let threads = fs::read_dir(Path::new("/proc").join(pid(daemon)).join("task")).unwrap();
    let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status"));
    threads.map(|thread| status(thread.unwrap()).unwrap()).collect()
}

#[track_caller]
fn all_confined(daemon: &Daemon, capabilities: &str) {
    let threads = threads(daemon);
    assert!(threads.len() > 4, "{}", threads.len());
    for thread in threads {
        for line in [
            format!("CapEff:\t{capabilities}"),
            format!("CapPrm:\t{capabilities}"),
            format!("CapBnd:\t{capabilities}"),
            "NoNewPrivs:\t1".to_owned(),
            "Seccomp:\t2".to_owned(),
        ] {
            assert!(thread.lines().any(|found| found == line), "{line}: {thread}");
        }
    }
}

/// Whether a tool is there; said aloud where it isn't.
fn has(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: no {tool}");
    }
    there
}

/// What a call returns that a debugger has the daemon make: below zero what `errno` became.
fn calls(daemon: &Daemon, calls: &[&str]) -> Vec<i64> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-p", &pid(daemon)]);
    for call in calls {
        gdb.arg("-ex").arg(format!(
            "printf \"result %ld %d\\n\", ((long (*)(long, ...)) syscall)({call}), *((int *(*)(void)) __errno_location)()"
        ));
    }
    let output = gdb.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let results = said.lines().filter_map(|line| line.strip_prefix("result "));
    let results: Vec<i64> = results
        .map(|line| {
            let (value, errno) = line.split_once(' ').unwrap();
            if value == "-1" { -errno.parse::<i64>().unwrap() } else { value.parse().unwrap() }
        })
        .collect();
    assert_eq!(results.len(), calls.len(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    results
}

#[test]
fn the_running_daemon_can_do_nothing_else() {
    let (pair, daemon) = running();
    all_confined(&daemon, FEW);
    if has("gdb") {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "x").unwrap();
        let open = |path: &Path| format!("{}, -100, \"{}\", 0", libc::SYS_openat, path.display());
        let results = calls(
            &daemon,
            &[
                // What others do, it can't: a file outside, mounting, a raw socket, another's memory, root again.
                &open(&secret),
                &format!("{}, 0, 0, 0, 0, 0", libc::SYS_mount),
                &format!("{}, {}, 3, 0", libc::SYS_socket, libc::AF_PACKET),
                &format!("{}, 16, 1, 0, 0", libc::SYS_ptrace),
                &format!("{}, 0", libc::SYS_setuid),
                &format!("{}, 0, 0, 0", libc::SYS_execve),
                // What it does, it can.
                &format!("{}, {}, 1, 0", libc::SYS_socket, libc::AF_INET),
                &open(&daemon.auth_log()),
            ],
        );
        let (eacces, eperm) = (-i64::from(libc::EACCES), -i64::from(libc::EPERM));
        assert_eq!(results[..6], [eacces, eperm, eperm, eperm, eperm, eperm]);
        assert!(results[6] >= 0 && results[7] >= 0, "{results:?}");
    }
    // And goes on as if nothing had been.
    for pid in 0..8 {
        daemon.log_line(&failed_login(900 + pid, "root"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
    assert!(is_cut_off(&pair) && daemon.health().is_empty());
}

#[test]
fn the_units_capabilities_are_enough() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let bounds = ["--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    daemon.started_by(&[&["setpriv"], &bounds[..]].concat());
    daemon.restart();
    all_confined(&daemon, OF_THE_UNIT);
    assert!(daemon.health().is_empty(), "{:?}", daemon.health());
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    assert!(daemon.cli(&["reload"]).done().out.contains("nothing had changed"));
}

#[test]
fn what_a_reload_asks_beyond_it_takes_a_restart_and_is_said() {
    let pair = Pair::new();
    let mut daemon = Daemon::start(&pair.server, "");
    let elsewhere = tempfile::tempdir().unwrap();
    let log = elsewhere.path().join("auth.log");
    fs::write(&log, "").unwrap();
    daemon.configure(&format!("sources: [{{format: syslog, file: {}}}]\n", log.display()));
    let said = daemon.cli(&["reload"]).done().out;
    assert!(
        said.contains(&format!("a restart is needed for reading {}", elsewhere.path().display())),
        "{said}"
    );
    assert!(daemon.health().contains(&"restart-needed".to_owned()));
    daemon.wait_until("it can't be read", || {
        daemon.health().contains(&"source-unreadable".to_owned())
    });
    daemon.restart();
    assert!(daemon.health().is_empty(), "{:?}", daemon.health());
    let lines: String = (0..8).map(|pid| failed_login(900 + pid, "root") + "\n").collect();
    fs::write(&log, lines).unwrap();
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
    // Back where it was is no more than was left.
    daemon.configure(&format!(
        "sources: [{{format: syslog, file: {}}}]\nban: {{ttl: 7m}}\n",
        log.display()
    ));
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains("ban.ttl") && !said.contains("restart is needed"), "{said}");
}

/// A daemon on a kernel without a layer: strace answers for the kernel. Strace's end isn't the daemon's.
struct Answered(Option<i32>);

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

#[test]
fn a_kernel_that_lacks_a_layer_is_said_and_protects() {
    if !has("strace") {
        return;
    }
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    daemon.restart_by(&[
        "strace",
        "--quiet=all",
        "--follow-forks",
        "--output=/dev/null",
        "--trace=landlock_create_ruleset,seccomp",
        "--inject=landlock_create_ruleset:error=EOPNOTSUPP",
        "--inject=seccomp:error=EINVAL",
    ]);
    let _answered = Answered(pid(&daemon).parse().ok());
    assert_eq!(daemon.health(), ["sandbox-incomplete", "sandbox-incomplete"]);
    let status = daemon.cli(&["status"]).done().out;
    for part in ["Landlock isn't in force", "CONFIG_SECCOMP_FILTER", "the host is protected"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let doctor = daemon.cli(&["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    let gaps = findings.iter().filter(|finding| finding["code"] == "sandbox-incomplete");
    assert!(
        gaps.map(|gap| gap["severity"].as_str().unwrap()).eq(["warning", "warning"]),
        "{doctor}"
    );
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    // Capabilities are a layer of their own.
    assert!(threads(&daemon).iter().all(|thread| thread.contains(&format!("CapEff:\t{FEW}"))));
}

#[test]
fn it_can_be_turned_off_and_that_is_said() {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "sandbox: false\n");
    assert_eq!(daemon.health(), ["sandbox-off"]);
    assert_eq!(daemon.cli(&["status"]).code, 0);
    assert!(threads(&daemon).iter().all(|thread| thread.contains("Seccomp:\t0")));
}

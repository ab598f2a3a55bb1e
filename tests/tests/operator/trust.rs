//! Logs that people beside root can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::{CLIENT, Daemon, failed_login, gets_through, is_cut_off, running};

/// `status --json` about the log that is read.
fn trust(daemon: &Daemon) -> String {
    daemon.status()["sources"][0]["trust"].as_str().unwrap().to_owned()
}

/// Enough for a ban, and read.
fn guess(daemon: &Daemon) {
    let before = daemon.status()["sources"][0]["lines"].as_u64().unwrap();
    for pid in 0..20 {
        daemon.log_line(&failed_login(2_000 + u32::try_from(before).unwrap() + pid, "root"));
    }
    daemon.wait_until("they are read", || {
        daemon.status()["sources"][0]["lines"].as_u64() == Some(before + 20)
    });
}

#[test]
fn what_everybody_can_write_to_alerts_and_bans_nobody_until_that_is_mended_or_accepted() {
    let (pair, mut daemon) = running();
    assert_eq!(trust(&daemon), "file");
    let log = daemon.auth_log();
    fs::set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
    daemon.wait_until("it is seen", || trust(&daemon).starts_with("untrusted: "));
    assert!(trust(&daemon).ends_with("auth.log is writable by everybody"), "{}", trust(&daemon));
    guess(&daemon);
    assert!(gets_through(&pair) && daemon.banned().is_empty());
    let past = daemon.cli(&["history", "--json"]).done().out;
    assert!(past.contains("\"untrusted\""), "{past}");
    // Not as configured it isn't; but it is said, in the log too.
    daemon.wait_until("it is told", || daemon.status()["health"][0]["code"] == "source-untrusted");
    assert_eq!(daemon.cli(&["status"]).code, 0);
    let check = daemon.cli(&["check"]);
    assert!(
        check.out.contains("can be forged") && check.out.contains("trusted: true"),
        "{check:?}"
    );
    assert!(daemon.log().contains("source-untrusted"), "{}", daemon.log());

    fs::set_permissions(&log, Permissions::from_mode(0o640)).unwrap();
    daemon.wait_until("it is mended", || trust(&daemon) == "file" && daemon.health().is_empty());
    // What was told while anybody could have told it counts for nothing.
    daemon.log_line(&failed_login(900, "root"));
    guess(&daemon);
    daemon.wait_until("it bans", || daemon.banned() == [format!("{CLIENT}/32")]);
    assert!(is_cut_off(&pair));

    // A person's file, at the start.
    daemon.cli(&["unban", CLIENT]).done();
    daemon.kill();
    chown(&log, Some(4711), None).unwrap();
    daemon.restart();
    assert!(trust(&daemon).ends_with("is writable by uid 4711"), "{}", trust(&daemon));
    guess(&daemon);
    assert!(daemon.banned().is_empty());
    let told = format!(
        "sources: [{{format: syslog, file: {}, trusted: true}}]\n",
        daemon.auth_log().display()
    );
    daemon.configure(&told);
    daemon.cli(&["reload"]).done();
    assert_eq!(trust(&daemon), "configured");
    assert!(daemon.health().is_empty(), "{:?}", daemon.health());
    guess(&daemon);
    daemon.wait_until("it bans", || daemon.banned() == [format!("{CLIENT}/32")]);
}

//! Passwords and tokens stay where they are, and the control socket is root's unless a group may look.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, failed_login};

const PASSWORD: &str = "correct-horse-battery-staple";
const TOKEN: &str = "tOkEn0123456789";

#[test]
fn no_secret_is_in_arguments_environment_logs_json_or_database() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    for (name, secret) in [("password", PASSWORD), ("token", TOKEN)] {
        let path = daemon.path(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mail = |more: &str| {
        format!(
            "mail:\n  to: [root@server.example]\n  relay: smtps://user@127.0.0.1:9\n  password_file: password\n  \
             webhook: 'http://127.0.0.1:9/hooks/{{secret}}'\n  webhook_secret_file: token\n{more}"
        )
    };
    daemon.configure(&mail(""));
    daemon.restart();
    // Alerts that are mailed, to nobody who answers.
    for pid in 0..8 {
        daemon.log_line(&failed_login(900 + pid, "root"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
    daemon.wait_until("the mail can't be brought", || {
        daemon.health().contains(&"mail-undelivered".to_owned())
    });
    let mut said = Vec::new();
    let mut run = |daemon: &Daemon, args: &[&str]| {
        let done = daemon.cli(args);
        said.push((format!("{args:?}"), [done.out, done.err].concat().into_bytes()));
    };
    for args in [
        &["mail", "test"][..],
        &["mail", "test", "--json"],
        &["status"],
        &["status", "--json"],
        &["check"],
        &["check", "--json"],
        &["doctor", "--all"],
        &["doctor", "--json"],
        &["history", "--json"],
        &["show", CLIENT, "--json"],
        &["allow", "--list", "--json"],
    ] {
        run(&daemon, args);
    }
    daemon.configure(&mail("  per_hour: 9\n  webhook_style: ntfy\n"));
    run(&daemon, &["reload"]);
    // A password where it doesn't belong isn't repeated by the error either.
    daemon.configure(&mail("").replace("user@", &format!("user:{PASSWORD}@")));
    run(&daemon, &["reload"]);
    run(&daemon, &["check", "--json"]);
    let process = Path::new("/proc").join(daemon.status()["pid"].to_string());
    for file in [process.join("cmdline"), process.join("environ"), daemon.path("log")] {
        said.push((file.display().to_string(), fs::read(&file).unwrap()));
    }
    for file in fs::read_dir(daemon.path("state")).unwrap() {
        let file = file.unwrap().path();
        said.push((file.display().to_string(), fs::read(&file).unwrap()));
    }
    assert!(said.len() > 16);
    for (who, text) in said {
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(PASSWORD) && !text.contains(TOKEN), "{who}: {text}");
    }
}

/// A command of somebody's who isn't root.
fn somebody(daemon: &Daemon, group: &str, args: &[&str]) -> (Option<i32>, String) {
    // A copy that he may run, whoever owns the way to the one that was built.
    let copy = daemon.path("copy");
    if !copy.exists() {
        fs::copy(super::daemon::program().get_program(), &copy).unwrap();
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65533", &format!("--regid={group}"), "--clear-groups"])
        .arg(copy)
        .args(args)
        .arg("--config")
        .arg(daemon.config())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_group_may_look_and_nobody_else() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "control_group: '65532'\n");
    let folder = daemon.config().parent().unwrap().to_owned();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
    daemon.restart();
    let socket = fs::metadata(daemon.path("run/ravelin.sock")).unwrap();
    assert_eq!((socket.mode() & 0o777, socket.uid(), socket.gid()), (0o660, 0, 65532));
    for look in [&["status"][..], &["list"], &["allow", "--list"]] {
        let (code, said) = somebody(&daemon, "65532", look);
        assert_eq!(code, Some(0), "{look:?}: {said}");
    }
    for act in [
        &["ban", "192.0.2.9"][..],
        &["unban", "--all"],
        &["allow", "192.0.2.9"],
        &["reload"],
        &["confirm"],
    ] {
        let (code, said) = somebody(&daemon, "65532", act);
        assert!(code == Some(1) && said.contains("run this command as root"), "{act:?}: {said}");
    }
    let (code, said) = somebody(&daemon, "65531", &["status"]);
    assert!(code == Some(1) && said.contains("as root"), "{said}");
    assert!(daemon.banned().is_empty());

    daemon.configure("");
    daemon.restart();
    let socket = fs::metadata(daemon.path("run/ravelin.sock")).unwrap();
    assert_eq!((socket.mode() & 0o777, socket.gid()), (0o600, 0));
    let (code, _) = somebody(&daemon, "65532", &["status"]);
    assert_eq!(code, Some(1));
}

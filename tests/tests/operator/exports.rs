//! Exports of the journal, made by the real `journalctl` of a real journal.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::daemon;

const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";

/// `journalctl -o json` of a journal with these messages of root's sshd, a second apart.
fn export(dir: &Path, messages: &[String]) -> Vec<u8> {
    let mut input = String::new();
    for (second, message) in messages.iter().enumerate() {
        input += &format!(
            "__REALTIME_TIMESTAMP={}\n_BOOT_ID=11111111111111111111111111111111\n_HOSTNAME=web1\n_UID=0\n\
             _PID={}\n_COMM=sshd\n_SYSTEMD_UNIT=ssh.service\nSYSLOG_IDENTIFIER=sshd\nMESSAGE={message}\n\n",
            (1_795_478_400 + second) * 1_000_000,
            800 + second
        );
    }
    fs::write(dir.join("input.export"), input).unwrap();
    let made = Command::new(REMOTE)
        .args(["-o", "a.journal", "input.export"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let export = Command::new("journalctl")
        .args(["--directory=.", "--output=json", "--no-pager", "--merge"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(export.status.success(), "{export:?}");
    export.stdout
}

/// A command of Ravelin's in `dir`, with `input` on its standard input.
fn ravelin(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    fs::write(dir.join("ravelin.yaml"), "suricata_rules: none.rules\n").unwrap();
    let mut child = daemon::program()
        .args(args)
        .args(["--config", "ravelin.yaml"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn replay_and_explain_read_them_from_files_and_from_standard_input() {
    if !Path::new(REMOTE).exists() {
        eprintln!("skipped: apt-get install systemd-journal-remote");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let guesses: Vec<String> = (0..20)
        .map(|_| "Failed password for root from 198.51.100.7 port 4711 ssh2".to_owned())
        .collect();
    let export = export(dir, &guesses);
    fs::write(dir.join("export.json"), &export).unwrap();

    let mut said = Vec::new();
    for args in [
        &["replay", "--json", "-"][..],
        &["replay", "--json", "export.json"],
        &["replay", "--json", "--format", "journald", "-"],
    ] {
        let replayed = ravelin(dir, args, &export);
        assert!(replayed.status.success(), "{replayed:?}");
        said.push(String::from_utf8(replayed.stdout).unwrap());
    }
    assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:?}");
    let ban = said[0].lines().find(|line| line.contains(r#""kind":"ban""#)).unwrap();
    let ban: serde_json::Value = serde_json::from_str(ban).unwrap();
    assert_eq!(ban["target"], "198.51.100.7/32");
    // At the time that journald wrote, in UTC.
    assert!(ban["time"].as_str().unwrap().starts_with("2026-11-24T00:00:"), "{ban}");

    let explained = ravelin(dir, &["explain", "--json"], &export);
    let first = String::from_utf8(explained.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["format"], &first["program"], &first["event"]),
        (&"journald".into(), &"sshd".into(), &"failed-password".into())
    );
    // Said to be one, and it isn't.
    let explained = ravelin(dir, &["explain", "--format", "journald"], b"{\"no\":\"entry\"}\n");
    let told = String::from_utf8(explained.stdout).unwrap();
    assert!(told.contains("expected an entry of `journalctl -o json`"), "{told}");
}

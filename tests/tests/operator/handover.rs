//! A host that changes from auth.log to the journal.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use jiff::{Span, Timestamp};
use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon};

const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";

/// A failed login, which both have.
#[derive(Clone, Copy)]
struct Guess {
    at: Timestamp,
    pid: u32,
}

impl Guess {
    const MESSAGE: &str = "Failed password for root from 198.51.100.7 port 4711 ssh2";

    fn write(guesses: &[Self], log: &Path) {
        let mut file = OpenOptions::new().append(true).create(true).open(log).unwrap();
        for Self { at, pid } in guesses {
            // As rsyslog's traditional format: without fractions of a second.
            let stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ");
            writeln!(file, "{stamp} web1 sshd[{pid}]: {}", Self::MESSAGE).unwrap();
        }
    }

    fn log(guesses: &[Self], journal: &Path) {
        let mut input = String::new();
        for Self { at, pid } in guesses {
            input += &format!(
                "__REALTIME_TIMESTAMP={}\n_BOOT_ID=11111111111111111111111111111111\n_HOSTNAME=web1\n\
                 _UID=0\n_PID={pid}\n_COMM=sshd\nSYSLOG_IDENTIFIER=sshd\nMESSAGE={}\n\n",
                at.as_microsecond(),
                Self::MESSAGE
            );
        }
        let export = journal.with_extension("export");
        fs::write(&export, input).unwrap();
        let made = Command::new(REMOTE).arg("-o").arg(journal).arg(&export).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
}

fn lines(daemon: &Daemon) -> u64 {
    daemon.status()["sources"][0]["lines"].as_u64().unwrap()
}

#[test]
fn nothing_is_lost_between_the_file_and_the_journal() {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if !Path::new(REMOTE).exists() || machine.trim().is_empty() {
        eprintln!("skipped: apt-get install systemd-journal-remote, and have an /etc/machine-id");
        return;
    }
    let pair = Pair::new();
    let daemon =
        Daemon::configured(&pair.server, "sources: [{format: syslog, file: /var/log/auth.log}]\n");
    let folder = daemon.path("var-log");
    let mut daemon = daemon.with_var_log(folder.clone());
    let journals = folder.join("journal").join(machine.trim());
    fs::create_dir_all(&journals).unwrap();
    let (log, journal) = (folder.join("auth.log"), journals.join("system.journal"));

    let start = Timestamp::now() - Span::new().seconds(60);
    // Three in each second.
    let guess =
        |n: u32| Guess { at: start + Span::new().milliseconds(i64::from(n) * 333), pid: 900 + n };
    let guesses: Vec<Guess> = (0..20).map(guess).collect();
    Guess::write(&guesses[..2], &log);
    Guess::log(&guesses[..2], &journal);
    daemon.restart();
    Guess::write(&guesses[2..7], &log);
    Guess::log(&guesses[2..7], &journal);
    daemon.wait_until("the file is read", || lines(&daemon) == 5);
    daemon.wait_until("that is on disk", || {
        let size = fs::metadata(&log).unwrap().len();
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        reader
            .positions()
            .unwrap()
            .iter()
            .any(|it| it.place.contains(&format!("\"offset\":{size}")))
    });
    assert!(daemon.banned().is_empty());

    // The host is changed over: for a while nobody reads either.
    daemon.kill();
    Guess::write(&guesses[7..9], &log);
    Guess::log(&guesses[7..], &journal);
    daemon.configure("sources: [{format: journald}]\n");
    daemon.restart();
    daemon.wait_until("the rest is read", || lines(&daemon) >= 13);
    daemon.wait_until("it bans", || daemon.banned() == [format!("{CLIENT}/32")]);
    assert_eq!(lines(&daemon), 13, "each once");
    assert_eq!(daemon.status()["sources"][0]["trust"], "journald");
    daemon.wait_until("it has caught up", || daemon.status()["sources"][0]["lag_s"] == 0);

    // And it goes on from there.
    let last = Command::new("journalctl")
        .args(["--output=json", "--lines=1", "--merge", "--directory"])
        .arg(&journals)
        .output()
        .unwrap();
    let last: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    let cursor = last["__CURSOR"].as_str().unwrap();
    daemon.wait_until("that is on disk", || {
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        reader.positions().unwrap().iter().any(|it| it.place.contains(cursor))
    });
    daemon.kill();
    daemon.restart();
    let more = Guess { at: Timestamp::now(), pid: 2_000 };
    Guess::log(&[more], &journal);
    daemon.wait_until("what is new is read", || lines(&daemon) == 1);
}

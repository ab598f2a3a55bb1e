//! A scripted `journalctl`, and the real one on a real journal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::{Inbox, Received};
use super::*;

fn start(inbox: &Inbox<()>, program: &Path, directory: &Path, stored: Option<Position>) -> Started {
    let status = SourceStatus::new("journald".to_owned(), State::Waiting);
    let source = JournalSource {
        id: SourceId::new(0),
        directory: Some(directory.to_owned()),
        stored,
        handover: None,
    };
    spawn_with(program.to_owned(), source, inbox.lane(Arc::new(status))).unwrap()
}

type Started = SourceHandle<()>;

/// The next batch that `wanted` takes.
fn batch(inbox: &Inbox<()>, wanted: impl Fn(&Batch) -> bool) -> Batch {
    loop {
        match inbox.receive(Some(Instant::now() + Duration::from_secs(60))) {
            Received::Batch(batch) if wanted(&batch) => return batch,
            Received::Batch(_) => {}
            other => panic!("expected a batch, got {other:?}"),
        }
    }
}

fn lines(inbox: &Inbox<()>) -> (Vec<String>, Position) {
    let batch = batch(inbox, |batch| !batch.lines.is_empty());
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    (batch.lines.iter().map(text).collect(), batch.position)
}

#[test]
fn it_goes_on_after_its_cursor_when_journalctl_dies() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("journalctl");
    // Each entry is given by a process of its own, which dies after it; the third one complains.
    let entry = |n: u32| {
        format!(
            r#"{{"__CURSOR":"c={n}","__REALTIME_TIMESTAMP":"1795478400000000","_UID":"0","_COMM":"su","MESSAGE":"{n}"}}"#
        )
    };
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--lines=1*) echo '{}';;\n*--after-cursor=c=1) echo '{}';;\n\
         *--after-cursor=c=2) echo '{}'; exec sleep 600;;\n*) echo \"what? $*\" >&2; exit 3;;\nesac\n",
        entry(1),
        entry(2),
        entry(3)
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let inbox = Inbox::new();
    let source = start(&inbox, &program, dir.path(), None);
    let first = batch(&inbox, |_| true);
    assert_eq!(first.position, Position::Journal { cursor: Some("c=1".to_owned()) });
    assert!(first.lines.is_empty(), "what was there before isn't ours");
    let (read, _) = lines(&inbox);
    assert_eq!(read, ["2026-11-24T00:00:00.000000Z - su: 2"]);
    let died = batch(&inbox, |batch| !batch.reports.is_empty());
    assert!(matches!(&died.reports[..], [Report::Failed { error }] if error.contains("no word")));
    let again = batch(&inbox, |batch| !batch.lines.is_empty());
    assert_eq!(again.reports, [Report::Recovered]);
    assert_eq!(again.position, Position::Journal { cursor: Some("c=3".to_owned()) });
    assert_eq!(source.status().row().state, "reading");
    source.stop();
    let lost = Position::Journal { cursor: Some("c=9".to_owned()) };
    let source = start(&inbox, &program, dir.path(), Some(lost));
    let died = batch(&inbox, |batch| !batch.reports.is_empty());
    assert!(matches!(&died.reports[..], [Report::Failed { error }] if error.contains("what?")));
    source.stop();
}

#[test]
fn without_journalctl_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Inbox::new();
    let source = start(&inbox, &dir.path().join("absent"), dir.path(), None);
    let died = batch(&inbox, |batch| !batch.reports.is_empty());
    assert!(
        matches!(&died.reports[..], [Report::Failed { error }] if error.contains("can't be run"))
    );
    assert!(source.status().row().state.contains("can't be run"));
    source.stop();
}

#[test]
fn entries_that_are_too_long_are_passed_over() {
    let mut entries = Entries::default();
    let mut taken = Vec::new();
    let long = "x".repeat(3 * CAP);
    for part in ["one\n", &long, "\ntwo\nth"] {
        for piece in part.as_bytes().chunks(CHUNK) {
            entries.buffer.extend_from_slice(piece);
            taken.extend(entries.split());
            assert!(entries.buffer.len() <= CAP);
        }
    }
    let texts: Vec<_> = taken.iter().map(|taken| (&taken.json[..], taken.size)).collect();
    assert_eq!(texts, [(&b"one"[..], 4), (b"", 3 * CAP + 1), (b"two", 4)]);
    assert_eq!(entries.buffer, b"th");
}

/// Adds entries to a real journal.
fn log(directory: &Path, file: &str, entries: &[(u64, &str, &str)]) {
    let mut export = String::new();
    for (second, uid, message) in entries {
        export += &format!(
            "__REALTIME_TIMESTAMP={}\n_BOOT_ID=11111111111111111111111111111111\n_HOSTNAME=web1\n\
             _UID={uid}\n_PID=812\n_COMM=sshd\nSYSLOG_IDENTIFIER=sshd\nMESSAGE={message}\n\n",
            (1_795_478_400 + second) * 1_000_000
        );
    }
    let input = directory.join("input.export");
    fs::write(&input, export).unwrap();
    let made = Command::new("/usr/lib/systemd/systemd-journal-remote")
        .arg("-o")
        .arg(directory.join(file))
        .arg(&input)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn a_real_journal_is_read_across_restarts() {
    if !Path::new("/usr/lib/systemd/systemd-journal-remote").exists() {
        eprintln!("skipped: apt-get install systemd-journal-remote");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (journalctl, file) = (Path::new(JOURNALCTL), "a.journal");
    log(dir.path(), file, &[(0, "0", "old")]);
    let inbox = Inbox::new();
    let source = start(&inbox, journalctl, dir.path(), None);
    let first = batch(&inbox, |_| true);
    source.stop();
    // While nobody reads, in the same file and in another one.
    log(dir.path(), file, &[(1, "0", "one"), (2, "1000", "forged")]);
    let source = start(&inbox, journalctl, dir.path(), Some(first.position));
    let (mut read, mut place) = lines(&inbox);
    while read.len() < 2 {
        let (more, later) = lines(&inbox);
        read.extend(more);
        place = later;
    }
    assert_eq!(
        read,
        [
            "2026-11-24T00:00:01.000000Z web1 sshd[812]: one",
            "2026-11-24T00:00:02.000000Z web1 uid-1000/sshd[812]: forged"
        ]
    );
    source.stop();
    let source = start(&inbox, journalctl, dir.path(), Some(place));
    log(dir.path(), file, &[(3, "0", "three")]);
    assert_eq!(lines(&inbox).0, ["2026-11-24T00:00:03.000000Z web1 sshd[812]: three"]);
    source.stop();
}

#[test]
fn it_takes_over_from_a_file_at_its_last_line() {
    if !Path::new("/usr/lib/systemd/systemd-journal-remote").exists() {
        eprintln!("skipped: apt-get install systemd-journal-remote");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        (0, "0", "old"),
        (5, "0", "same"),
        (5, "0", "last"),
        (5, "0", "first"),
        (9, "0", "second"),
    ];
    log(dir.path(), "a.journal", &entries);
    let at = |second: i64| Timestamp::from_secs(1_795_478_400 + second);
    for (second, line, expected) in [
        // Found by its text, in whatever order its second has it, stamped late or not.
        (5, "Nov 24 00:00:05 web1 sshd[812]: last", &["first", "second"][..]),
        (6, "2026-11-24T00:00:06.1Z web1 sshd[812]: last", &["first", "second"]),
        // Another's, or gone: all of that second.
        (5, "Nov 24 00:00:05 web1 sshd[813]: last", &["same", "last", "first", "second"]),
        (5, "", &["same", "last", "first", "second"]),
        (7, "", &["second"]),
        (-3, "", &["old", "same", "last", "first", "second"]),
    ] {
        let inbox = Inbox::new();
        let status = SourceStatus::new("journald".to_owned(), State::Waiting);
        let source = JournalSource {
            id: SourceId::new(0),
            directory: Some(dir.path().to_owned()),
            stored: None,
            handover: Some(Handover { log: "log".to_owned(), at: at(second), line: line.into() }),
        };
        let source = spawn_with(JOURNALCTL.into(), source, inbox.lane(Arc::new(status))).unwrap();
        let mut read = Vec::new();
        while read.len() < expected.len() {
            read.extend(lines(&inbox).0);
        }
        let messages: Vec<_> = read.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(messages, expected, "{second}: {line}");
        source.stop();
    }
}

#[test]
fn how_far_it_is_behind_is_told_until_it_follows() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("journalctl");
    let entry = r#"{"__CURSOR":"c=1","__REALTIME_TIMESTAMP":"1000000","_UID":"0","_COMM":"su","MESSAGE":"x"}"#;
    // It gives an old entry, and the next one when it is told to.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--lines=1*) ;;\n*) echo '{entry}'; exec sleep 600;;\nesac\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let inbox = Inbox::new();
    let source = start(&inbox, &program, dir.path(), None);
    lines(&inbox);
    let give_up = Instant::now() + Duration::from_secs(60);
    // The entry is decades old; a second without another says that there is none.
    while source.status().row().lag_s != Some(0) {
        assert!(Instant::now() < give_up);
        thread::yield_now();
    }
    source.stop();
}

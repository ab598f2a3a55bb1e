//! What rotation has packed.

use super::*;

#[test]
fn what_was_packed_meanwhile_is_read_on_where_it_was_left() {
    for ending in ["gz", "zst", "xz"] {
        let mut bench = Bench::new();
        bench.write("log.2", "never ours\n");
        bench.pack("log.2", "gz");
        bench.write("log", "0\n");
        bench.start();
        bench.write("log", "1, read\n2, ");
        assert_eq!(bench.lines(), ["1, read"]);
        bench.stop();
        // Many batches, one line over the cap, and a beginning of one.
        let text: String = (0..3000).map(|number| format!("line {number}\r\n")).collect();
        bench.write("log", format!("begun\n{}\n{text}half", "x".repeat(200_000)));
        bench.rename("log", "log.1");
        bench.pack("log.1", ending);
        bench.write("log", "new\n");
        let mut lines = Vec::new();
        let mut reports = Vec::new();
        // It is stopped after each batch.
        for _ in 0..20 {
            let tail = bench.start().tail.as_mut().unwrap();
            let batch = loop {
                match tail.poll(Instant::now()) {
                    Polled::Batch(batch) => break Some(batch),
                    Polled::Busy => {}
                    Polled::Idle => break None,
                }
            };
            let Some(batch) = batch else { continue };
            lines.extend(batch.lines.iter().map(|line| String::from_utf8(line.to_vec()).unwrap()));
            reports.extend(batch.reports);
            bench.committed = Some(batch.position);
        }
        assert_eq!(lines.len(), 3003, "{ending}: {reports:?}");
        assert_eq!((&*lines[0], lines[1].len()), ("2, begun", 300), "{ending}");
        assert_eq!((&*lines[3001], &*lines[3002]), ("line 2999", "new"), "{ending}");
        assert!(reports.contains(&Report::Overlong { lines: 1, bytes: 199_700 }), "{reports:?}");
        assert!(reports.contains(&Report::Fragment { bytes: 4 }), "{reports:?}");
        assert!(!reports.contains(&Report::Missing), "{reports:?}");
        bench.write("log", "newer\n");
        assert_eq!(bench.start().lines(), ["newer"]);
    }
}

#[test]
fn several_that_were_packed_are_read_in_their_order() {
    for (away, read) in [(true, true), (true, false), (false, true)] {
        let mut bench = Bench::new();
        bench.write("log", if read { "0\n" } else { "" });
        bench.start().drain();
        if away {
            bench.stop();
        }
        let mut expected = Vec::new();
        for rotation in 1..=20 {
            bench.write("log", format!("{rotation}\n"));
            expected.push(rotation.to_string());
            let old = format!("log-{rotation:08}");
            bench.rename("log", &old);
            bench.pack(&old, "gz");
        }
        bench.write("log", "now\n");
        expected.push("now".to_owned());
        if away {
            bench.start();
        }
        let (lines, reports) = bench.drain();
        assert_eq!(lines, expected, "away: {away}, read: {read}, {reports:?}");
        assert!(!reports.contains(&Report::Missing), "{reports:?}");
        assert!(bench.open_files() <= OPEN, "{} files are open", bench.open_files());
    }
}

#[test]
fn what_is_being_packed_is_read_once() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    bench.write("log", "1\n");
    bench.rename("log", "log.2");
    bench.write("log", "2\n");
    bench.rename("log", "log.1");
    for name in ["log.1", "log.2"] {
        let content = fs::read(bench.path(name)).unwrap();
        pack(&bench.path(&format!("{name}.gz")), &content).set_len(20).unwrap();
    }
    bench.write("log", "3\n");
    assert_eq!(
        bench.start().drain(),
        (vec!["1".into(), "2".into(), "3".into()], vec![Report::Rotated])
    );
}

#[test]
fn a_copy_that_was_packed_makes_good_what_was_emptied() {
    for away in [true, false] {
        let mut bench = Bench::new();
        bench.write("log", "0\n");
        bench.start().drain();
        if away {
            bench.stop();
        }
        bench.write("log", "1\n2\n");
        bench.copytruncate(Some("log.1"));
        bench.pack("log.1", "zst");
        bench.write("log", "3, longer than what was there before\n");
        if away {
            bench.start();
        }
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["1", "2", "3, longer than what was there before"], "away: {away}");
        assert!(reports.iter().all(|report| report.loss() == Loss::None), "{reports:?}");
    }
}

#[test]
fn an_archive_that_is_cut_short_is_told_and_what_it_has_is_read() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    let noise =
        |n: u32| format!("{:08x}{:08x}\n", n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503));
    bench.write("log", (0..30_000).map(noise).collect::<String>());
    bench.rename("log", "log.1");
    bench.pack("log.1", "gz");
    let archive = OpenOptions::new().write(true).open(bench.path("log.1.gz")).unwrap();
    archive.set_len(archive.metadata().unwrap().len() / 2).unwrap();
    bench.write("log", "new\n");
    let (lines, reports) = bench.start().drain();
    assert!(lines.len() > 5_000 && lines.last().unwrap() == "new", "{}", lines.len());
    let told = |report: &Report| matches!(report, Report::Damaged { error } if error.contains("cut short"));
    assert!(reports.iter().any(told), "{reports:?}");
    assert!(reports.iter().any(|report| report.loss() != Loss::None));
    assert_eq!(bench.drain(), (vec![], vec![]), "said once");
}

#[test]
fn an_archive_of_nothing_and_one_of_noise_are_passed_over() {
    for away in [true, false] {
        let mut bench = Bench::new();
        bench.write("log", "0\n");
        bench.start().drain();
        if away {
            bench.stop();
        }
        for (name, content) in [("log.2", ""), ("log.1", "1\n")] {
            bench.rename("log", name);
            bench.write("log", content);
        }
        bench.rename("log", "log.0");
        bench.pack("log.1", "gz");
        // Broken from its first byte on.
        let file = File::create(bench.path("log.1.xz")).unwrap();
        (&file).write_all(b"\xfd7zXZ\0and then nothing of the kind").unwrap();
        bench.touch(&file);
        if away {
            bench.start();
        }
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["1"], "{reports:?}");
        let broken = |report: &&Report| matches!(report, Report::Damaged { .. });
        assert_eq!(reports.iter().filter(broken).count(), 1, "{reports:?}");
        assert_eq!(bench.drain(), (vec![], vec![]), "and once");
        bench.write("log", "2\n");
        assert_eq!(bench.lines(), ["2"]);
    }
}

//! Each thing that can happen to a log, one by one.

mod packed;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::SystemTime;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::super::batch::Loss;
use super::*;

/// A directory with a log in it, and whoever follows that.
struct Bench {
    dir: tempfile::TempDir,
    tail: Option<Tail>,
    now: Instant,
    /// Files are stamped with a clock of their own, which ticks with each change.
    stamp: SystemTime,
    cap: LineCap,
    committed: Option<Position>,
    vanishes: bool,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            tail: None,
            now: Instant::now(),
            stamp: SystemTime::now() - Duration::from_secs(3600),
            cap: LineCap::new(300),
            committed: None,
            vanishes: false,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&mut self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
        self.touch(&file);
    }

    fn touch(&mut self, file: &File) {
        self.stamp += Duration::from_secs(1);
        file.set_modified(self.stamp).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Packs a file as rotation does: its time is kept, its name becomes longer.
    fn pack(&self, name: &str, ending: &str) {
        let content = fs::read(self.path(name)).unwrap();
        let modified = fs::metadata(self.path(name)).unwrap().modified().unwrap();
        let file = pack(&self.path(&format!("{name}.{ending}")), &content);
        file.set_modified(modified).unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }

    fn copytruncate(&mut self, to: Option<&str>) {
        if let Some(to) = to {
            fs::copy(self.path("log"), self.path(to)).unwrap();
            let copy = File::open(self.path(to)).unwrap();
            self.touch(&copy);
        }
        let file = OpenOptions::new().write(true).open(self.path("log")).unwrap();
        file.set_len(0).unwrap();
        self.touch(&file);
    }

    /// Starts to follow, where it was committed.
    fn start(&mut self) -> &mut Self {
        let log = self.path("log");
        let stored = self.committed.as_ref().map(|position| position.to_string().parse().unwrap());
        let tail = Tail::new(SourceId::new(0), log, self.cap, stored, self.now);
        self.tail = Some(if self.vanishes { tail.vanishing() } else { tail });
        self
    }

    fn stop(&mut self) {
        self.tail = None;
    }

    /// Everything that is there, committed.
    fn drain(&mut self) -> (Vec<String>, Vec<Report>) {
        let (mut lines, mut reports) = (Vec::new(), Vec::new());
        for _ in 0..1000 {
            match self.tail.as_mut().unwrap().poll(self.now) {
                Polled::Batch(batch) => {
                    lines.extend(
                        batch.lines.iter().map(|line| String::from_utf8(line.to_vec()).unwrap()),
                    );
                    reports.extend(batch.reports);
                    self.committed = Some(batch.position);
                }
                Polled::Busy => {}
                Polled::Idle => return (lines, reports),
            }
        }
        panic!("it never comes to rest");
    }

    fn lines(&mut self) -> Vec<String> {
        self.drain().0
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn open_files(&self) -> usize {
        self.tail.as_ref().unwrap().readers.len()
    }
}

/// What is packed in the way that the name says.
pub(super) fn pack(path: &Path, content: &[u8]) -> File {
    let packed = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            packer.write_all(content).unwrap();
            packer.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(content, 3).unwrap(),
        Some("xz") => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            packer.write_all(content).unwrap();
            packer.finish().unwrap()
        }
        other => panic!("no packer makes {other:?}"),
    };
    fs::write(path, packed).unwrap();
    OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn a_file_that_is_there_is_entered_at_its_end() {
    let mut bench = Bench::new();
    bench.write("log", "old\n");
    bench.start();
    bench.write("log", "new\n");
    assert_eq!(bench.lines(), ["new"]);
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn an_unfinished_line_at_the_start_is_read_whole() {
    let mut bench = Bench::new();
    bench.write("log", "old\nbegun ");
    bench.start();
    assert_eq!(bench.lines(), [""; 0]);
    bench.write("log", "and ended\r\n");
    assert_eq!(bench.lines(), ["begun and ended"]);
}

#[test]
fn a_position_before_the_first_line_is_committed() {
    let mut bench = Bench::new();
    bench.write("log", "old\n");
    bench.start().drain();
    bench.stop();
    bench.write("log", "while we were away\n");
    bench.start();
    assert_eq!(bench.lines(), ["while we were away"]);
}

#[test]
fn a_file_that_appears_is_read_from_its_beginning() {
    let mut bench = Bench::new();
    bench.start();
    assert_eq!(*bench.tail.as_ref().unwrap().state(), State::Waiting);
    bench.write("log", "first\n");
    assert_eq!(bench.drain(), (vec!["first".to_owned()], vec![Report::Appeared]));
    assert_eq!(*bench.tail.as_ref().unwrap().state(), State::Reading);
}

#[test]
fn a_file_that_appears_while_we_are_away_is_too() {
    let mut bench = Bench::new();
    bench.start().drain();
    bench.stop();
    bench.write("log", "first\n");
    bench.start();
    assert_eq!(bench.lines(), ["first"]);
}

#[test]
fn rename_and_create_loses_nothing_and_nothing_comes_twice() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.write("log", "2\n");
    bench.rename("log", "log.1");
    assert_eq!(bench.lines(), ["2"]);
    bench.write("log.1", "3, to the old file\n4, begun ");
    bench.write("log", "");
    let (lines, reports) = bench.drain();
    assert_eq!((lines, reports), (vec!["3, to the old file".to_owned()], vec![Report::Rotated]));
    // The writer hasn't opened the new file: the old one is kept as long as that takes.
    bench.wait(LINGER * 10);
    assert_eq!(bench.lines(), [""; 0]);
    bench.write("log.1", "and ended\n");
    assert_eq!(bench.lines(), ["4, begun and ended"]);
    bench.write("log", "6\n");
    bench.write("log.1", "5, after all\n");
    assert_eq!(bench.lines(), ["5, after all", "6"], "the old one first");
    assert_eq!(bench.open_files(), 2);
    bench.wait(LINGER);
    assert_eq!(bench.lines(), [""; 0]);
    assert_eq!(bench.open_files(), 1, "quiet and superseded");
    bench.write("log", "7\n");
    assert_eq!(bench.lines(), ["7"]);
}

#[test]
fn a_rotation_while_we_are_away_is_found() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    bench.write("log", "1\n");
    bench.rename("log", "log.1");
    bench.write("log", "2\n");
    bench.start();
    assert_eq!(bench.drain(), (vec!["1".to_owned(), "2".to_owned()], vec![Report::Rotated]));
}

#[test]
fn so_are_several() {
    for away in [true, false] {
        let mut bench = Bench::new();
        bench.write("log.9", "never ours\n");
        bench.write("log", "0\n");
        bench.start().drain();
        if away {
            bench.stop();
        }
        let mut expected = Vec::new();
        for rotation in 1..=20 {
            bench.write("log", format!("{rotation}\n"));
            expected.push(rotation.to_string());
            bench.rename("log", &format!("log-{rotation:08}"));
        }
        bench.write("log", "now\n");
        expected.push("now".to_owned());
        if away {
            bench.start();
        }
        assert_eq!(bench.lines(), expected, "away: {away}");
        assert!(bench.open_files() <= OPEN, "{} files are open", bench.open_files());
    }
}

#[test]
fn a_rotated_file_that_is_gone_is_reported() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    bench.write("log", "1, lost\n");
    fs::remove_file(bench.path("log")).unwrap();
    bench.write("log.1", "2, in between\n");
    bench.write("log", "3\n");
    bench.start();
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["2, in between", "3"]);
    assert_eq!(reports[0].loss(), Loss::Possible, "{reports:?}");
}

#[test]
fn copytruncate_with_everything_read() {
    for copy in [Some("log.1"), None] {
        let mut bench = Bench::new();
        bench.write("log", "0\n");
        bench.start();
        bench.write("log", "1\n");
        assert_eq!(bench.lines(), ["1"]);
        bench.copytruncate(copy);
        bench.write("log", "2\n");
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["2"]);
        assert_eq!(reports, [Report::Truncated { unread: Some(0) }]);
        bench.rename("log", "log.2");
        bench.write("log", "3\n");
        assert_eq!(bench.lines(), ["3"], "the copy isn't taken for a successor");
    }
}

#[test]
fn copytruncate_over_unread_lines_is_made_good_from_the_copy() {
    for away in [true, false] {
        let mut bench = Bench::new();
        bench.write("log", "0\n");
        bench.start().drain();
        if away {
            bench.stop();
        }
        bench.write("log", "1\n2\n");
        bench.copytruncate(Some("log.1"));
        bench.write("log", "3, longer than what was there before\n");
        if away {
            bench.start();
        }
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["1", "2", "3, longer than what was there before"], "away: {away}");
        assert!(reports.iter().all(|report| report.loss() == Loss::None), "{reports:?}");
        assert_eq!(bench.open_files(), 1);
    }
}

#[test]
fn copytruncate_before_anything_was_read_is_too() {
    for away in [true, false] {
        let mut bench = Bench::new();
        bench.write("log", "");
        bench.start().drain();
        bench.stop();
        bench.write("log", "1\n2\n");
        if !away {
            bench.start();
        }
        bench.copytruncate(Some("log.1"));
        if away {
            bench.start();
        }
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["1", "2"], "away: {away}");
        assert_eq!(reports, [Report::Truncated { unread: Some(0) }]);
    }
}

#[test]
fn copytruncate_of_a_file_whose_turn_has_not_come_is_made_good_from_the_copies() {
    let mut bench = Bench::new();
    bench.write("log", "old\n");
    bench.start().drain();
    bench.write("log", "a\n");
    bench.rename("log", "log.9");
    bench.write("log", "b\n");
    bench.rename("log", "log.8");
    bench.write("log", "c\n");
    // `b` is read only after a look at the path, which opens the file with `c`.
    let mut read = Vec::new();
    while read.len() < 2 {
        if let Polled::Batch(batch) = bench.tail.as_mut().unwrap().poll(bench.now) {
            read.extend(batch.lines.iter().map(<[u8]>::to_vec));
        }
    }
    assert_eq!(read, [b"a", b"b"]);
    // Nothing of it has been read, it is emptied twice, and is longer than it was.
    bench.copytruncate(Some("log.7"));
    bench.write("log", "dddd\n");
    bench.copytruncate(Some("log.6"));
    bench.write("log", "eeeeeeee\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["c", "dddd", "eeeeeeee"]);
    assert!(reports.iter().all(|report| report.loss() == Loss::None), "{reports:?}");
}

#[test]
fn copytruncate_over_unread_lines_without_a_copy_is_a_loss() {
    let mut bench = Bench::new();
    bench.cap = LineCap::new(4096);
    bench.start();
    // More than one batch, so that the rest is known to be there when it is taken away.
    let text = "a line\n".repeat(LINES_OF_TWO_BATCHES);
    bench.write("log", &text);
    let Polled::Batch(first) = bench.tail.as_mut().unwrap().poll(bench.now) else { panic!() };
    bench.copytruncate(None);
    bench.write("log", "after\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["after"]);
    let lost = (LINES_OF_TWO_BATCHES - first.lines.len()) as u64 * 7;
    assert!(lost > 0);
    assert_eq!(reports, [Report::Truncated { unread: Some(lost) }]);
    assert_eq!(reports[0].loss(), Loss::Bytes(lost));
}

const LINES_OF_TWO_BATCHES: usize = 1500;

#[test]
fn truncation_while_we_are_away_is_a_possible_loss() {
    let mut bench = Bench::new();
    bench.write("log", "0, which is rather long\n");
    bench.start().drain();
    bench.stop();
    bench.copytruncate(None);
    bench.write("log", "1\n");
    bench.start();
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["1"]);
    assert_eq!(reports[0], Report::Truncated { unread: None });
}

#[test]
fn a_file_cut_short_is_not_read_again() {
    let mut bench = Bench::new();
    bench.start();
    let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
    bench.write("log", &text);
    assert_eq!(bench.lines().len(), 100);
    let file = OpenOptions::new().write(true).open(bench.path("log")).unwrap();
    file.set_len(text.len() as u64 - 4).unwrap();
    bench.touch(&file);
    bench.write("log", "rest of a line\nnew\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["new"], "what follows half a line is no line");
    assert!(reports.iter().any(|report| matches!(report, Report::Fragment { .. })), "{reports:?}");
}

#[test]
fn delete_and_recreate() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\n");
    bench.drain();
    let mut writer = OpenOptions::new().append(true).open(bench.path("log")).unwrap();
    fs::remove_file(bench.path("log")).unwrap();
    writer.write_all(b"2, to the deleted file\n").unwrap();
    assert_eq!(bench.lines(), ["2, to the deleted file"]);
    assert_eq!(*bench.tail.as_ref().unwrap().state(), State::Waiting);
    bench.write("log", "3\n");
    assert_eq!(bench.lines(), ["3"]);
    assert_eq!(*bench.tail.as_ref().unwrap().state(), State::Reading);
}

#[test]
fn a_reused_inode_is_another_file() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1, of the old file\n");
    bench.drain();
    bench.stop();
    // Whether the inode is really reused is the filesystem's choice; a position says that it is.
    fs::remove_file(bench.path("log")).unwrap();
    bench.write("log", "2, of the new file, which is longer\n");
    let Some(Position::File { files, .. }) = &mut bench.committed else { panic!() };
    files[0].inode = FileKey::of(&fs::metadata(bench.dir.path().join("log")).unwrap()).inode;
    bench.start();
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["2, of the new file, which is longer"]);
    assert_eq!(reports[0].loss(), Loss::Possible);
}

#[test]
fn an_inode_that_another_log_has_by_now_is_not_ours() {
    let mut bench = Bench::new();
    bench.write("log", "");
    bench.start().drain();
    bench.stop();
    bench.rename("log", "other.1");
    bench.write("other.1", "not ours\n");
    bench.write("log", "1\n");
    let (lines, reports) = bench.start().drain();
    assert_eq!(lines, ["1"]);
    assert!(reports.iter().all(|report| report.loss() == Loss::None), "{reports:?}");
}

#[test]
fn a_renumbered_device_or_a_restored_copy_is_the_same_file() {
    let long = "what makes a beginning that can't be mistaken\n".repeat(8);
    for (device, inode) in [(1, 0), (0, 1), (1, 1)] {
        let mut bench = Bench::new();
        bench.start();
        bench.write("log", &long);
        bench.drain();
        bench.stop();
        bench.write("log", "new\n");
        let Some(Position::File { files, .. }) = &mut bench.committed else { panic!() };
        files[0].device += device;
        files[0].inode += inode;
        bench.start();
        assert_eq!(bench.drain(), (vec!["new".to_owned()], vec![]), "{device} {inode}");
    }
}

#[test]
fn an_edited_file_is_not_read_again() {
    let mut bench = Bench::new();
    let long = "what makes a beginning that can't be mistaken\n".repeat(8);
    bench.start();
    bench.write("log", &long);
    bench.drain();
    // As editors and `sed -i` do it.
    bench.write("log.tmp", format!("{long}new\n"));
    bench.rename("log.tmp", "log");
    assert_eq!(bench.lines(), ["new"]);
}

#[test]
fn a_link_is_followed_wherever_it_is_moved() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("real")).unwrap();
    bench.write("real/a", "0\n");
    symlink("real/a", bench.path("log")).unwrap();
    bench.start().drain();
    bench.write("real/a", "1\n");
    bench.write("real/b", "2\n");
    fs::remove_file(bench.path("log")).unwrap();
    symlink("real/b", bench.path("log")).unwrap();
    assert_eq!(bench.lines(), ["1", "2"]);
    fs::remove_file(bench.path("log")).unwrap();
    symlink("real/a", bench.path("log")).unwrap();
    bench.write("real/a", "3\n");
    assert_eq!(bench.lines(), ["3"], "back, and not from its beginning");
    bench.stop();
    bench.write("real/a", "4\n");
    bench.rename("real/a", "real/a.1");
    bench.write("real/a", "5\n");
    bench.start();
    assert_eq!(bench.lines(), ["4", "5"], "rotated beside the link's target");
}

#[test]
fn a_file_that_comes_back_is_not_read_again() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\n");
    bench.drain();
    bench.rename("log", "log.1");
    bench.write("log", "2\n");
    bench.drain();
    bench.wait(LINGER);
    assert_eq!((bench.lines().len(), bench.open_files()), (0, 1));
    bench.rename("log.1", "log");
    bench.write("log", "3\n");
    assert_eq!(bench.lines(), ["3"]);
}

#[test]
fn what_is_no_file_is_an_error_until_it_is_one() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("log")).unwrap();
    bench.start();
    let (_, reports) = bench.drain();
    assert_eq!(reports, [Report::Failed { error: "expected a file, got a directory".to_owned() }]);
    assert_eq!(bench.drain().1, [], "said once");
    fs::remove_dir(bench.path("log")).unwrap();
    bench.write("log", "1\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["1"]);
    assert_eq!(reports, [Report::Appeared, Report::Recovered]);
    fs::rename(bench.path("log"), bench.path("log.1")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.path("log"), rustix::fs::Mode::RUSR).unwrap();
    bench.write("log.1", "2\n");
    let (lines, _) = bench.drain();
    assert_eq!(lines, ["2"], "what is open goes on being read");
    assert!(matches!(bench.tail.as_ref().unwrap().state(), State::Failed(_)));
}

#[test]
fn an_unreadable_file_is_an_error_until_it_is_readable() {
    // Root may read everything: a thread that gives that up, and its capabilities with it.
    std::thread::spawn(|| {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).unwrap();
        let mut bench = Bench::new();
        bench.write("log", "before us\n");
        let file = OpenOptions::new().append(true).open(bench.path("log")).unwrap();
        let readable = |file: &File, mode| {
            file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        };
        readable(&file, 0o000);
        bench.start();
        let (_, reports) = bench.drain();
        assert!(matches!(&reports[..], [Report::Failed { .. }]), "{reports:?}");
        (&file).write_all(b"since we look\n").unwrap();
        readable(&file, 0o600);
        let (lines, reports) = bench.drain();
        assert_eq!((lines, reports), (vec!["since we look".to_owned()], vec![Report::Recovered]));

        bench.rename("log", "log.1");
        bench.write("log", "of the new file\n");
        let new = File::open(bench.path("log")).unwrap();
        readable(&new, 0o000);
        (&file).write_all(b"to the old file\n").unwrap();
        let (lines, reports) = bench.drain();
        assert_eq!(lines, ["to the old file"]);
        assert!(matches!(&reports[..], [Report::Failed { .. }]), "{reports:?}");
        bench.stop();
        bench.start();
        assert_eq!(bench.drain().0, [""; 0]);
        readable(&new, 0o600);
        assert_eq!(bench.lines(), ["of the new file"]);
    })
    .join()
    .unwrap();
}

#[test]
fn a_loop_of_links_is_an_error_that_ends() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    bench.rename("log", "log.1");
    symlink("log", bench.path("log")).unwrap();
    bench.start();
    assert!(matches!(bench.tail.as_ref().unwrap().state(), State::Failed(_)));
    bench.write("log.1", "1\n");
    fs::remove_file(bench.path("log")).unwrap();
    bench.write("log", "2\n");
    assert_eq!(bench.lines(), ["1", "2"], "the position is kept meanwhile");
}

#[test]
fn a_position_waits_for_its_filesystem() {
    let mut bench = Bench::new();
    bench.write("log", "0\n");
    bench.start().drain();
    bench.stop();
    bench.rename("log", "../log.elsewhere");
    bench.start();
    let (lines, reports) = bench.drain();
    assert_eq!((lines.len(), reports.len()), (0, 0));
    bench.rename("../log.elsewhere", "log");
    bench.write("log", "1\n");
    assert_eq!(bench.drain(), (vec!["1".to_owned()], vec![]));
}

#[test]
fn long_lines_are_cut_and_counted() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "x".repeat(300));
    bench.write("log", "\n");
    bench.write("log", "y".repeat(301));
    bench.write("log", "\nshort\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["x".repeat(300), "y".repeat(300), "short".to_owned()]);
    assert_eq!(reports, [Report::Appeared, Report::Overlong { lines: 1, bytes: 1 }]);

    bench.write("log", "z".repeat(200_000));
    assert_eq!(bench.lines(), [""; 0]);
    assert_eq!(bench.tail.as_ref().unwrap().unread(), 0, "looked at, if not delivered");
    bench.stop();
    bench.start();
    bench.write("log", "z\nafter\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["z".repeat(300), "after".to_owned()]);
    assert_eq!(reports, [Report::Overlong { lines: 1, bytes: 199_701 }]);
    bench.write("log", "end\n");
    assert_eq!(bench.lines(), ["end"]);
}

#[test]
fn a_line_longer_than_a_chunk_but_not_than_the_cap_is_whole() {
    let mut bench = Bench::new();
    bench.cap = LineCap::EVE;
    bench.start();
    let long = "x".repeat(300_000);
    bench.write("log", format!("{long}\nshort\n{long}\n"));
    assert_eq!(
        bench.drain(),
        (vec![long.clone(), "short".to_owned(), long], vec![Report::Appeared])
    );
}

#[test]
fn batches_are_bounded() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "\n".repeat(10_000));
    let mut lines = 0;
    while let Polled::Batch(batch) = bench.tail.as_mut().unwrap().poll(bench.now) {
        assert!(batch.lines.len() <= 1000);
        lines += batch.lines.len();
    }
    assert_eq!(lines, 10_000);
}

#[test]
fn a_fragment_left_by_a_rotation_is_dropped_and_reported() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\nfrom 198.51.100.7");
    bench.rename("log", "log.1");
    bench.write("log", "0 is what it should have said\n");
    assert_eq!(bench.lines(), ["1", "0 is what it should have said"]);
    bench.wait(LINGER);
    assert_eq!(bench.drain(), (vec![], vec![Report::Fragment { bytes: 17 }]));
}

#[test]
fn lag_is_what_is_unread() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "\n".repeat(3000));
    assert!(matches!(bench.tail.as_mut().unwrap().poll(bench.now), Polled::Batch(_)));
    assert_eq!(bench.tail.as_ref().unwrap().unread(), 2000);
    bench.drain();
    assert_eq!(bench.tail.as_ref().unwrap().unread(), 0);
}

#[test]
fn what_has_vanished_for_good_is_left_and_the_next_of_its_name_is_another_log() {
    let mut bench = Bench::new();
    bench.vanishes = true;
    bench.start();
    bench.write("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    // A name that is gone for a moment is a rotation.
    bench.wait(LINGER * 10);
    bench.rename("log", "elsewhere");
    assert_eq!(bench.lines(), [""; 0]);
    bench.write("elsewhere", "2\n");
    bench.wait(LINGER / 2);
    assert_eq!(bench.lines(), ["2"]);
    bench.wait(LINGER / 2);
    assert_eq!((bench.lines().len(), bench.open_files()), (0, 1), "its writer still lives");
    bench.wait(LINGER);
    assert_eq!((bench.lines().len(), bench.open_files()), (0, 0));
    assert!(matches!(&bench.committed, Some(Position::File { files, .. }) if files.is_empty()));
    bench.write("log", "3\n");
    assert_eq!(bench.drain(), (vec!["3".to_owned()], vec![Report::Appeared]));
}

#[test]
fn what_vanished_while_we_were_away_is_given_up_and_told() {
    for read in [true, false] {
        let mut bench = Bench::new();
        bench.vanishes = true;
        bench.write("log", if read { "0\n" } else { "" });
        bench.start().drain();
        bench.stop();
        fs::remove_file(bench.path("log")).unwrap();
        bench.start();
        assert_eq!(bench.drain().1, []);
        bench.wait(LINGER);
        assert_eq!(bench.drain().1, if read { vec![Report::Missing] } else { vec![] });
        bench.write("log", "1\n");
        assert_eq!(bench.lines(), ["1"]);
    }
}

#[test]
fn what_becomes_a_directory_is_an_error_until_it_is_a_file_again() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.rename("log", "log.1");
    fs::create_dir(bench.path("log")).unwrap();
    bench.write("log.1", "2\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["2"], "what is open goes on being read");
    assert_eq!(reports, [Report::Failed { error: "expected a file, got a directory".to_owned() }]);
    bench.stop();
    bench.write("log.1", "3\n");
    bench.start();
    assert!(
        matches!(bench.tail.as_ref().unwrap().state(), State::Failed(_)),
        "after a restart too"
    );
    fs::remove_dir(bench.path("log")).unwrap();
    bench.write("log", "4\n");
    let (lines, reports) = bench.drain();
    assert_eq!(lines, ["3", "4"]);
    assert!(reports.contains(&Report::Recovered), "{reports:?}");
}

#[test]
fn bytes_of_all_kinds_come_as_they_are() {
    let mut bench = Bench::new();
    bench.start();
    let text = b"a\0b\r\n\xff\xfe\xc3\n\r\n\n\rc\r\r\nd\xe2\x82";
    bench.write("log", text);
    let mut lines = Vec::new();
    let mut drain = |bench: &mut Bench| {
        while let Polled::Batch(batch) = bench.tail.as_mut().unwrap().poll(bench.now) {
            lines.extend(batch.lines.iter().map(<[u8]>::to_vec));
            bench.committed = Some(batch.position);
        }
    };
    drain(&mut bench);
    bench.stop();
    bench.start();
    // The rest of a character that was begun.
    bench.write("log", b"\xac\n");
    drain(&mut bench);
    let expected: [&[u8]; 6] = [b"a\0b", b"\xff\xfe\xc3", b"", b"", b"\rc\r", b"d\xe2\x82\xac"];
    assert_eq!(lines, expected);
}

#[test]
fn what_was_rotated_and_deleted_gives_its_room_back_though_the_next_is_empty() {
    let mut bench = Bench::new();
    bench.start();
    bench.write("log", "1\n");
    bench.drain();
    bench.rename("log", "log.1");
    bench.write("log", "");
    bench.write("log.1", "2\n");
    assert_eq!(bench.lines(), ["2"]);
    bench.wait(LINGER * 10);
    assert_eq!((bench.lines().len(), bench.open_files()), (0, 2), "its writer may not know yet");
    let mut writer = OpenOptions::new().append(true).open(bench.path("log.1")).unwrap();
    fs::remove_file(bench.path("log.1")).unwrap();
    writer.write_all(b"3\n").unwrap();
    assert_eq!(bench.lines(), ["3"]);
    assert_eq!(bench.open_files(), 2);
    bench.wait(LINGER);
    assert_eq!((bench.lines().len(), bench.open_files()), (0, 1), "the disk may be full of it");
    bench.write("log", "4\n");
    assert_eq!(bench.lines(), ["4"]);
}

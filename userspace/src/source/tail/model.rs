//! A model of a log's life, against which a tail is run: whatever writers, rotation, kills and restarts
//! do in whatever order, each line is delivered once, and what can't be is reported.
//!
//! The model knows where each line lies. A line must be delivered as long as it lies somewhere that a
//! tail can know of; once it doesn't, it is excused, and where the tail can see that, it must say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::time::SystemTime;

use proptest::prelude::*;

use super::super::batch::Loss;
use super::*;

const CAP: LineCap = LineCap::new(256);
/// The oldest number that rotation keeps.
const KEPT: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    /// Lines to whatever has the log's name, which is made where it is absent.
    Write {
        lines: usize,
        length: usize,
    },
    /// The beginning of a line, or the end of one that was begun.
    Part,
    /// Lines to the file that was renamed last, whose writer hasn't noticed.
    WriteOld,
    Rotate {
        create: bool,
    },
    CopyTruncate {
        copy: bool,
    },
    Delete,
    /// As rotation packs: the file is the same, its time too, only its name and content look different.
    Pack {
        number: usize,
        /// The packer keeps only the second.
        coarse: bool,
    },
    /// What is written from now on has one time, as within a tick of the kernel; or it doesn't.
    Still(bool),
    /// The clock is set back.
    Back,
    Poll,
    Drain,
    Stop {
        commit: bool,
    },
    Start,
    Wait,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1_usize..4, 0_usize..300).prop_map(|(lines, length)| Op::Write { lines, length }),
        2 => Just(Op::Part),
        2 => Just(Op::WriteOld),
        3 => any::<bool>().prop_map(|create| Op::Rotate { create }),
        2 => any::<bool>().prop_map(|copy| Op::CopyTruncate { copy }),
        1 => Just(Op::Delete),
        2 => (1..=KEPT, any::<bool>()).prop_map(|(number, coarse)| Op::Pack { number, coarse }),
        1 => any::<bool>().prop_map(Op::Still),
        1 => Just(Op::Back),
        4 => Just(Op::Poll),
        4 => Just(Op::Drain),
        2 => any::<bool>().prop_map(|commit| Op::Stop { commit }),
        4 => Just(Op::Start),
        1 => Just(Op::Wait),
    ]
}

/// What a file holds, as its writers know it.
#[derive(Clone, Debug, Default)]
struct Content {
    lines: Vec<usize>,
    begun: Option<usize>,
    /// Made by a rotation: nobody writes to it.
    copy: bool,
}

/// Why a line may be missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Excuse {
    /// Nobody could know of it.
    Unknowable,
    /// The tail can know of it by this file, and must have reported after so many reports.
    Reported { after: usize, key: FileKey },
}

struct World {
    dir: tempfile::TempDir,
    stamp: SystemTime,
    still: bool,
    now: Instant,
    /// By inode, as long as something knows the file.
    files: BTreeMap<FileKey, Content>,
    /// Held open, so that no inode is used twice within a test.
    held: Vec<File>,
    written: usize,
    /// What has an end.
    complete: BTreeSet<usize>,
    excused: BTreeMap<usize, Excuse>,
    tail: Option<Tail>,
    /// Delivered, not committed.
    pending: Vec<Batch>,
    committed: Option<Position>,
    delivered: Vec<usize>,
    losses: Vec<Report>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            stamp: SystemTime::now() - Duration::from_secs(100_000),
            still: false,
            now: Instant::now(),
            files: BTreeMap::new(),
            held: Vec::new(),
            written: 0,
            complete: BTreeSet::new(),
            excused: BTreeMap::new(),
            tail: None,
            pending: Vec::new(),
            committed: None,
            delivered: Vec::new(),
            losses: Vec::new(),
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        let plain = if number == 0 { "log".to_owned() } else { format!("log.{number}") };
        let packed = self.dir.path().join(format!("{plain}.gz"));
        if packed.exists() { packed } else { self.dir.path().join(plain) }
    }

    fn is_packed(&self, number: usize) -> bool {
        self.path(number).extension().is_some_and(|extension| extension == "gz")
    }

    fn key(&self, number: usize) -> Option<FileKey> {
        fs::metadata(self.path(number)).ok().map(|metadata| FileKey::of(&metadata))
    }

    fn touch(&mut self, file: &File) {
        if !self.still {
            self.stamp += Duration::from_millis(700);
        }
        file.set_modified(self.stamp).unwrap();
    }

    fn append(&mut self, number: usize, text: &str) -> &mut Content {
        let path = self.path(number);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.touch(&file);
        let key = FileKey::of(&file.metadata().unwrap());
        if !self.files.contains_key(&key) {
            self.held.push(file);
        }
        self.files.entry(key).or_default()
    }

    fn write(&mut self, number: usize, length: usize) {
        let id = self.written;
        self.written += 1;
        let begun = self.key(number).and_then(|key| self.files.get_mut(&key)?.begun.take());
        let mut text = begun.map(|_| " ended\n".to_owned()).unwrap_or_default();
        text.push_str(&line(id, length));
        text.push('\n');
        let content = self.append(number, &text);
        content.lines.extend(begun);
        content.lines.push(id);
        self.complete.extend(begun);
        self.complete.insert(id);
    }

    fn part(&mut self) {
        let begun = self.key(0).and_then(|key| self.files.get(&key)?.begun);
        match begun {
            Some(id) => {
                let content = self.append(0, " ended\n");
                content.begun = None;
                content.lines.push(id);
                self.complete.insert(id);
            }
            None => {
                let id = self.written;
                self.written += 1;
                self.append(0, &line(id, 10)).begun = Some(id);
            }
        }
    }

    /// Excuses what isn't delivered of this file.
    fn excuse(&mut self, content: &Content, excuse: Excuse) {
        let delivered = self.known_delivered();
        for &id in content.lines.iter().filter(|id| !delivered.contains(id)) {
            self.excused.entry(id).or_insert(excuse);
        }
    }

    fn known_delivered(&self) -> BTreeSet<usize> {
        let pending = self.pending.iter().flat_map(|batch| batch.lines.iter().map(id));
        self.delivered.iter().copied().chain(pending).collect()
    }

    /// What whoever follows has of a file: the tail, or the committed position.
    fn position(&self, key: FileKey) -> Option<FilePosition> {
        let position = match &self.tail {
            Some(tail) => tail.position(),
            None => self.committed.clone()?,
        };
        let Position::File { files, .. } = position else { return None };
        files.into_iter().find(|position| FileKey::at(position) == key)
    }

    fn is_last(&self, key: FileKey) -> bool {
        let position = self.tail.as_ref().map(Tail::position).or(self.committed.clone());
        position.is_some_and(|position| {
            let Position::File { files, .. } = position else { return false };
            files.last().is_some_and(|last| FileKey::at(last) == key)
        })
    }

    /// The excuse for what is destroyed of a file now.
    fn excuse_for(&self, key: FileKey) -> Excuse {
        match self.position(key) {
            // A copy with what was read looks like the file moved, and nothing lost.
            _ if self.files.values().any(|content| content.copy) => Excuse::Unknowable,
            Some(position) if position.offset > 0 && self.is_last(key) => {
                Excuse::Reported { after: self.losses.len(), key }
            }
            _ => Excuse::Unknowable,
        }
    }

    /// A name goes; its content only with the last who has it open.
    fn remove(&mut self, number: usize) {
        let Some(key) = self.key(number) else { return };
        fs::remove_file(self.path(number)).unwrap();
        if self.tail.is_some() && self.position(key).is_some() {
            return;
        }
        let excuse = self.excuse_for(key);
        if let Some(content) = self.files.remove(&key) {
            self.excuse(&content, excuse);
        }
    }

    fn shift(&mut self) {
        self.remove(KEPT);
        for number in (1..KEPT).rev() {
            if self.path(number).exists() {
                let to = self.dir.path().join(format!("log.{}", number + 1));
                let to = if self.is_packed(number) {
                    to.with_extension(format!("{}.gz", number + 1))
                } else {
                    to
                };
                fs::rename(self.path(number), to).unwrap();
            }
        }
    }

    fn copytruncate(&mut self, copy: bool) {
        let Some(key) = self.key(0) else { return };
        let content = std::mem::take(self.files.entry(key).or_default());
        if copy {
            self.shift();
            fs::copy(self.path(0), self.path(1)).unwrap();
            let file = File::open(self.path(1)).unwrap();
            self.touch(&file);
            let copied = Content { begun: None, copy: true, ..content.clone() };
            self.files.insert(FileKey::of(&file.metadata().unwrap()), copied);
            self.held.push(file);
        }
        // Whoever follows may not have seen that there was anything to be emptied.
        let known =
            self.position(key).is_some_and(|position| position.offset > 0 || self.tail.is_none());
        if !copy || !known {
            let excuse = if copy { Excuse::Unknowable } else { self.excuse_for(key) };
            self.excuse(&content, excuse);
        }
        let file = OpenOptions::new().write(true).open(self.path(0)).unwrap();
        file.set_len(0).unwrap();
        self.touch(&file);
    }

    fn pack(&mut self, number: usize, coarse: bool) {
        let Some(key) = self.key(number).filter(|_| !self.is_packed(number)) else { return };
        let plain = self.path(number);
        let content = fs::read(&plain).unwrap();
        let modified = fs::metadata(&plain).unwrap().modified().unwrap();
        let packed = self.dir.path().join(format!("log.{number}.gz"));
        let file = tests::pack(&packed, &content);
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
        file.set_modified(if coarse { whole } else { modified }).unwrap();
        fs::remove_file(plain).unwrap();
        // Whoever has it open reads the plain one to its end.
        let content = self.files[&key].clone();
        let packed = Content { begun: None, copy: true, ..content };
        self.files.insert(FileKey::of(&file.metadata().unwrap()), packed);
        self.held.push(file);
    }

    fn write_old(&mut self) {
        let is_plain = !self.is_packed(1);
        let Some(key) = self.key(1).filter(|key| is_plain && !self.files[key].copy) else { return };
        self.write(1, 20);
        // Its writer has been quiet for too long, or is seen by nobody.
        if self.position(key).is_none() {
            let content = self.files[&key].clone();
            self.excuse(&content, Excuse::Unknowable);
        }
    }

    fn start(&mut self) {
        if self.tail.is_some() {
            return;
        }
        if self.committed.is_none() {
            for content in self.files.values().cloned().collect::<Vec<_>>() {
                self.excuse(&content, Excuse::Unknowable);
            }
        }
        let stored = self.committed.as_ref().map(|position| position.to_string().parse().unwrap());
        self.tail = Some(Tail::new(SourceId::new(0), self.path(0), CAP, stored, self.now));
    }

    fn poll(&mut self) -> bool {
        let Some(tail) = &mut self.tail else { return false };
        match tail.poll(self.now) {
            Polled::Batch(batch) => {
                self.pending.push(batch);
                true
            }
            Polled::Busy => true,
            Polled::Idle => false,
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            if !self.poll() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn commit(&mut self) {
        for batch in std::mem::take(&mut self.pending) {
            self.delivered.extend(batch.lines.iter().map(id));
            self.losses.extend(batch.reports.into_iter().filter(|report| {
                report.loss() != Loss::None || matches!(report, Report::Truncated { .. })
            }));
            self.committed = Some(batch.position);
        }
    }

    fn stop(&mut self, commit: bool) {
        if commit {
            self.commit();
        }
        self.pending.clear();
        self.tail = None;
        // What the tail saw and didn't tell, whoever follows must see again.
        let mut excused = std::mem::take(&mut self.excused);
        for excuse in excused.values_mut() {
            if let Excuse::Reported { after, key } = *excuse
                && after == self.losses.len()
            {
                *excuse = self.excuse_for(key);
            }
        }
        self.excused = excused;
        // What only the tail had, in files without a name or in bytes since overwritten, is gone now.
        let named: BTreeSet<_> = (0..=KEPT).filter_map(|number| self.key(number)).collect();
        let lost: Vec<_> = self.files.keys().filter(|key| !named.contains(*key)).copied().collect();
        for key in lost {
            let excuse = self.excuse_for(key);
            if let Some(content) = self.files.remove(&key) {
                self.excuse(&content, excuse);
            }
        }
        let there: BTreeSet<_> =
            self.files.values().flat_map(|content| content.lines.clone()).collect();
        let delivered = self.known_delivered();
        for &id in &self.complete {
            if !there.contains(&id) && !delivered.contains(&id) {
                self.excused.entry(id).or_insert(Excuse::Unknowable);
            }
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Write { lines, length } => (0..lines).for_each(|_| self.write(0, length)),
            Op::Part => self.part(),
            Op::WriteOld => self.write_old(),
            Op::Rotate { create } => {
                if self.path(0).exists() {
                    self.shift();
                    fs::rename(self.path(0), self.path(1)).unwrap();
                }
                if create {
                    self.append(0, "");
                }
            }
            Op::CopyTruncate { copy } => self.copytruncate(copy),
            Op::Delete => self.remove(0),
            Op::Pack { number, coarse } => self.pack(number, coarse),
            Op::Still(still) => self.still = still,
            Op::Back => self.stamp -= Duration::from_secs(1_000),
            Op::Poll => drop(self.poll()),
            Op::Drain => {
                self.drain();
                self.commit();
            }
            Op::Stop { commit } => self.stop(commit),
            Op::Start => self.start(),
            Op::Wait => self.now += LINGER,
        }
    }

    fn verify(&self) {
        let unique: BTreeSet<_> = self.delivered.iter().copied().collect();
        assert_eq!(unique.len(), self.delivered.len(), "twice: {:?}", self.delivered);
        for id in self.complete.difference(&unique) {
            match self.excused.get(id) {
                Some(Excuse::Unknowable) => {}
                Some(Excuse::Reported { after, .. }) => assert!(
                    self.losses.len() > *after,
                    "line {id} is missing, and nothing was said: {:?}",
                    self.losses
                ),
                None => panic!("line {id} is missing: {:?}", self.delivered),
            }
        }
    }
}

/// A line that says which it is, at both ends.
fn line(id: usize, length: usize) -> String {
    format!("<{id}>{}", "x".repeat(length))
}

/// Which line this is; it must be one.
fn id(line: &[u8]) -> usize {
    let text = str::from_utf8(line).unwrap();
    let (number, rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    let rest = rest.strip_suffix(" ended").unwrap_or(rest);
    assert!(rest.bytes().all(|byte| byte == b'x'), "no line was written like this: {text}");
    number.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once(before in 0_usize..3, ops in proptest::collection::vec(op(), 1..60)) {
        holds(before, &ops);
    }
}

/// What was left while it was the log, and written to and packed after its successor had begun.
#[test]
fn what_is_packed_does_not_hide_what_came_next() {
    let write = || Op::Write { lines: 1, length: 0 };
    let rotate = || Op::Rotate { create: false };
    let stop = Op::Stop { commit: false };
    let pack = Op::Pack { number: 2, coarse: false };
    holds(0, &[write(), Op::Drain, rotate(), stop, write(), Op::WriteOld, rotate(), pack]);
}

fn holds(before: usize, ops: &[Op]) {
    let mut world = World::new();
    (0..before).for_each(|_| world.write(0, 100));
    world.start();
    for op in ops {
        world.run(op);
    }
    world.start();
    world.write(0, 0);
    world.drain();
    world.now += LINGER;
    world.drain();
    world.commit();
    world.verify();
}

//! A writer: a program that logs as fast as it can, and the rotation of its log.
//!
//! What it does loses no line by itself. A log's content is destroyed (by truncation, deletion, or when the
//! oldest file goes) only when its last line is in the database; until then it lies somewhere beside the log.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::ledger::Ledger;
use super::line::{self, Says, TOGETHER, address, target};
use super::script::{Collector, Desk};

/// Rotated files that are kept, read or not.
const KEPT: usize = 6;
/// A line is committed within this time, or it is lost. The daemon is killed many times meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);
/// Those whose lines make a ban together, at once.
const COLLECTORS: usize = 40;

/// One log and who writes it.
#[derive(Debug)]
pub(super) struct Writer {
    index: u8,
    /// Its log; for some a symbolic link.
    path: PathBuf,
    linked: bool,
    file: File,
    rng: fastrand::Rng,
    ledger: Arc<Ledger>,
    desk: Arc<Desk>,
    /// Lines written.
    lines: u64,
    serial: u64,
    offenders: u32,
    collectors: Vec<Collector>,
    /// The last line that is counted, in the file that is written to.
    last: Option<u64>,
    /// Rotated files, the newest first.
    old: VecDeque<Old>,
    /// Of the symbolic link's targets.
    generation: u32,
    /// Whether rotated files are compressed before they were read.
    compress_unread: bool,
    /// What happened to the log, for whoever wants to know why a line is lost.
    story: File,
}

/// A rotated file.
#[derive(Debug)]
struct Old {
    path: PathBuf,
    last: Option<u64>,
}

/// What happens to a log.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    /// Renamed; the next one is there at once.
    Rename,
    /// Renamed; its writer notices later.
    RenameLate { created: bool },
    /// Renamed several times between two looks, with few lines or none.
    RenameOften,
    /// Copied, and emptied.
    CopyTruncate,
    /// Emptied, after it was read.
    Truncate,
    /// Deleted, after it was read, and made anew.
    Delete,
    /// A rotated file is compressed.
    Compress,
    /// The symbolic link leads elsewhere.
    Relink,
}

impl Rotation {
    const fn name(self) -> &'static str {
        match self {
            Self::Rename => "renamed, made anew",
            Self::RenameLate { .. } => "renamed, and written to for a while",
            Self::RenameOften => "renamed several times at once",
            Self::CopyTruncate => "copied and emptied (copytruncate)",
            Self::Truncate => "emptied without a copy, after it was read",
            Self::Delete => "deleted after it was read, made anew",
            Self::Compress => "rotated file compressed",
            Self::Relink => "symbolic link led elsewhere",
        }
    }
}

/// How a writer is set up.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Below four.
    pub(super) index: u8,
    /// Of its log.
    pub(super) name: String,
    /// The log is a symbolic link that moves.
    pub(super) linked: bool,
    /// Rotated files are compressed before they were read, too.
    pub(super) compress_unread: bool,
    /// Of everything that is random.
    pub(super) seed: u64,
}

impl Writer {
    /// A writer with an empty log.
    ///
    /// # Errors
    /// Where the log can't be made.
    pub(super) fn open(
        setup: &Setup,
        folder: &Path,
        ledger: Arc<Ledger>,
        desk: Arc<Desk>,
    ) -> Result<Self> {
        let path = folder.join(&setup.name);
        let mut generation = 0;
        let file = if setup.linked {
            generation = 1;
            let name = generation_of(&path, generation);
            let file = create(&name)?;
            symlink(&name, &path)?;
            file
        } else {
            create(&path)?
        };
        Ok(Self {
            index: setup.index,
            path,
            linked: setup.linked,
            file,
            rng: fastrand::Rng::with_seed(setup.seed),
            ledger,
            desk,
            lines: 0,
            serial: 0,
            offenders: 0,
            collectors: Vec::new(),
            last: None,
            old: VecDeque::new(),
            generation,
            compress_unread: setup.compress_unread,
            story: create(&folder.join("..").join(format!("{}.story", setup.name)))?,
        })
    }

    /// Writes a line that is counted, and waits until it was.
    ///
    /// # Errors
    /// Where that doesn't come.
    pub(super) fn greet(&mut self) -> Result<()> {
        self.mark()?;
        let last = self.last;
        self.committed(last);
        Ok(())
    }

    /// Writes so many lines, as fast as it may.
    ///
    /// # Errors
    /// Where a file can't be written.
    pub(super) fn write_all(&mut self, lines: u64) -> Result<()> {
        while self.lines < lines {
            let limit = self.desk.may_pass(self.lines).min(lines);
            let burst = self.rng.u64(1..400).min(limit.saturating_sub(self.lines)).max(1);
            self.burst(burst)?;
            if self.rng.u8(0..4) == 0 {
                self.rotate()?;
            }
        }
        // Who is left with too few lines is spared.
        let mut script = self.desk.script();
        script.spared.extend(self.collectors.drain(..).map(|collector| target(collector.address)));
        Ok(())
    }

    fn burst(&mut self, lines: u64) -> Result<()> {
        let mut text = Vec::with_capacity(64 << 10);
        for _ in 0..lines {
            match self.rng.u8(0..200) {
                0..4 => self.counted(&mut text, Says::Mark),
                4 => self.counted(&mut text, Says::Hit),
                5..9 if self.desk.together => self.collect(&mut text),
                _ => {
                    let innocent = line::innocent(self.index, self.rng.u16(0..100));
                    line::write_noise(&mut text, &mut self.rng, innocent);
                }
            }
        }
        self.lines += lines;
        self.desk.script().lines += lines;
        self.pour(&text)
    }

    /// In pieces that end anywhere.
    fn pour(&mut self, text: &[u8]) -> Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let piece = self.rng.usize(1..16 << 10).min(rest.len());
            self.file.write_all(&rest[..piece]).context("write a log")?;
            rest = &rest[piece..];
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial * 4 + u64::from(self.index % 4)
    }

    fn offender(&mut self) -> std::net::IpAddr {
        self.offenders += 1;
        address(self.index, self.offenders)
    }

    /// A line by itself.
    fn counted(&mut self, text: &mut Vec<u8>, says: Says) {
        let (serial, source) = (self.number(), self.offender());
        line::write(text, says, serial, source);
        let mut script = self.desk.script();
        let known = if says == Says::Hit { &mut script.hits } else { &mut script.marks };
        known.insert(serial, target(source));
        drop(script);
        self.last = Some(serial);
    }

    /// One of the lines that make a ban together.
    fn collect(&mut self, text: &mut Vec<u8>) {
        if self.collectors.len() < COLLECTORS {
            let banned = self.rng.bool();
            let by_score = self.rng.u8(0..3) == 0;
            let left = TOGETHER - u8::from(!banned);
            let address = self.offender();
            self.collectors.push(Collector { address, left, banned, by_score });
        }
        let serial = self.number();
        let at = self.rng.usize(0..self.collectors.len());
        let collector = &mut self.collectors[at];
        let says = if collector.by_score { Says::Point } else { Says::Part };
        line::write(text, says, serial, collector.address);
        collector.left -= 1;
        if collector.left > 0 {
            return;
        }
        let Collector { address, banned, by_score, .. } = self.collectors.swap_remove(at);
        let mut script = self.desk.script();
        match (banned, by_score) {
            (false, _) => script.spared.push(target(address)),
            (true, false) => drop(script.counted.insert(serial, target(address))),
            (true, true) => drop(script.scored.insert(serial, target(address))),
        }
    }

    fn mark(&mut self) -> Result<()> {
        let mut text = Vec::new();
        self.counted(&mut text, Says::Mark);
        self.lines += 1;
        self.desk.script().lines += 1;
        self.pour(&text)
    }

    /// Waits until the line with this number is in the database.
    fn committed(&self, last: Option<u64>) {
        let Some(serial) = last else { return };
        if !self.ledger.waits_for(serial, PATIENCE) {
            let what =
                format!("line {serial} of {} in {} s", self.path.display(), PATIENCE.as_secs());
            self.desk.script().stalled.push(what);
        }
    }

    fn rotate(&mut self) -> Result<()> {
        let rotation = if self.linked {
            match self.rng.u8(0..5) {
                0 => Rotation::Truncate,
                _ => Rotation::Relink,
            }
        } else {
            match self.rng.u8(0..20) {
                0..5 => Rotation::Rename,
                5..9 => Rotation::RenameLate { created: self.rng.bool() },
                9..12 => Rotation::RenameOften,
                12..16 => Rotation::CopyTruncate,
                16 => Rotation::Truncate,
                17 => Rotation::Delete,
                _ => Rotation::Compress,
            }
        };
        *self.desk.script().rotations.entry(rotation.name()).or_default() += 1;
        self.tell(format_args!("{rotation:?} after {:?}", self.last))?;
        match rotation {
            Rotation::Rename => self.rename(),
            Rotation::RenameLate { created } => self.rename_late(created),
            Rotation::RenameOften => {
                for _ in 0..self.rng.u8(2..4) {
                    if self.rng.bool() {
                        let few = self.rng.u64(1..4);
                        self.burst(few)?;
                    }
                    self.rename()?;
                }
                Ok(())
            }
            Rotation::CopyTruncate => self.copy_truncate(),
            Rotation::Truncate => {
                self.mark()?;
                self.committed(self.last);
                self.file.set_len(0)?;
                self.last = None;
                Ok(())
            }
            Rotation::Delete => {
                self.mark()?;
                self.committed(self.last);
                fs::remove_file(&self.path)?;
                self.renew()
            }
            Rotation::Compress => self.compress(),
            Rotation::Relink => self.relink(),
        }
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) -> Result<()> {
        Ok(writeln!(&self.story, "{} {what}", jiff::Timestamp::now())?)
    }

    fn rename(&mut self) -> Result<()> {
        self.mark()?;
        self.move_away()?;
        self.renew()
    }

    fn rename_late(&mut self, created: bool) -> Result<()> {
        self.move_away()?;
        let next = if created { Some(create(&self.path)?) } else { None };
        let late = self.rng.u64(0..100);
        self.burst(late)?;
        self.mark()?;
        if let Some(newest) = self.old.front_mut() {
            newest.last = self.last;
        }
        self.last = None;
        self.file = match next {
            Some(next) => next,
            None => create(&self.path)?,
        };
        Ok(())
    }

    fn copy_truncate(&mut self) -> Result<()> {
        self.mark()?;
        self.shift()?;
        let copy = numbered(&self.path, 1);
        fs::copy(&self.path, &copy)?;
        self.old.push_front(Old { path: copy, last: self.last.take() });
        self.file.set_len(0)?;
        Ok(())
    }

    /// As logrotate does, but for the newest: its writer may not have noticed yet.
    fn compress(&mut self) -> Result<()> {
        let plain = |old: &Old| old.path.extension().is_none_or(|extension| extension != "gz");
        let Some(at) = (1..self.old.len()).find(|at| plain(&self.old[*at])) else { return Ok(()) };
        if !self.compress_unread {
            self.committed(self.old[at].last);
        }
        let path = &self.old[at].path;
        let done = Command::new("gzip").arg("--force").arg(path).status().context("start gzip")?;
        ensure!(done.success(), "gzip {} ended with {done}", path.display());
        self.old[at].path = with_suffix(path, ".gz");
        Ok(())
    }

    fn relink(&mut self) -> Result<()> {
        self.generation += 1;
        let name = generation_of(&self.path, self.generation);
        let next = create(&name)?;
        let new_link = self.path.with_extension("new-link");
        symlink(&name, &new_link)?;
        fs::rename(&new_link, &self.path)?;
        let late = self.rng.u64(0..50);
        self.burst(late)?;
        self.mark()?;
        let path = generation_of(&self.path, self.generation - 1);
        self.old.push_front(Old { path, last: self.last.take() });
        self.file = next;
        while self.old.len() > KEPT {
            self.forget_oldest()?;
        }
        Ok(())
    }

    /// The log becomes the newest of the rotated ones.
    fn move_away(&mut self) -> Result<()> {
        self.shift()?;
        let newest = numbered(&self.path, 1);
        fs::rename(&self.path, &newest)?;
        self.old.push_front(Old { path: newest, last: self.last });
        Ok(())
    }

    fn renew(&mut self) -> Result<()> {
        self.tell(format_args!("a new file after {:?}", self.last))?;
        self.file = create(&self.path)?;
        self.last = None;
        Ok(())
    }

    /// Makes room for number 1.
    fn shift(&mut self) -> Result<()> {
        while self.old.len() >= KEPT {
            self.forget_oldest()?;
        }
        for (at, old) in self.old.iter_mut().enumerate().rev() {
            let plain = numbered(&self.path, at + 2);
            let packed = old.path.extension().is_some_and(|extension| extension == "gz");
            let next = if packed { with_suffix(&plain, ".gz") } else { plain };
            fs::rename(&old.path, &next)?;
            old.path = next;
        }
        Ok(())
    }

    fn forget_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.old.back() else { return Ok(()) };
        self.committed(oldest.last);
        self.tell(format_args!("{} goes", oldest.path.display()))?;
        fs::remove_file(&oldest.path)?;
        self.old.pop_back();
        Ok(())
    }
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("could not open {}", path.display()))
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `auth-00001.log` of `auth.log`: what a log manager's `current` link leads to.
fn generation_of(path: &Path, generation: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{generation:05}.log"))
}

//! How far long inputs are read: a bar on standard error, where that is a terminal and it takes a while.

use std::io::{self, IsTerminal as _, Stdout, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::source::{Progress, WholeLines};

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The clock is looked at once in so many lines.
const LINES: u32 = 4_096;
/// How often the bar moves.
const MOVES: Duration = Duration::from_millis(200);

/// The bar, or none.
pub(super) struct Bar {
    bar: ProgressBar,
    inputs: Vec<Progress>,
    lines: u32,
    /// When to show it, or to move it.
    due: Option<Instant>,
    shown: bool,
}

impl Bar {
    /// For the reading of these, which begins now.
    pub(super) fn of<'i>(inputs: impl IntoIterator<Item = &'i WholeLines>) -> Self {
        let mut size = Some(0_u64);
        let mut progress = Vec::new();
        for input in inputs {
            size = size.zip(input.size()).map(|(sum, one)| sum.saturating_add(one));
            progress.push(input.progress());
        }
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::hidden());
        let template = match size {
            Some(_) => "{bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
            None => "{spinner} {bytes}, {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let due = io::stderr().is_terminal().then(|| Instant::now() + PATIENCE);
        Self { bar, inputs: progress, lines: 0, due, shown: false }
    }

    /// Standard output, of which nothing is written into the bar.
    pub(super) fn stdout(&self) -> BesideBar {
        BesideBar { out: io::stdout(), bar: self.due.map(|_| self.bar.clone()) }
    }

    /// A line was read.
    #[inline]
    pub(super) fn step(&mut self) {
        self.lines += 1;
        if self.lines == LINES {
            self.lines = 0;
            self.look();
        }
    }

    #[cold]
    fn look(&mut self) {
        let Some(due) = self.due else { return };
        let now = Instant::now();
        if now < due {
            return;
        }
        if !self.shown {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(self.inputs.iter().map(Progress::bytes).sum());
        self.due = Some(now + MOVES);
    }

    /// All is read: the bar goes.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Standard output beside a bar on the same terminal.
pub(super) struct BesideBar {
    out: Stdout,
    bar: Option<ProgressBar>,
}

impl Write for BesideBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.write(bytes)),
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

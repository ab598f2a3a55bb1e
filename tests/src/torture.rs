//! Torture: writers at full speed under every kind of rotation, the daemon killed at random moments and at
//! chosen ones, and a model of what must have come of it: every line that matters counted once, each ban made,
//! none too many, every mail delivered once.
//!
//! The daemon is the real one, with nothing built in for this. Chosen moments are found from outside: somebody
//! else holds the database's write lock (a ban is in the kernel and can't be committed), the relay holds its
//! answer back, a row appears.

mod death;
mod ground;
mod ledger;
mod line;
mod relay;
mod report;
mod script;
mod verdict;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

pub use self::death::{Autopsy, Death, Point};
pub use self::report::page;
pub use self::script::Script;
pub use self::verdict::Verdict;

use self::ground::Ground;
use self::ledger::{Ledger, Remains};
use self::script::Desk;
use self::writer::{Setup, Writer};

/// How much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of everything that is random.
    pub seed: u64,
    /// Lines in all.
    pub lines: u64,
    /// Deaths at random moments, a sixth of them during the start.
    pub kills: u32,
    /// Deaths at each of the chosen moments.
    pub at_points: u32,
    /// Whether lines are written of which several make a ban (their count has to survive a death).
    pub together: bool,
    /// Whether rotated files are compressed before they were read, too.
    pub compress_unread: bool,
}

impl Default for Plan {
    /// A little.
    fn default() -> Self {
        Self {
            seed: 5,
            lines: 40_000,
            kills: 6,
            at_points: 1,
            together: false,
            compress_unread: true,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was written.
    pub script: Script,
    /// Each death, and what it left.
    pub deaths: Vec<(Death, Autopsy)>,
    /// What the model says.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// Everything that was written is read within this time after the last death.
const SETTLES: Duration = Duration::from_secs(180);

/// A chosen moment that doesn't come is tried so often.
const TRIES: u32 = 5;

/// Writers, each with a log of its own; the last one's is a symbolic link.
const LOGS: [&str; 4] = ["alpha.log", "beta.log", "gamma.log", "delta.log"];

/// Does it; `ravelin` is the program.
///
/// # Errors
/// Where something can't be made, or the daemon doesn't come up again. What is lost, doubled or wrong is in the
/// outcome.
pub fn run(plan: &Plan, ravelin: &Path, progress: impl Fn(&str)) -> Result<Outcome> {
    let begun = Instant::now();
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut ground = Ground::make(ravelin, &LOGS.map(str::to_owned))?;
    let ledger = Arc::new(Ledger::follow(&ground.state()));
    let desk = Arc::new(Desk::new(plan.together));
    let mut writers = Vec::new();
    for (index, name) in (0..).zip(LOGS) {
        let setup = Setup {
            index,
            name: name.to_owned(),
            linked: usize::from(index) + 1 == LOGS.len(),
            compress_unread: plan.compress_unread,
            seed: rng.u64(..),
        };
        writers.push(Writer::open(&setup, &ground.logs(), Arc::clone(&ledger), Arc::clone(&desk))?);
    }
    // The first start enters the logs at their end: it has to be over before anything may die.
    ground.start()?;
    ground.ready()?;
    for writer in &mut writers {
        writer.greet()?;
    }
    let each = plan.lines / u64::try_from(writers.len())?;
    let threads: Vec<_> = writers
        .into_iter()
        .map(|mut writer| thread::spawn(move || writer.write_all(each)))
        .collect();

    let schedule = death::schedule(plan.kills, plan.at_points, &mut rng);
    // Some of the lines are for moments that are tried again.
    let steps = u64::try_from(schedule.len())?;
    let share = each / (steps + steps / 2 + 1);
    let (mut deaths, mut limit) = (Vec::new(), 0);
    for (number, death) in (1..).zip(&schedule) {
        for _ in 0..TRIES {
            limit += share;
            desk.raise(limit);
            if !ground.is_alive() {
                ground.start()?;
            }
            let autopsy = death::die(*death, &mut ground, &ledger)?;
            ground.note(&format!("killed: {death}"))?;
            progress(&format!("{number} of {} deaths: {death}: {autopsy}", schedule.len()));
            let hit = autopsy.hit;
            deaths.push((*death, autopsy));
            // Some are missed at once, some for a while.
            if rng.bool() {
                thread::sleep(Duration::from_millis(rng.u64(0..150)));
            }
            if hit {
                break;
            }
        }
    }

    ground.start()?;
    ground.ready()?;
    ledger.open();
    desk.raise(u64::MAX);
    for thread in threads {
        match thread.join() {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    progress("everything is written: waiting until it has had its effect");
    let settled = settle(&ground, &ledger)?;
    let status = ground.status()?;
    ground.stop()?;
    let remains = Remains::of(ledger.path(), &ground.scratch())?;
    let script = desk.script().clone();
    let verdict = Verdict::reach(&script, &deaths, &ground, &remains, &status, settled)?;
    if !verdict.is_clean() {
        let evidence = std::env::temp_dir().join(format!("ravelin-torture-{}", plan.seed));
        ground.keep(&evidence)?;
        progress(&format!("faults: what is left of it is kept in {}", evidence.display()));
    }
    Ok(Outcome { script, deaths, verdict, took: begun.elapsed() })
}

/// Waits until all lines are read, what they caused is committed and mailed; whether that came.
fn settle(ground: &Ground, ledger: &Ledger) -> Result<bool> {
    let begun = Instant::now();
    let mut quiet = 0;
    while begun.elapsed() < SETTLES {
        let status = ground.status()?;
        let lag: u64 = status.sources.iter().map(|source| source.lag_bytes).sum();
        let waiting = ledger.number(
            "SELECT (SELECT count(*) FROM entries WHERE lane IN ('alert', 'backlog'))
                 + (SELECT count(*) FROM mails WHERE state = 'queued')",
        );
        // Twice in a row, with time to look at the path between.
        quiet = if lag == 0 && waiting == Some(0) { quiet + 1 } else { 0 };
        if quiet == 8 {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(false)
}

/// The program as built beside this one, or as RAVELIN_BIN says.
///
/// # Errors
/// Where it isn't there.
pub fn program() -> Result<PathBuf> {
    let path = match std::env::var_os("RAVELIN_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let this = std::env::current_exe()?;
            let dir = this.parent().unwrap_or(Path::new("."));
            let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
            dir.join("ravelin")
        }
    };
    ensure!(path.is_file(), "no program at {}: run this by `cargo xtask`", path.display());
    Ok(path)
}

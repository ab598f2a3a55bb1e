//! A flood from one address over two CPUs: what it costs that the ban's counters stay exact.

use std::sync::Barrier;
use std::thread;

use anyhow::Result;

use super::Spread;
use super::own_core;
use super::pieces::{Pieces, nanoseconds};

const TRIALS: usize = 5;
const REPEAT: u32 = 2_000_000;

/// One way of counting.
#[derive(Debug, serde::Serialize)]
pub struct Contention {
    /// The piece (`ebpf/src/variants.rs`).
    pub program: &'static str,
    /// What its counters are.
    pub counters: &'static str,
    /// Nanoseconds of a hit, the kernel's own included, while one CPU counts.
    pub alone_ns: Spread,
    /// And on each of two that count at the same time on the same ban.
    pub together_ns: Spread,
    /// Hits that weren't counted, of all: the worst trial.
    pub lost: f64,
}

/// Measures; `None` where there is only one CPU.
///
/// # Errors
/// Where the kernel refuses.
pub fn measure(source: [u8; 4], frame: &[u8]) -> Result<Option<Vec<Contention>>> {
    if cpus() < 2 {
        return Ok(None);
    }
    let ways = [("whole", "atomic (shipped)"), ("whole_plain", "plain")];
    let measured = ways.map(|(program, counters)| {
        let (mut alone, mut together, mut lost) = (Vec::new(), Vec::new(), 0.0_f64);
        for _ in 0..TRIALS {
            let mut pieces = Pieces::load()?;
            pieces.ban(source)?;
            alone.extend(on_cpus(&pieces, program, frame, 1)?);
            let before = pieces.bans()?.get(&source, 0)?.packets;
            together.extend(on_cpus(&pieces, program, frame, 2)?);
            let counted = pieces.bans()?.get(&source, 0)?.packets - before;
            let sent = 2 * u64::from(REPEAT);
            lost = lost.max(1.0 - counted as f64 / sent as f64);
        }
        Ok(Contention {
            program,
            counters,
            alone_ns: Spread::of(alone),
            together_ns: Spread::of(together),
            lost,
        })
    });
    measured.into_iter().collect::<Result<_>>().map(Some)
}

/// Runs it on the first so many CPUs at the same time: nanoseconds a hit on each.
fn on_cpus(pieces: &Pieces, program: &str, frame: &[u8], cpus: usize) -> Result<Vec<f64>> {
    let program = pieces.fd(program)?;
    let start = Barrier::new(cpus);
    thread::scope(|scope| {
        let runs: Vec<_> = (0..cpus)
            .map(|cpu| {
                let start = &start;
                scope.spawn(move || {
                    let taken = own_core::take(cpu);
                    start.wait();
                    taken?;
                    nanoseconds(program, frame, REPEAT).map(|(_, ns)| ns)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn cpus() -> usize {
    let online = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    online.lines().filter(|line| line.starts_with("processor")).count()
}

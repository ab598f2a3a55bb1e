//! Tortures the daemon, and writes `docs/torture.md`; arguments: seed, lines, deaths at random moments, deaths at
//! each chosen moment, minutes.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ravelin_tests::bench::report;
use ravelin_tests::torture::{self, Plan};

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let mut number = |what: &'static str| {
        let text = args.next().with_context(|| format!("expected {what}"))?;
        text.parse::<u64>().with_context(|| format!("expected {what} as a number, got `{text}`"))
    };
    let mut plan = Plan {
        seed: number("the seed")?,
        lines: number("lines")?,
        kills: u32::try_from(number("deaths")?)?,
        at_points: u32::try_from(number("deaths at each moment")?)?,
        ..Plan::default()
    };
    let minutes = Duration::from_secs(60 * number("minutes")?);
    let program = torture::program()?;
    let load = report::load();
    let begun = Instant::now();
    let mut rounds = Vec::new();
    loop {
        eprintln!("seed {}", plan.seed);
        let outcome = torture::run(&plan, &program, |what| eprintln!("{what}"))?;
        for fault in &outcome.verdict.faults {
            eprintln!("FAULT: {fault}");
        }
        rounds.push((plan.clone(), outcome));
        if begun.elapsed() >= minutes {
            break;
        }
        plan.seed += 1;
    }
    let page = torture::page(&report::machine(&load), &rounds);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/torture.md");
    std::fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
    println!("{page}");
    let clean = rounds.iter().all(|(_, outcome)| outcome.verdict.is_clean());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

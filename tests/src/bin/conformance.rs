//! Reads the shared corpora through the shipped packs and prints how well they are read; with a path as
//! argument, it writes that there as well.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ravelin_tests::conformance;

fn main() -> Result<ExitCode> {
    let Some(report) = conformance::run()? else { return Ok(ExitCode::SUCCESS) };
    println!("{report}");
    if let Some(path) = std::env::args_os().nth(1) {
        fs::write(&path, report.page())
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    let failures = report.failures();
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

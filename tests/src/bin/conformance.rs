//! Reads the shared corpora through the shipped packs and prints how well they are read.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use ravelin_tests::conformance;

fn main() -> Result<ExitCode> {
    let Some(report) = conformance::run()? else { return Ok(ExitCode::SUCCESS) };
    println!("{report}");
    println!("| file | lines | why |\n|---|---|---|\n{}", report.differences());
    let failures = report.failures();
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! How long a host is without its bans after a reboot: measures, writes `docs/benchmarks/restore.md`, prints
//! that page or JSON.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use ravelin_tests::bench::{report, restore};

fn main() -> ExitCode {
    match run(env::args().any(|arg| arg == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(json: bool) -> Result<()> {
    let load = report::load();
    let rows = restore::measure(&restore::program()?, |what| eprintln!("measuring: {what}"))?;
    let measured = restore::Restored { machine: report::machine(&load), rows };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/restore.md");
    let page = restore::page(&measured);
    fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{page}");
    }
    Ok(())
}

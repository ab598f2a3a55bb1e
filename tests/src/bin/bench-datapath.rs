//! What the data plane costs: measures, writes `docs/benchmarks/datapath.md` and its chart, prints that page
//! or JSON.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use ravelin_tests::bench::{Datapath, contention, cost, drops, pieces, report};

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
    let progress = |what: &str| eprintln!("measuring: {what}");
    let flooded = drops::measure(progress)?;
    let (source, frame) = cost::hit();
    progress("one source over two CPUs");
    let contention = contention::measure(source, &frame)?;
    let cost = cost::measure(0, progress)?;
    progress("the program in pieces");
    let pieces = pieces::measure(source, &frame)?;
    let measured = Datapath { machine: report::machine(&load), cost, pieces, contention, flooded };

    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks");
    fs::create_dir_all(&docs).with_context(|| format!("could not create {}", docs.display()))?;
    let path = docs.join("datapath.md");
    let page = report::page(&measured, &fs::read_to_string(&path).unwrap_or_default());
    fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
    fs::write(docs.join("datapath.svg"), report::chart(&measured.flooded))
        .context("could not write the chart")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{page}");
    }
    Ok(())
}

//! From a line written to the first packet dropped: measures, writes `docs/benchmarks/latency.md` and its plot,
//! prints that page or JSON.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use ravelin_tests::bench::{latency, report, restore};

/// What people have added stands between two of these.
const BY_HAND: &str = "<!-- by hand -->";

fn main() -> ExitCode {
    // The bans on each way, and perhaps `--json`.
    let bans = env::args().nth(1).and_then(|bans| bans.parse().ok()).unwrap_or(1_000);
    match run(bans, env::args().any(|arg| arg == "--json")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bans: u32, json: bool) -> Result<()> {
    let load = report::load();
    let (rows, skipped) =
        latency::measure(&restore::program()?, bans, |what| eprintln!("measuring: {what}"))?;
    let measured = latency::Latencies { machine: report::machine(&load), rows, skipped };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks");
    let path = folder.join("latency.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let by_hand = before.split(BY_HAND).nth(1).unwrap_or("\n");
    let page = format!("{}\n{BY_HAND}{by_hand}{BY_HAND}\n", latency::page(&measured));
    fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
    fs::write(folder.join("latency.svg"), latency::chart(&measured))
        .context("could not write the plot")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{page}");
    }
    Ok(())
}

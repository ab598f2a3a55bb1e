//! What the data plane costs: measures, writes `docs/benchmarks/datapath.md` and its chart, prints that page
//! or JSON.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use ravelin_tests::bench::{Datapath, contention, cost, drops, pieces, report};

fn main() -> ExitCode {
    match Options::parse(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// As `cargo xtask bench datapath` passes them on.
#[derive(Default)]
struct Options {
    json: bool,
    only: Option<String>,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--json" => options.json = true,
                "--only" => options.only = Some(args.next().context("--only: which part?")?),
                other => bail!("expected --json or --only drops|cost|pieces, got {other}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn run(options: &Options) -> Result<()> {
    let load = report::load();
    let progress = |what: &str| eprintln!("measuring: {what}");
    let mut failed = Vec::new();
    let mut keep = |part: &str, error: anyhow::Error| failed.push(format!("{part}: {error:#}"));

    let flooded = options.wants("drops").then(|| drops::measure(progress));
    let (mut costs, mut parts, mut counted) = (None, None, None);
    if options.wants("cost") {
        cost::measure(0, progress)
            .map_or_else(|error| keep("cost", error), |measured| costs = Some(measured));
    }
    if options.wants("pieces") {
        let (source, frame) = cost::hit();
        progress("the program in pieces");
        pieces::measure(0, source, &frame)
            .map_or_else(|error| keep("pieces", error), |measured| parts = Some(measured));
        progress("one source over two CPUs");
        contention::measure(source, &frame)
            .map_or_else(|error| keep("contention", error), |measured| counted = measured);
    }
    let machine = report::machine(&load);
    let measured =
        Datapath { machine, flooded, cost: costs, pieces: parts, contention: counted, failed };

    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks");
    let path = docs.join("datapath.md");
    let page = report::page(&measured, &fs::read_to_string(&path).unwrap_or_default());
    if options.only.is_none() {
        fs::create_dir_all(&docs)
            .with_context(|| format!("could not create {}", docs.display()))?;
        fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
        if let Some(flooded) = &measured.flooded {
            fs::write(docs.join("datapath.svg"), report::chart(flooded))
                .context("could not write the chart")?;
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{page}");
    }
    Ok(())
}

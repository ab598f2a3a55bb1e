//! `cargo xtask bench pipeline`: lines a second from a file to alerts, on one core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::logs::{self, Log};
use super::report::{self, Row};
use super::timing::{Measured, best_of};
use super::{memory, peers};
use crate::build_ebpf;
use crate::cargo::{cargo, must, root, target_dir};

/// fail2ban-regex reads so many lines, and its time is multiplied: it takes half a minute for all.
const TENTH: usize = 50_000;

/// How fast log lines are read: Ravelin, fail2ban-regex, fail2ban-rs and ripgrep, on the same files.
///
/// Whole processes, each on one core, taking turns; the best time of each counts. Builds Ravelin's
/// release, makes the logs (seeded) in target/bench, and writes docs/benchmarks/pipeline.md. On Debian as
/// root it installs ripgrep and fail2ban where they are missing; fail2ban-rs comes from crates.io.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the figures as one JSON document
    #[arg(long)]
    json: bool,
    /// Measure what has been built before, and build nothing
    #[arg(long)]
    no_build: bool,
    /// How often each program runs
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: u32,
    /// The core that all of them run on
    #[arg(long, default_value_t = 1, value_name = "N")]
    core: usize,
}

pub(super) fn run(args: &Args) -> Result<()> {
    peers::provision()?;
    if !args.no_build {
        build_ebpf::run(&build_ebpf::Args::default())?;
        must(release_build().args(["build", "--locked", "--release", "-p", "ravelin"]))?;
    }
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;

    let rounds = args.rounds.max(1);
    let mut rows = Vec::new();
    for log in Log::ALL {
        let path = log.make(&folder)?;
        eprintln!("Measuring {}", log.name());
        let commands = [ours(log, &path), ripgrep(log, &path)];
        let [ravelin, rg] = best_of(rounds, args.core, &commands)?[..] else { continue };
        rows.push(Row::new(log, "ravelin replay", ravelin, rg, commands[0].line()));
        rows.push(Row::new(log, "rg -c", rg, rg, commands[1].line()));
        if log == Log::Attack {
            let (row, command) = fail2ban_regex(&path, args.core)?;
            rows.push(Row::new(log, "fail2ban-regex", row, rg, command));
        }
        if matches!(log, Log::Attack | Log::Usual) {
            match fail2ban_rs(&folder, &path, args) {
                Ok((time, command)) => {
                    rows.push(Row::new(log, "fail2ban-rs dry-run", time, rg, command));
                }
                Err(error) => eprintln!("fail2ban-rs is left out: {error:#}"),
            }
        }
    }

    let mut peaks = Vec::new();
    for log in Log::FLOODS {
        eprintln!("Measuring memory on {}", log.name());
        peaks.push(memory::peak(&target_dir().join("release/ravelin"), log)?);
    }

    let docs = root().join("docs/benchmarks");
    fs::create_dir_all(&docs).with_context(|| format!("could not make {}", docs.display()))?;
    report::write(&docs.join("pipeline.md"), &rows, &peaks, rounds)?;
    fs::write(docs.join("pipeline.svg"), report::chart(&rows))
        .context("could not write the plot")?;
    if args.json {
        println!("{}", report::json(&rows, &peaks));
    } else {
        print!("{}", report::table(&rows, &peaks));
    }
    Ok(())
}

/// Cargo without what `cargo run` tells us of this crate: ring's build script looks at it, and would
/// build everything that needs TLS anew each time we take turns with a plain `cargo build`.
pub(super) fn release_build() -> Command {
    let mut build = cargo();
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    build
}

fn ours(log: Log, path: &Path) -> Measured {
    let program = target_dir().join("release/ravelin");
    let words = [program.as_os_str(), "replay".as_ref(), "--format".as_ref()];
    Measured::new(words.into_iter().chain([log.format().as_ref(), path.as_os_str()]))
}

fn ripgrep(log: Log, path: &Path) -> Measured {
    Measured::new(["rg".as_ref(), "-Fc".as_ref(), log.literal().as_ref(), path.as_os_str()])
}

/// Its time for all lines, worked out from a tenth of them, and the command.
fn fail2ban_regex(path: &Path, core: usize) -> Result<(Duration, String)> {
    let head = logs::head(path, TENTH)?;
    let words = ["fail2ban-regex", "--print-no-missed", "--print-no-ignored"].map(PathBuf::from);
    let command = Measured::new(words.into_iter().chain([head, PathBuf::from("sshd")]));
    let [time] = best_of(1, core, std::slice::from_ref(&command))?[..] else {
        return Ok((Duration::MAX, command.line()));
    };
    Ok((time * (Log::Attack.lines() / 50_000), command.line()))
}

fn fail2ban_rs(folder: &Path, path: &Path, args: &Args) -> Result<(Duration, String)> {
    let (program, config) = peers::fail2ban_rs(folder, args.no_build)?;
    let words = [program.as_os_str(), "--config".as_ref(), config.as_os_str(), "dry-run".as_ref()];
    let command = Measured::new(words.into_iter().chain([
        path.as_os_str(),
        "--jail".as_ref(),
        "sshd".as_ref(),
    ]));
    let times = best_of(args.rounds.max(1), args.core, std::slice::from_ref(&command))?;
    Ok((times[0], command.line()))
}

//! `cargo xtask fuzz`: hostile input by the million.
//!
//! The targets are libFuzzer's, in a workspace of their own (`fuzz/`). `cargo fuzz` would want a nightly toolchain
//! for its sanitizers; our own rooms have no unsafe code for those to look at, and coverage needs nothing but
//! stable flags, so cargo is called here as `cargo fuzz` would call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::build_ebpf;
use crate::cargo::{cargo, must, root, target_dir};

/// What `cargo fuzz` gives rustc, but for the sanitizer.
const FLAGS: [&str; 7] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Seconds that an input may take, and megabytes.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

/// Fuzzes: formats, packs, matcher, the engine as a whole, and the packet parser of the XDP program.
///
/// Builds each target and runs it for some minutes, one after the other, and stops at the first finding, which is
/// then in fuzz/artifacts/TARGET. What a target has found interesting stays in fuzz/corpus/TARGET, and the next run
/// begins there. Needs a C++ compiler (libFuzzer), and no nightly toolchain.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which [default: all of them]
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// For how long each
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u32,
    /// Run this input and nothing else, such as one in fuzz/artifacts/TARGET
    #[arg(long, value_name = "FILE", requires = "targets")]
    input: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    Engine,
    Syslog,
    SuricataFast,
    SuricataEve,
    Plain,
    Forgery,
    Packs,
    Matcher,
    Packet,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Syslog => "syslog",
            Self::SuricataFast => "suricata-fast",
            Self::SuricataEve => "suricata-eve",
            Self::Plain => "plain",
            Self::Forgery => "forgery",
            Self::Packs => "packs",
            Self::Matcher => "matcher",
            Self::Packet => "packet",
        }
    }

    const fn dictionary(self) -> Option<&'static str> {
        match self {
            Self::Engine
            | Self::Syslog
            | Self::SuricataFast
            | Self::SuricataEve
            | Self::Plain
            | Self::Forgery => Some("lines"),
            Self::Packs => Some("packs"),
            Self::Matcher | Self::Packet => None,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let targets = match args.targets.as_slice() {
        [] => Target::value_variants(),
        targets => targets,
    };
    build_ebpf::run(&build_ebpf::Args::default())?;
    let folder = build(targets)?;
    let fuzz = root().join("fuzz");
    for target in targets {
        let program = folder.join(target.name());
        match &args.input {
            Some(input) => must(Command::new(program).args(LIMITS).arg(input))?,
            None => must(&mut fuzzing(*target, &program, &fuzz, args.minutes)?)?,
        }
    }
    Ok(())
}

/// Builds the targets; where they are then.
fn build(targets: &[Target]) -> Result<PathBuf> {
    let host = host()?;
    // `--target` keeps the flags from build scripts and macros, which run without libFuzzer.
    let mut build = cargo();
    build
        .current_dir(root().join("fuzz"))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .args(["build", "--locked", "--release", "--target", &host, "--target-dir"])
        .arg(target_dir());
    for target in targets {
        build.args(["--bin", target.name()]);
    }
    must(&mut build)?;
    Ok(target_dir().join(host).join("release"))
}

fn fuzzing(target: Target, program: &Path, fuzz: &Path, minutes: u32) -> Result<Command> {
    let folder = |kind: &str| {
        let folder = fuzz.join(kind).join(target.name());
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        Ok::<_, anyhow::Error>(folder)
    };
    let corpus = folder("corpus")?;
    let artifacts = folder("artifacts")?;
    let seconds = u64::from(minutes) * 60;
    let mut fuzzing = Command::new(program);
    fuzzing
        .current_dir(fuzz)
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1");
    if let Some(dictionary) = target.dictionary() {
        fuzzing.arg(format!("-dict=dictionaries/{dictionary}.dict"));
    }
    // What is found goes to the first folder; the others are read.
    fuzzing.arg(corpus);
    let seeds = fuzz.join("seeds").join(target.name());
    if seeds.is_dir() {
        fuzzing.arg(seeds);
    }
    eprintln!("Fuzzing {} for {minutes} minutes", target.name());
    Ok(fuzzing)
}

/// This machine's target triple.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(root())
        .arg("-vV")
        .output()
        .context("could not start rustc")?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("expected a line `host: ...` from `rustc -vV`, got `{}`", said.trim()),
    }
}

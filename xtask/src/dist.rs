//! `cargo xtask dist`: the Debian package and the static tarball.

mod deb;
mod root;
mod stage;
mod tarball;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build_ebpf;
use crate::cargo::{cargo, must, quietly, target_dir};

pub(crate) use self::root::provide as provide_root;

/// Builds what is shipped: a Debian package and a static tarball, in target/dist.
///
/// In them are the program with the XDP object inside, the packs to read, an example configuration, the
/// systemd unit, manual pages, and completions for bash, zsh and fish (docs/install.md).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Package the debug build as it is there, and only as a Debian package: for tests
    #[arg(long)]
    debug: bool,
    /// Put the results here [default: target/dist]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let work = crate::cargo::root().join("target/dist");
    let out = args.out.clone().unwrap_or_else(|| work.clone());
    fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let program = if args.debug { built()? } else { build()? };
    let pages = program.with_file_name("ravelin-packaging");
    let stage = stage::fill(&work.join("stage"), &program, &pages)?;
    told(&deb::build(&out, args.debug)?);
    if !args.debug {
        told(&tarball::build(&out, &stage)?);
    }
    Ok(())
}

/// Builds `ravelin`, and beside it what writes its manual pages; gives the path of `ravelin`.
fn build() -> Result<PathBuf> {
    build_ebpf::run(&build_ebpf::Args::default())?;
    let mut build = cargo();
    // By themselves: what tests ask of the libraries isn't shipped.
    build.args(["build", "--locked", "--release", "--package", "ravelin"]);
    build.args([
        "--package",
        "ravelin-packaging",
        "--bin",
        "ravelin",
        "--bin",
        "ravelin-packaging",
    ]);
    must(&mut build)?;
    Ok(target_dir().join("release/ravelin"))
}

/// `ravelin` as `cargo xtask test` has built it before it runs the tests.
fn built() -> Result<PathBuf> {
    let program = target_dir().join("debug/ravelin");
    ensure!(
        program.is_file(),
        "{} isn't built: `cargo build --workspace --exclude ravelin-ebpf --bins`",
        program.display()
    );
    Ok(program)
}

/// A program without what only a debugger reads.
fn strip(from: &Path, to: &Path) -> Result<()> {
    quietly(Command::new("strip").arg("--strip-unneeded").arg("-o").arg(to).arg(from))
}

fn told(path: &Path) {
    println!("{}", path.display());
}

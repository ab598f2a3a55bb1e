//! `cargo xtask dist`: the Debian package and the static tarball.

mod deb;
mod root;
mod stage;
mod tarball;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build_ebpf;
use crate::cargo::{HOST_CRATES, cargo, must, quietly, target_dir};

pub(crate) use self::root::provide as provide_root;

/// Builds what is shipped: a Debian package and a static tarball, in target/dist.
///
/// In them are the program with the XDP object inside, the packs to read, an example configuration, the
/// systemd unit, manual pages, and completions for bash, zsh and fish (docs/install.md).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Package the debug build, and only as a Debian package: for tests
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
    build_ebpf::run(&build_ebpf::Args::default())?;

    let program = build(args.debug)?;
    let stage =
        stage::fill(&work.join("stage"), &program, &program.with_file_name("ravelin-packaging"))?;
    told(&deb::build(&out, args.debug)?);
    if !args.debug {
        told(&tarball::build(&out, &stage)?);
    }
    Ok(())
}

/// Builds `ravelin`, and beside it what writes its manual pages; gives the path of `ravelin`.
fn build(debug: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.arg("build");
    if debug {
        // As all other tasks build it, so that nothing is built twice.
        build.args(HOST_CRATES);
    } else {
        // By itself: what tests ask of the libraries isn't shipped.
        build.args([
            "--locked",
            "--release",
            "--package",
            "ravelin",
            "--package",
            "ravelin-packaging",
        ]);
    }
    must(build.args(["--bin", "ravelin", "--bin", "ravelin-packaging"]))?;
    Ok(target_dir().join(if debug { "debug" } else { "release" }).join("ravelin"))
}

/// A program without what only a debugger reads.
fn strip(from: &Path, to: &Path) -> Result<()> {
    quietly(Command::new("strip").arg("--strip-unneeded").arg("-o").arg(to).arg(from))
}

fn told(path: &Path) {
    println!("{}", path.display());
}

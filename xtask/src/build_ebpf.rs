//! `cargo xtask build-ebpf`: builds the XDP program, with whichever toolchain the machine has.
//!
//! The object lies at `target/bpf/ravelin.bpf.o` of the workspace wherever cargo's own target directory
//! is, so that `userspace/build.rs` and the tests find it.

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

use self::toolchain::{Core, Toolchain};
use crate::cargo::{quietly, root};

const TARGET: &str = "bpfel-unknown-none";
const CRATE: &str = "ravelin-ebpf";
/// The program in pieces, for the bench.
const VARIANTS: &str = "ravelin-ebpf-variants";
/// What the object is built from.
const SOURCES: [&str; 6] = [
    "common",
    "ebpf",
    "Cargo.toml",
    "Cargo.lock",
    "xtask/src/build_ebpf.rs",
    "xtask/src/build_ebpf",
];
/// The map that aya-log's macros bring along: an object that has it is a debugging build.
const LOG_MAP: &[u8] = b"AYA_LOGS";

/// Build the XDP program into target/bpf/ravelin.bpf.o, unless it is up to date.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// A program that logs what it decides (aya-log). For debugging only: it is slow, and drop rates are
    /// in the attacker's hand.
    #[arg(long)]
    debug: bool,
}

/// Builds the object.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = root();
    let object = workspace.join("target/bpf/ravelin.bpf.o");
    if up_to_date(&object, workspace, args.debug)? {
        return Ok(());
    }
    let toolchain = Toolchain::find_or_install()?;
    eprintln!("Building the XDP program with {toolchain}");
    let built = build(&toolchain, workspace, CRATE, args.debug)?;
    publish(&built, &object)
}

/// Builds the program in pieces, for the bench, into target/bpf/variants.bpf.o.
pub(crate) fn variants() -> Result<()> {
    let workspace = root();
    let object = workspace.join("target/bpf/variants.bpf.o");
    if up_to_date(&object, workspace, false)? {
        return Ok(());
    }
    let toolchain = Toolchain::find_or_install()?;
    eprintln!("Building the XDP program in pieces with {toolchain}");
    publish(&build(&toolchain, workspace, VARIANTS, false)?, &object)
}

/// Whether the object is of the wanted kind and newer than everything it is built from.
fn up_to_date(object: &Path, workspace: &Path, debug: bool) -> Result<bool> {
    let Ok(elf) = fs::read(object) else { return Ok(false) };
    if check(&elf).is_err() || contains(&elf, LOG_MAP) != debug {
        return Ok(false);
    }
    let built = modified(object)?;
    for source in SOURCES {
        if newest(&workspace.join(source))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When the newest file at or below `path` was changed; a directory counts, since it changes when a file
/// in it goes.
fn newest(path: &Path) -> Result<SystemTime> {
    let mut newest = modified(path)?;
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("failed to read {path:?}"))? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path)
        .and_then(|meta| meta.modified())
        .with_context(|| format!("failed to read the time of {path:?}"))
}

/// Runs cargo; gives the path of the binary that it built.
fn build(toolchain: &Toolchain, workspace: &Path, binary: &str, debug: bool) -> Result<PathBuf> {
    let directory = workspace.join("target/bpf/build");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "--release", "--package", CRATE, "--target", TARGET])
        .args(["--bin", binary])
        .arg("--target-dir")
        .arg(&directory)
        // bpf-linker optimises across crates itself.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&toolchain.linker))
        // The program needs one unstable intrinsic (ebpf/src/shared.rs).
        .env("RUSTC_BOOTSTRAP", "1");
    if matches!(toolchain.core, Core::BuildStd) {
        cargo.args(["-Z", "build-std=core"]);
    }
    if debug {
        cargo.args(["--features", "log"]);
    }
    quietly(&mut cargo)?;
    Ok(directory.join(TARGET).join("release").join(binary))
}

/// Flags as `CARGO_ENCODED_RUSTFLAGS` wants them: a path may have spaces.
fn rustflags(linker: &Path) -> String {
    [&format!("-Clinker={}", linker.display()), "-Cdebuginfo=2", "-Clink-arg=--btf"].join("\x1f")
}

/// Puts the object in its place in one step: whoever reads it meanwhile has the old or the new one.
fn publish(built: &Path, object: &Path) -> Result<()> {
    let elf = fs::read(built).with_context(|| format!("failed to read {built:?}"))?;
    check(&elf).with_context(|| format!("{built:?} isn't the XDP program"))?;
    let partial = object.with_extension("o.partial");
    fs::write(&partial, &elf).with_context(|| format!("failed to write {partial:?}"))?;
    fs::rename(&partial, object).with_context(|| format!("failed to write {object:?}"))
}

/// A cheap look at the ELF: right machine, program for frames in several buffers, type information.
fn check(elf: &[u8]) -> Result<()> {
    /// `EM_BPF` of `linux/elf-em.h`, at the place of `e_machine`.
    const EM_BPF: [u8; 2] = 247_u16.to_le_bytes();
    ensure!(elf.starts_with(b"\x7fELF"), "expected an ELF file");
    ensure!(elf.get(18..20) == Some(&EM_BPF), "expected an ELF file for BPF");
    for section in ["xdp.frags", ".BTF", "license"] {
        ensure!(contains(elf, format!("{section}\0").as_bytes()), "expected a section `{section}`");
    }
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

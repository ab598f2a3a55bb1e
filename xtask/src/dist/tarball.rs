//! The static tarball: one program that runs on every Linux, and what belongs to it.
//!
//! musl is preferred, where this machine has Rust's target for it and a C compiler; elsewhere the same
//! program is linked statically with glibc, whose resolver then knows files and DNS and no other modules.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::strip;
use crate::cargo::{cargo, must, quietly, root, target_dir};

const ARCH: &str = std::env::consts::ARCH;

/// Builds the program once more, statically, and packs it with the stage's other files.
pub(super) fn build(out: &Path, stage: &Path) -> Result<PathBuf> {
    let (target, musl) = match musl_compiler() {
        Some(compiler) => (format!("{ARCH}-unknown-linux-musl"), Some(compiler)),
        None => (format!("{ARCH}-unknown-linux-gnu"), None),
    };
    let mut build = cargo();
    build
        .args(["build", "--locked", "--release", "--package", "ravelin", "--bin", "ravelin"])
        .args(["--target", &target]);
    match musl {
        Some(compiler) => build.env(format!("CC_{}", target.replace('-', "_")), compiler),
        None => {
            eprintln!(
                "No {ARCH}-unknown-linux-musl with musl-gcc here: linking statically with glibc"
            );
            build.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        }
    };
    must(&mut build)?;

    let name = format!("ravelin-{}-{target}", env!("CARGO_PKG_VERSION"));
    let folder = stage.with_file_name(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("could not remove {}", folder.display()))?;
    }
    quietly(Command::new("cp").arg("-a").arg(stage).arg(&folder))?;
    strip(&target_dir().join(&target).join("release/ravelin"), &folder.join("ravelin"))?;
    for file in [
        "packaging/debian/ravelin.service",
        "packaging/ravelin.yaml",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "README.md",
        "CHANGELOG.md",
    ] {
        let from = root().join(file);
        let name = from.file_name().unwrap_or(OsStr::new(file));
        fs::copy(&from, folder.join(name)).with_context(|| format!("could not copy {file}"))?;
    }

    let tarball = out.join(format!("{name}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--auto-compress").arg("--file").arg(&tarball);
    // The same content gives the same file, whoever packs it.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go=u,go-w"]);
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        tar.arg(format!("--mtime=@{epoch}"));
    }
    quietly(tar.arg("--directory").arg(folder.with_file_name("")).arg(&name))?;
    fs::remove_dir_all(&folder)
        .with_context(|| format!("could not remove {}", folder.display()))?;
    Ok(tarball)
}

/// A C compiler for musl, where Rust can build for it too.
fn musl_compiler() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = format!("{ARCH}-unknown-linux-musl");
    let output = Command::new(rustc)
        .current_dir(root())
        .args(["--print", "target-libdir", "--target", &target])
        .output()
        .ok()?;
    let libraries = String::from_utf8(output.stdout).ok()?;
    let has_std = fs::read_dir(libraries.trim())
        .ok()?
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"));
    let compiler = PathBuf::from("/usr/bin/musl-gcc");
    (has_std && compiler.exists()).then_some(compiler)
}

//! The Debian package, by cargo-deb, as `packaging/Cargo.toml` describes it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{cargo, quietly, root};

/// The one that `packaging/Cargo.toml` was written for.
const VERSION: &str = "3.8.0";

/// Packages the stage; gives the package's path.
pub(super) fn build(out: &Path, fast: bool) -> Result<PathBuf> {
    let tool = tool()?;
    let mut deb = std::process::Command::new(&tool);
    deb.current_dir(root())
        .args(["deb", "--no-build", "--no-strip", "--locked", "--offline", "--manifest-path"])
        .arg(root().join("packaging/Cargo.toml"))
        .arg("--output")
        .arg(out);
    if fast {
        deb.arg("--fast");
    }
    for old in packages(out)? {
        fs::remove_file(&old).with_context(|| format!("could not remove {}", old.display()))?;
    }
    quietly(&mut deb)?;
    match &packages(out)?[..] {
        [package] => Ok(package.clone()),
        others => {
            bail!("expected cargo-deb to make one package in {}, got {others:?}", out.display())
        }
    }
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?
    {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            packages.push(file);
        }
    }
    Ok(packages)
}

/// cargo-deb of that version, in target/tools, built where it isn't there yet.
fn tool() -> Result<PathBuf> {
    let tools = root().join("target/tools").join(format!("cargo-deb-{VERSION}"));
    let tool = tools.join("bin/cargo-deb");
    if tool.is_file() {
        return Ok(tool);
    }
    eprintln!("Building cargo-deb {VERSION} into target/tools; this takes a minute or two");
    let mut install = cargo();
    // A crate on the way may bring a rust-toolchain.toml, which rustup would obey.
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        install.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    install
        .env("RUSTUP_AUTO_INSTALL", "0")
        .args(["install", "cargo-deb", "--version", VERSION, "--locked", "--root"])
        .arg(&tools)
        // It runs for a second; what takes its time is building it.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env_remove("CARGO_TARGET_DIR");
    quietly(&mut install)?;
    Ok(tool)
}

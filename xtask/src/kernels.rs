//! Kernels of other versions for the tests (`tests/tests/kernels.rs`), and the machine to boot them in.
//!
//! They are taken from Debian's packages and unpacked under `target/kernels`: nothing of them is installed.
//! Whatever can't be had here is said, and the tests that need it skip themselves.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::apt;
use crate::cargo::root;

/// The oldest that Ravelin is tested on, and the one of Debian 13.
const SERIES: [&str; 2] = ["6.1", "6.12"];
const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Makes sure of them, where that is possible.
pub(crate) fn provide() {
    if !cfg!(target_arch = "x86_64") || !apt::can_install() {
        eprintln!("Other kernels are tested only on Debian for x86-64, as root");
        return;
    }
    let missing: Vec<&str> = SERIES.into_iter().filter(|series| !is_there(series)).collect();
    if missing.is_empty() && Path::new(QEMU).exists() {
        return;
    }
    if let Err(error) = fetch(&missing) {
        eprintln!("Some kernels won't be tested: {error:#}");
    }
}

fn fetch(missing: &[&str]) -> Result<()> {
    if Path::new(QEMU).exists() {
        apt::update()?;
    } else {
        eprintln!("Installing qemu-system-x86, which boots other kernels");
        apt::install(&["qemu-system-x86"])?;
    }
    for series in missing {
        let Some(package) = newest(series)? else {
            eprintln!("No Linux {series} among this machine's packages: it won't be tested");
            continue;
        };
        eprintln!("Fetching {package} into target/kernels, for tests; it isn't installed");
        let dir = root().join("target/kernels").join(series);
        // In one step, so that what is there is whole.
        let partial = dir.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("failed to remove {partial:?}"))?;
        }
        apt::unpack(&package, &partial)?;
        fs::rename(&partial, &dir).with_context(|| format!("failed to rename {partial:?}"))?;
    }
    Ok(())
}

fn is_there(series: &str) -> bool {
    root().join("target/kernels").join(series).join("boot").is_dir()
}

/// The newest kernel package of a series for virtual machines: it has few drivers, and the ones we need.
fn newest(series: &str) -> Result<Option<String>> {
    let pattern = format!(r"^linux-image-{}\.[0-9].*-cloud-amd64$", series.replace('.', r"\."));
    let mut packages = apt::search(&pattern)?;
    packages.sort_by_cached_key(|package| numbers(package));
    Ok(packages.pop())
}

/// The numbers in a name, so that 9 comes before 10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

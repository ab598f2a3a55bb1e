//! A clean Debian 12 for the package's test (`tests/tests/package.rs`), made once by debootstrap.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt;
use crate::cargo::{quietly, root};

const DEBOOTSTRAP: &str = "/usr/sbin/debootstrap";
const RELEASE: &str = "bookworm";

/// Makes sure of `target/debian/bookworm`, where that is possible; otherwise the test skips itself.
pub(crate) fn provide() {
    let dir = root().join("target/debian").join(RELEASE);
    if dir.is_dir() {
        return;
    }
    if !apt::can_install() {
        eprintln!("The package is tested only on Debian, as root");
        return;
    }
    if let Err(error) = make(&dir) {
        eprintln!("The package won't be tested: {error:#}");
    }
}

fn make(dir: &Path) -> Result<()> {
    if !Path::new(DEBOOTSTRAP).exists() {
        apt::install(&["debootstrap"])?;
    }
    eprintln!(
        "Making a clean Debian 12 in target/debian, for the package's test; this takes a minute"
    );
    // In one step, so that what is there is whole.
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("could not remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial)
        .with_context(|| format!("could not make {}", partial.display()))?;
    quietly(Command::new(DEBOOTSTRAP).args(["--variant=minbase", RELEASE]).arg(&partial))?;
    fs::rename(&partial, dir).with_context(|| format!("could not rename {}", partial.display()))
}

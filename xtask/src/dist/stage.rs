//! Everything that is shipped, in one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{strip, trial};
use crate::cargo::{quietly, root};

/// Fills the folder anew: `ravelin`, `ravelin-trial.service`, `rules`, `docs`, `man`, `completions`.
pub(super) fn fill(stage: &Path, program: &Path, pages: &Path) -> Result<PathBuf> {
    if stage.exists() {
        fs::remove_dir_all(stage)
            .with_context(|| format!("could not remove {}", stage.display()))?;
    }
    make(stage)?;
    strip(program, &stage.join("ravelin"))?;
    copy(&root().join("rules"), "yaml", &stage.join("rules"))?;
    for kind in ["md", "png"] {
        copy(&root().join("docs"), kind, &stage.join("docs"))?;
    }
    for kind in ["json", "yaml"] {
        copy(&root().join("docs/grafana"), kind, &stage.join("docs/grafana"))?;
    }
    let unit = root().join("packaging/debian/ravelin.service");
    let unit =
        fs::read_to_string(&unit).with_context(|| format!("could not read {}", unit.display()))?;
    fs::write(stage.join("ravelin-trial.service"), trial::unit(&unit)?)
        .context("could not write the trial's unit")?;
    quietly(Command::new(pages).arg(stage))?;
    Ok(stage.to_owned())
}

/// Copies a folder's files of one kind.
fn copy(from: &Path, extension: &str, to: &Path) -> Result<()> {
    make(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let file = entry?.path();
        let Some(name) = file.file_name() else { continue };
        if file.extension().is_some_and(|found| found == extension) {
            fs::copy(&file, to.join(name))
                .with_context(|| format!("could not copy {}", file.display()))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))
}

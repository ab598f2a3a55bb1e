//! Kernels of Debian's cloud images, as `cargo xtask test` unpacks them under `target/kernels`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What a virtual machine's network card needs, in the order in which they load. A kernel that has one
/// built in has no such file.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// `vmlinuz`.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The kernel of a series such as `6.1`; `None` where it isn't there.
    pub fn find(series: &str) -> Option<Self> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kernels").join(series);
        let image = fs::read_dir(unpacked.join("boot")).ok()?.find_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_str()?.starts_with("vmlinuz-").then(|| entry.path())
        })?;
        Some(Self { image, modules: unpacked.join("lib/modules") })
    }

    /// The modules, each with its name, in the order in which they load.
    pub(super) fn modules(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut found = Vec::new();
        collect(&self.modules, &mut found)
            .with_context(|| format!("could not read {}", self.modules.display()))?;
        let mut modules = Vec::new();
        for name in MODULES {
            let (plain, packed) = (format!("{name}.ko"), format!("{name}.ko.xz"));
            let has_name = |path: &&PathBuf| {
                path.file_name().is_some_and(|file| *file == *plain || *file == *packed)
            };
            let Some(path) = found.iter().find(has_name) else { continue };
            let content = if path.extension().is_some_and(|extension| extension == "xz") {
                unpack(path)?
            } else {
                fs::read(path).with_context(|| format!("could not read {}", path.display()))?
            };
            modules.push((name, content));
        }
        Ok(modules)
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let packed = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .stdin(packed)
        .stderr(Stdio::inherit())
        .output()
        .context("could not start xz (xz-utils)")?;
    ensure!(output.status.success(), "xz ended with {} at {}", output.status, path.display());
    Ok(output.stdout)
}

//! The machine's file system: a cpio archive in the format `newc`, as
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// An archive that grows.
#[derive(Default)]
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    inodes: u32,
    there: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// Adds a program of this machine under its own path, with the libraries it is linked to.
    pub(super) fn program(&mut self, path: &Path) -> Result<()> {
        self.copy(path, path)?;
        self.libraries_of(path)
    }

    /// Adds the libraries that a program is linked to.
    pub(super) fn libraries_of(&mut self, program: &Path) -> Result<()> {
        let output = Command::new("ldd").arg(program).output().context("could not start ldd")?;
        ensure!(
            output.status.success(),
            "ldd ended with {} at {}",
            output.status,
            program.display()
        );
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(library), Path::new(library))?;
        }
        Ok(())
    }

    /// Adds a file of this machine under another path.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let content =
            fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
        self.file(to, &content)
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        if self.there.insert(path.to_owned()) {
            self.entry(path, EXECUTABLE, content)?;
        }
        Ok(())
    }

    /// Adds a directory and those above it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        let mut above: Vec<_> = path.ancestors().collect();
        above.reverse();
        for path in above {
            if path != Path::new("/") && self.there.insert(path.to_owned()) {
                self.entry(path, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(Path::new("/TRAILER!!!"), 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let name = path.to_str().with_context(|| format!("{} isn't UTF-8", path.display()))?;
        let name = name.trim_start_matches('/');
        self.inodes += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let (size, name_size) = (u32::try_from(content.len())?, u32::try_from(name.len() + 1)?);
        self.bytes.extend(b"070701");
        // Inode, mode, owner, group, links, time, size, device (2), special device (2), name, checksum.
        for field in [self.inodes, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    /// Names and contents end on boundaries of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

//! Calling cargo and other programs from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Everything but the XDP program, which builds for another target only. All tasks build this same set:
/// another one would enable other features of the libraries, and build those again.
pub(crate) const HOST_CRATES: [&str; 4] = ["--locked", "--workspace", "--exclude", "ravelin-ebpf"];

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate's folder lies in the workspace's root")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Cargo, the one that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command to its end; anything but success is an error.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("could not start {}", line_of(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line_of(command));
    }
    Ok(())
}

/// Like [`must`], and shows what the command printed only where it failed.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output =
        command.output().with_context(|| format!("could not start {}", line_of(command)))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{} ended with {}", line_of(command), output.status);
    }
    Ok(())
}

/// Becomes the command, so that signals and the exit code are its own; returns only where it can't.
pub(crate) fn become_it(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(error).with_context(|| format!("could not start {}", line_of(command)))
}

/// A command as one would type it.
fn line_of(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    format!("`{}`", words.join(" "))
}

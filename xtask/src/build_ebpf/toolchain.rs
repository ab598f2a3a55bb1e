//! What BPF is built with: a compiler that has a `core` for it, and bpf-linker.
//!
//! Two kinds of compiler do: one with a prebuilt `core` (Debian's `rustc-web` with
//! `libstd-rust-web-dev-bpf`), or a nightly with `rust-src`, which builds `core` by itself.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::TARGET;
use crate::apt;
use crate::cargo::{cargo, quietly};

/// Where Debian's packages put their compiler; rustup's, which has no `core` for BPF, shadows it in PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// The workspace's `rust-version`.
const MIN_MINOR: u32 = 95;
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "libpolly-22-dev"];
/// The linker must read the bitcode that the compiler writes: its LLVM may not be older.
const LINKER_VERSION: &str = "0.13.0";
const LINKER_LLVM: &str = "22";

/// A compiler and a linker that are there.
pub(super) struct Toolchain {
    pub(super) core: Core,
    pub(super) linker: PathBuf,
}

/// Where `core` comes from.
pub(super) enum Core {
    /// Prebuilt, beside this compiler.
    Prebuilt { rustc: PathBuf, version: String },
    /// Built by the nightly toolchain, from its `rust-src`.
    BuildStd,
}

impl Toolchain {
    /// Finds what is there; on Debian and Ubuntu, as root, installs what isn't.
    pub(super) fn find_or_install() -> Result<Self> {
        let core = match Core::find() {
            Some(core) => core,
            None => Core::install()?,
        };
        let linker = match find_linker() {
            Some(linker) => linker,
            None => install_linker(&core)?,
        };
        Ok(Self { core, linker })
    }

    /// A cargo command of this toolchain, free of what the cargo that runs us has set.
    pub(super) fn cargo(&self) -> Command {
        match &self.core {
            Core::Prebuilt { rustc, .. } => {
                let mut cargo = cargo();
                forget_surroundings(&mut cargo);
                cargo.env("RUSTC", rustc);
                cargo
            }
            Core::BuildStd => {
                let mut cargo = Command::new("rustup");
                forget_surroundings(&mut cargo);
                cargo.args(["run", "nightly", "cargo"]);
                cargo
            }
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.core {
            Core::Prebuilt { rustc, version } => {
                let version: Vec<_> = version.split(' ').take(2).collect();
                write!(f, "{} ({})", rustc.display(), version.join(" "))
            }
            Core::BuildStd => write!(f, "nightly and its rust-src"),
        }
    }
}

impl Core {
    fn find() -> Option<Self> {
        Self::prebuilt(Path::new(DEBIAN_RUSTC)).or_else(Self::nightly)
    }

    fn prebuilt(rustc: &Path) -> Option<Self> {
        let version = stdout(Command::new(rustc).arg("--version"))?;
        if minor(&version)? < MIN_MINOR {
            return None;
        }
        let libraries =
            stdout(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
        let has_core = fs::read_dir(libraries)
            .ok()?
            .filter_map(Result::ok)
            .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"));
        has_core.then(|| Self::Prebuilt { rustc: rustc.to_owned(), version })
    }

    fn nightly() -> Option<Self> {
        let mut rustup = Command::new("rustup");
        forget_surroundings(&mut rustup);
        let sysroot = stdout(rustup.args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
        let core = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
        core.is_dir().then_some(Self::BuildStd)
    }

    fn install() -> Result<Self> {
        if !apt::can_install() {
            bail!("{}", missing_core());
        }
        eprintln!("Installing a compiler for BPF: {}", DEBIAN_PACKAGES.join(" "));
        apt::install(&DEBIAN_PACKAGES).with_context(missing_core)?;
        Self::prebuilt(Path::new(DEBIAN_RUSTC)).with_context(missing_core)
    }
}

fn find_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([cargo_home()?.join("bin")])
        .map(|directory| directory.join("bpf-linker"))
        .find(|file| file.is_file())
}

/// Builds bpf-linker on the LLVM of Debian's packages.
fn install_linker(core: &Core) -> Result<PathBuf> {
    let prefix = format!("/usr/lib/llvm-{LINKER_LLVM}");
    if matches!(core, Core::BuildStd) || !Path::new(&prefix).is_dir() {
        bail!(
            "bpf-linker isn't installed: run `cargo install bpf-linker --version {LINKER_VERSION}`"
        );
    }
    eprintln!("Installing bpf-linker {LINKER_VERSION} with cargo; this takes a minute");
    let mut cargo = cargo();
    forget_surroundings(&mut cargo);
    // Crates on the way (quote, for one) bring a rust-toolchain.toml that asks for `rust-src`: without a
    // toolchain named here, rustup would obey it, and replace the user's toolchain with a newer one.
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        cargo.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    cargo
        .env("RUSTUP_AUTO_INSTALL", "0")
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--no-default-features"])
        .args(["--features", &format!("llvm-{LINKER_LLVM}")])
        .env("LLVM_PREFIX", &prefix)
        // It is LLVM that does the work: optimising what calls it would take eight times as long.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    quietly(&mut cargo)?;
    find_linker()
        .context("cargo installed bpf-linker, but it is neither in PATH nor in CARGO_HOME/bin")
}

fn missing_core() -> String {
    format!(
        "no compiler for BPF is installed. Install one of\n  \
         - Debian 12 or later, as root: apt-get install {}\n  \
         - elsewhere: rustup toolchain install nightly --component rust-src && cargo install bpf-linker",
        DEBIAN_PACKAGES.join(" ")
    )
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

/// The minor version in `rustc 1.96.0 (...)`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

/// What a command prints, where it succeeds.
fn stdout(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The cargo that runs us, rustup's proxy before it and the user's own settings for the host all leave
/// variables that would be taken for this build's.
fn forget_surroundings(command: &mut Command) {
    for name in [
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(name);
    }
}

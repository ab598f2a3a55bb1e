//! The programs that Ravelin is measured beside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::apt;
use crate::cargo::{cargo, quietly};

/// The release that is measured.
const FAIL2BAN_RS: &str = "1.5.4";

/// The three patterns for sshd that it ships, and PAM's, in a jail that only `dry-run` reads.
const FAIL2BAN_RS_CONFIG: &str = r#"[global]
state_file = "STATE/state.bin"
socket_path = "STATE/socket"

[jail.sshd]
enabled = true
log_path = "STATE/none.log"
date_format = "syslog"
filter = [
    'sshd\[\d+\]: Failed password for .* from <HOST>',
    'sshd\[\d+\]: Invalid user .* from <HOST>',
    'sshd\[\d+\]: Connection closed by authenticating user .* <HOST>',
    'sshd\[\d+\]: pam_unix\(sshd:auth\): authentication failure;.* rhost=<HOST>',
]
port = ["22"]
protocol = "tcp"
max_retry = 5
find_time = "10m"
ban_time = "5m"
ignoreself = false

[jail.sshd.backend.script]
ban_cmd = "true"
unban_cmd = "true"
"#;

/// Makes sure that ripgrep and fail2ban are there.
pub(super) fn provision() -> Result<()> {
    let wanted = [("ripgrep", "rg"), ("fail2ban", "fail2ban-regex")];
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(_, program)| !is_there(program))
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::can_install() {
        bail!(
            "the bench compares with programs that this machine lacks: install {} (Debian's names), \
             or run this as root",
            missing.join(" ")
        );
    }
    eprintln!("Installing what the bench compares with: {}", missing.join(" "));
    apt::install(&missing)?;
    if missing.contains(&"fail2ban") { apt::disable("fail2ban") } else { Ok(()) }
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// fail2ban-rs and a configuration for it; the error says why not.
pub(super) fn fail2ban_rs(folder: &Path, no_build: bool) -> Result<(PathBuf, PathBuf)> {
    let program = folder.join("bin/fail2ban-rs");
    if !program.exists() {
        if no_build {
            bail!("{} isn't there: run this without --no-build", program.display());
        }
        eprintln!("Building fail2ban-rs {FAIL2BAN_RS} from crates.io");
        quietly(
            // The toolchain that runs us, which rustup names in RUSTUP_TOOLCHAIN; no other is to be fetched.
            cargo()
                .env("RUSTUP_AUTO_INSTALL", "0")
                .args(["install", "fail2ban-rs", "--locked", "--no-default-features"])
                .args(["--version", FAIL2BAN_RS, "--root"])
                .arg(folder)
                .arg("--target-dir")
                .arg(folder.join("build")),
        )?;
    }
    let state = folder.join("fail2ban-rs");
    fs::create_dir_all(&state).with_context(|| format!("could not make {}", state.display()))?;
    fs::write(state.join("none.log"), "")?;
    let config = state.join("config.toml");
    fs::write(&config, FAIL2BAN_RS_CONFIG.replace("STATE", &state.to_string_lossy()))
        .with_context(|| format!("could not write {}", config.display()))?;
    Ok((program, config))
}

/// The first line that a program prints about its version.
pub(super) fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let printed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let first = printed.ok().and_then(|text| text.lines().next().map(str::to_owned));
    first.unwrap_or_else(|| "unknown".to_owned())
}

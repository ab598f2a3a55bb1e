//! Ravelin on the server: the daemon, and its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::TTL;
use super::host::{Host, INTERFACE};
use super::internet::SERVER;
use super::postfix::ADMIN;
use super::process::{Process, tail};
use super::server::write;
use super::{sshd, suricata};
use crate::netns::Space;

/// The daemon with its configuration, its folders and its own bpffs.
#[derive(Debug)]
pub struct Ravelin {
    program: PathBuf,
    server: Space,
    config: PathBuf,
    log: PathBuf,
    daemon: Option<Process>,
}

/// A row of `ravelin list --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Ban {
    /// Address or prefix.
    pub target: String,
    /// `rule`, `hand`, ...
    pub origin: String,
    /// The rule that decided.
    pub rule: Option<u32>,
    /// Packets that it has dropped.
    pub dropped_packets: u64,
}

impl Ravelin {
    pub(super) fn start(server: &Host, dir: &Path) -> Result<Self> {
        let program = program()?;
        let bpf = dir.join("bpf");
        fs::create_dir(&bpf)?;
        // A bpffs of our own: what is pinned there goes with the lab.
        let mounted = Command::new("mount").args(["-t", "bpf", "rvlab"]).arg(&bpf).status()?;
        ensure!(mounted.success(), "mount -t bpf {} ended with {mounted}", bpf.display());
        let config = dir.join("ravelin.yaml");
        write(&config, &configuration(dir))?;
        let log = dir.join("ravelin.log");
        let mut ravelin =
            Self { program, server: server.space().clone(), config, log, daemon: None };
        ravelin.restart()?;
        Ok(ravelin)
    }

    /// Starts the daemon (again), and returns when it is ready.
    ///
    /// # Errors
    /// Where it ends or isn't ready in time, with the end of its log.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = self.command(&["run"]);
        let mut daemon = Process::start("ravelin", &mut command, &self.log)?;
        daemon.wait_for(
            "`ravelin status` to say that it is ready",
            Duration::from_secs(30),
            || Ok(self.cli(&["status"])?.status.success().then_some(())),
        )?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// Where it isn't running.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("the daemon isn't running")?.kill()
    }

    /// Calls the command line.
    ///
    /// # Errors
    /// Where it can't be started; its exit code is the caller's to judge.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        self.command(args).output().context("could not start ravelin")
    }

    /// What a command prints, which must succeed.
    ///
    /// # Errors
    /// Where it doesn't; says what it printed.
    pub fn print(&self, args: &[&str]) -> Result<String> {
        let output = self.cli(args)?;
        if !output.status.success() {
            bail!(
                "ravelin {} ended with {}: {}{}; the daemon's log ends with:\n{}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
                tail(&self.log),
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The bans that stand.
    ///
    /// # Errors
    /// Where `ravelin list --json` fails or isn't what it should be.
    pub fn bans(&self) -> Result<Vec<Ban>> {
        let json = self.print(&["list", "--json"])?;
        serde_json::from_str(&json).with_context(|| format!("expected a list of bans, got {json}"))
    }

    /// The ban of a target, if one stands.
    ///
    /// # Errors
    /// As [`Self::bans`].
    pub fn ban_of(&self, target: &str) -> Result<Option<Ban>> {
        Ok(self.bans()?.into_iter().find(|ban| ban.target == target))
    }

    /// `ravelin status --json`, whatever its exit code.
    ///
    /// # Errors
    /// Where it isn't JSON.
    pub fn status(&self) -> Result<Value> {
        let output = self.cli(&["status", "--json"])?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("expected the status, got {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// The daemon's log lines about bans of this target, oldest first.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub fn ban_lines(&self, target: &str) -> Result<Vec<String>> {
        let wanted = format!("ban target={target} ");
        let log = fs::read_to_string(&self.log)?;
        Ok(log
            .lines()
            .filter_map(|line| {
                let at = line.find(&wanted)?;
                // `unban target=` has it, too.
                (!line[..at].ends_with("un")).then(|| line[at..].to_owned())
            })
            .collect())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.server.command(&self.program);
        command.args(args).arg("--config").arg(&self.config);
        command.env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        command
    }
}

/// `ravelin` as built beside this program, or as RAVELIN_BIN says.
pub(super) fn program() -> Result<PathBuf> {
    let program = match std::env::var_os("RAVELIN_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let this = std::env::current_exe()?;
            let dir = this.parent().context("this program lies in no folder")?;
            let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
            dir.join("ravelin")
        }
    };
    ensure!(
        program.is_file(),
        "expected Ravelin's program at {}, found none: run this by `cargo xtask`, or set RAVELIN_BIN",
        program.display(),
    );
    Ok(program)
}

fn configuration(dir: &Path) -> String {
    format!(
        r#"interfaces: [{INTERFACE}]
state_dir: {dir}/state
run_dir: {dir}/run
bpf_dir: {dir}/bpf/ravelin
suricata_rules: {rules}
sources:
  - {{format: suricata-eve, file: {eve}}}
  - {{format: syslog, file: {auth_log}}}
home: ["{v4}", "{v6}"]
ban:
  ttl: {ttl}s
  escalate: []
mail:
  to: [{ADMIN}]
  from: ravelin@server.example
  relay: smtp://127.0.0.1:25
  per_hour: 100
"#,
        dir = dir.display(),
        rules = suricata::rules_of(dir).display(),
        eve = suricata::eve_of(dir).display(),
        auth_log = sshd::auth_log_of(dir).display(),
        v4 = SERVER.v4,
        v6 = SERVER.v6,
        ttl = TTL.as_secs(),
    )
}

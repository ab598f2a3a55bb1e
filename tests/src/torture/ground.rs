//! Where it happens: a network namespace of its own, with an interface, a bpffs, a relay, and the daemon, which
//! is killed there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ravelin::blocklist::{KernelBan, Pinned};
use ravelin::control::{self, Request, Response, Status};

use super::line::PACK;
use super::relay::Relay;
use crate::lab::until;
use crate::netns::Space;

/// The namespace and everything in it.
#[derive(Debug)]
pub(super) struct Ground {
    /// The relay of the daemon's mail.
    pub(super) relay: Relay,
    dir: PathBuf,
    space: Space,
    program: PathBuf,
    daemon: Option<Child>,
    // Last: removes what the others ran in.
    _janitor: crate::lab::janitor::Janitor,
}

/// How long bans last: none lapses on the way.
pub(super) const TTL: Duration = Duration::from_secs(24 * 3600);

impl Ground {
    /// Makes it, for a daemon that reads these logs in [`Self::logs`].
    ///
    /// # Errors
    /// Where something can't be made.
    pub(super) fn make(program: &Path, logs: &[String]) -> Result<Self> {
        let name = crate::lab::unique_name();
        let dir = std::env::temp_dir().join(&name);
        let janitor = crate::lab::janitor::Janitor::hire(&name, &dir)?;
        for folder in ["", "bpf", "logs", "state"] {
            fs::create_dir(dir.join(folder))?;
        }
        let mounted =
            Command::new("mount").args(["-t", "bpf", "rvlab"]).arg(dir.join("bpf")).status()?;
        ensure!(mounted.success(), "mount -t bpf ended with {mounted}");
        let space = Space::add(format!("{name}-host"))?;
        space.ip(&["link", "add", "t0", "type", "veth", "peer", "name", "t1"])?;
        for end in ["t0", "t1"] {
            space.ip(&["link", "set", end, "up"])?;
        }
        let relay = Relay::open(&space)?;
        let ground = Self {
            relay,
            dir,
            space,
            program: program.to_owned(),
            daemon: None,
            _janitor: janitor,
        };
        fs::write(ground.dir.join("pack.yaml"), PACK)?;
        fs::write(ground.dir.join("ravelin.yaml"), ground.configuration(logs))?;
        Ok(ground)
    }

    fn configuration(&self, logs: &[String]) -> String {
        let dir = self.dir.display();
        let sources: String = logs
            .iter()
            .map(|log| format!("  - {{format: syslog, file: {dir}/logs/{log}}}\n"))
            .collect();
        format!(
            "interfaces: [t0]\nstate_dir: {dir}/state\nrun_dir: {dir}/run\nbpf_dir: {dir}/bpf/ravelin\n\
             suricata_rules: {dir}/none.rules\nrules: [{dir}/pack.yaml]\nsources:\n{sources}\
             ban: {{ttl: {}s, escalate: [], max_per_minute: 1000000, score_half_life: 30d}}\n\
             mail: {{to: [admin@server.example], from: ravelin@server.example, \
             relay: 'smtp://127.0.0.1:{}', per_hour: 100000}}\n",
            TTL.as_secs(),
            self.relay.port(),
        )
    }

    /// The folder of the logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The folder of the database.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A folder for what is nobody's.
    pub(super) fn scratch(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    /// What the daemon said so far, all its lives together.
    ///
    /// # Errors
    /// Where there is nothing.
    pub(super) fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.dir.join("ravelin.log"))?).into_owned())
    }

    /// Copies logs, database and what was said, for whoever looks why.
    ///
    /// # Errors
    /// Where that can't be written.
    pub(super) fn keep(&self, to: &Path) -> Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        let mut copy = Command::new("cp");
        copy.arg("--archive").args(["logs", "state", "ravelin.log"].map(|it| self.dir.join(it)));
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "story") {
                copy.arg(path);
            }
        }
        let done = copy.arg(to).status()?;
        ensure!(done.success(), "cp to {} ended with {done}", to.display());
        Ok(())
    }

    /// Adds a line to what the daemon said.
    ///
    /// # Errors
    /// Where that can't be written.
    pub(super) fn note(&self, what: &str) -> Result<()> {
        use std::io::Write as _;
        let mut log = File::options().append(true).open(self.dir.join("ravelin.log"))?;
        Ok(writeln!(log, "{} {what}", jiff::Timestamp::now())?)
    }

    /// Starts the daemon, and doesn't wait.
    ///
    /// # Errors
    /// Where it can't be started.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.dir.join("ravelin.log"))?;
        let mut command = self.space.command(&self.program);
        command.arg("run").arg("--config").arg(self.dir.join("ravelin.yaml"));
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemon = Some(command.spawn().context("could not start ravelin")?);
        Ok(())
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// Where it has ended, or doesn't within a minute.
    pub(super) fn ready(&mut self) -> Result<Box<Status>> {
        let run = self.dir.join("run");
        let daemon = self.daemon.as_mut().context("the daemon isn't running")?;
        let log = self.dir.join("ravelin.log");
        until("the daemon to answer", Duration::from_secs(60), || {
            if let Ok(Response::Status(status)) = control::request(&run, &Request::Status) {
                return Ok(Some(status));
            }
            if let Some(status) = daemon.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(10).collect();
                bail!("the daemon ended with {status}; it said, last first: {last:#?}");
            }
            Ok(None)
        })
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub(super) fn status(&self) -> Result<Box<Status>> {
        match control::request(&self.dir.join("run"), &Request::Status)? {
            Response::Status(status) => Ok(status),
            other => bail!("expected a status, got {other:?}"),
        }
    }

    /// Its process.
    ///
    /// # Errors
    /// Where it doesn't run.
    pub(super) fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon isn't running")?.id())
    }

    /// Whether it was started and not killed since.
    pub(super) const fn is_alive(&self) -> bool {
        self.daemon.is_some()
    }

    /// `kill -9`, and waits until it is dead.
    ///
    /// # Errors
    /// Where it doesn't run, or had died by itself.
    pub(super) fn kill(&mut self) -> Result<()> {
        use std::os::unix::process::ExitStatusExt as _;
        let mut daemon = self.daemon.take().context("the daemon isn't running")?;
        daemon.kill()?;
        let status = daemon.wait()?;
        ensure!(status.signal() == Some(9), "the daemon had ended by itself, with {status}");
        Ok(())
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// Where it doesn't end well within half a minute.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the daemon isn't running")?;
        let pid = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = daemon.try_wait()? {
                ensure!(status.success(), "the daemon ended with {status}");
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(30) {
                daemon.kill()?;
                bail!("the daemon didn't end within 30 s of SIGTERM");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The bans in the kernel; none before the daemon's first start.
    ///
    /// # Errors
    /// Where the maps can't be read.
    pub(super) fn kernel(&self) -> Result<Vec<KernelBan>> {
        Ok(self.maps()?.entries()?)
    }

    /// The pinned maps, to be looked at.
    ///
    /// # Errors
    /// Where nothing is pinned.
    pub(super) fn maps(&self) -> Result<Pinned> {
        Ok(Pinned::open(&self.dir.join("bpf/ravelin"))?)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
        if let Some(to) = std::env::var_os("RAVELIN_TORTURE_KEEP") {
            // For whoever wants to know why.
            let copied = Command::new("cp")
                .args(["-a", "--one-file-system"])
                .arg(&self.dir)
                .arg(Path::new(&to))
                .status();
            drop(copied);
        }
    }
}

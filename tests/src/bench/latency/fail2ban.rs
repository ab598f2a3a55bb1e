//! fail2ban's real daemon, as Debian ships it, with its own sshd filter and its nftables action.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::lab::{Process, until};

const SERVER: &str = "/usr/bin/fail2ban-server";
/// As many failures as Ravelin's rule 5720 wants.
const RETRIES: u32 = 8;

#[derive(Debug)]
pub(super) struct Fail2ban {
    log: File,
    said: PathBuf,
    lines: u32,
    daemon: Process,
}

impl Fail2ban {
    pub(super) fn start(stage: &Stage) -> Result<Self> {
        ensure!(Path::new(SERVER).exists(), "no {SERVER}: apt-get install fail2ban");
        let home = stage.dir().join("fail2ban");
        fs::create_dir(&home)?;
        for ours in ["action.d", "filter.d", "jail.conf", "paths-debian.conf", "paths-common.conf"]
        {
            symlink(Path::new("/etc/fail2ban").join(ours), home.join(ours))?;
        }
        let (log, said) = (stage.dir().join("auth.log"), home.join("log"));
        File::create(&log)?;
        let shown = home.display();
        fs::write(
            home.join("fail2ban.conf"),
            format!(
                "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {shown}/socket\n\
                 pidfile = {shown}/pid\ndbfile = {shown}/fail2ban.sqlite3\ndbpurgeage = 1d\ndbmaxmatches = 10\n\
                 allowipv6 = auto\n[Thread]\nstacksize = 0\n",
                said.display()
            ),
        )?;
        fs::write(
            home.join("jail.local"),
            format!(
                "[DEFAULT]\nbantime = 1h\nfindtime = 10m\nmaxretry = {RETRIES}\nusedns = no\nignoreself = false\n\
                 ignoreip =\nbackend = auto\n\n[sshd]\nenabled = true\nlogpath = {}\n\
                 action = nftables[name=sshd, type=allports, protocol=\"tcp,udp\"]\n",
                log.display()
            ),
        )?;
        let mut command = stage.server.command(SERVER);
        command.arg("-f").arg("-c").arg(&home).arg("-s").arg(home.join("socket"));
        command.arg("-p").arg(home.join("pid")).arg("start");
        let mut daemon = Process::start("fail2ban", &mut command, &home.join("out"))?;
        daemon.wait_for("its jail", Duration::from_secs(30), || {
            Ok(fs::read_to_string(&said)
                .is_ok_and(|said| said.contains("Jail 'sshd' started"))
                .then_some(()))
        })?;
        let log = OpenOptions::new().append(true).open(&log)?;
        Ok(Self { log, said, lines: 0, daemon })
    }

    /// By which backend it looks at files, and what it does.
    pub(super) fn way(&self) -> &'static str {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        if said.contains("uses pyinotify") {
            "file (pyinotify, nftables)"
        } else if said.contains("uses poller") {
            "file (polling, nftables)"
        } else {
            "file (nftables)"
        }
    }

    pub(super) fn prepare(&mut self, offender: Ipv4Addr) -> Result<()> {
        (1..RETRIES).try_for_each(|_| self.strike(offender))
    }

    pub(super) fn strike(&mut self, offender: Ipv4Addr) -> Result<()> {
        self.lines += 1;
        // It doesn't know more than microseconds.
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
        let line = format!(
            "{now} web1 sshd[{}]: Failed password for root from {offender} port 40000 ssh2\n",
            1_000 + self.lines
        );
        Ok(self.log.write_all(line.as_bytes())?)
    }

    /// Waits until it has found all that was written.
    pub(super) fn caught_up(&mut self) -> Result<()> {
        let (said, lines) = (self.said.clone(), usize::try_from(self.lines)?);
        self.daemon.wait_for("it to find everything", Duration::from_secs(60), || {
            let found = fs::read_to_string(&said)?.matches("] Found ").count();
            Ok((found >= lines).then_some(()))
        })?;
        until("nothing else", Duration::from_secs(1), || Ok(Some(())))
    }
}

/// Its version, for the page.
pub(super) fn version() -> String {
    let output = Command::new(SERVER).arg("--version").output();
    let printed = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    printed.unwrap_or_else(|_| "fail2ban".to_owned())
}

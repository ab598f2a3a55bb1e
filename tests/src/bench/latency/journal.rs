//! Two who write a real journal: systemd-journal-remote, and journald itself.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::stage::Stage;
use crate::lab::{Process, until};

const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";
const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// Writes what comes through its standard input into a journal, without delay.
#[derive(Debug)]
pub(super) struct Remote {
    directory: PathBuf,
    child: Child,
    input: ChildStdin,
}

impl Remote {
    pub(super) fn start(directory: &Path) -> Result<Self> {
        ensure!(Path::new(REMOTE).exists(), "no {REMOTE}: apt-get install systemd-journal-remote");
        fs::create_dir_all(directory)?;
        let mut child = Command::new(REMOTE)
            .arg("-o")
            .arg(directory.join("remote.journal"))
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start systemd-journal-remote")?;
        let input = child.stdin.take().context("its standard input")?;
        let mut remote = Self { directory: directory.to_owned(), child, input };
        remote.write(1, "Server listening on 0.0.0.0 port 22.")?;
        let file = directory.join("remote.journal");
        until("a journal", Duration::from_secs(10), || Ok(file.exists().then_some(())))?;
        Ok(remote)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn write(&mut self, pid: u32, message: &str) -> Result<()> {
        let entry = format!(
            "__REALTIME_TIMESTAMP={}\n_BOOT_ID=11111111111111111111111111111111\n_HOSTNAME=web1\n_UID=0\n_PID={pid}\n\
             _COMM=sshd\nSYSLOG_IDENTIFIER=sshd\nMESSAGE={message}\n\n",
            jiff::Timestamp::now().as_microsecond()
        );
        Ok(self.input.write_all(entry.as_bytes())?)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// journald, behind a curtain of its own: /run is the stage's.
#[derive(Debug)]
pub(super) struct Journald {
    directory: PathBuf,
    socket: UnixDatagram,
    _daemon: Process,
}

const CURTAIN: &str = r#"
set -e
mount -t tmpfs rvlab /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind "$1/journald/sockets" /run/systemd/journal
mount --bind "$1/journald/log" /run/log/journal
mount --bind "$1/journald/journald.conf" /etc/systemd/journald.conf
exec "$2"
"#;

/// Nothing of the machine's: neither its kernel's log nor its audit, nor a limit that a bench would reach.
const CONF: &str = "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToSyslog=no\nForwardToWall=no\n\
                    RateLimitIntervalSec=0\nRuntimeMaxUse=256M\n";

impl Journald {
    pub(super) fn start(stage: &Stage) -> Result<Self> {
        ensure!(Path::new(JOURNALD).exists(), "no {JOURNALD} on this machine");
        let home = stage.dir().join("journald");
        for folder in ["sockets", "log"] {
            fs::create_dir_all(home.join(folder))?;
        }
        fs::write(home.join("journald.conf"), CONF)?;
        let mut command = stage.server.command("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "/bin/sh",
            "-c",
            CURTAIN,
            "journald",
        ]);
        command.arg(stage.dir()).arg(JOURNALD);
        let mut daemon =
            Process::start("journald", &mut command, &stage.dir().join("journald.out"))?;
        let path = home.join("sockets/dev-log");
        let socket = UnixDatagram::unbound()?;
        daemon
            .wait_for("its socket", Duration::from_secs(10), || Ok(socket.connect(&path).ok()))?;
        Ok(Self { directory: home.join("log"), socket, _daemon: daemon })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// As syslog(3) does: it comes from root, and says so by itself.
    pub(super) fn write(&self, pid: u32, message: &str) -> Result<()> {
        self.socket.send(format!("<38>sshd[{pid}]: {message}").as_bytes())?;
        Ok(())
    }
}

//! OpenSSH's server with PAM as Debian sets it up, and the rsyslogd that it logs through.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::process::Process;
use super::server::{Stage, log_socket_of, write};

/// sshd and rsyslogd.
#[derive(Debug)]
pub(super) struct Sshd {
    sshd: Process,
    _rsyslogd: Process,
}

/// Where sshd's lines end up.
pub(super) fn auth_log_of(dir: &Path) -> PathBuf {
    dir.join("auth.log")
}

impl Sshd {
    pub(super) fn start(stage: &Stage<'_>, dir: &Path) -> Result<Self> {
        // rsyslogd's socket must be there before anybody opens /dev/log.
        let rsyslogd = start_rsyslogd(stage, dir)?;
        let key = dir.join("ssh_host_key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .context("could not start ssh-keygen")?;
        anyhow::ensure!(made.success(), "ssh-keygen ended with {made}");
        let config = dir.join("sshd_config");
        write(
            &config,
            &format!(
                "HostKey {key}\nPidFile none\nUsePAM yes\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin no\nAuthorizedKeysFile none\n",
                key = key.display(),
            ),
        )?;
        let sshd = Process::start(
            "sshd",
            stage.command("/usr/sbin/sshd").args(["-D", "-f"]).arg(&config),
            &dir.join("sshd.out"),
        )?;
        Ok(Self { sshd, _rsyslogd: rsyslogd })
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        self.sshd.wait_for_port(22)
    }
}

fn start_rsyslogd(stage: &Stage<'_>, dir: &Path) -> Result<Process> {
    let config = dir.join("rsyslog.conf");
    let socket = log_socket_of(dir);
    // The files that Debian's own rsyslog.conf makes, in its default format; only the places differ.
    write(
        &config,
        &format!(
            "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{socket}\")\n\
             $WorkDirectory {dir}\n\
             auth,authpriv.* {auth_log}\n\
             mail.* {dir}/mail.log\n",
            socket = socket.display(),
            dir = dir.display(),
            auth_log = auth_log_of(dir).display(),
        ),
    )?;
    // rsyslogd makes it with the first line; whoever follows it wants it now.
    write(&auth_log_of(dir), "")?;
    let mut rsyslogd = Process::start(
        "rsyslogd",
        stage.command("/usr/sbin/rsyslogd").args(["-n", "-iNONE", "-f"]).arg(&config),
        &dir.join("rsyslogd.out"),
    )?;
    rsyslogd.wait_for("its log socket", std::time::Duration::from_secs(20), || {
        Ok(fs::exists(&socket)?.then_some(()))
    })?;
    Ok(rsyslogd)
}

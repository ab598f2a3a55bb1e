//! What runs on the server beside Ravelin, each from a configuration of the lab's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::host::Host;
use super::postfix::Postfix;
use super::sshd::Sshd;
use super::suricata::Suricata;
use super::web::Web;

/// Everything the server offers and watches with; stopped when dropped.
#[derive(Debug)]
pub(super) struct Services {
    _suricata: Suricata,
    _sshd: Sshd,
    _web: Web,
    _postfix: Postfix,
}

impl Services {
    /// Starts all of them at once, and returns when all are ready.
    pub(super) fn start(server: &Host, dir: &Path) -> Result<Self> {
        let stage = Stage::set(server, dir)?;
        let mut suricata = Suricata::start(server, dir)?;
        let mut postfix = Postfix::start(&stage, dir)?;
        let mut sshd = Sshd::start(&stage, dir)?;
        let mut web = Web::start(&stage, dir)?;
        sshd.wait()?;
        web.wait()?;
        postfix.wait()?;
        suricata.wait()?;
        Ok(Self { _suricata: suricata, _sshd: sshd, _web: web, _postfix: postfix })
    }
}

/// Gives a program a /dev with the lab's own /dev/log and an empty /run, in a mount namespace of its own.
const CURTAIN: &str = r#"#!/bin/sh
set -e
dir=$1
shift
mount -t tmpfs -o mode=755 rvlab "$dir/dev"
for node in null zero full random urandom tty; do
    : >"$dir/dev/$node"
    mount --bind "/dev/$node" "$dir/dev/$node"
done
mkdir "$dir/dev/pts" "$dir/dev/shm"
mount --bind /dev/pts "$dir/dev/pts"
ln -s pts/ptmx "$dir/dev/ptmx"
ln -s /proc/self/fd "$dir/dev/fd"
ln -s "$dir/log.sock" "$dir/dev/log"
mount --move "$dir/dev" /dev
mount -t tmpfs -o mode=755 rvlab /run
mkdir -p /run/sshd
exec "$@"
"#;

/// The server as its services see it.
pub(super) struct Stage<'h> {
    server: &'h Host,
    dir: PathBuf,
    curtain: PathBuf,
}

impl<'h> Stage<'h> {
    fn set(server: &'h Host, dir: &Path) -> Result<Self> {
        fs::create_dir(dir.join("dev"))?;
        let curtain = dir.join("curtain.sh");
        write_program(&curtain, CURTAIN)?;
        Ok(Self { server, dir: dir.to_owned(), curtain })
    }

    /// A program to be run there.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.server.command("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command.arg(&self.curtain).arg(&self.dir).arg(program);
        command
    }
}

/// Where rsyslogd listens, and where /dev/log leads to.
pub(super) fn log_socket_of(dir: &Path) -> PathBuf {
    dir.join("log.sock")
}

/// Writes a text that somebody else will read.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

/// Writes a script that somebody will run.
pub(super) fn write_program(path: &Path, text: &str) -> Result<()> {
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

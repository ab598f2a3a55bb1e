//! The ways on which a line comes to Ravelin.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use ravelin::blocklist::Pinned;
use ravelin::control::{self, Request, Response};
use ravelin::event::Target;

use super::journal::{Journald, Remote};
use super::stage::{SERVER, Stage};
use crate::lab::{Process, until};

/// A way in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// A log file of syslog's.
    File,
    /// A journal that systemd-journal-remote writes.
    Remote,
    /// A journal that journald writes.
    Journald,
    /// Suricata's EVE over a UNIX socket.
    Eve,
}

/// A daemon and the way to it.
#[derive(Debug)]
pub(super) struct Running {
    way: Mouth,
    run: PathBuf,
    bpf: PathBuf,
    daemon: Process,
    lines: u32,
}

/// Who writes the lines.
#[derive(Debug)]
enum Mouth {
    File(File),
    Remote(Remote),
    Journald(Journald),
    Eve(UnixStream),
}

/// Failed logins before the one that bans: rule 5720 wants eight.
const BEFORE: u32 = 7;

impl Way {
    pub(super) const ALL: [Self; 4] = [Self::File, Self::Eve, Self::Remote, Self::Journald];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::File => "file (syslog, sshd)",
            Self::Remote => "journal (journal-remote)",
            Self::Journald => "journal (journald)",
            Self::Eve => "EVE (UNIX socket)",
        }
    }

    /// Starts the daemon, and what writes to it.
    pub(super) fn start(self, stage: &Stage, ravelin: &Path) -> Result<Running> {
        let dir = stage.dir();
        let log = dir.join("auth.log");
        File::create(&log)?;
        let (source, early) = match self {
            Self::File => (format!("{{format: syslog, file: {}}}", log.display()), None),
            Self::Eve => {
                (format!("{{format: suricata-eve, socket: {}/eve.sock}}", dir.display()), None)
            }
            Self::Remote => {
                let remote = Remote::start(&dir.join("journal"))?;
                let source =
                    format!("{{format: journald, directory: {}}}", remote.directory().display());
                (source, Some(Mouth::Remote(remote)))
            }
            Self::Journald => {
                let journald = Journald::start(stage)?;
                let source =
                    format!("{{format: journald, directory: {}}}", journald.directory().display());
                (source, Some(Mouth::Journald(journald)))
            }
        };
        let config = dir.join("ravelin.yaml");
        let shown = dir.display();
        let text = format!(
            "interfaces: [s0]\nstate_dir: {shown}/state\nrun_dir: {shown}/run\nbpf_dir: {shown}/bpf/ravelin\n\
             suricata_rules: {shown}/none.rules\nsources:\n  - {source}\nhome: [{SERVER}]\n\
             ban: {{ttl: 1h, max_per_minute: 100000}}\nmail: {{to: []}}\n"
        );
        fs::write(&config, text)?;
        let mut command = stage.server.command(ravelin);
        command.arg("run").arg("--config").arg(&config).env("NO_COLOR", "1").stdin(Stdio::null());
        let mut daemon = Process::start("ravelin", &mut command, &dir.join("ravelin.log"))?;
        let run = dir.join("run");
        daemon.wait_for("it to answer", Duration::from_secs(30), || {
            Ok(control::request(&run, &Request::Status).ok())
        })?;
        let way = match early {
            Some(mouth) => mouth,
            None if self == Self::Eve => Mouth::Eve(UnixStream::connect(dir.join("eve.sock"))?),
            None => Mouth::File(OpenOptions::new().append(true).open(&log)?),
        };
        Ok(Running { way, run, bpf: dir.join("bpf/ravelin"), daemon, lines: 0 })
    }
}

impl Running {
    /// Writes what comes before the line that bans.
    pub(super) fn prepare(&mut self, offender: Ipv4Addr) -> Result<()> {
        if matches!(self.way, Mouth::Eve(_)) {
            return Ok(());
        }
        for attempt in 0..BEFORE {
            self.write(offender, attempt)?;
        }
        Ok(())
    }

    /// Waits until all that was written has been read.
    pub(super) fn caught_up(&mut self) -> Result<()> {
        let (run, lines) = (self.run.clone(), u64::from(self.lines));
        self.daemon.wait_for("it to read everything", Duration::from_secs(60), || {
            let Response::Status(status) = control::request(&run, &Request::Status)? else {
                bail!("expected a status");
            };
            ensure!(status.bans == 0, "{} bans before any was due", status.bans);
            let read: u64 = status.sources.iter().map(|source| source.lines).sum();
            Ok((read >= lines).then_some(()))
        })
    }

    /// Writes the line that bans.
    pub(super) fn strike(&mut self, offender: Ipv4Addr) -> Result<()> {
        self.write(offender, BEFORE)
    }

    fn write(&mut self, offender: Ipv4Addr, attempt: u32) -> Result<()> {
        self.lines += 1;
        let pid = 1_000 + self.lines;
        let message =
            format!("Failed password for root from {offender} port {} ssh2", 40_000 + attempt);
        match &mut self.way {
            Mouth::File(file) => {
                let line = format!("{} web1 sshd[{pid}]: {message}\n", jiff::Timestamp::now());
                file.write_all(line.as_bytes())?;
            }
            Mouth::Remote(remote) => remote.write(pid, &message)?,
            Mouth::Journald(journald) => journald.write(pid, &message)?,
            Mouth::Eve(socket) => socket.write_all(alert(offender).as_bytes())?,
        }
        Ok(())
    }

    /// Stops the daemon; of how many of these bans the program counted exactly the packets that are missing.
    pub(super) fn counted(
        &mut self,
        missing: impl Iterator<Item = (Ipv4Addr, u64)>,
    ) -> Result<usize> {
        self.daemon.kill()?;
        // What is under way arrives.
        until("the last packets", Duration::from_secs(1), || Ok(Some(())))?;
        let entries = Pinned::open(&self.bpf)?.entries()?;
        let counts: std::collections::HashMap<Target, u64> =
            entries.iter().map(|ban| (ban.target, ban.packets)).collect();
        let same = missing.filter(|(offender, missing)| {
            counts.get(&Target::of_address((*offender).into())) == Some(missing)
        });
        Ok(same.count())
    }
}

/// An alert of Suricata's that is proof.
fn alert(offender: Ipv4Addr) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+0000");
    format!(
        "{{\"timestamp\":\"{now}\",\"flow_id\":1,\"in_iface\":\"s0\",\"event_type\":\"alert\",\"src_ip\":\"{offender}\",\
         \"src_port\":40000,\"dest_ip\":\"{SERVER}\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"action\":\"allowed\",\
         \"gid\":1,\"signature_id\":2024364,\"rev\":1,\"signature\":\"ET SCAN Possible Nmap User-Agent Observed\",\
         \"category\":\"Web Application Attack\",\"severity\":1}},\"app_proto\":\"ssh\",\"flow\":{{\"pkts_toserver\":4,\
         \"pkts_toclient\":3,\"src_ip\":\"{offender}\",\"dest_ip\":\"{SERVER}\",\"src_port\":40000,\"dest_port\":80}}}}\n"
    )
}

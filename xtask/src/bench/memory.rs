//! Peak memory of `ravelin replay` under floods of offenders who never come back.

use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::logs::{Log, RETURNS};

/// Between two looks at a process's peak.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a flood took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    pub(super) log: Log,
    /// Resident, in bytes.
    pub(super) bytes: u64,
    /// Whether the one offender who came back was banned.
    pub(super) banned: bool,
}

/// Has `program` replay a flood, which is made while it reads.
pub(super) fn peak(program: &Path, log: Log) -> Result<Peak> {
    let mut child = Command::new(program)
        .args(["replay", "--format", "syslog", "--min-level", "15", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))?;
    let (Some(stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("{} has no pipes", program.display());
    };
    let writer = thread::spawn(move || {
        let mut out = BufWriter::with_capacity(1 << 18, stdin);
        log.write(&mut out).and_then(|()| out.flush())
    });
    let reader = thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).map(|_| said)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut bytes = 0;
    let ended = loop {
        bytes = bytes.max(high_water(&fs::read_to_string(&status).unwrap_or_default()));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        thread::sleep(LOOK_EVERY);
    };
    let written = writer.join();
    if !ended.success() || !matches!(written, Ok(Ok(()))) {
        bail!("{} didn't read all of {}: {ended}", program.display(), log.name());
    }
    let Ok(said) = reader.join() else { bail!("could not read what {} said", program.display()) };
    let banned = said?.contains(&format!("BAN   {RETURNS}/32"));
    Ok(Peak { log, bytes, banned })
}

/// The most that was ever resident, of `/proc/PID/status`.
fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_status() {
        assert_eq!(high_water("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), 2 << 20);
        assert_eq!(high_water(""), 0);
    }
}

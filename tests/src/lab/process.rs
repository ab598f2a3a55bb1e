//! A program that runs for a while, with its output in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::wait::until;

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to `output`, appended.
    ///
    /// # Errors
    /// Where it can't be started or `output` can't be opened.
    pub fn start(name: &str, command: &mut Command, output: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(output)
            .with_context(|| format!("could not open {}", output.display()))?;
        let child = command
            .stdout(file.try_clone()?)
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, output: output.to_owned() })
    }

    /// Waits until `ready` sees something; an error where the program ends before, or after `limit`.
    ///
    /// # Errors
    /// As said, with the end of what the program printed.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let Self { name, child, output } = self;
        until(what, limit, || {
            let seen = ready()?;
            if seen.is_none()
                && let Some(status) = child.try_wait()?
            {
                bail!("{name} ended with {status}");
            }
            Ok(seen)
        })
        .with_context(|| format!("{name}; it printed last:\n{}", tail(output)))
    }

    /// Waits until it listens on this TCP port of its network namespace.
    ///
    /// # Errors
    /// Where it doesn't within ten seconds.
    pub fn wait_for_port(&mut self, port: u16) -> Result<()> {
        // Looked up rather than connected to: a connection would show in the very logs that are watched.
        let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{}/net/{table}", self.child.id()));
        self.wait_for(
            &format!("TCP port {port} to be listened on"),
            Duration::from_secs(20),
            || {
                let listens = tables.iter().any(|table| {
                    fs::read_to_string(table).is_ok_and(|table| has_listener(&table, port))
                });
                Ok(listens.then_some(()))
            },
        )
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its end, if it has ended.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error here means that it has ended already, which is what is wanted.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Whether a table of /proc/net/tcp has a socket in state LISTEN (0A) on this port.
fn has_listener(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _remote, state) = (words.next(), words.next(), words.next());
        local.is_some_and(|local| local.ends_with(&port)) && state == Some("0A")
    })
}

/// The last lines of a file, for an error's text.
pub(super) fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listeners_only() {
        let table = "  sl  local_address rem_address   st\n\
             0: 00000000:0016 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:0050 0100007F:A000 01 00000000:00000000\n";
        assert!(has_listener(table, 22));
        assert!(!has_listener(table, 80));
        assert!(!has_listener(table, 2));
    }
}

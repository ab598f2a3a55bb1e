//! Time of whole processes, on one core.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command that is measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    words: Vec<String>,
}

impl Measured {
    pub(super) fn new<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_string_lossy().into_owned());
        Self { words: words.collect() }
    }

    /// As one would type it.
    pub(super) fn line(&self) -> String {
        let quoted = |word: &String| {
            if word.contains([' ', '"']) { format!("'{word}'") } else { word.clone() }
        };
        self.words.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Runs once on that core, with its output thrown away.
    fn time(&self, core: usize) -> Result<Duration> {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).args(&self.words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let output = command.output().context("could not start taskset (util-linux)")?;
        let taken = begun.elapsed();
        // A search that finds nothing ends with 1.
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` ended with {}: {}", self.line(), output.status, said.trim());
        }
        Ok(taken)
    }
}

/// The least time of each command. They take turns, so that what else the machine does meets all alike.
pub(super) fn best_of(rounds: u32, core: usize, commands: &[Measured]) -> Result<Vec<Duration>> {
    let mut best = vec![Duration::MAX; commands.len()];
    for _ in 0..rounds {
        for (best, command) in best.iter_mut().zip(commands) {
            *best = command.time(core)?.min(*best);
        }
    }
    Ok(best)
}

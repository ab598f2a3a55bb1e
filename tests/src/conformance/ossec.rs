//! OSSEC's and Wazuh's rule tests: `log N pass = LINE`, `rule =`, `alert = LEVEL`.
//!
//! They don't name addresses, so what is compared is whether the line is recognised where theirs alerts, and
//! that an address that we blame stands in the line.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Reader, policy};

/// One of the files that a pack reads.
#[derive(Debug, Default)]
pub struct Decoded {
    /// `OSSEC` or `Wazuh`.
    pub project: &'static str,
    /// The file's name.
    pub name: String,
    /// Lines on which theirs alerts.
    pub alerts: usize,
    /// Of those, lines that a pack takes.
    pub recognised: usize,
    /// Of those, lines whose level is the same, or at most two away.
    pub same_level: usize,
    /// Lines that no pack takes, by number.
    pub missed: Vec<usize>,
    /// Lines blamed on an address that isn't in them, by number.
    pub wrong: Vec<usize>,
}

pub(super) fn run(reader: &Reader, project: &'static str, folder: &Path) -> Result<Vec<Decoded>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if policy::DECODED.contains(&name.as_str()) {
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            all.push(decoded(reader, project, name, &text));
        }
    }
    Ok(all)
}

fn decoded(reader: &Reader, project: &'static str, name: String, text: &str) -> Decoded {
    let mut decoded = Decoded { project, name, ..Decoded::default() };
    let mut lines = Vec::new();
    for (index, row) in text.lines().enumerate() {
        let Some((key, value)) = row.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with("log") && key.contains("pass") {
            lines.push((index + 1, value));
        } else if key == "alert" {
            let level: u8 = value.parse().unwrap_or(0);
            for (number, line) in lines.drain(..) {
                let verdict = reader.read(line);
                if let Some(addr) = verdict.address
                    && !line.contains(&addr.to_string())
                {
                    decoded.wrong.push(number);
                }
                if level == 0 {
                    continue;
                }
                decoded.alerts += 1;
                if verdict.event.is_none() {
                    decoded.missed.push(number);
                    continue;
                }
                decoded.recognised += 1;
                let near = verdict.level.is_some_and(|mine| mine.abs_diff(level) <= 2);
                decoded.same_level += usize::from(near);
            }
        }
    }
    decoded
}

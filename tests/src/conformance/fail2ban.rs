//! fail2ban's `tests/files/logs`: a line `# failJSON: {"match", "host", ...}` says what the next one means.
//!
//! `match: true` means that the line counts against `host`; a few of them only betray the failure of an
//! earlier line, whose address they don't hold. `match: false` means that it doesn't count, or is somebody's
//! attempt to have it counted against another.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Reader, policy};

/// One of its files.
#[derive(Debug, Default)]
pub struct Service {
    /// The file's name.
    pub name: String,
    /// The pack that reads its lines; `None`: there is none.
    pub pack: Option<&'static str>,
    /// Lines that count against an address which they hold.
    pub due: usize,
    /// Of those, blamed on that address.
    pub right: usize,
    /// Not blamed on anybody: a line by number, whether policy explains it.
    pub missed: Vec<(usize, Option<&'static str>)>,
    /// Blamed on another address.
    pub wrong: Vec<usize>,
    /// Lines that don't count, or against a host name only.
    pub innocent: usize,
    /// Of those, blamed with consequences: a line by number, whether it carries forged text, whether policy
    /// explains it.
    pub uncalled: Vec<(usize, bool, Option<&'static str>)>,
}

impl Service {
    /// Lines that ought to be blamed and aren't, for no reason of policy.
    pub fn unexplained(&self) -> usize {
        self.missed.iter().filter(|(_, reason)| reason.is_none()).count()
    }
}

pub(super) fn run(reader: &Reader, folder: &Path) -> Result<Vec<Service>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|file| service(reader, file)).collect()
}

fn service(reader: &Reader, file: &Path) -> Result<Service> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    let mut service = Service { pack: policy::pack_of(&name), name, ..Service::default() };
    let mut expected: Option<Value> = None;
    let mut prefix = String::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(json) = line.strip_prefix("# failJSON:") {
            expected = serde_json::from_str(json.trim()).ok();
        } else if let Some((_, options)) = line.split_once("filterOptions:") {
            prefix = prefix_of(options);
        } else if !line.starts_with('#')
            && !line.trim().is_empty()
            && let Some(expected) = expected.take()
        {
            compare(reader, &mut service, index + 1, &format!("{prefix}{line}"), &expected);
        }
    }
    Ok(service)
}

/// What the options say stands before each line. A line of the journal comes without a time there.
fn prefix_of(options: &str) -> String {
    if !options.contains("journal") || options.contains("file") {
        return String::new();
    }
    let given = serde_json::from_str::<Value>(options.trim()).unwrap_or_default();
    let given = given.get(0).unwrap_or(&given)["test.prefix-line"].as_str().unwrap_or_default();
    format!("Nov 23 10:00:00 {given}")
}

fn compare(reader: &Reader, service: &mut Service, number: usize, line: &str, expected: &Value) {
    let verdict = reader.read(line);
    let counts = expected["match"].as_bool().unwrap_or(false);
    let host = expected["host"].as_str().unwrap_or_default();
    let due = host.parse::<IpAddr>().ok().filter(|_| counts && line.contains(host));
    let reason = policy::reason(&service.name, number);
    match (due.map(|addr| addr.to_canonical()), verdict.address) {
        (Some(due), Some(blamed)) => {
            service.due += 1;
            if due == blamed {
                service.right += 1;
            } else {
                service.wrong.push(number);
            }
        }
        (Some(_), None) => {
            service.due += 1;
            service.missed.push((number, reason));
        }
        (None, blamed) => {
            service.innocent += 1;
            let forged = expected.to_string().to_lowercase().contains("inject");
            // Where only the time or an earlier line made fail2ban count it, the address is the same.
            let same = blamed.is_some_and(|blamed| host.parse() == Ok(blamed));
            if blamed.is_some() && verdict.accuses && !same {
                service.uncalled.push((number, forged, reason));
            }
        }
    }
}

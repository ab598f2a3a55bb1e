//! The logs: found, readable, written to, and in a format whose lines mean something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::{Findings, Host, Part, age};
use crate::config::{Format, Input};
use crate::event::{Line, Timestamp};
use crate::format::{Decoder, Selection, Undecodable};
use crate::rules::Packs;
use crate::source::{self, Planned, Role};

/// Of a log's end, so much is looked at.
const SAMPLE: u64 = 256 << 10;
/// Of a journal, so many entries.
const ENTRIES: u32 = 1_000;
/// Fewer lines than this say nothing.
const FEW: usize = 10;
/// What it logs comes from every part of it and every driver: that hardly any of it means something is as it
/// should be.
const KERNEL: &[u8] = b"kernel";
/// A log that nobody has written to for this long has most likely been given up.
const STALE: Duration = Duration::from_hours(48);

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    let mut readable = 0;
    for planned in &host.plan.sources {
        let name = planned.name().display().to_string();
        match &planned.role {
            Role::Standby { instead } => findings.ok(
                Part::Sources,
                "standby",
                format!("{name} stands by: {} has the same records", instead.display()),
            ),
            Role::Read => readable += read(host, planned, findings),
        }
    }
    for warning in &host.plan.warnings {
        let remedy = match warning {
            source::Warning::Twin { .. } => format!("$EDITOR {}", host.config_path),
            source::Warning::NoAuthLog { .. } => "apt-get install rsyslog".to_owned(),
            // Its own part says it.
            source::Warning::NoSuricata { .. } => continue,
        };
        let why = "A source that isn't there sees no attacker; the same record twice counts once.";
        findings.warning(Part::Sources, "sources", warning.to_string(), why, remedy);
    }
    if readable == 0 {
        findings.warning(
            Part::Sources,
            "no-source",
            "no log can be read now",
            "Nobody would be banned.",
            "apt-get install rsyslog suricata",
        );
    }
}

/// Looks at what a source brings now; how many of its logs can be read.
fn read(host: &Host, planned: &Planned, findings: &mut Findings) -> usize {
    let name = planned.name();
    let files = match &planned.config.input {
        Input::File(path) => vec![path.clone()],
        Input::Glob(pattern) => {
            let found = source::look(pattern);
            let named: Vec<_> = host.plan.sources.iter().map(Planned::name).collect();
            source::choose(&found.files, &BTreeSet::new(), &named).files
        }
        journal @ Input::Journal { .. } => {
            let Some(lines) = entries(journal, findings) else { return 0 };
            told(host, &name, planned.config.format, &lines, findings);
            return 1;
        }
        // What comes there only the daemon sees.
        Input::Socket(_) | Input::Port(_) => {
            let message = format!("{} is for others to write to", name.display());
            findings.ok(Part::Sources, "listener", message);
            return 1;
        }
    };
    let mut readable = 0;
    for path in files {
        if let Some(lines) = file(host, &path, findings) {
            readable += 1;
            told(host, &path, planned.config.format, &lines, findings);
        }
    }
    readable
}

fn told(host: &Host, name: &Path, format: Format, lines: &[Vec<u8>], findings: &mut Findings) {
    if let Some(packs) = &host.packs {
        meaning(&name.display().to_string(), format, lines, packs, findings);
    }
}

/// The end of a file, in lines.
fn file(host: &Host, path: &Path, findings: &mut Findings) -> Option<Vec<Vec<u8>>> {
    let shown = path.display();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let awaited = |warning: &source::Warning| matches!(warning, source::Warning::NoAuthLog { awaited } if awaited == path);
            if host.plan.warnings.iter().any(awaited) {
                // That there is none at all is said once, below.
                return None;
            }
            findings.warning(
                Part::Sources,
                "source-missing",
                format!("{shown} isn't there yet; it is read from its beginning as soon as it is"),
                "Until then it is no evidence.",
                format!("ls -l {}", path.parent().unwrap_or(path).display()),
            );
            return None;
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !host.is_root => {
            findings.unseen(
                Part::Sources,
                "source-unreadable",
                format!("{shown} can only root read (the daemon is root)"),
                "sudo ravelin doctor",
            );
            return None;
        }
        Err(error) => {
            findings.failure(
                Part::Sources,
                "source-unreadable",
                format!("{shown}: {error}"),
                "What it says isn't seen.",
                format!("ls -lL {shown}"),
            );
            return None;
        }
    };
    let lines = match end_of(&mut file) {
        Ok(lines) => lines,
        Err(error) => {
            findings.failure(
                Part::Sources,
                "source-unreadable",
                format!("{shown}: {error}"),
                "What it says isn't seen.",
                format!("ls -lL {shown}"),
            );
            return None;
        }
    };
    let written = file.metadata().and_then(|metadata| metadata.modified());
    let silent = written.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    match silent {
        Some(silent) if silent > STALE => findings.warning(
            Part::Sources,
            "source-stale",
            format!("{shown} was last written {} ago", age(silent)),
            "Perhaps nobody writes it any more, and the evidence goes elsewhere.",
            format!("systemctl status rsyslog   # and who writes {shown}"),
        ),
        Some(silent) => {
            let message = format!("{shown} is readable, last written {} ago", age(silent));
            findings.ok(Part::Sources, "source", message);
        }
        None => findings.ok(Part::Sources, "source", format!("{shown} is readable")),
    }
    Some(lines)
}

/// The last whole lines of a file.
fn end_of(file: &mut File) -> io::Result<Vec<Vec<u8>>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(SAMPLE);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(SAMPLE).read_to_end(&mut text)?;
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // What begins or ends in the middle.
    lines.pop();
    if from > 0 && !lines.is_empty() {
        lines.remove(0);
    }
    Ok(lines)
}

fn entries(journal: &Input, findings: &mut Findings) -> Option<Vec<Vec<u8>>> {
    match source::recent_of_journal(journal, ENTRIES) {
        Ok(lines) => {
            findings.ok(Part::Sources, "source", "the journal is readable");
            Some(lines)
        }
        Err(error) => {
            findings.failure(
                Part::Sources,
                "source-unreadable",
                format!("the journal: {error}"),
                "What it says isn't seen.",
                "journalctl --lines=1",
            );
            None
        }
    }
}

/// What came of a program's lines.
#[derive(Default)]
struct Tally {
    seen: usize,
    recognised: usize,
    last: Vec<u8>,
}

/// Whether the lines mean something to the packs: those of programs that no pack knows needn't.
fn meaning(name: &str, format: Format, lines: &[Vec<u8>], packs: &Packs, findings: &mut Findings) {
    let mut decoder = Decoder::new(Selection::Only(format), TimeZone::system());
    let arrived = Timestamp::now();
    let mut programs: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut seen, mut malformed, mut recognised) = (0_usize, 0_usize, 0_usize);
    for bytes in lines {
        let record = match decoder.decode(Line { bytes, arrived }) {
            Ok(record) => record,
            Err(Undecodable::Empty) => continue,
            Err(Undecodable::NotAnAlert) => {
                (seen, recognised) = (seen + 1, recognised + 1);
                continue;
            }
            Err(Undecodable::Malformed { .. }) => {
                (seen, malformed) = (seen + 1, malformed + 1);
                continue;
            }
        };
        seen += 1;
        let known = packs.recognise(&record).is_some();
        recognised += usize::from(known);
        if let Some(program) =
            record.program.filter(|program| *program != KERNEL && packs.knows_program(program))
        {
            let tally = programs.entry(String::from_utf8_lossy(program).into_owned()).or_default();
            tally.seen += 1;
            tally.recognised += usize::from(known);
            if !known {
                tally.last.clone_from(bytes);
            }
        }
    }
    let remedy = format!("ravelin explain --format {format} {name}");
    let why = "Attacks in it are neither seen nor counted.";
    if seen >= FEW && malformed * 2 > seen {
        return findings.warning(
            Part::Sources,
            "unrecognised",
            format!("{name}: {malformed} of its last {seen} lines aren't {format}"),
            why,
            remedy,
        );
    }
    let mut foreign = false;
    for (program, tally) in &programs {
        if tally.seen >= FEW && tally.recognised == 0 {
            foreign = true;
            let last: String = String::from_utf8_lossy(&tally.last)
                .chars()
                .filter(|char| !char.is_control())
                .take(160)
                .collect();
            findings.warning(
                Part::Sources,
                "unrecognised",
                format!(
                    "{name}: not one of the last {} lines of {program} means anything; the last: {last}",
                    tally.seen
                ),
                why,
                remedy.clone(),
            );
        }
    }
    // Of an access log no program is known: all of it should mean something.
    if !foreign && format != Format::Syslog && seen >= FEW && recognised == 0 {
        findings.warning(
            Part::Sources,
            "unrecognised",
            format!("{name}: not one of its last {seen} lines means anything"),
            why,
            remedy,
        );
    }
}

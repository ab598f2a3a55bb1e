//! Other projects' log lines, read from where they lie (they are GPL) and compared with what those
//! projects make of them; skipped aloud where they aren't there.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::{Decoder, Selection};
use crate::config::Format;
use crate::event::{Body, Line, Timestamp};

/// The corpora, or `None`, said aloud.
fn corpora() -> Option<PathBuf> {
    let beside_us = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let found = std::env::var_os("RAVELIN_SHARED")
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from(beside_us), PathBuf::from("/work/shared")])
        .map(|shared| shared.join("corpora"))
        .find(|corpora| corpora.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: no corpora; set RAVELIN_SHARED to the folder that holds them");
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn decoder(selection: impl Into<Selection>) -> Decoder {
    Decoder::new(selection.into(), TimeZone::UTC)
}

fn line(bytes: &[u8]) -> Line<'_> {
    // 2026-01-01T00:00:00Z
    Line { bytes, arrived: Timestamp::from_secs(1_767_225_600) }
}

/// The lines of OSSEC's and Wazuh's rule tests: `log 1 pass = LINE`.
fn ini_lines(path: &Path) -> Vec<String> {
    String::from_utf8_lossy(&std::fs::read(path).unwrap())
        .lines()
        .filter(|line| line.starts_with("log "))
        .filter_map(|line| line.split_once(" = ").map(|(_, log)| log.trim_end().to_owned()))
        .collect()
}

/// Every line that OSSEC's and Wazuh's authors took for that program's begins with a header that is
/// split off, whatever its style.
#[test]
fn headers_of_ossecs_and_wazuhs_auth_lines() {
    let Some(corpora) = corpora() else { return };
    let mut seen = 0;
    for (file, program) in [
        ("ossec-hids/ossec-testing-tests/sshd.ini", "sshd"),
        ("ossec-hids/ossec-testing-tests/sudo.ini", "sudo"),
        ("ossec-hids/ossec-testing-tests/su.ini", "su"),
        ("ossec-hids/log-entries/sshd", "sshd"),
        ("wazuh/tests/sudo.ini", "sudo"),
        ("wazuh/tests/su.ini", "su"),
    ] {
        let path = corpora.join(file);
        let lines = if path.extension().is_some() {
            ini_lines(&path)
        } else {
            let text = std::fs::read(&path).unwrap();
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
        };
        for text in lines.iter().filter(|text| text.contains(program)) {
            let record = decoder(Selection::Auto).decode(line(text.as_bytes())).unwrap();
            let Body::Message(message) = record.body else { panic!("an alert? {text}") };
            assert_eq!(record.program, Some(program.as_bytes()), "{file}: {text}");
            assert!(record.time.is_some(), "{file}: {text}");
            assert!(!message.starts_with(b" ") && !message.starts_with(b"[ID"), "{file}: {text}");
            assert!(text.ends_with(&*String::from_utf8_lossy(message)), "{file}: {text}");
            seen += 1;
        }
    }
    assert!(seen > 350, "only {seen} lines");
}

/// Where a line of fail2ban's samples has an ordinary header, what we split off agrees with it.
#[test]
fn headers_of_fail2bans_samples() {
    let Some(corpora) = corpora() else { return };
    let ordinary =
        regex::bytes::Regex::new(r"(?-u)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (\S*[^\s:\]]) ([\w/.-]*[a-z][\w/.-]*)(?:\[(\d+)\])?: *(.*)$")
            .unwrap();
    let mut seen = 0;
    for path in files(&corpora.join("fail2ban/logs")) {
        for text in std::fs::read(&path).unwrap().split(|byte| *byte == b'\n') {
            let Ok(record) = decoder(Format::Syslog).decode(line(text)) else { continue };
            let Some(parts) = ordinary.captures(text) else { continue };
            let shown = String::from_utf8_lossy(text);
            assert!(record.time.is_some(), "{shown}");
            assert_eq!(record.host, Some(&parts[1]), "{shown}");
            assert_eq!(record.program, Some(&parts[2]), "{shown}");
            let pid = parts.get(3).map(|pid| String::from_utf8_lossy(pid.as_bytes()).into_owned());
            assert_eq!(record.pid.map(|pid| pid.to_string()), pid, "{shown}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} lines");
}

/// Suricata's own expected results, and OSSEC's two Snort lines, are alerts with addresses.
#[test]
fn suricatas_expected_results() {
    let Some(corpora) = corpora() else { return };
    let mut lines = ini_lines(&corpora.join("ossec-hids/ossec-testing-tests/snort.ini"));
    assert_eq!(lines.len(), 2);
    for path in files(&corpora.join("suricata-verify")) {
        if matches!(path.file_name().and_then(|name| name.to_str()), Some("fast.log" | "eve.json"))
        {
            lines.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    assert!(lines.len() > 2, "no expected fast.log");
    for text in &lines {
        let record = match decoder(Selection::Auto).decode(line(text.as_bytes())) {
            Ok(record) => record,
            Err(error) => {
                assert!(!error.is_malformed(), "{error}: {text}");
                continue;
            }
        };
        let Body::Suricata(alert) = record.body else { panic!("no alert: {text}") };
        assert!(record.time.is_some() && alert.sid > 0, "{text}");
        assert!(alert.src.is_some() && alert.dst_port.is_some(), "{text}");
    }
}

/// No line of any corpus makes a decoder panic, or is more than its format's own business.
#[test]
fn every_line_of_every_corpus_decodes_or_is_refused() {
    let Some(corpora) = corpora() else { return };
    for path in files(&corpora) {
        for text in std::fs::read(&path).unwrap().split(|byte| *byte == b'\n') {
            for format in Format::ALL {
                let outcome = decoder(format).decode(line(text));
                assert!(
                    outcome.is_ok() || format != Format::Syslog || text.trim_ascii().is_empty(),
                    "syslog refused a line of {}",
                    path.display()
                );
            }
        }
    }
}

//! Suricata: whether it is there, runs and writes; its rules, how many and how old; what it lost.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{Findings, Host, Part, age};
use crate::config::{Format, Input};
use crate::policy::SuricataProof;

/// Of a log's end, so much is looked at.
const SAMPLE: u64 = 4 << 20;
/// It writes statistics every few seconds; a pause like this means that it writes elsewhere, or hangs.
const PAUSE: Duration = Duration::from_mins(10);
/// Rules are published every day.
const OLD: Duration = Duration::from_hours(14 * 24);
/// Of a hundred packets, so many may be lost before it is worth a word.
const LOST_PERCENT: u64 = 1;

/// What Suricata says of itself.
#[derive(Debug, Default, Eq, PartialEq)]
struct Said {
    /// Packets that the kernel had for it, and how many of them it lost.
    packets: Option<(u64, u64)>,
    /// Rules that it loaded, and those that it couldn't.
    rules: Option<(u64, u64)>,
    /// Its own word on the first that it couldn't.
    error: Option<String>,
}

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    let Some(log) = log(host) else {
        return findings.warning(
            Part::Suricata,
            "suricata-missing",
            "no log of Suricata's is there to be read",
            "Scans and exploits aren't seen; what services log themselves is.",
            "apt-get install suricata   # Debian 12: -t bookworm-backports",
        );
    };
    if !runs() {
        findings.warning(
            Part::Suricata,
            "suricata-not-running",
            "no process of Suricata's runs",
            "Scans and exploits aren't seen.",
            "systemctl enable --now suricata",
        );
    }
    writes(&log, findings);
    rules_file(host, findings);
    let folder = log.parent().unwrap_or(Path::new("/var/log/suricata"));
    let said = said(&log, folder);
    loaded(&said, folder, findings);
    losses(&said, findings);
}

/// The log that is read.
fn log(host: &Host) -> Option<PathBuf> {
    host.plan.sources.iter().find_map(|planned| {
        match (&planned.config.input, planned.config.format) {
            (Input::File(path), Format::SuricataEve | Format::SuricataFast) => Some(path.clone()),
            _ => None,
        }
    })
}

/// Its main thread gives the process its name.
fn runs() -> bool {
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|process| {
        fs::read(process.path().join("comm")).is_ok_and(|name| name.starts_with(b"Suricata"))
    })
}

fn writes(log: &Path, findings: &mut Findings) {
    let Ok(written) = fs::metadata(log).and_then(|metadata| metadata.modified()) else {
        // The part about sources says why.
        return;
    };
    let silent = SystemTime::now().duration_since(written).unwrap_or_default();
    if silent > PAUSE && log.extension().is_some_and(|extension| extension == "json") {
        findings.warning(
            Part::Suricata,
            "suricata-silent",
            format!("{} was last written {} ago", log.display(), age(silent)),
            "It writes statistics every few seconds, so it hangs or writes elsewhere.",
            "systemctl restart suricata",
        );
    } else {
        let message = format!("{} was last written {} ago", log.display(), age(silent));
        findings.ok(Part::Suricata, "suricata", message);
    }
}

/// The file that proves addresses, and that Suricata most likely loads.
fn rules_file(host: &Host, findings: &mut Findings) {
    let path = &host.config.suricata_rules;
    let proof = match SuricataProof::load(path) {
        Ok(proof) => proof,
        Err(error) => {
            return findings.warning(
                Part::Suricata,
                "proof-unknown",
                error.to_string(),
                "Which alerts of fast.log prove their address can't be told, so TCP counts as proof.",
                "suricata-update",
            );
        }
    };
    let old = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok())
        .unwrap_or_default();
    let told = format!("{} rules in {}, {} old", proof.len(), path.display(), age(old));
    if old > OLD {
        findings.warning(
            Part::Suricata,
            "rules-old",
            told,
            "What became known since then isn't recognised.",
            "suricata-update && systemctl reload suricata",
        );
    } else {
        findings.ok(Part::Suricata, "rules", told);
    }
}

fn loaded(said: &Said, folder: &Path, findings: &mut Findings) {
    let why = "What they describe isn't recognised.";
    let remedy = "suricata -T -c /etc/suricata/suricata.yaml";
    match said.rules {
        None => findings.unseen(
            Part::Suricata,
            "rules-loaded",
            format!(
                "how many rules Suricata has loaded stands neither in eve.json nor in {}",
                folder.join("suricata.log").display()
            ),
            remedy,
        ),
        Some((0, _)) => findings.failure(
            Part::Suricata,
            "no-rules-loaded",
            "Suricata has loaded no rule",
            "It sees no attack at all.",
            "suricata-update && systemctl restart suricata",
        ),
        Some((loaded, 0)) => findings.ok(
            Part::Suricata,
            "rules-loaded",
            format!("Suricata has loaded {loaded} rules, all that it was given"),
        ),
        Some((loaded, failed)) => {
            let error = said.error.as_deref().map(|error| format!("; the first: {error}"));
            findings.warning(
                Part::Suricata,
                "rules-failed",
                format!(
                    "Suricata has loaded {loaded} rules, and couldn't load {failed}{}",
                    error.unwrap_or_default()
                ),
                why,
                remedy,
            );
        }
    }
}

fn losses(said: &Said, findings: &mut Findings) {
    let Some((packets, lost)) = said.packets else {
        return findings.unseen(
            Part::Suricata,
            "packet-loss",
            "how many packets Suricata loses stands neither in eve.json nor in stats.log",
            "grep -A3 'stats:' /etc/suricata/suricata.yaml   # enabled: yes",
        );
    };
    let told = format!("Suricata lost {lost} of {packets} packets");
    if lost.saturating_mul(100) > packets.saturating_mul(LOST_PERCENT) {
        findings.warning(
            Part::Suricata,
            "packet-loss",
            told,
            "Attacks in them aren't seen, and streams with gaps aren't either.",
            "ethtool -G IF rx 4096   # and more threads or a larger ring-size in suricata.yaml",
        );
    } else {
        findings.ok(Part::Suricata, "packet-loss", told);
    }
}

/// What stands in eve.json's last statistics, and what doesn't in stats.log and suricata.log.
fn said(log: &Path, folder: &Path) -> Said {
    let eve = end_of(&folder.join("eve.json")).unwrap_or_default();
    let mut said = of_eve(&eve);
    if log.file_name().is_some_and(|name| name != "eve.json") && said == Said::default() {
        said = of_eve(&end_of(log).unwrap_or_default());
    }
    if said.packets.is_none() {
        said.packets = of_stats(&end_of(&folder.join("stats.log")).unwrap_or_default());
    }
    let own = end_of(&folder.join("suricata.log")).unwrap_or_default();
    said.rules = said.rules.or_else(|| loaded_of(&own));
    said.error =
        own.lines().find_map(|line| line.split_once("error parsing signature")).map(|(_, rest)| {
            rest.chars()
                .filter(|char| !char.is_control())
                .take(160)
                .collect::<String>()
                .trim()
                .to_owned()
        });
    said
}

/// The end of a file, as text.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SAMPLE)))?;
    let mut text = Vec::new();
    file.take(SAMPLE).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last statistics in eve.json.
fn of_eve(text: &str) -> Said {
    let last = text
        .lines()
        .rev()
        .filter(|line| line.contains("\"stats\""))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|record| record["event_type"] == "stats");
    let Some(record) = last else { return Said::default() };
    let number = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
    let packets = number("/stats/capture/kernel_packets");
    let lost = number("/stats/capture/kernel_drops").unwrap_or_default();
    let engine = "/stats/detect/engines/0";
    let loaded = number(&format!("{engine}/rules_loaded"));
    let failed = number(&format!("{engine}/rules_failed")).unwrap_or_default();
    Said {
        packets: packets.map(|packets| (packets, lost)),
        rules: loaded.map(|loaded| (loaded, failed)),
        error: None,
    }
}

/// The last `capture.kernel_packets | Total | 1234` of stats.log, and its losses.
fn of_stats(text: &str) -> Option<(u64, u64)> {
    let last = |name: &str| {
        text.lines().rev().find_map(|line| {
            let mut cells = line.split('|').map(str::trim);
            (cells.next() == Some(name)).then_some(())?;
            cells.nth(1)?.parse::<u64>().ok()
        })
    };
    Some((last("capture.kernel_packets")?, last("capture.kernel_drops").unwrap_or_default()))
}

/// `1 rule files processed. 3 rules successfully loaded, 0 rules failed, 0`, as Suricata 5 to 8 log it.
fn loaded_of(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().rev().find(|line| line.contains("rules successfully loaded"))?;
    let before = |what: &str| line.split(what).next()?.trim_end().rsplit(' ').next()?.parse().ok();
    Some((before(" rules successfully loaded")?, before(" rules failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statistics_of_eve_count() {
        let line = |packets: u64, failed: u64| {
            format!(
                r#"{{"timestamp":"2026-11-24T10:00:00.000000+0000","event_type":"stats","stats":{{"uptime":8,"capture":{{"kernel_packets":{packets},"kernel_drops":7}},"detect":{{"engines":[{{"id":0,"last_reload":"2026-11-24T09:00:00.000000+0000","rules_loaded":3,"rules_failed":{failed}}}]}}}}}}"#
            )
        };
        let text = format!(
            "cut off\n{}\n{}\n{{\"event_type\":\"alert\",\"payload\":\"\\\"stats\\\"\"}}\n",
            line(100, 0),
            line(1_000, 2)
        );
        let expected = Said { packets: Some((1_000, 7)), rules: Some((3, 2)), error: None };
        assert_eq!(of_eve(&text), expected);
        assert_eq!(of_eve("{\"event_type\":\"flow\"}\n"), Said::default());
    }

    #[test]
    fn logs_of_several_versions_are_read() {
        for (line, rules) in [
            (
                "[1 - Suricata-Main] 2026-11-24 10:00:00 Info: detect: 1 rule files processed. 3 rules successfully loaded, 0 rules failed, 0",
                (3, 0),
            ),
            (
                "24/11/2026 -- 10:00:00 - <Info> - 2 rule files processed. 31337 rules successfully loaded, 12 rules failed",
                (31_337, 12),
            ),
        ] {
            assert_eq!(loaded_of(line), Some(rules));
        }
        assert_eq!(loaded_of("rules successfully loaded"), None);
        let stats = "capture.kernel_packets       | Total           | 10\n\
            capture.kernel_packets       | Total           | 20\n\
            capture.kernel_drops         | Total           | 5\n";
        assert_eq!(of_stats(stats), Some((20, 5)));
        assert_eq!(of_stats("decoder.pkts | Total | 9\n"), None);
    }
}

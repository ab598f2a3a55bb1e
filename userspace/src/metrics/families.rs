//! Every metric there is: its name, what it means, and where its numbers come from.

use std::collections::HashMap;

use ravelin_common::Reason;

use super::exposition::{Exposition, Family, Kind};
use super::process;
use super::snapshot::Snapshot;
use super::tally::ORIGINS;
use crate::control::State;
use crate::event::Withheld;

/// Declares families, and their names together.
macro_rules! families {
    ($($family:ident<$count:literal> = $kind:ident $name:literal $labels:tt: $help:literal;)+) => {
        $(const $family: Family<$count> =
            Family { name: $name, kind: Kind::$kind, help: $help, labels: $labels };)+

        /// The names of all metrics that there can be.
        pub const NAMES: &[&str] = &[$($name),+];
    };
}

families! {
    BUILD<1> = Gauge "ravelin_build_info" ["version"]: "1, with the daemon's version.";
    STATE<1> = Gauge "ravelin_state" ["state"]: "1 for the state that `ravelin status` says, 0 for the others.";
    FINDINGS<1> = Gauge "ravelin_health_findings" ["code"]: "How many findings with this code `ravelin status` shows.";
    INTERFACES<2> = Gauge "ravelin_interface_info" ["interface", "mode"]: "1 for each protected interface, with how it runs the program.";
    PACKETS<2> = Counter "ravelin_packets_total" ["verdict", "reason"]: "Packets on the protected interfaces, by what became of them and why.";
    BANS<0> = Gauge "ravelin_bans" []: "Bans that stand.";
    ENTRIES<1> = Gauge "ravelin_blocklist_entries" ["map"]: "Bans in a map of the kernel's.";
    CAPACITY<1> = Gauge "ravelin_blocklist_capacity" ["map"]: "Bans that a map of the kernel's has room for.";
    MADE<1> = Counter "ravelin_bans_made_total" ["origin"]: "Bans made, by who decided.";
    ENDED<1> = Counter "ravelin_bans_ended_total" ["how"]: "Bans that ended, by time or by hand.";
    WITHHELD<1> = Counter "ravelin_bans_withheld_total" ["reason"]: "Bans that level or score called for and that didn't come.";
    HELD_BACK<0> = Gauge "ravelin_bans_held_back" []: "Bans that wait for ban.max_per_minute.";
    TURNED_AWAY<0> = Counter "ravelin_bans_turned_away_total" []: "Bans that the kernel's maps had no room for.";
    ALERTS<3> = Counter "ravelin_alerts_total" ["pack", "rule", "level"]: "Alerts, by the rule that fired.";
    SOURCE_UP<1> = Gauge "ravelin_source_up" ["source"]: "1 while a source is read, 0 while it can't be; one that isn't there yet is up.";
    SOURCE_LINES<1> = Counter "ravelin_source_lines_total" ["source"]: "Lines taken in.";
    SOURCE_BYTES<1> = Counter "ravelin_source_read_bytes_total" ["source"]: "Bytes taken in.";
    SOURCE_LAG<1> = Gauge "ravelin_source_lag_bytes" ["source"]: "Bytes written that aren't read yet.";
    JOURNAL_LAG<1> = Gauge "ravelin_source_lag_seconds" ["source"]: "How far behind the journal is read.";
    PEERS<1> = Gauge "ravelin_listener_peers" ["source"]: "Who is connected to a socket, or sent to it of late.";
    RECEIVED<1> = Counter "ravelin_listener_lines_total" ["source"]: "Lines that came by a socket.";
    CUT<1> = Counter "ravelin_listener_cut_lines_total" ["source"]: "Lines that were cut for being too long.";
    LOST<1> = Counter "ravelin_listener_lost_lines_total" ["source"]: "Lines that are known to be lost.";
    REFUSED<1> = Counter "ravelin_listener_refusals_total" ["source"]: "Connections and datagrams of those who may not speak, or for whom there was no room.";
    QUEUED<0> = Gauge "ravelin_mails_queued" []: "Mails that the relay hasn't taken yet.";
    SENT<0> = Counter "ravelin_mails_sent_total" []: "Mails that the relay took, over restarts.";
    MAIL_REFUSED<0> = Counter "ravelin_mails_refused_total" []: "Mails that the relay refused for good, over restarts.";
    KEYS<0> = Gauge "ravelin_correlator_keys" []: "Offenders and other keys that are remembered.";
    MEMORY<0> = Gauge "ravelin_correlator_memory_bytes" []: "Memory that they take.";
    EVICTED<0> = Counter "ravelin_correlator_evictions_total" []: "What was forgotten before its time, to make room.";
    UNWRITTEN<0> = Gauge "ravelin_store_queued" []: "What waits to be written to the database.";
    LET_GO<0> = Counter "ravelin_store_lost_total" []: "What was never written to it, because too much waited.";
    CPU<0> = Counter "process_cpu_seconds_total" []: "CPU time used.";
    RESIDENT<0> = Gauge "process_resident_memory_bytes" []: "Resident memory.";
    START<0> = Gauge "process_start_time_seconds" []: "When the daemon started, in seconds since the epoch.";
}

/// The findings that `ravelin status` may show, each told also while there is none: a series that comes only with
/// its trouble has no past to compare with. A test keeps them the same as `docs/commands.md`'s.
const CODES: &[&str] = &[
    "allow-file",
    "allow-files-full",
    "allow-list",
    "ban-ineffective",
    "ban-refused",
    "clock-skew",
    "configuration-invalid",
    "confirm-pending",
    "database-damaged",
    "database-failing",
    "database-renewed",
    "front-suspected",
    "generic-mode",
    "history-lost",
    "interface-unprotected",
    "last-good",
    "list-unreadable",
    "mail-misconfigured",
    "mail-refused",
    "mail-undelivered",
    "map-full",
    "map-size",
    "metrics-unavailable",
    "off",
    "packs-invalid",
    "proof-unknown",
    "reload-refused",
    "restart-needed",
    "restore-incomplete",
    "sandbox-incomplete",
    "sandbox-off",
    "source-excess",
    "source-lagging",
    "source-losing",
    "source-not-started",
    "source-polled",
    "source-silent",
    "source-unreadable",
    "source-untrusted",
    "sources",
    "sweep",
    "unconfirmed",
    "unrecognised",
];

/// Writes all of it in the text format.
pub fn expose(snapshot: &Snapshot) -> String {
    let mut text = Exposition::default();
    protection(&mut text, snapshot);
    blocklist(&mut text, snapshot);
    decisions(&mut text, snapshot);
    sources(&mut text, snapshot);
    surroundings(&mut text, snapshot);
    text.into_text()
}

fn protection(text: &mut Exposition, snapshot: &Snapshot) {
    let status = &snapshot.status;
    text.put(&BUILD, [([status.version.as_str()], 1)]);
    let states = [State::Enforcing, State::Observing, State::Degraded, State::Off];
    text.put(&STATE, states.map(|state| ([state.as_str()], u8::from(state == status.state))));
    let standing = |code: &str| status.health.iter().filter(|item| item.code == code).count();
    let unlisted = status.health.iter().map(|item| item.code.as_str());
    let mut codes: Vec<&str> = CODES.iter().copied().chain(unlisted).collect();
    codes.sort_unstable();
    codes.dedup();
    text.put(&FINDINGS, codes.into_iter().map(|code| ([code], standing(code))));
    let interfaces = status.interfaces.iter();
    text.put(&INTERFACES, interfaces.map(|it| ([it.name.as_str(), it.mode.as_str()], 1)));
}

fn blocklist(text: &mut Exposition, snapshot: &Snapshot) {
    let packets = snapshot.packets.iter().flat_map(|counters| {
        Reason::ALL.into_iter().map(|(reason, name)| {
            let verdict = if reason.passed() { "passed" } else { "dropped" };
            ([verdict, name], counters.of(reason))
        })
    });
    text.put(&PACKETS, packets);
    text.one(&BANS, snapshot.status.bans);
    text.put(&ENTRIES, snapshot.rooms.iter().map(|room| ([room.map], room.entries)));
    text.put(&CAPACITY, snapshot.rooms.iter().map(|room| ([room.map], room.capacity)));
}

fn decisions(text: &mut Exposition, snapshot: &Snapshot) {
    let tally = &snapshot.tally;
    text.put(&MADE, ORIGINS.iter().zip(tally.banned).map(|(origin, made)| ([*origin], made)));
    text.put(&ENDED, [(["lapsed"], tally.lapsed), (["lifted"], tally.lifted)]);
    let withheld = Withheld::ALL.iter().zip(tally.withheld);
    text.put(&WITHHELD, withheld.map(|(why, times)| ([why.as_str()], times)));
    text.one(&HELD_BACK, snapshot.held_back);
    text.one(&TURNED_AWAY, snapshot.turned_away);
    let alerts: Vec<(String, String, &str, u64)> = tally
        .alerts
        .iter()
        .map(|(rule, fired)| {
            (rule.to_string(), fired.level.to_string(), fired.pack.as_str(), fired.times)
        })
        .collect();
    let alerts = alerts
        .iter()
        .map(|(rule, level, pack, times)| ([*pack, rule.as_str(), level.as_str()], *times));
    let others = (tally.other_alerts > 0).then_some((["", "other", ""], tally.other_alerts));
    text.put(&ALERTS, alerts.chain(others));
}

fn sources(text: &mut Exposition, snapshot: &Snapshot) {
    let standby = crate::source::State::Standby.to_string();
    let read: Vec<_> = snapshot.status.sources.iter().filter(|it| it.state != standby).collect();
    let names = labels(read.iter().map(|source| source.name.as_str()));
    let each = || names.iter().map(String::as_str).zip(&read);
    text.put(
        &SOURCE_UP,
        each().map(|(name, source)| ([name], u8::from(!source.state.starts_with("error")))),
    );
    text.put(&SOURCE_LINES, each().map(|(name, source)| ([name], source.lines)));
    text.put(&SOURCE_BYTES, each().map(|(name, source)| ([name], source.bytes)));
    text.put(&SOURCE_LAG, each().map(|(name, source)| ([name], source.lag_bytes)));
    let journals = each().filter_map(|(name, source)| Some(([name], source.lag_s?)));
    text.put(&JOURNAL_LAG, journals);
    let listeners = || each().filter_map(|(name, source)| Some((name, source.listener?)));
    text.put(&PEERS, listeners().map(|(name, row)| ([name], row.peers)));
    text.put(&RECEIVED, listeners().map(|(name, row)| ([name], row.received)));
    text.put(&CUT, listeners().map(|(name, row)| ([name], row.cut)));
    text.put(&LOST, listeners().map(|(name, row)| ([name], row.lost)));
    text.put(&REFUSED, listeners().map(|(name, row)| ([name], row.refused)));
}

fn surroundings(text: &mut Exposition, snapshot: &Snapshot) {
    let mail = snapshot.status.mail;
    text.one(&QUEUED, mail.queued);
    text.one(&SENT, mail.sent);
    text.one(&MAIL_REFUSED, mail.failed);
    text.one(&KEYS, snapshot.memory.keys);
    text.one(&MEMORY, snapshot.memory.bytes);
    text.one(&EVICTED, snapshot.memory.evicted);
    text.one(&UNWRITTEN, snapshot.unwritten);
    text.one(&LET_GO, snapshot.let_go);
    text.one(&CPU, process::cpu_seconds());
    if let Some(resident) = process::resident_bytes() {
        text.one(&RESIDENT, resident);
    }
    text.one(&START, snapshot.tally.since.as_micros().div_euclid(1_000_000));
}

/// What sources are called in labels: their paths, and of a port no address, be it our own. No two are the same.
fn labels<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut times: HashMap<String, u32> = HashMap::new();
    names
        .map(|name| {
            let label = match (name.split_once(':'), name.rsplit_once(':')) {
                (Some((transport @ ("udp" | "tcp"), _)), Some((_, port))) => {
                    format!("{transport}:{port}")
                }
                _ => name.to_owned(),
            };
            let times = times.entry(label.clone()).or_default();
            *times += 1;
            if *times == 1 { label } else { format!("{label}#{times}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocklist::Counters;
    use crate::control::{
        HealthItem, InterfaceStatus, MailStatus, PacketStatus, SourceStatus, Status,
    };
    use crate::correlator::Stats;
    use crate::event::{Origin, RuleHead};
    use crate::metrics::{End, Room, Tally};
    use crate::source::ListenerRow;

    fn source(name: &str, state: &str) -> SourceStatus {
        SourceStatus {
            name: name.to_owned(),
            state: state.to_owned(),
            trust: "file".to_owned(),
            lines: 7,
            bytes: 700,
            lag_bytes: 3,
            listener: None,
            lag_s: None,
        }
    }

    /// A daemon of which everything is told.
    fn snapshot() -> Snapshot {
        let mut tally = Tally::new();
        tally.alert(&RuleHead::plain(5720, 10, "sshd"));
        tally.banned(&Origin::Feed("198.51.100.7".to_owned()));
        tally.ended(End::Lifted);
        tally.withheld(Withheld::Already);
        let listener = ListenerRow { peers: 1, received: 2, cut: 3, lost: 4, refused: 5 };
        Snapshot {
            status: Status {
                version: "0.1.0".to_owned(),
                pid: 1,
                uptime_s: 60,
                state: State::Degraded,
                health: vec![HealthItem {
                    code: "source-unreadable".to_owned(),
                    since: "2026-11-24T10:00:00Z".to_owned(),
                    remedy: "evil \"\n} 1".to_owned(),
                }],
                interfaces: vec![InterfaceStatus {
                    name: "eth0".to_owned(),
                    mode: "native".to_owned(),
                }],
                bans: 2,
                sources: vec![
                    source("/var/log/auth.log", "error: gone"),
                    SourceStatus { lag_s: Some(0), ..source("journald", "reading") },
                    SourceStatus {
                        listener: Some(listener),
                        ..source("udp:192.0.2.1:514", "reading")
                    },
                    SourceStatus {
                        listener: Some(listener),
                        ..source("udp:[2001:db8::1]:514", "reading")
                    },
                    source("/var/log/suricata/fast.log", "standby"),
                ],
                mail: MailStatus { queued: 1, sent: 2, failed: 3 },
                packets: PacketStatus { passed: 10, dropped: 5 },
            },
            packets: Some(Counters::default()),
            rooms: vec![Room { map: "bans_v4", entries: 2, capacity: 1 << 20 }],
            tally,
            memory: Stats::default(),
            held_back: 0,
            turned_away: 0,
            unwritten: 0,
            let_go: 0,
        }
    }

    #[test]
    fn every_metric_is_told_and_no_address() {
        let text = expose(&snapshot());
        for name in NAMES {
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
            assert!(
                text.lines().any(|line| line
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with([' ', '{']))),
                "{name}"
            );
        }
        assert_eq!(text.matches("# HELP ").count(), NAMES.len());
        for line in [
            "ravelin_state{state=\"degraded\"} 1",
            "ravelin_state{state=\"enforcing\"} 0",
            "ravelin_health_findings{code=\"source-unreadable\"} 1",
            "ravelin_health_findings{code=\"ban-ineffective\"} 0",
            "ravelin_packets_total{verdict=\"dropped\",reason=\"net-v6\"} 0",
            "ravelin_bans_made_total{origin=\"feed\"} 1",
            "ravelin_bans_ended_total{how=\"lifted\"} 1",
            "ravelin_bans_withheld_total{reason=\"already\"} 1",
            "ravelin_alerts_total{pack=\"sshd\",rule=\"5720\",level=\"10\"} 1",
            "ravelin_source_up{source=\"/var/log/auth.log\"} 0",
            "ravelin_source_up{source=\"journald\"} 1",
            "ravelin_listener_lost_lines_total{source=\"udp:514\"} 4",
            "ravelin_listener_lost_lines_total{source=\"udp:514#2\"} 4",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(
            !text.contains("192.0.2") && !text.contains("2001:db8") && !text.contains("198.51")
        );
        assert!(!text.contains("fast.log"), "nobody reads it");
    }

    #[test]
    fn no_label_grows_with_what_attackers_do() {
        let mut snapshot = snapshot();
        for id in 0..10_000 {
            snapshot.tally.alert(&RuleHead::plain(id, 3, "own"));
        }
        let text = expose(&snapshot);
        let series = text.lines().filter(|line| line.starts_with("ravelin_alerts_total{")).count();
        assert_eq!(series, 4097);
        assert!(text.contains("rule=\"other\""));
    }

    #[test]
    fn the_codes_are_those_of_the_documentation() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = text.split("| code | means |").nth(1).unwrap();
        let mut documented: Vec<&str> = table
            .lines()
            .skip(2)
            .map_while(|row| row.strip_prefix("| ")?.split(" | ").next())
            .flat_map(|codes| codes.split(", ").map(|code| code.trim_matches('`')))
            // Of a daemon that isn't there nobody asks.
            .filter(|code| *code != "not-running")
            .collect();
        documented.sort_unstable();
        assert_eq!(documented, CODES);
    }

    /// Names that look like metrics of ours.
    fn named(text: &str) -> std::collections::BTreeSet<&str> {
        text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .filter(|word| {
                let rest = word.strip_prefix("ravelin_").or(word.strip_prefix("process_"));
                rest.is_some_and(|rest| !rest.is_empty())
            })
            .collect()
    }

    #[test]
    fn dashboard_alerts_and_documentation_name_what_is_told() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let read = |file: &str| std::fs::read_to_string(docs.join(file)).unwrap();
        let told: std::collections::BTreeSet<&str> = NAMES.iter().copied().collect();
        for file in ["grafana/ravelin-dashboard.json", "grafana/ravelin-alerts.yaml", "metrics.md"]
        {
            let text = read(file);
            let unknown: Vec<_> = named(&text).difference(&told).copied().collect();
            assert!(unknown.is_empty(), "{file} names {unknown:?}, which nobody tells");
        }
        let text = read("metrics.md");
        let documented = named(&text);
        for name in NAMES {
            assert!(documented.contains(name), "docs/metrics.md doesn't have {name}");
        }
        // The codes that alerts ask for are codes that there are.
        let alerts = read("grafana/ravelin-alerts.yaml");
        let asked: Vec<&str> = alerts
            .split("code=")
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
            .flat_map(|codes| codes.split('|'))
            .collect();
        assert!(asked.len() >= 8, "{asked:?}");
        for code in asked {
            assert!(CODES.contains(&code), "{code}");
        }
    }
}

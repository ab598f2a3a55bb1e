//! `metrics:`, as Prometheus sees it; its own `promtool` is the judge.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ravelin::metrics::NAMES;
use ravelin_tests::netns::Pair;
use serde_json::Value;

use super::daemon::Daemon;
use super::{CLIENT, failed_login, is_cut_off};

const AT: &str = "http://127.0.0.1:9477/metrics";

/// What a scrape says, and how it calls that.
fn scraped(pair: &Pair) -> (String, String) {
    pair.server.enter(|| {
        let mut answer = ureq::get(AT).call().unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.body_mut().read_to_string().unwrap(), kind)
    })
}

/// A sample's value.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// Has promtool judge what it is given.
fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("promtool (Debian's prometheus): {error}; `cargo xtask test` installs it")
        });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    // It says what isn't as it should be also where it lets it pass.
    assert!(args != ["check", "metrics"] || said.is_empty(), "{said}");
}

#[test]
fn prometheus_is_told_what_happens() {
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "metrics: 9477\n");
    daemon.wait_until("metrics are there", || daemon.log().contains("Metrics are at"));
    let (before, kind) = scraped(&pair);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&before, "ravelin_state{state=\"enforcing\"}"), 1.0);
    for pid in 0..8 {
        daemon.log_line(&failed_login(800 + pid, "root"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned().len() == 1);
    assert!(is_cut_off(&pair));
    daemon.wait_until("that is told", || scraped(&pair).0.contains("ravelin_bans 1\n"));
    let (text, _) = scraped(&pair);
    promtool(&["check", "metrics"], &text);
    assert_eq!(value(&text, "ravelin_blocklist_entries{map=\"bans_v4\"}"), 1.0);
    assert_eq!(value(&text, "ravelin_blocklist_capacity{map=\"bans_v6\"}"), f64::from(1 << 20));
    assert_eq!(value(&text, "ravelin_bans_made_total{origin=\"rule\"}"), 1.0);
    assert!(value(&text, "ravelin_packets_total{verdict=\"dropped\",reason=\"v4\"}") >= 2.0);
    assert!(
        text.contains("ravelin_alerts_total{pack=\"sshd\",rule=\"5716\",level=\"5\"} 8\n"),
        "{text}"
    );
    assert!(!text.contains(CLIENT), "no addresses");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(NAMES.contains(&name), "{name}");
    }
    daemon.cli(&["unban", CLIENT]).done();
    daemon.wait_until("that is told", || {
        value(&scraped(&pair).0, "ravelin_bans_ended_total{how=\"lifted\"}") > 0.0
    });
    // Nobody else hears of it.
    let elsewhere = pair.client.enter(|| ureq::get("http://203.0.113.1:9477/metrics").call());
    assert!(elsewhere.is_err(), "it listens on the loopback address only");
}

#[test]
fn a_port_that_is_taken_is_said_and_tried_again() {
    let pair = Pair::new();
    let taken = pair.server.enter(|| std::net::TcpListener::bind("127.0.0.1:9477").unwrap());
    let daemon = Daemon::start(&pair.server, "metrics: 127.0.0.1:9477\n");
    daemon.wait_until("it is said", || daemon.health().contains(&"metrics-unavailable".to_owned()));
    assert_eq!(daemon.cli(&["status"]).code, 0, "the host is protected all the same");
    drop(taken);
    daemon.wait_until("it is mended", || daemon.health().is_empty());
    assert!(scraped(&pair).0.contains("ravelin_build_info"));
}

#[test]
fn alert_rules_and_dashboard_are_what_prometheus_understands() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana");
    let rules = folder.join("ravelin-alerts.yaml");
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
    let text = std::fs::read_to_string(folder.join("ravelin-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    // Its queries, with what Grafana puts in place of its variables, as rules.
    let mut queries = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut count = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let mut query = target["expr"].as_str().unwrap().to_owned();
            for (variable, put) in [
                ("$job", "ravelin"),
                ("$instance", ".*"),
                ("$__rate_interval", "1m"),
                ("$__interval", "1m"),
                ("$__range", "6h"),
            ] {
                query = query.replace(variable, put);
            }
            assert!(!query.contains('$'), "{query}");
            count += 1;
            let query = serde_json::to_string(&query).unwrap();
            queries.push_str(&format!("  - {{record: 'dashboard:q{count}', expr: {query}}}\n"));
        }
    }
    assert!(count > 20, "{count}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("queries.yaml");
    std::fs::write(&file, queries).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}

#[test]
fn alerts_come_with_their_trouble_and_not_without() {
    let rules =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana/ravelin-alerts.yaml");
    let rules = rules.canonicalize().unwrap();
    let host = "job=\"ravelin\",instance=\"web1:9477\"";
    let finding = |code: &str| format!("ravelin_health_findings{{{host},code=\"{code}\"}}");
    let off = format!("ravelin_state{{{host},state=\"off\"}}");
    let degraded = format!("ravelin_state{{{host},state=\"degraded\"}}");
    let up = format!("up{{{host}}}");
    let source = format!("ravelin_source_up{{{host},source=\"/var/log/auth.log\"}}");
    let entries = format!("ravelin_blocklist_entries{{{host},map=\"bans_v4\"}}");
    let capacity = format!("ravelin_blocklist_capacity{{{host},map=\"bans_v4\"}}");
    // Each: what is so, and which alert comes of it.
    let mut cases: Vec<(Vec<(String, &str)>, &str)> = vec![
        (vec![(up.clone(), "0")], "RavelinDown"),
        (vec![(degraded, "1")], "RavelinDegraded"),
        (vec![(off, "1")], "RavelinOff"),
        (vec![(source, "0")], "RavelinSourceUnreadable"),
        (vec![(entries.clone(), "900"), (capacity.clone(), "1000")], "RavelinMapNearlyFull"),
        (vec![(entries, "700"), (capacity, "1000")], ""),
        (vec![(finding("ban-ineffective"), "0"), (finding("generic-mode"), "1")], ""),
    ];
    for (code, alert) in [
        ("ban-ineffective", "RavelinBanIneffective"),
        ("source-silent", "RavelinSourceSilent"),
        ("source-lagging", "RavelinSourceLagging"),
        ("unrecognised", "RavelinUnrecognised"),
        ("interface-unprotected", "RavelinInterfaceUnprotected"),
        ("mail-undelivered", "RavelinMailUndelivered"),
        ("reload-refused", "RavelinConfigurationInvalid"),
    ] {
        cases.push((vec![(finding(code), "1")], alert));
    }
    let names: Vec<&str> =
        cases.iter().map(|(_, alert)| *alert).filter(|it| !it.is_empty()).collect();
    let mut text = format!("rule_files: [{}]\ntests:\n", rules.display());
    for (series, alert) in &cases {
        text.push_str("- interval: 1m\n  input_series:\n");
        if !series.iter().any(|(name, _)| name.starts_with("up")) {
            text.push_str(&format!("  - {{series: '{up}', values: '1x60'}}\n"));
        }
        for (name, value) in series {
            text.push_str(&format!("  - {{series: '{name}', values: '{value}x60'}}\n"));
        }
        text.push_str("  promql_expr_test:\n");
        // Of all alerts that fire only their names matter here.
        let fires = |samples: &str| {
            format!(
                "  - {{expr: 'count by (alertname) (ALERTS{{alertstate=\"firing\"}})', eval_time: 30m, exp_samples: [{samples}]}}\n"
            )
        };
        let sample = format!("{{labels: '{{alertname=\"{alert}\"}}', value: 1}}");
        text.push_str(&fires(if alert.is_empty() { "" } else { &sample }));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tests.yaml");
    std::fs::write(&file, text).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()], "");
    assert!(names.len() > 10);
}

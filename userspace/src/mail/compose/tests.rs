use std::time::Duration;

use super::*;
use crate::mail::documented::assert_documented;
use crate::mail::notice::{AlertNotice, Degraded, Outcome, Recovered, Started, Stopped};
use crate::store::Evidence;

fn scene() -> Scene {
    Scene { version: "0.1.0", ..Scene::new("web1", TimeZone::get("Europe/Berlin").unwrap()) }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

fn banned(target: &str, ttl: u64) -> Outcome {
    Outcome::Banned {
        target: target.parse().unwrap(),
        since: at(0),
        until: Some(at(0).saturating_add(Duration::from_secs(ttl))),
        ports: None,
        reason: None,
        offences: 1,
    }
}

const LINE: &str = "05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap [**]";

fn alert(offender: &str, rule: u32, level: u8, outcome: Outcome) -> AlertNotice {
    AlertNotice {
        at: at(0),
        host: None,
        source: "/var/log/suricata/fast.log".to_owned(),
        rule,
        level,
        description: "Suricata level 1 alert".to_owned(),
        count: 1,
        offender: offender.parse().ok(),
        fields: Vec::new(),
        outcome,
        evidence: [LINE.as_bytes()].into_iter().collect(),
        mail: None,
    }
}

fn batch(notices: &[Notice]) -> Batch {
    let mut batch = Batch::default();
    for notice in notices {
        batch.notices.push(serde_json::to_string(notice).unwrap());
        let (topic, level) = (notice.topic(), notice.level());
        match batch.topics.iter_mut().find(|known| known.topic == topic) {
            Some(known) => known.entries += 1,
            None => batch.topics.push(Topic { topic, level, entries: 1 }),
        }
    }
    batch
}

fn compose(lane: Lane, notices: &[Notice]) -> Draft {
    scene().compose(lane, &batch(notices), Vitals::default(), at(60)).unwrap()
}

#[test]
fn one_ban() {
    let draft = compose(
        Lane::Alert,
        &[Notice::Alert(alert("198.51.100.7", 300_011, 10, banned("198.51.100.7", 300)))],
    );
    assert_eq!(
        draft.subject,
        "[web1] level 10: 198.51.100.7/32 banned for 5m, Suricata level 1 alert"
    );
    assert_eq!((draft.level, draft.host.as_str()), (10, "web1"));
    assert_eq!(
        draft.body,
        "198.51.100.7/32 is banned for 5m,
until 2023-11-14 23:18:20 CET.

Suricata level 1 alert
rule 300011, level 10
2023-11-14 23:13:20 CET
Received from: web1->/var/log/suricata/fast.log

Log:
  05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap [**]

Undo:  ravelin unban 198.51.100.7/32
Allow: ravelin allow 198.51.100.7/32
Story: ravelin show 198.51.100.7/32

-- 
ravelin 0.1.0 on web1
"
    );
}

#[test]
fn a_burst_of_several() {
    let mut ladder =
        alert("198.51.100.7", 300_012, 11, Outcome::Withheld { why: "already".to_owned() });
    ladder.at = at(3);
    ladder.count = 5;
    ladder.description = "Many high-severity Suricata alerts".to_owned();
    let mut v6 = alert("2001:db8::7", 5720, 10, banned("2001:db8::/64", 1800));
    v6.description = "sshd brute force".to_owned();
    v6.fields = vec![("user".to_owned(), "root".to_owned())];
    v6.host = Some("db1".to_owned());
    if let Outcome::Banned { reason, offences, .. } = &mut v6.outcome {
        *reason = Some("score 104".to_owned());
        *offences = 2;
    }
    let spoofed =
        alert("203.0.113.9", 300_011, 10, Outcome::Withheld { why: "unproven".to_owned() });
    let first = alert("198.51.100.7", 300_011, 10, banned("198.51.100.7", 300));
    let draft =
        compose(Lane::Alert, &[first.clone(), spoofed, first, ladder, v6].map(Notice::Alert));
    assert_eq!(
        draft.subject,
        "[web1] level 11: 3 offenders, 2 banned, Many high-severity Suricata alerts"
    );
    assert_eq!(
        draft.body,
        "3 offenders, 2 banned,
5 alerts.

[1] 198.51.100.7/32 is banned for 5m,
until 2023-11-14 23:18:20 CET.

Many high-severity Suricata alerts
rule 300012, level 11, 5 events
Suricata level 1 alert
rule 300011, level 10, 2 times
2023-11-14 23:13:20 CET
to 2023-11-14 23:13:23 CET
Received from: web1->/var/log/suricata/fast.log

Log:
  05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap [**]

Undo:  ravelin unban 198.51.100.7/32
Allow: ravelin allow 198.51.100.7/32
Story: ravelin show 198.51.100.7/32

[2] 203.0.113.9 is not banned:
the evidence could have been
spoofed (unproven).

Suricata level 1 alert
rule 300011, level 10
2023-11-14 23:13:20 CET
Received from: web1->/var/log/suricata/fast.log

Log:
  05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap [**]

Allow: ravelin allow 203.0.113.9/32
Story: ravelin show 203.0.113.9/32

[3] 2001:db8::/64 is banned for 30m,
until 2023-11-14 23:43:20 CET.
(seen: 2001:db8::7)
(score 104)
(its ban number 2)

sshd brute force
rule 5720, level 10
2023-11-14 23:13:20 CET
Received from: db1->/var/log/suricata/fast.log
user: root

Log:
  05/14/2020-22:10:17.391373  [**] [1:2024364:3] ET SCAN Possible Nmap [**]

Undo:  ravelin unban 2001:db8::/64
Allow: ravelin allow 2001:db8::/64
Story: ravelin show 2001:db8::/64

-- 
ravelin 0.1.0 on web1
"
    );
}

#[test]
fn a_flood_is_told_in_numbers() {
    let notices: Vec<_> = (0..60)
        .map(|n| alert(&format!("198.51.100.{n}"), 300_011, 10, Outcome::Nothing))
        .map(Notice::Alert)
        .collect();
    let mut batch = batch(&notices);
    batch.topics[0].entries = 12_345;
    let draft = scene().compose(Lane::Backlog, &batch, Vitals::default(), at(60)).unwrap();
    assert!(draft.subject.starts_with("[web1] late news, level 10: 60 offenders, 0 banned,"));
    assert!(draft.body.starts_with("Old news:"));
    assert!(draft.body.contains("60 offenders, 0 banned,\n12345 alerts.\n"), "{}", draft.body);
    assert!(draft.body.contains("[20] 198.51.100.19 is not banned"));
    assert!(draft.body.contains("Also:\n  198.51.100.20: level 10, 1 alert, not banned\n"));
    assert!(draft.body.contains("  12345 x level 10, rule 300011: Suricata level 1 alert\n"));
    assert!(draft.body.len() < 40_000, "{}", draft.body.len());
}

#[test]
fn an_alert_without_offender() {
    let mut alert = alert("", 40_112, 12, Outcome::Nothing);
    alert.description = "Success after failures".to_owned();
    let draft = compose(Lane::Alert, &[Notice::Alert(alert)]);
    assert_eq!(draft.subject, "[web1] level 12: Success after failures");
    assert!(draft.body.starts_with("No address to ban.\n"));
    assert!(!draft.body.contains("ravelin unban"));
}

#[test]
fn the_digest_is_also_a_sign_of_life() {
    let vitals = Vitals { since: at(-86_400), bans: 3 };
    let quiet = scene().compose(Lane::Digest, &Batch::default(), vitals, at(0)).unwrap();
    assert_eq!(quiet.subject, "[web1] daily digest: quiet");
    assert!(
        quiet.body.contains("2023-11-13 23:13:20 CET\nto 2023-11-14 23:13:20 CET\n"),
        "{}",
        quiet.body
    );
    assert!(quiet.body.contains("Bans that stand: 3\n"));

    let notices = [
        Notice::Alert(alert("198.51.100.7", 300_003, 9, banned("198.51.100.7", 300))),
        Notice::Alert(alert("198.51.100.8", 300_001, 7, Outcome::Nothing)),
    ];
    let draft = scene().compose(Lane::Digest, &batch(&notices), vitals, at(0)).unwrap();
    assert_eq!(draft.subject, "[web1] daily digest: 2 alerts, 1 banned");
    assert!(
        draft.body.contains("  1 x level 9, rule 300003: Suricata level 1 alert\n"),
        "{}",
        draft.body
    );
    assert!(
        draft
            .body
            .contains("  198.51.100.7: level 9, 1 alert, banned until 2023-11-14 23:18:20 CET\n")
    );
}

#[test]
fn start_stop_and_health() {
    let started = Started {
        at: at(0),
        mode: "enforce".to_owned(),
        interfaces: vec![
            ("eth0".to_owned(), "native".to_owned()),
            ("eth1".to_owned(), "generic".to_owned()),
        ],
        sources: vec!["suricata-eve /var/log/suricata/eve.json".to_owned()],
        bans: 12,
        warnings: vec!["ravelin.yaml is invalid: running with the last good copy".to_owned()],
    };
    let draft = compose(Lane::Life, &[Notice::Started(started)]);
    assert_eq!(draft.subject, "[web1] ravelin started: enforce on eth0 (native), eth1 (generic)");
    assert_eq!(
        draft.body,
        "ravelin 0.1.0 protects web1.

! ravelin.yaml is invalid: running with the last good copy

Started: 2023-11-14 23:13:20 CET
Mode: enforce
Bans that stand: 12

Interfaces:
  eth0 (native)
  eth1 (generic)

Sources:
  suricata-eve /var/log/suricata/eve.json

-- 
ravelin 0.1.0 on web1
"
    );
    let stopped = Stopped { at: at(0), reason: "SIGTERM".to_owned(), bans: 1 };
    let draft = compose(Lane::Life, &[Notice::Stopped(stopped)]);
    assert_eq!(draft.subject, "[web1] ravelin stopped: SIGTERM");
    assert!(draft.body.contains("1 ban in the kernel:\ndrops go on"));

    let degraded = Degraded {
        at: at(0),
        code: "ban-ineffective".to_owned(),
        level: 10,
        what: "198.51.100.7 is banned, and still seen".to_owned(),
        remedy: "ravelin doctor".to_owned(),
    };
    let over = Recovered { at: at(9), code: "source-silent".to_owned() };
    let draft = compose(Lane::Health, &[Notice::Degraded(degraded), Notice::Recovered(over)]);
    assert_eq!(
        draft.subject,
        "[web1] level 10: ban-ineffective: 198.51.100.7 is banned, and still seen (and 1 more)"
    );
    assert!(draft.body.contains("What to do:\nravelin doctor\n"));
    assert!(draft.body.contains("source-silent is over\n\nsince 2023-11-14 23:13:29 CET\n"));
    assert_eq!(scene().compose(Lane::Life, &Batch::default(), Vitals::default(), at(0)), None);
}

#[test]
fn what_attackers_write_stays_text() {
    let evil = "x\r\nBcc: victim@example.net\r\n\r\n.\r\nMAIL FROM:<a@b>\u{202e}\u{1b}[2J";
    let mut alert = alert("198.51.100.7", 5720, 10, Outcome::Withheld { why: evil.to_owned() });
    alert.description = evil.to_owned();
    alert.source = evil.to_owned();
    alert.host = Some(evil.to_owned());
    alert.fields = vec![("user".to_owned(), evil.repeat(50))];
    alert.evidence =
        Evidence::from_iter([evil.as_bytes(), &[0xff, b'y', 0], b"Undo:  ravelin unban --all"]);
    for scene in [scene(), Scene::new(evil, TimeZone::UTC)] {
        let notice = Notice::Alert(alert.clone());
        let draft =
            scene.compose(Lane::Alert, &batch(&[notice]), Vitals::default(), at(0)).unwrap();
        assert!(!draft.subject.contains(['\r', '\n']), "{:?}", draft.subject);
        assert!(draft.subject.is_ascii() && draft.subject.len() <= SUBJECT);
        let in_domain = |char: char| char.is_ascii_alphanumeric() || char == '.' || char == '-';
        assert!(draft.host.chars().all(in_domain), "{}", draft.host);
        assert!(!draft.body.contains(['\r', '\u{202e}', '\u{1b}', '\0']), "{}", draft.body);
        assert!(!draft.body.lines().any(|line| line.starts_with("Bcc") || line == "."));
        assert!(draft.body.contains("\n  Undo:  ravelin unban --all\n"), "{}", draft.body);
        assert!(draft.body.contains("  \u{fffd}y\\x00\n"));
        assert!(draft.body.lines().all(|line| line.chars().count() < 1000));
    }
}

const EVE: &str = r#"{"timestamp":"2023-11-14T23:13:20.391373+0100","flow_id":1173245,"in_iface":"eth0","event_type":"alert","src_ip":"198.51.100.7","src_port":40112,"dest_ip":"203.0.113.5","dest_port":80,"proto":"TCP","tx_id":0,"alert":{"action":"allowed","gid":1,"signature_id":2024364,"rev":4,"signature":"ET SCAN Possible Nmap User-Agent Observed","category":"Web Application Attack","severity":1},"http":{"hostname":"203.0.113.5","url":"/","http_user_agent":"Mozilla/5.0 (compatible; Nmap Scripting Engine)","http_method":"GET"},"app_proto":"http"}"#;

/// As its reader sees it.
fn as_read(draft: &Draft) -> String {
    format!("Subject: {}\n\n{}", draft.subject, draft.body)
}

#[test]
fn the_documentation_shows_what_is_sent() {
    let mut scan = alert("198.51.100.7", 300_011, 10, banned("198.51.100.7", 300));
    scan.source = "/var/log/suricata/eve.json".to_owned();
    scan.fields = vec![
        ("signature".to_owned(), "ET SCAN Possible Nmap User-Agent Observed".to_owned()),
        ("dst_port".to_owned(), "80".to_owned()),
    ];
    scan.evidence = [EVE.as_bytes()].into_iter().collect();
    let mut guesses = alert("203.0.113.9", 5720, 10, banned("203.0.113.9", 1800));
    guesses.source = "/var/log/auth.log".to_owned();
    guesses.description = "sshd brute force".to_owned();
    guesses.count = 8;
    guesses.fields = vec![("user".to_owned(), "root".to_owned())];
    guesses.evidence = [&b"Nov 14 23:13:19 web1 sshd[812]: Failed password for root from 203.0.113.9 port 4711 ssh2"[..]]
        .into_iter()
        .collect();
    let mut slow = alert("192.0.2.77", 5716, 5, banned("192.0.2.77", 300));
    slow.description = "sshd authentication failed".to_owned();
    if let Outcome::Banned { reason, .. } = &mut slow.outcome {
        *reason = Some("score 108".to_owned());
    }
    let spoofed =
        alert("203.0.113.10", 300_011, 10, Outcome::Withheld { why: "unproven".to_owned() });

    let ban = compose(Lane::Alert, &[Notice::Alert(scan.clone())]);
    assert_documented("ban", &as_read(&ban));
    assert_documented("html", &ban.html);
    let burst = [scan, guesses, spoofed.clone()].map(Notice::Alert);
    assert_documented("burst", &as_read(&compose(Lane::Alert, &burst)));
    let vitals = Vitals { since: at(-86_400), bans: 3 };
    let mut told = batch(&[slow, spoofed].map(Notice::Alert));
    told.topics[1].entries = 41;
    told.topics.reverse();
    let digest = scene().compose(Lane::Digest, &told, vitals, at(0)).unwrap();
    assert_documented("digest", &as_read(&digest));

    let started = Started {
        at: at(0),
        mode: "enforce".to_owned(),
        interfaces: vec![("eth0".to_owned(), "native".to_owned())],
        sources: vec![
            "suricata-eve /var/log/suricata/eve.json".to_owned(),
            "syslog /var/log/auth.log".to_owned(),
        ],
        bans: 12,
        warnings: vec![],
    };
    assert_documented("start", &as_read(&compose(Lane::Life, &[Notice::Started(started)])));
    let stopped = Stopped { at: at(0), reason: "SIGTERM".to_owned(), bans: 12 };
    assert_documented("stop", &as_read(&compose(Lane::Life, &[Notice::Stopped(stopped)])));
    let degraded = Degraded {
        at: at(0),
        code: "source-unreadable".to_owned(),
        level: 10,
        what: "source-unreadable: /var/log/auth.log".to_owned(),
        remedy:
            "/var/log/auth.log: permission denied; it is tried again: give the daemon access to it"
                .to_owned(),
    };
    assert_documented("degraded", &as_read(&compose(Lane::Health, &[Notice::Degraded(degraded)])));
}

#[test]
fn what_attackers_write_stays_text_in_html() {
    let evil = "</pre><script>alert(1)</script><img src=\"http://192.0.2.1/x\">&\u{202e}";
    let mut alert = alert("198.51.100.7", 5720, 10, Outcome::Withheld { why: evil.to_owned() });
    alert.description = evil.to_owned();
    alert.source = evil.to_owned();
    alert.host = Some(evil.to_owned());
    alert.fields = vec![(evil.to_owned(), evil.to_owned())];
    alert.evidence =
        [evil.as_bytes(), EVE.replace("/\",", "/<b>\",").as_bytes()].into_iter().collect();
    for lane in [Lane::Alert, Lane::Digest] {
        let draft = compose(lane, &[Notice::Alert(alert.clone())]);
        for markup in ["<script", "<img", "<b>", "\u{202e}"] {
            assert!(!draft.html.contains(markup), "{markup}: {}", draft.html);
        }
        assert!(draft.html.contains("&lt;script&gt;"), "{}", draft.html);
        // Nothing is fetched from anywhere, and nothing can be clicked.
        assert!(!draft.html.contains("<a ") && !draft.html.contains("url("));
    }
}

#[test]
fn a_ban_of_ports_is_told_as_one() {
    let mut outcome = banned("198.51.100.7/32", 300);
    if let Outcome::Banned { ports, .. } = &mut outcome {
        *ports = Some("25,465".parse().unwrap());
    }
    let alert = Notice::Alert(alert("198.51.100.7", 3357, 10, outcome));
    let body = compose(Lane::Alert, &[alert]).body;
    assert!(body.contains("(from ports 25,465; the others stay open to it)"), "{body}");
}

//! What `explain` says, word for word.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::format::Selection;
use crate::policy::{Network, SuricataProof};
use crate::rules::Packs;

const SHOP: &str = r#"
pack: shop
format: syslog
programs: [shop]
events:
  bad-login:
    pattern: '^login of (?<user>{word}) from (?<src>{ip}) port (?<port>{port}) failed$'
    proven: true
  note: {pattern: '^login (?<what>.*)$'}
rules:
  - {id: 100001, level: 5, event: bad-login, score: 12, description: a login failed}
  - {id: 100002, level: 10, after: 100001, same: [src], count: 3, within: 6m, description: guessing}
  - {id: 100003, level: 9, after: 100001, same: [src], distinct: user, count: 3, within: 1h, description: many users}
"#;

fn plain(number: u64, line: &str) -> WholeLine<'_> {
    WholeLine { number, bytes: line.as_bytes(), cut: false, entry: None }
}

fn explained(config: &str, json: bool, lines: &[&str]) -> String {
    let config = Config::parse(config, Path::new("ravelin.yaml")).unwrap();
    let packs = Arc::new(Packs::from_texts(&[("shop.yaml", SHOP)]).unwrap());
    let engine = Engine::new(packs, &config, Network::default(), SuricataProof::unknown());
    let decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
    let mut explainer = Explainer::new(Vec::new(), config, engine, decoder, Timestamp::now(), json);
    for (number, line) in (1..).zip(lines) {
        explainer.line(None, &plain(number, line)).unwrap();
    }
    String::from_utf8(explainer.out).unwrap()
}

const FIRST: &str =
    "2026-11-23T10:00:00Z web1 shop[1]: login of ann from 198.51.100.7 port 4711 failed";
const SECOND: &str =
    "2026-11-23T10:05:00Z web1 shop[2]: login of ann from 198.51.100.7 port 4712 failed";
const THIRD: &str =
    "2026-11-23T10:06:00Z web1 shop[3]: login of bob from 198.51.100.7 port 4713 failed";
const FOURTH: &str =
    "2026-11-23T10:06:01Z web1 shop[4]: login of eve from 198.51.100.7 port 4714 failed";

#[test]
fn every_step_is_told_with_its_numbers() {
    let said = explained("{}", false, &[FIRST, SECOND, THIRD, FOURTH]);
    let expected = "\
line 1: syslog, program shop
  event     bad-login (pack shop)
  pattern   ^login of (?<user>{word}) from (?<src>{ip}) port (?<port>{port}) failed$
            port = 4711
            src = 198.51.100.7
            user = ann
  offender  198.51.100.7, proven
  rule      100001 level 5: a login failed
  count     rule 100002: 1 of 3 within 6m, same src
  count     rule 100003: 1 of 3 different user within 1h, same src
  score     0.0 + 12 (rule 100001) = 12.0; 100 bans
  verdict   nothing to do: level 5 is below 9, score 12.0 below 100

line 2: syslog, program shop
  event     bad-login (pack shop)
  pattern   ^login of (?<user>{word}) from (?<src>{ip}) port (?<port>{port}) failed$
            port = 4712
            src = 198.51.100.7
            user = ann
  offender  198.51.100.7, proven
  rule      100001 level 5: a login failed
  count     rule 100002: 2 of 3 within 6m, same src
  count     rule 100003: 1 of 3 different user within 1h, same src
  score     8.5 (of 12.0, 5m 0s later; it halves in 10m) + 12 (rule 100001) = 20.5; 100 bans
  verdict   nothing to do: level 5 is below 9, score 20.5 below 100

line 3: syslog, program shop
  event     bad-login (pack shop)
  pattern   ^login of (?<user>{word}) from (?<src>{ip}) port (?<port>{port}) failed$
            port = 4713
            src = 198.51.100.7
            user = bob
  offender  198.51.100.7, proven
  rule      100002 level 10: guessing
            3 of 3 within 6m, same src
  rule      100001 level 5: a login failed
  count     rule 100003: 2 of 3 different user within 1h, same src
  score     19.1 (of 20.5, 1m 0s later; it halves in 10m) + 12 (rule 100001) = 31.1; 100 bans
  verdict   would ban 198.51.100.7/32 for 5m (by rule 100002, level 10; 9 bans)
  mail      at once (level 10; mail.immediate is 10)
";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        said.ends_with(
            "  verdict   would ban 198.51.100.7/32 for 30m, its 2nd ban (by rule 100003, level 9; 9 bans);\n            \
             no: a ban of 198.51.100.7/32 stands until 2026-11-23T10:11:00Z\n  \
             mail      in the daily digest (level 9; mail.level is 7)\n\n"
        ),
        "{said}"
    );
}

#[test]
fn what_isn_t_banned_says_by_which_entry() {
    let said = explained("allow: [198.51.100.0/24]", false, &[FIRST, SECOND, THIRD]);
    for expected in [
        "  offender  198.51.100.7, proven, in allow 198.51.100.0/24\n",
        "  verdict   would ban 198.51.100.7/32 for 5m (by rule 100002, level 10; 9 bans);\n            \
         no: it is in allow 198.51.100.0/24\n",
    ] {
        assert!(said.contains(expected), "no `{expected}` in:\n{said}");
    }
}

#[test]
fn near_misses_point_at_where_they_stopped() {
    let said = explained(
        "{}",
        false,
        &[
            "2026-11-23T10:00:00Z web1 shop[1]: login of ann from 198.51.100.7 prt 4711 failed",
            "2026-11-23T10:00:00Z web1 shop[1]: logon of ann",
            "2026-11-23T10:00:00Z web1 shop[1]: \x1b[31mnothing alike",
            "2026-11-23T10:00:00Z web1 mall[1]: login of ann",
        ],
    );
    let expected = "\
line 1: syslog, program shop
  event     note (pack shop)
  pattern   ^login (?<what>.*)$
            what = of ann from 198.51.100.7 prt 4711 failed
  near      bad-login (pack shop) stopped at byte 32, where it expected `ort ` of ` port `:
            login of ann from 198.51.100.7 prt 4711 failed
                                            ^
  offender  none: `note` has no field `src`
  verdict   nothing to do

line 2: syslog, program shop
  event     none: no pack recognises it
  near      bad-login (pack shop) stopped at byte 3, where it expected `in of ` of `login of `:
            logon of ann
               ^
";
    assert!(
        said.contains("line 3: syslog, program shop\n  event     none: no pack recognises it\n\n")
    );
    assert!(said.ends_with(
        "line 4: syslog, program mall\n  event     none: no pack reads this program\n\n"
    ));
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn json_keeps_its_contract_and_adds_the_steps() {
    let near = "2026-11-23T10:00:00Z web1 shop[1]: login of ann from 198.51.100.7 prt 4711 failed";
    let said = explained("allow: [198.51.100.0/24]", true, &[FIRST, SECOND, THIRD, near]);
    let lines: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let contract = [
        "line", "format", "program", "event", "offender", "proven", "fields", "alerts", "score",
        "ban", "withheld",
    ];
    for line in &lines {
        for key in contract {
            assert!(line.get(key).is_some(), "no `{key}` in {line}");
        }
    }
    assert_eq!(
        lines[0]["counts"][0],
        serde_json::json!({"rule": 100_002, "counted": 1, "count": 3, "within_s": 360.0, "same": ["src"]})
    );
    assert_eq!(lines[0]["points"], serde_json::json!([{"rule": 100_001, "points": 12.0}]));
    assert_eq!(lines[2]["withheld"], "allowed");
    assert_eq!(
        lines[2]["called_for"],
        serde_json::json!({"target": "198.51.100.7/32", "ttl_s": 300, "rule": 100_002})
    );
    assert_eq!(lines[2]["allowed"]["net"], "198.51.100.0/24");
    assert_eq!(lines[3]["near"][0]["event"], "bad-login");
    assert_eq!(lines[3]["near"][0]["at"], 32);
}

#[test]
fn variants_of_an_event_that_stop_alike_are_told_once() {
    let config = Config::default();
    let packs = Arc::new(Packs::load(true, &[]).unwrap());
    let engine = Engine::new(packs, &config, Network::default(), SuricataProof::unknown());
    let decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
    let mut explainer =
        Explainer::new(Vec::new(), config, engine, decoder, Timestamp::now(), false);
    let line = "2026-11-23T10:00:00Z web1 sshd[1]: Failed password for root from 198.51.100.7 prt 4711 ssh2";
    explainer.line(None, &plain(1, line)).unwrap();
    let said = String::from_utf8(explainer.out).unwrap();
    let near =
        "failed-password (pack sshd) stopped at byte 44, where it expected `ort ` of ` port `:";
    assert_eq!(said.matches(near).count(), 1, "{said}");
}

/// What is said of a line's offender and mail, in a pack of its own.
fn said_of(config: &str, line: &str) -> String {
    const PACK: &str = r#"
pack: gate
format: syslog
programs: [gate]
events:
  in: {success: true, pattern: '^(?<user>.*) in from (?<src>{ip})$'}
  bad: {proven: true, pattern: '^(?<user>[^ ]*) bad from (?<src>[^ ]*) \((?<why>.*)\)$'}
  cut: {proven: true, pattern: '^cut (?<user>.*) from (?<src>{ip})$'}
  note: {pattern: '^note$'}
rules:
  - {id: 900001, level: 3, event: [bad, cut, note], description: d}
  - {id: 900002, level: 3, event: bad, mail: true, when: {user: root}, description: d}
  - {id: 900003, level: 3, event: in, mail: true, count: 2, within: 1h, same: [src], description: d}
"#;
    let config = Config::parse(config, Path::new("ravelin.yaml")).unwrap();
    let packs = Arc::new(Packs::from_texts(&[("gate.yaml", PACK)]).unwrap());
    let engine = Engine::new(packs, &config, Network::default(), SuricataProof::unknown());
    let decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
    let mut explainer =
        Explainer::new(Vec::new(), config, engine, decoder, Timestamp::now(), false);
    for number in 1..3 {
        explainer.out.clear();
        let line = format!("2026-11-23T10:00:00Z web1 gate[1]: {line}");
        let line = WholeLine { number, bytes: line.as_bytes(), cut: false, entry: None };
        explainer.line(None, &line).unwrap();
    }
    let said = String::from_utf8(explainer.out).unwrap();
    let lines = said.lines().filter(|line| {
        ["  offender", "  mail", "            never"].iter().any(|start| line.starts_with(start))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_line_that_blames_nobody_says_why() {
    let long = format!("cut {} from 203.0.113.9", "x".repeat(900));
    for (line, expected) in [
        ("note", "  offender  none: `note` has no field `src`"),
        ("bob bad from web9 (x)", "  offender  none: `src` is `web9`, which is no address"),
        (
            "bob bad from 198.51.100.7:4711 (x)",
            "  offender  none: `src` is `198.51.100.7:4711`, an address with a port: for ADDRESS:PORT write two patterns, \
             `(?<src>[0-9.]{7,15}):(?<port>{port})` and `\\[(?<src>{ip})\\]:(?<port>{port})`",
        ),
        (
            "bob bad from 198.51.100.7 (x bad from 203.0.113.9 (y)",
            "  offender  none: another address in the line might be meant as well",
        ),
        (
            &long,
            "  offender  none: the message has 921 bytes: from 900 on its end may have been cut off, and the address there \
             with it",
        ),
        (
            "bob in from 198.51.100.7",
            "  offender  none: `in` is a `success`\n            never bans: the event is a `success`\n  \
             mail      at once (rule 900003 says `mail: true`)",
        ),
    ] {
        assert_eq!(said_of("{}", line), expected, "{line}");
    }
}

#[test]
fn a_rule_that_is_mailed_says_when_and_to_whom() {
    let line = "root bad from 198.51.100.7 (x)";
    assert!(said_of("{}", line).ends_with("  mail      at once (rule 900002 says `mail: true`)"));
    assert!(said_of("mail: {to: []}", line).ends_with(
        "  mail      at once (rule 900002 says `mail: true`), but nobody is told (mail.to)"
    ));
    assert!(!said_of("{}", "bob bad from 198.51.100.7 (x)").contains("mail"));
}

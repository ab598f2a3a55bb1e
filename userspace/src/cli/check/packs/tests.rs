//! What `check` says about packs, word for word.

use super::super::{Finding, Severity};
use super::*;
use crate::config::MailConfig;

const PACK: &str = "\
pack: shop
format: syslog
programs: [shop]
events:
  failed:
    proven: true
    pattern: '^failed for (?<user>.*) from (?<src>{ip})$'
  found:
    proven: false
    pattern: '^found by (?<src>{ip})$'
  done:
    pattern: '^done$'
rules:
  - {id: 900001, level: 5, event: failed, description: d}
  - {id: 900002, level: 10, event: found, description: d}
  - {id: 900003, level: 10, after: 900001, same: [src], count: 3, within: 5m, description: d}
tests:
";

/// What is found about the pack with these tests, and what is well.
fn found(pack: &str) -> (String, String) {
    let mail = Config::default().mail;
    found_with(MailConfig { to: vec!["root@example.org".to_owned()], ..mail }, pack)
}

fn found_with(mail: MailConfig, pack: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, pack).unwrap();
    let config =
        Config { builtin_rules: false, rules: vec![file.clone()], mail, ..Config::default() };
    let mut findings = Findings::default();
    packs(&config, &mut findings);
    let Findings(findings, well) = findings;
    let said = |Finding { severity, about, message }: Finding| {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{severity}: {about}: {message}").replace(&file.display().to_string(), "shop.yaml")
    };
    (findings.into_iter().map(said).collect::<Vec<_>>().join("\n"), well.join(", "))
}

/// What is found about one test.
fn test(program: &str, message: &str, rest: &str) -> String {
    let line = format!("Nov 23 10:00:00 web1 {program}[1]: {message}");
    let said = found(&format!("{PACK}  - line: '{line}'\n    {rest}\n")).0;
    // The line and its caret are every time the same.
    said.split("\n18 | ")
        .next()
        .unwrap_or_default()
        .replace("error: rules: shop.yaml:18:5: this test fails:\n  ", "")
}

const FAILED: &str = "failed for bob from 198.51.100.7";

#[test]
fn own_packs_are_listed_with_what_they_have() {
    let tests = format!(
        "{PACK}  - {{line: 'Nov 23 10:00:00 web1 shop[1]: {FAILED}', expect: {{event: failed}}}}\n"
    );
    let (found, well) = found(&tests);
    assert_eq!(found, "");
    assert_eq!(
        well,
        "pack shop with 3 rules, 3 events and 1 test, 3 rules on 3 events, 1 tests of packs"
    );
}

#[test]
fn a_test_that_fails_says_what_came_and_why_with_its_line() {
    let line = format!("Nov 23 10:00:00 web1 shop[1]: {FAILED}");
    assert_eq!(
        found(&format!("{PACK}  - line: '{line}'\n    times: 3\n    expect: {{ban: 198.51.100.8/32, rules: [900003]}}\n")).0,
        format!(
            "error: rules: shop.yaml:18:5: this test fails:\n  \
             rules: expected [900003], got [900001, 900003]\n  \
             ban: expected 198.51.100.8/32, got 198.51.100.7/32\n  \
             with the last of 3 lines: {line}\n\
             18 |   - line: '{line}'\n   |     ^"
        )
    );
    assert_eq!(
        test(
            "shop",
            FAILED,
            "expect: {src: 198.51.100.8, fields: {user: eve, port: 4}, score: 12, mail: digest}"
        ),
        "src: expected 198.51.100.8, got 198.51.100.7\n  field `port`: expected `4`, got none\n  \
         field `user`: expected `eve`, got `bob`\n  score: expected 12, got 0.0\n  mail: expected digest, got none"
    );
    assert_eq!(
        test("shop", FAILED, "expect: {ban: 198.51.100.7/32}"),
        "ban: expected 198.51.100.7/32, got none: no rule that fired bans: the highest is 900001, of level 5, and \
         `ban.level` is 9"
    );
    assert_eq!(
        test("shop", "found by 198.51.100.7", "expect: {ban: 198.51.100.7/32, withheld: null}"),
        "ban: expected 198.51.100.7/32, got none: withheld as unproven: `found` doesn't say `proven: true`, or its rule \
         counts one that doesn't\n  withheld: expected none, got unproven"
    );
    assert_eq!(
        test("shop", "done", "expect: {offender: 198.51.100.7}"),
        "offender: expected 198.51.100.7, got none: `done` has no field `src`"
    );
}

#[test]
fn a_line_that_nothing_takes_says_so_once() {
    let all = "expect: {event: failed, src: 198.51.100.7, rules: [900001], fields: {user: bob}}";
    assert_eq!(
        test("shopp", FAILED, all),
        "event: expected `failed`, got none: no pack reads the program `shopp`: mend `programs`"
    );
    assert_eq!(
        test("shop", "failed for bob form 198.51.100.7", all),
        "event: expected `failed`, got none: no pattern takes it; the nearest, of `failed` in the pack `shop`, stopped \
         at byte 16 of the message, where it expected `rom ` of ` from `"
    );
}

#[test]
fn a_pack_in_mode_observe_is_tested_as_it_will_be() {
    let pack = PACK.replace("format:", "mode: observe\nformat:");
    let line = format!("Nov 23 10:00:00 web1 shop[1]: {FAILED}");
    let test = format!("  - {{line: '{line}', times: 3, expect: {{ban: 198.51.100.7/32}}}}\n");
    assert_eq!(found(&(pack + &test)).0, "");
}

#[test]
fn mail_that_nobody_gets_is_told() {
    let pack = PACK.replace("level: 5, event", "level: 5, mail: true, event");
    let test = format!(
        "  - {{line: 'Nov 23 10:00:00 web1 shop[1]: {FAILED}', expect: {{mail: immediate}}}}\n"
    );
    assert_eq!(found(&format!("{pack}{test}")).0, "");
    let nobody = MailConfig { to: Vec::new(), ..Config::default().mail };
    assert_eq!(
        found_with(nobody, &(pack + &test)).0,
        "warning: mail: rule 900001 of the pack shop says `mail: true`, but nobody is told: set mail.to or mail.webhook"
    );
}

#[test]
fn lists_that_hold_for_nobody_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("vips.txt");
    let line = format!("Nov 23 10:00:00 web1 shop[1]: {FAILED}");
    let pack = PACK.replace("rules:\n", &format!("lists: {{vips: {}}}\nrules:\n", list.display()));
    let pack = format!("{pack}  - {{line: '{line}', expect: {{event: failed}}}}\n");
    let told =
        || found(&pack).0.replace(&list.display().to_string(), "FILE").replace("\n   ", "\n");
    let first = |told: String| told.lines().next().unwrap_or_default().to_owned();
    assert_eq!(
        first(told()),
        "error: rules: shop.yaml:13:15: cannot read the list `FILE`: No such file or directory (os error 2): make the \
         file, and let the daemon read it"
    );
    std::fs::write(&list, "# nobody\n").unwrap();
    assert_eq!(
        told(),
        "warning: rules: shop.yaml:13:15: the list `vips` is empty, so conditions on it never hold: put somebody into FILE"
    );
    std::fs::write(&list, "bob\n10.0.0.0/33\n").unwrap();
    assert_eq!(
        first(told()),
        "error: rules: shop.yaml:13:15: FILE:2: expected a name, an address or a network, got `10.0.0.0/33`"
    );
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    assert_eq!(
        first(told()),
        "error: rules: shop.yaml:13:15: expected a file, got something else at `FILE`"
    );
}

//! What people get wrong when they write a pack, and what they are told: word for word.

use super::*;

pub(super) const PACK: &str = "\
pack: mine
format: syslog
programs: [shop]
events:
  failed:
    proven: true
    pattern: '^failed for (?<user>.*) from (?<src>{ip})$'
  done:
    pattern: '^done$'
rules:
  - {id: 900001, level: 5, event: failed, description: d}
tests:
  - line: 'Nov 23 10:00:00 web1 shop[1]: failed for bob from 198.51.100.7'
    expect: {event: failed}
";

/// The pack with something replaced.
pub(super) fn with(from: &str, to: &str) -> String {
    assert!(PACK.contains(from), "{from}");
    PACK.replacen(from, to, 1)
}

/// What is said of each, without the line and the caret below it.
#[track_caller]
pub(super) fn said<const N: usize>(cases: [(String, &str); N]) {
    let mut wrong = Vec::new();
    for (yaml, expected) in cases {
        let got = match Packs::from_texts(&[("my.yaml", &yaml)]) {
            Ok(packs) => {
                let warnings = packs.warnings(&BanConfig::default());
                warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            Err(errors) => errors.to_string(),
        };
        let told: Vec<&str> = got.lines().filter(|line| line.starts_with("my.yaml")).collect();
        if told.join("\n") != expected {
            wrong.push(format!("expected {expected}\n     got {}", told.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_indentation_is_said_of_the_line_that_has_it() {
    let event = "    proven: true\n    pattern: '^failed";
    let beside =
        "my.yaml:6:3: `proven` stands beside the event's name `failed`: indent it deeper than that";
    said([
        (with(event, "  proven: true\n  pattern: '^failed"), beside),
        (
            with("    proven: true\n    pattern: '^failed", "  pattern: '^failed"),
            "my.yaml:6:3: `pattern` stands beside the event's name `failed`: indent it deeper than that",
        ),
        (
            with("    pattern: '^failed", "     pattern: '^failed"),
            "my.yaml:7:6: `pattern` begins in column 6, deeper than a key that has its value already: begin it in \
             column 5, as `proven` in line 6",
        ),
        (
            with("    pattern: '^failed", "   pattern: '^failed"),
            "my.yaml:7:4: `pattern` begins in column 4, where nothing above it does: begin it in column 5, as `proven` \
             in line 6",
        ),
        (
            with("    expect", "     expect"),
            "my.yaml:14:6: `expect` begins in column 6, deeper than a key that has its value already: begin it in \
             column 5, as `line` in line 13",
        ),
        (
            with("    expect", "   expect"),
            "my.yaml:14:4: `expect` begins in column 4, where nothing above it does: begin it in column 5, as `line` in \
             line 13",
        ),
        (
            with("format: syslog", " format: syslog"),
            "my.yaml:2:2: `format` begins in column 2, deeper than a key that has its value already: begin it in \
             column 1, as `pack` in line 1",
        ),
        (
            with("    proven", "\tproven"),
            "my.yaml:6:2: not valid YAML: tabs disallowed within this context (block indentation): indent with spaces",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_kind_is_said_with_its_key() {
    said([
        (
            with("level: 5", "level: high"),
            "my.yaml:11:25: `level`: expected a whole number from 0 to 15, got `high`",
        ),
        (
            with("level: 5", "level: -1"),
            "my.yaml:11:25: `level`: expected a whole number from 0 to 15, got `-1`",
        ),
        (
            with("level: 5", "level: 13.5"),
            "my.yaml:11:25: `level`: expected a whole number from 0 to 15, got `13.5`",
        ),
        (
            with("level: 5", "level: 300"),
            "my.yaml:11:25: `level`: expected a whole number from 0 to 15, got `300`",
        ),
        (
            with("level: 5", "level: 5, score: many"),
            "my.yaml:11:35: `score`: expected a number from 0 to 1000, got `many`",
        ),
        (
            with("event: failed, d", "after: failed, d"),
            "my.yaml:11:28: `after`: expected a rule's id, or a list of them (an event's name goes into `event`), got `failed`",
        ),
        (
            with("event: failed, d", "event: 900001, d"),
            "my.yaml:11:28: `event`: expected an event's name, or a list of them (a rule's id goes into `after`), got `900001`",
        ),
        (
            with("event: failed, d", "event: failed, preceded_by: 900001, d"),
            "my.yaml:11:56: `preceded_by`: expected keys with values, such as `{rules: [900001], count: 4, within: 10m, \
             same: [src]}`, got `900001`",
        ),
        (
            with("event: failed, d", "event: failed, preceded_by: {rules: 900001}, d"),
            "my.yaml:11:57: missing key `within`: say how old an event may be that still counts, such as `within: 10m`",
        ),
        (
            with("[shop]", "shop"),
            "my.yaml:3:11: `programs`: expected a list, such as `programs: [shop]`, got `shop`",
        ),
        (
            with("  - {id", "  {id"),
            "my.yaml:11:3: expected a list, each entry behind a `- `, got `{id: 900001, level: 5, event: failed, description: d}`",
        ),
        (
            with("proven: true", "proven: yes"),
            "my.yaml:6:13: `proven`: expected true or false, got `yes`",
        ),
        (
            with("proven: true", "success:"),
            "my.yaml:6:12: `success`: expected true or false, got nothing",
        ),
        (
            with("syslog", "apache"),
            "my.yaml:2:9: `format`: expected one of syslog, suricata, plain, got `apache`",
        ),
        (
            with("event: failed, d", "event: [failed, [x]], d"),
            "my.yaml:11:44: expected a single value, got `[x]], description: d}`",
        ),
        (
            with("expect: {event: failed}", "expect: failed"),
            "my.yaml:14:13: `expect`: expected keys with values, such as `{event: login-failed, rules: [900001]}`, got `failed`",
        ),
    ]);
}

#[test]
fn keys_that_are_missing_or_there_twice_or_elsewhere_are_named() {
    said([
        (
            with("format: syslog\n", ""),
            "my.yaml: missing key `format`: say whose lines it reads: `format: syslog`, `plain` or `suricata`",
        ),
        (
            with("id: 900001, ", ""),
            "my.yaml:11:31: missing key `id`: give the rule an id of its own, from 900000 on",
        ),
        (
            with("    expect: {event: failed}\n", ""),
            "my.yaml:13:5: missing key `expect`: say what must come of the line, such as `expect: {event: login-failed}`",
        ),
        (
            with("    proven", "    pattern: '^x'\n    proven"),
            "my.yaml:8:5: `pattern` stands here a second time: keep one, or put both into a list under `patterns`",
        ),
        (
            with("level: 5", "level: 5, level: 6"),
            "my.yaml:11:28: `level` stands here a second time: keep one",
        ),
        (
            with("level: 5", "level: 5, window: 5m"),
            "my.yaml:11:28: unknown key `window`; did you mean `within`?",
        ),
        (
            with("level: 5", "level: 5, threshold: 5"),
            "my.yaml:11:28: unknown key `threshold`; did you mean `count`?",
        ),
        (
            with("level: 5", "level: 5, proven: true, pattern: x"),
            "my.yaml:11:28: unknown key `proven`; it belongs into an event, deeper than its name",
        ),
    ]);
}

#[test]
fn yaml_that_cannot_be_read_comes_with_a_remedy() {
    said([
        (
            with("pattern: '^done$'", r#"pattern: "^done\s$""#),
            "my.yaml:9:14: not valid YAML: while parsing a quoted scalar, found unknown escape character: write it in \
             single quotes ('...'), in which `\\` stands for itself",
        ),
        (
            with(
                "'Nov 23 10:00:00 web1 shop[1]: failed for bob from 198.51.100.7'",
                "Nov 23 web1 shop[1]: failed",
            ),
            "my.yaml:13:30: not valid YAML: mapping values are not allowed in this context: put a text with `: ` or `,` \
             in it into single quotes ('...')",
        ),
        (
            with("for bob from", "for b'ob from"),
            "my.yaml:13:55: not valid YAML: invalid trailing content after single-quoted scalar: inside single quotes a \
             `'` is written twice (`''`); or a quote above isn't closed",
        ),
        (
            with("description: d}", "description: d"),
            "my.yaml:13:3: not valid YAML: \"-\" is only valid inside a block: a `{` or `[` above isn't closed",
        ),
        (
            format!("{PACK}---\npack: other\n"),
            "my.yaml:16:1: a second document begins here: a pack is one document, in a file of its own",
        ),
        (
            String::new(),
            "my.yaml:1:1: expected a pack, got nothing: write `pack: NAME` and what belongs to it, or remove the file",
        ),
    ]);
}

#[test]
fn what_a_test_expects_must_be_something_that_can_come() {
    let expecting = |what: &str| with("{event: failed}", &format!("{{event: failed, {what}}}"));
    said([
        (
            expecting("ban: true"),
            "my.yaml:14:34: expected a target with its prefix length, such as 198.51.100.7/32, got `true`: name who is \
             banned, or null where nobody is",
        ),
        (
            expecting("ban: 198.51.100.7"),
            "my.yaml:14:34: expected a target with its prefix length, such as 198.51.100.7/32, got `198.51.100.7`: write \
             `198.51.100.7/32`",
        ),
        (
            expecting("ban: 198.51.100.7/24"),
            "my.yaml:14:34: expected a target with its prefix length, such as 198.51.100.7/32, got `198.51.100.7/24`: \
             write `198.51.100.0/24`",
        ),
        (
            expecting("ban: '2001:db8::7'"),
            "my.yaml:14:34: expected a target with its prefix length, such as 198.51.100.7/32, got `2001:db8::7`: write \
             its prefix, which is a /64 unless `ban.ipv6_prefix` says else",
        ),
        (
            expecting("src: web1"),
            "my.yaml:14:34: expected an address such as 198.51.100.7, or null where there is none, got `web1`",
        ),
        (
            expecting("withheld: unprovn"),
            "my.yaml:14:39: nothing is withheld because of `unprovn`; did you mean `unproven`?",
        ),
        (
            expecting("mail: true"),
            "my.yaml:14:35: expected one of immediate, digest, or null where nothing is mailed, got `true`",
        ),
        (
            with("    expect", "    times: -3\n    expect"),
            "my.yaml:14:12: `times`: expected a whole number from 1 on, got `-3`",
        ),
        (
            with("    expect", "    times: 0\n    expect"),
            "my.yaml:14:12: expected `times` from 1 to 100000, got 0: a test feeds at most 100000 lines in all",
        ),
        (
            with("    expect", "    times: 100001\n    expect"),
            "my.yaml:14:12: expected `times` from 1 to 100000, got 100001: a test feeds at most 100000 lines in all",
        ),
        (
            with("  - line: 'Nov", "  - times: 50001\n    lines: [a, 'Nov")
                .replace(".7'\n", ".7']\n"),
            "my.yaml:13:12: expected `times` from 1 to 50000, got 50001: a test feeds at most 100000 lines in all",
        ),
    ]);
}

#[test]
fn patterns_say_where_in_them_and_what_is_meant_instead() {
    let pattern =
        |text: &str| with("'^failed for (?<user>.*) from (?<src>{ip})$'", &format!("'{text}'"));
    said([
        (
            pattern("^failed for (?<src>{ip}), session [0-9a-f+$"),
            "my.yaml:7:49: unclosed character class at byte 34 of `^failed for (?<src>{ip}), session [0-9a-f+$`",
        ),
        (
            pattern("^failed for {user} (?<src>{ip}"),
            "my.yaml:7:34: unclosed group at byte 19 of `^failed for {user} (?<src>{ip}`",
        ),
        (
            pattern("^{text} shop.*: failed for (?<user>.*) from (?<src>{ip})"),
            "my.yaml:7:14: this pattern begins with the line's header: time, host and program (`shop`) are taken off \
             before, so begin with the message behind `shop[812]: `",
        ),
        (
            pattern("^failed for \"(?<user>.*)\" from (?<src>{host}):(?<port>{port})$"),
            "my.yaml:7:14: `{host}` may take the `:` behind it, and text before it with that: for ADDRESS:PORT write \
             two patterns, `(?<src>[0-9.]{7,15}):(?<port>{port})` and `\\[(?<src>{ip})\\]:(?<port>{port})`",
        ),
        (
            pattern("^failed for \"(?<user>.*)\" from (?<src>{host})$"),
            "my.yaml:7:14: `src` may begin with the byte that ends the free text before it, so where one ends and the \
             other begins isn't sure: take `{ip}`, which holds no such byte, or other text between them",
        ),
    ]);
}

#[test]
fn an_unknown_rule_is_said_once() {
    said([(
        with("event: failed, d", "after: 900010, same: [src], count: 3, within: 5m, d"),
        "my.yaml:11:5: no pack has a rule 900010: mend the id, or load the pack that has it",
    )]);
}

#[test]
fn bodies_that_are_none_are_told_what_a_body_is() {
    said([
        (
            with("  failed:\n", "  - failed:\n"),
            "my.yaml:5:3: expected keys with values, not a list: take the `- ` out, got `- failed:`",
        ),
        (
            with("    pattern: '^done$'\n", ""),
            "my.yaml:8:7: `done`: expected keys with values of its own, deeper than this, got nothing",
        ),
        (
            with("    pattern: '^done$'", "    pattern '^done$'"),
            "my.yaml:9:5: expected keys, each with a `: ` before its value, got `pattern '^done$'`",
        ),
        (
            with("event: failed, d", "event: failed, when: user, d"),
            "my.yaml:11:49: `when`: expected keys with values, such as `{user: root}`, got `user`",
        ),
        (
            with("  - {id: 900001,", "  900001: {"),
            "my.yaml:11:3: expected a list, each entry behind a `- `, got `900001: { level: 5`",
        ),
        (
            format!("{PACK}    line: 'x'\n"),
            "my.yaml:15:5: `line` stands here a second time: keep one, or begin another test with `- `",
        ),
        (
            with("    pattern: '^done$'", "    pattern: |\n      ^done$"),
            "my.yaml:10:7: this pattern has a line break in it, and no message has: write it in one line, in single \
             quotes",
        ),
    ]);
}

#[test]
fn what_formats_and_limits_forbid_is_told() {
    let alerts = "pack: mine\nformat: suricata\nevents:\n  x:\n    KEY\nrules:\n  - {id: 900001, level: 3, event: x, description: d}\n";
    let fields: String = (0..13).map(|n| format!("(?<f{n}>[0-9]) ")).collect();
    let not_for =
        "makes no sense in a pack of format suricata, whose alerts come in fields: use `when`";
    said([
        (
            with("'^done$'", &format!("'^{fields}$'")),
            "my.yaml:9:14: expected at most 12 named captures, got 13",
        ),
        (alerts.replace("KEY", "pattern: '^x$'"), &format!("my.yaml:5:5: `pattern` {not_for}")),
        (alerts.replace("KEY", "proven: true"), &format!("my.yaml:5:5: `proven` {not_for}")),
    ]);
    let mixed = alerts
        .replace("KEY", "when: {gid: 1}")
        .replace("mine", "alerts")
        .replace("900001", "900101");
    let rule = "description: d}\n  - {id: 900002, level: 3, event: done, preceded_by: {rules: 900101, within: 1m, same: [src]}, description: d}";
    let mine = with("description: d}", rule)
        .replace("'^done$'", "'^done by (?<src>{ip})$'\n    success: true");
    let errors = Packs::from_texts(&[("alerts.yaml", &mixed), ("my.yaml", &mine)]).unwrap_err();
    assert_eq!(
        errors.to_string().lines().next().unwrap_or_default(),
        "my.yaml:13:5: `src` of a Suricata alert is the packet's, that of a success is the client's: they can't be the \
         same key; leave one of the two out"
    );
}

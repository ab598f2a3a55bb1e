//! What rules can say, in packs that test themselves.

use std::sync::Arc;

use super::*;
use crate::engine::run_pack_test;

/// A service of its own: a failure scores, and three are a brute force.
const SHOP: &str = r"
pack: shop
format: syslog
programs: [shop]
events:
  failed:
    pattern: '^login failed for (?<user>[^ ]*) from (?<src>{ip})$'
    proven: true
  done:
    pattern: '^(?<job>[^ ]+) is done$'
  begun:
    pattern: '^(?<job>[^ ]+) has begun$'
rules:
  - {id: 1, level: 5, event: failed, score: 12, description: failed}
  - {id: 2, level: 10, after: 1, same: [src], count: 3, within: 6m, ttl: 7m, description: brute force}
";

/// Loads `packs` and runs the tests inside; what goes wrong.
fn differences(packs: &[&str]) -> Vec<String> {
    let named: Vec<(String, &str)> =
        packs.iter().enumerate().map(|(at, text)| (format!("{at}.yaml"), *text)).collect();
    let texts: Vec<(&str, &str)> =
        named.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let packs = match Packs::from_texts(&texts) {
        Ok(packs) => Arc::new(packs),
        Err(errors) => return vec![errors.to_string()],
    };
    assert!(!packs.tests().is_empty());
    let now = Timestamp::from_secs(1_795_478_400);
    let run = |test: &PackTest| {
        let differences = run_pack_test(&packs, test, now).into_iter();
        differences.map(|it| format!("{}: {it}", test.place)).collect::<Vec<_>>()
    };
    packs.tests().iter().flat_map(run).collect()
}

fn passes(packs: &[&str]) {
    assert_eq!(differences(packs), Vec::<String>::new());
}

#[track_caller]
fn refused(mine: &str, wanted: &str) {
    let got = differences(&[SHOP, mine]).join("\n");
    assert!(got.contains(wanted), "{got}");
}

fn failed(second: u32, from: &str) -> String {
    format!(
        "2026-11-23T10:{:02}:{:02}Z web1 shop[1]: login failed for root from {from}",
        second / 60,
        second % 60
    )
}

#[test]
fn frequency_is_the_nth_or_ossecs() {
    let line = failed(0, "198.51.100.7");
    for (pack, rule, count, fires) in [
        ("nth", "", 4, 4),
        ("ossec", "", 4, 6),
        ("nth", ", frequency_semantics: ossec", 2, 4),
        ("ossec", ", frequency_semantics: nth", 4, 4),
        ("ossec", "", 1, 3),
    ] {
        let mine = format!(
            "pack: mine\nformat: syslog\nfrequency_semantics: {pack}\nrules:\n  - {{id: 9, level: 3, after: 1, \
             count: {count}, within: 1h, same: [src], description: d{rule}}}\ndisable: [2]\ntests:\n  - line: \
             '{line}'\n    times: {fires}\n    expect: {{rules: [1, 9]}}\n  - line: '{line}'\n    times: {}\n    \
             expect: {{rules: [1]}}\n",
            fires - 1
        );
        passes(&[SHOP, &mine]);
    }
    let low = "{id: 9, level: 3, after: 1, count: 1, within: 1h, same: [src], description: d}";
    refused(
        &format!("pack: m\nformat: syslog\nrules: [{low}]\n"),
        "expected `count` from 2 to 10000, got 1",
    );
}

#[test]
fn an_override_takes_a_rules_place_and_what_it_does_not_say() {
    let line = failed(0, "198.51.100.7");
    passes(&[
        SHOP,
        &format!(
            "
pack: mine
format: syslog
rules:
  - {{id: 2, override: true, count: 2, description: mine}}
  - {{id: 3, level: 3, after: 2, description: on top of it}}
tests:
  - {{line: '{line}', expect: {{rules: [1], ban: null}}}}
  - {{line: '{line}', times: 2, expect: {{rules: [1, 2, 3], ban: 198.51.100.7/32}}}}
"
        ),
    ]);
    let mine = |rules: &str| format!("pack: mine\nformat: syslog\nrules: [{rules}]\n");
    refused(
        &mine("{id: 2, level: 3, after: 1, description: d}"),
        "1.yaml:3:9: there is a rule 2 already, at 0.yaml:15:5: give this one another id, or say `override: true`",
    );
    refused(&mine("{id: 7, override: true, level: 3}"), "there is no rule 7 to override");
    refused(
        &mine("{id: 2, override: true, level: 3}, {id: 2, override: true, level: 4}"),
        "rule 2 is overridden already, at 1.yaml:3:9",
    );
}

#[test]
fn a_rule_inherits_what_it_does_not_say_across_packs() {
    let line = failed(0, "198.51.100.7");
    passes(&[
        SHOP,
        &format!(
            "
pack: mine
format: syslog
rules:
  - {{id: 4, inherit: 1, level: 9, when: {{user: root}}, description: it was root}}
  - {{id: 5, inherit: 4, level: 3, when: {{user: bob}}}}
tests:
  - {{line: '{line}', expect: {{rules: [1, 4], score: 24, ban: 198.51.100.7/32}}}}
  - {{line: '{}', expect: {{rules: [1, 5]}}}}
",
            line.replace("root", "bob")
        ),
    ]);
    let mine = |rules: &str| format!("pack: mine\nformat: syslog\nrules: [{rules}]\n");
    refused(&mine("{id: 7, inherit: 8}, {id: 8, inherit: 7}"), "inherits from itself");
    refused(&mine("{id: 7, inherit: 70}"), "no pack has a rule 70");
    refused(&mine("{id: 7, after: 1, description: d}"), "missing key `level`");
}

#[test]
fn what_is_disabled_is_silent_and_still_counts_for_others() {
    let line = failed(0, "198.51.100.7");
    let mine = |disable: &str, expect: &str| {
        format!(
            "pack: mine\nformat: syslog\ndisable: [{disable}]\ntests:\n  - {{line: '{line}', times: 3, expect: {expect}}}\n"
        )
    };
    passes(&[SHOP, &mine("1", "{event: failed, rules: [2], score: 0, ban: 198.51.100.7/32}")]);
    passes(&[SHOP, &mine("2", "{rules: [1], ban: null}")]);
    passes(&[SHOP, &mine("1, 2", "{event: failed, rules: []}")]);
    passes(&[SHOP, &mine("shop", "{event: failed, rules: []}")]);
    refused(&mine("7", "{}"), "1.yaml:3:11: no pack has a rule 7");
    refused(&mine("shopp", "{}"), "there is no pack `shopp`; did you mean `shop`?");
}

/// Many offenders of a network, each too slow by itself.
const NETWORK: &str = "
pack: mine
format: syslog
rules:
  - {id: 9, level: 10, after: 1, aggregate: {v6: 48}, count: 3, within: 10m, ban: prefix, description: many}
tests:
";

/// A test: the last of failures from these addresses does this.
fn aggregate_test(from: &[&str], expect: &str) -> String {
    let lines = (0..).zip(from).map(|(second, from)| format!("'{}'", failed(second, from)));
    format!("  - {{lines: [{}], expect: {expect}}}\n", lines.collect::<Vec<_>>().join(", "))
}

#[test]
fn many_offenders_of_a_network_ban_the_network() {
    let [a, b, c, d, far] =
        ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.101.1"];
    let v6 = ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"];
    let tests = [
        aggregate_test(&[a, b, far, a, b], "{rules: [1], ban: null}"),
        aggregate_test(&[a, b, c], "{rules: [1, 9], ban: 198.51.100.0/24}"),
        aggregate_test(&[a, b, c, d], "{rules: [1], ban: null}"),
        aggregate_test(&v6, "{rules: [1, 9], ban: '2001:db8::/48'}"),
        aggregate_test(&["10.0.0.1", "10.0.0.2", "10.0.0.3"], "{rules: [1, 9], withheld: private}"),
    ];
    passes(&[SHOP, &(NETWORK.to_owned() + &tests.concat())]);
    let alerts = NETWORK.replace(", ban: prefix", "");
    passes(&[
        SHOP,
        &(alerts + &aggregate_test(&[a, b, c], "{rules: [1, 9], ban: null, withheld: null}")),
    ]);
    // Its own ban needs less, and goes with the network's.
    let three =
        aggregate_test(&[a, b, c, d, d, d], "{rules: [1, 2], ban: null, withheld: already}");
    passes(&[SHOP, &(NETWORK.to_owned() + &three)]);
    for (replaced, wanted) in [
        ("ban: true", "it goes with `ban: prefix` or `ban: false`"),
        ("ban: prefix, same: [src]", "it goes with"),
        ("ban: maybe", "expected true, false or prefix, got `maybe`"),
    ] {
        refused(&NETWORK.replace("ban: prefix", replaced).replace("tests:", ""), wanted);
    }
    let mine = |rule: &str| format!("pack: mine\nformat: syslog\nrules: [{rule}]\n");
    refused(&mine("{id: 9, level: 3, after: 1, ban: prefix, description: d}"), "add `aggregate`");
    refused(
        &mine(
            "{id: 9, level: 3, after: 1, aggregate: {v4: 7}, count: 2, within: 1m, description: d}",
        ),
        "expected `aggregate.v4` from 8 to 31, got 7",
    );
}

const JOBS: &str = "
pack: mine
format: syslog
rules:
  - {id: 20, level: 0, event: begun, description: begun}
  - {id: 21, level: 0, event: done, description: done}
  - {id: 22, level: 7, after: 20, not_followed_by: {rules: [21], within: 2h, same: [job]}, description: not done}
  - {id: 23, level: 7, event: done, not_seen_for: 6h, description: nothing is ever done}
tests:
";

#[test]
fn what_does_not_come_in_time_fires_once() {
    let jobs = SHOP.replace("pack: shop", "pack: mine").replace("format: syslog\n", "");
    let events = &jobs[jobs.find("programs:").unwrap()..jobs.find("rules:").unwrap()];
    let jobs = JOBS.replace("rules:\n", &format!("{events}rules:\n"));
    let test = |lines: &[(&str, &str)], rules: &str| {
        let lines = lines
            .iter()
            .map(|(time, text)| format!("'2026-11-23T{time}Z web1 shop[1]: {text}'"))
            .collect::<Vec<_>>();
        format!("  - {{lines: [{}], expect: {{ban: null, rules: [{rules}]}}}}\n", lines.join(", "))
    };
    let (begun, done) = ("a has begun", "a is done");
    let tests = [
        test(&[("10:00:00", begun), ("12:00:00", done), ("14:00:00", "x")], ""),
        test(&[("10:00:00", begun), ("12:00:00", "x")], ""),
        test(&[("10:00:00", begun), ("12:00:01", "x")], "22"),
        test(&[("10:00:00", begun), ("12:00:01", done)], "22, 21"),
        test(&[("10:00:00", begun), ("12:00:01", "x"), ("13:00:00", "x")], ""),
        test(&[("10:00:00", begun), ("11:00:00", "b is done"), ("12:00:01", "x")], "22"),
        // The first one counts, and what comes late was written in time.
        test(&[("10:00:00", begun), ("11:00:00", begun), ("12:00:01", "x")], "22"),
        test(&[("10:00:00", begun), ("11:59:59", "x"), ("11:30:00", done), ("13:00:00", "x")], ""),
        test(&[("04:00:00", "x"), ("10:00:00", "x")], ""),
        test(&[("04:00:00", "x"), ("10:00:01", "x")], "23"),
        test(&[("04:00:00", "x"), ("09:00:00", done), ("15:00:00", "x")], ""),
        test(&[("04:00:00", "x"), ("09:00:00", done), ("15:00:01", "x")], "23"),
    ];
    passes(&[&(jobs.clone() + &tests.concat())]);
    let shop = |rule: &str| format!("pack: m\nformat: syslog\nrules:\n  - {rule}\n");
    refused(
        &shop(
            "{id: 9, level: 3, after: 1, not_seen_for: 1h, count: 3, within: 1h, ban: false, description: d}",
        ),
        "`count` makes no sense in a rule about what doesn't come",
    );
    refused(
        &shop(
            "{id: 9, level: 3, after: 1, not_seen_for: 1h, description: d}\n  - {id: 10, level: 3, after: 9, description: d}",
        ),
        "rule 9 fires when nothing comes",
    );
}

/// A rule with these conditions on the shop's failures, and whether it fires for each line (time and address).
fn when(when: &str, lines: &[(&str, &str, bool)]) {
    let mut mine = format!(
        "pack: mine\nformat: syslog\nrules:\n  - {{id: 9, level: 3, after: 1, when: {{{when}}}, description: d}}\n\
         tests:\n"
    );
    for (time, from, fires) in lines {
        let rules = if *fires { "1, 9" } else { "1" };
        mine += &format!(
            "  - {{line: '{time}Z web1 shop[1]: login failed for root from {from}', expect: {{rules: [{rules}]}}}}\n"
        );
    }
    passes(&[SHOP, &mine]);
}

const ONE: &str = "198.51.100.7";

#[test]
fn a_rule_asks_for_the_time_of_day_and_the_day_of_the_week() {
    // The 21st is a Saturday.
    let night = [
        ("2026-11-23T21:59:59", ONE, false),
        ("2026-11-23T22:00:00", ONE, true),
        ("2026-11-24T05:59:59", ONE, true),
        ("2026-11-24T06:00:00", ONE, false),
    ];
    when(r#"time: "22:00-06:00""#, &night);
    when("time: 22:00-06:00", &night);
    when("time: [22:00-24:00, 0:00-06:00]", &night);
    when("time: {not: 06:00-22:00}", &night);
    let weekend = [
        ("2026-11-20T23:59:59", ONE, false),
        ("2026-11-21T00:00:00", ONE, true),
        ("2026-11-22T23:59:59", ONE, true),
        ("2026-11-23T00:00:00", ONE, false),
    ];
    when("weekday: [sat, sun]", &weekend);
    when("weekday: {not: mon-fri}", &weekend);
    let mine = |when: &str| {
        format!(
            "pack: m\nformat: syslog\nrules:\n  - {{id: 9, level: 3, after: 1, when: {{{when}}}, description: d}}\n"
        )
    };
    refused(
        &mine("time: night"),
        "1.yaml:4:5: expected a time of day as `22:00-06:00`, got `night`",
    );
    refused(&mine("time: {min: 1}"), "`time` has no `min`, `max` and `in`");
    refused(&mine("weekday: su"), "expected a day of the week as `sat`, or `mon-fri`, got `su`");
    refused(&mine("user: [a, [b]]"), "1.yaml:4");
    refused(&mine("user: {min: 4, max: 2}"), "expected min to be at most max, got 4 and 2");
}

#[test]
fn a_rule_asks_for_the_program_and_for_networks() {
    let noon = "2026-11-23T12:00:00";
    when("program: shop", &[(noon, ONE, true)]);
    when("program: [a, b]", &[(noon, ONE, false)]);
    when("program: {not: [a, b]}", &[(noon, ONE, true)]);
    let nets = [(noon, ONE, true), (noon, "2001:db8::1", true), (noon, "203.0.113.9", false)];
    when("src: [198.51.100.0/24, '2001:db8::/32']", &nets);
    when("src: {not: 203.0.113.0/25}", &nets);
}

#[test]
fn a_rule_asks_for_several_ranges() {
    let pack = "
pack: mine
format: syslog
programs: [web]
events:
  answer:
    pattern: '^answer (?<status>{number}) to (?<src>{ip})$'
rules:
  - {id: 9, level: 3, event: answer, when: {status: [404, {min: 1, max: 5}, {min: 500}]}, description: d}
  - {id: 10, level: 3, event: answer, when: {status: {not: [404, {max: 5}, {min: 500}]}}, description: d}
tests:
";
    let test = |status: u16, rule: u8| {
        format!(
            "  - {{line: 'Nov 23 10:00:00 web1 web: answer {status} to {ONE}', expect: {{rules: [{rule}]}}}}\n"
        )
    };
    let tests = [test(1, 9), test(5, 9), test(6, 10), test(404, 9), test(499, 10), test(500, 9)];
    passes(&[&format!("{pack}{}", tests.concat())]);
}

#[test]
fn a_rule_asks_for_lists_that_only_hold_once_they_are_known() {
    let pack = "
pack: mine
format: syslog
lists: {vips: /etc/ravelin/lists/vips.txt, nets: /etc/ravelin/lists/nets.txt}
rules:
  - {id: 10, level: 3, after: 1, when: {user: {in: vips}}, description: d}
  - {id: 11, level: 3, after: 1, when: {user: {not_in: vips}}, description: d}
  - {id: 12, level: 3, after: 1, when: {src: {not: {in: [vips, nets]}}}, description: d}
  - {id: 13, level: 3, after: 1, when: {user: [root, {in: vips}]}, description: d}
  - {id: 14, level: 3, inherit: 10, when: {src: {in: nets}}, description: d}
tests:
";
    let test = |lists: &str, rules: &str| {
        let line = failed(0, ONE);
        format!("  - {{line: '{line}', lists: {lists}, expect: {{rules: [1, {rules}]}}}}\n")
    };
    let tests = [
        test("{vips: [root], nets: [198.51.100.0/24]}", "10, 13, 14"),
        test("{vips: [bob], nets: [203.0.113.9]}", "11, 12, 13"),
        test("{vips: [bob], nets: ['# none']}", "11, 13"),
        test("{vips: []}", "13"),
        test("{nets: [198.51.100.7]}", "13, 14"),
        test("{}", "13"),
    ];
    passes(&[SHOP, &format!("{pack}{}", tests.concat())]);
    let mine = |lists: &str, when: &str| {
        format!(
            "pack: m\nformat: syslog\nlists: {lists}\nrules:\n  - {{id: 9, level: 3, after: 1, when: {{{when}}}, \
             description: d}}\ntests:\n  - {{line: 'x', lists: {{a: [10.0.0.0/99], b: []}}, expect: {{}}}}\n"
        )
    };
    refused(
        &mine("{vips: /x}", "user: {in: vip}"),
        "1.yaml:5:5: no pack has a list `vip`; did you mean `vips`?",
    );
    refused(&mine("{vips: x}", "user: x"), "1.yaml:3:15: expected the full path of a file");
    refused(&mine("{V: /x}", "user: x"), "expected a name of a-z");
    refused(&mine("{vips: /x}", "user: {in: vips, min: 1}"), "expected one of `not`, `in`");
    refused(&mine("{vips: /x}", "time: {in: vips}"), "`time` has no `min`, `max` and `in`");
    refused(&mine("{a: /x}", "user: x"), "no pack has a list `b`");
    refused(&mine("{a: /x, b: /y}", "user: x"), "a:1: expected a name, an address or a network");
    let other = "pack: other\nformat: syslog\nlists: {vips: /y}\n";
    let got = differences(&[other, &mine("{vips: /x}", "user: x")]).join("\n");
    assert!(
        got.contains("there is a list `vips` of another file already, at 0.yaml:3:15"),
        "{got}"
    );
    let event = SHOP.replace("    proven: true", "    when: {user: {in: vips}}");
    let got = differences(&[&event]).join("\n");
    assert!(got.contains("`in` is for the `when` of rules"), "{got}");
}

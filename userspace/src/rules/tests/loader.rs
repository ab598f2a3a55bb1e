//! What the loader says of packs that are wrong: place, value, remedy.

use super::*;
use crate::event::Withheld;

fn complaint(yaml: &str) -> String {
    match Packs::from_texts(&[("my.yaml", yaml)]) {
        Ok(_) => panic!("loaded:\n{yaml}"),
        Err(errors) => errors.to_string(),
    }
}

/// A pack around an event and a rule.
fn pack(event: &str, rule: &str) -> String {
    format!(
        "pack: mine\nformat: syslog\nprograms: [sshd]\nevents:\n  failed:\n{event}\nrules:\n{rule}\n"
    )
}

const EVENT: &str = "    pattern: '^Failed for (?<user>{user}) from (?<src>{ip})$'";
const RULE: &str = "  - {id: 1, level: 5, event: failed, description: d}";

#[test]
fn a_pack_that_is_right_loads() {
    let packs = Packs::from_texts(&[("my.yaml", &pack(EVENT, RULE))]).unwrap();
    assert_eq!(packs.events()[0].name, "failed");
    assert_eq!(packs.rules().by_event, [[0]]);
    let line = record("sshd", b"Failed for root from 198.51.100.7");
    assert!(packs.recognise(&line).is_some());
    let other = record("nginx", b"Failed for root from 198.51.100.7");
    assert!(packs.recognise(&other).is_none());
}

#[test]
fn ports_are_numbers_and_ranges_one_or_many() {
    let ports = |value: &str| {
        let rule =
            format!("  - {{id: 1, level: 5, event: failed, description: d, ports: {value}}}");
        let packs = Packs::from_texts(&[("my.yaml", &pack(EVENT, &rule))]).unwrap();
        packs.rules().rules[0].head.ports.as_ref().map(ToString::to_string)
    };
    assert_eq!(ports("[465, 25]").as_deref(), Some("25,465"));
    assert_eq!(ports("993").as_deref(), Some("993"));
    assert_eq!(ports("[21, 40000-40100]").as_deref(), Some("21,40000-40100"));
    let rule = "  - {id: 1, level: 5, event: failed, description: d, ports: [25, smtp]}";
    let told = complaint(&pack(EVENT, rule));
    assert!(told.contains("expected ports such as") && told.contains("got `smtp`"), "{told}");
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_known_one() {
    let yaml = pack("    patern: '^x$'", RULE);
    assert_eq!(
        complaint(&yaml),
        "my.yaml:6:5: unknown key `patern`; did you mean `pattern`?\n6 |     patern: '^x$'\n  |     ^"
    );
    let yaml = pack(EVENT, "  - {id: 1, level: 5, event: failed, description: d, zzz: 1}");
    assert!(complaint(&yaml).starts_with("my.yaml:8:54: unknown key `zzz`; known are `id`,"));
}

#[test]
fn yaml_that_is_broken_or_of_the_wrong_kind_is_placed() {
    for (yaml, wanted) in [
        ("pack: a\npack: b\nformat: syslog\n", "my.yaml:2:1: `pack` stands here a second time"),
        ("pack: a\n", "missing key `format`"),
        ("pack: a\nformat: apache\n", "my.yaml:2:9: `format`: expected one of syslog"),
        ("pack: [a\n", "my.yaml:"),
    ] {
        let got = complaint(yaml);
        assert!(got.contains(wanted), "{got}");
    }
    let rule =
        "  - {id: 1, level: 5, event: failed, count: 2, within: 6min, same: [src], description: d}";
    let got = complaint(&pack(EVENT, rule));
    assert!(got.contains("my.yaml:8:"), "{got}");
    assert!(
        got.contains("expected a duration such as 90s, 5m, 2h, 1d or 1h30m, got `6min`"),
        "{got}"
    );
}

#[test]
fn patterns_that_can_be_forged_are_refused_with_a_remedy() {
    for (pattern, wanted) in [
        ("Failed for (?<user>.*) from (?<src>{ip})$", "a pattern must begin with `^`"),
        ("^Failed for (?<user>.*) from (?<src>{ip})", "end it with `$`"),
        ("^Failed for (?<user>.*) from (?<src>{ip}).*$", "spell out what follows up to `$`"),
        ("^Failed for (?<user>.*) from (?<src>{ip}): (?<why>.*)$", "spell out what follows"),
        ("^Failed for (?<user>.*)(?<src>{ip})$", "put fixed text between them"),
        ("^Failed for (?<user>.*?) from (?<src>{ip})", "end it with `$`"),
        ("^Failed from.?(?<src>{ip})$", "put fixed text between them"),
        ("^x (?<user>.*) (?<src>{ip})(?: (?<port>{port}))?$", "spell out what follows"),
        ("^(?:Failed|x (?<user>.*)) from (?<src>{ip}) (?<rest>.*)$", "spell out what follows"),
        ("^a (?<user>[^\"]*) from (?<src>{ip}) (?<rest>.*)$", "spell out what follows"),
        ("^a (?:b )*(?<user>(?:x| )*) from (?<src>{ip})( from 1)?$", "spell out what follows"),
        ("^a (?<u>[^ ]*),src=(?<src>{ip}),(?<rest>[^ ]*)$", "spell out what follows"),
        ("^x (?<src>{adress})$", "unknown macro `{adress}`; known are `ip`"),
        ("^x (?<src>{i}) $", "unknown macro `{i}`"),
        ("^x (?<port>{prot})$", "did you mean `port`?"),
        ("^x (", "unclosed group at byte 3 of `^x (`"),
        ("^x (?<a>(?:a{1,1000}){1,1000}){1,1000}$", "the pattern is too large"),
    ] {
        let event = format!("    pattern: '{pattern}'");
        let got = complaint(&pack(&event, RULE));
        assert!(got.contains(wanted), "{pattern}\n{got}");
        assert!(got.starts_with("my.yaml:6:"), "{got}");
    }
}

#[test]
fn patterns_whose_address_is_fixed_are_taken() {
    for pattern in [
        // From the left, by what stands before.
        "^Failed from (?<src>{ip}) as (?<user>.*)$",
        "^Failed (?<n>{number}) from (?<src>{ip}): (?<why>.*)$",
        "^Failed for (?<user>[^ ]*) from (?<src>{ip}): (?<why>.*)$",
        "^Failed for \"(?<user>[^\"]*)\" from (?<src>{ip})",
        // From the right, by what follows.
        "^Failed for (?<user>.*) from (?<src>{ip})$",
        "^Failed for (?<user>.*) from (?<src>{ip}) port (?<port>{port})(?: ssh2)?$",
        "^Failed for (?<user>.*) from (?<src>{ip})(?: port (?<port>{port}))?(?: on [^ ]+)?$",
        "^Closed by (?:user (?<user>.*) )?(?<src>{ip}) port (?<port>{port})(?: \\[preauth\\])?$",
        "^Failed for (?<user>.*) from (?<src>{host}) via (?<via>{host})$",
        "^Failed for (?<user>.*) from (?<src>{host}) from (?<b>{host})$",
        // No address, nothing to forge.
        "^Failed for (?<user>.*), (?<why>.*)",
    ] {
        let event = format!("    pattern: '{pattern}'");
        let loaded = Packs::from_texts(&[("my.yaml", &pack(&event, RULE))]);
        assert!(loaded.is_ok(), "{pattern}\n{}", loaded.unwrap_err());
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for (rule, wanted) in [
        ("{id: 1, level: 5, description: d}", "expected either `event` or `after`"),
        ("{id: 1, level: 5, event: failed, after: 2, description: d}", "either `event` or `after`"),
        (
            "{id: 1, level: 5, event: faild, description: d}",
            "no event `faild` in this pack; did you mean `failed`?",
        ),
        ("{id: 1, level: 5, after: 77, description: d}", "no pack has a rule 77"),
        ("{id: 1, level: 5, after: 1, description: d}", "rule 1 comes after itself"),
        (
            "{id: 1, level: 5, after: 2, description: d}\n  - {id: 2, level: 5, after: 1, description: d}\n  - {id: 3, level: 5, after: 2, description: d}",
            "rule 3 comes after itself",
        ),
        (
            "{id: 1, level: 16, event: failed, description: d}",
            "expected `level` from 0 to 15, got 16",
        ),
        (
            "{id: 1, level: 5, event: failed, score: -3, description: d}",
            "expected `score` from 0 to 1000, got -3",
        ),
        ("{id: 1, level: 5, event: failed, score: .nan, description: d}", "score"),
        (
            "{id: 1, level: 5, event: failed, count: 1, within: 1m, same: src, description: d}",
            "expected `count` from 2",
        ),
        (
            "{id: 1, level: 5, event: failed, count: 3, same: src, description: d}",
            "`count` needs `within`",
        ),
        (
            "{id: 1, level: 5, event: failed, within: 1m, description: d}",
            "`within` makes no sense without `count`",
        ),
        (
            "{id: 1, level: 5, event: failed, count: 3, within: 1m, description: d}",
            "would ban the last one of them",
        ),
        (
            "{id: 1, level: 5, event: failed, count: 3, within: 1m, same: [src, usr], description: d}",
            "no event of this rule has a field `usr`; did you mean `user`?",
        ),
        (
            "{id: 1, level: 5, event: failed, when: {sid: 3}, description: d}",
            "no event of this rule has a field `sid`",
        ),
        (
            "{id: 1, level: 5, event: failed, when: {user: {min: 1, not: x}}, description: d}",
            "expected one of `not`, `in`, `not_in`, or `min` and `max`",
        ),
        (
            "{id: 1, level: 5, event: failed, description: d}\n  - {id: 1, level: 6, event: failed, description: e}",
            "there is a rule 1 already, at my.yaml:8:5",
        ),
    ] {
        let got = complaint(&pack(EVENT, &format!("  - {rule}")));
        assert!(got.contains(wanted), "{rule}\n{got}");
    }
}

#[test]
fn packs_and_events_that_make_no_sense_are_refused() {
    let whole = pack(EVENT, RULE);
    let twice = Packs::from_texts(&[("a.yaml", &whole), ("b.yaml", &whole)]).unwrap_err();
    assert!(
        twice.to_string().contains("b.yaml:1:7: there is a pack `mine` already, at a.yaml:1:7")
    );
    assert_eq!(twice.errors.len(), 2, "{twice}");
    for (yaml, wanted) in [
        (pack("    proven: true", RULE), "expected either `pattern` or `patterns`"),
        (pack("    pattern: '^x$'\n    patterns: ['^y$']", RULE), "expected either `pattern`"),
        (
            whole.replace("pack: mine", "pack: My pack"),
            "expected a name of a-z, 0-9 and `-`, got `My pack`",
        ),
        (
            whole.replace("format: syslog", "format: suricata"),
            "`programs` makes no sense in a pack of format suricata",
        ),
        (
            format!("{whole}tests:\n  - {{expect: {{event: null}}}}\n"),
            "expected either `line` or `lines`",
        ),
        (
            format!("{whole}tests:\n  - {{line: x, expect: {{evnt: null}}}}\n"),
            "unknown key `evnt`; did you mean `event`?",
        ),
    ] {
        let got = complaint(&yaml);
        assert!(got.contains(wanted), "{got}");
    }
}

#[test]
fn src_is_the_offender_except_beside_a_success() {
    let yaml = "
pack: mine
format: syslog
programs: [p]
events:
  bad: {pattern: '^bad (?<user>{user}) from (?<src>{ip})$'}
  good: {success: true, pattern: '^good (?<user>{user}) from (?<src>{ip})$'}
rules:
  - {id: 1, level: 5, event: bad, description: d}
  - {id: 2, level: 9, after: 1, count: 3, within: 1m, same: [src, user], distinct: user, description: d}
  - {id: 3, level: 9, event: good, count: 3, within: 1m, same: src, description: d}
  - {id: 4, level: 9, event: good, preceded_by: {rules: 1, within: 1m, same: src}, description: d}
  - {id: 5, level: 9, event: bad, preceded_by: {rules: 1, within: 1m, same: src}, description: d}
  - {id: 6, level: 9, event: [bad, good], count: 3, within: 1m, same: src, description: d}
";
    let packs = Packs::from_texts(&[("my.yaml", yaml)]).unwrap();
    let rules = &packs.rules().rules;
    let field = |name: &str| Key::Field(name.to_owned());
    let same = |index: usize| rules[index].window.as_ref().map(|window| window.same.clone());
    let before = |index: usize| rules[index].preceded.as_ref().map(|it| it.same.clone());
    assert_eq!(same(1), Some(vec![Key::Offender, field("user")]));
    assert_eq!(rules[1].window.as_ref().unwrap().distinct, Some(field("user")));
    assert_eq!(same(2), Some(vec![field("src")]));
    assert_eq!(before(3), Some(vec![field("src")]));
    assert_eq!(before(4), Some(vec![Key::Offender]));
    assert_eq!(same(5), Some(vec![field("src")]));
    assert_eq!(rules[1].trigger, Trigger::After(vec![0]));
    assert_eq!(packs.rules().children[0], [1]);
    assert_eq!(packs.rules().by_event, [vec![0, 4, 5], vec![2, 3, 5]]);
}

#[test]
fn a_condition_on_an_event_decides_between_patterns() {
    let yaml = "
pack: mine
format: syslog
events:
  root: {pattern: '^login (?<user>{user})$', when: {user: [root, toor]}}
  low: {pattern: '^login (?<n>{number})$', when: {n: {max: 9}}}
  any: {pattern: '^login (?<user>{user})$', when: {user: {not: nobody}}}
";
    let packs = Packs::from_texts(&[("my.yaml", yaml)]).unwrap();
    let name = |text: &str| {
        let record = record("x", text.as_bytes());
        packs.recognise(&record).map(|event| event.kind.name.clone())
    };
    assert_eq!(name("login toor").as_deref(), Some("root"));
    assert_eq!(name("login alice").as_deref(), Some("any"));
    assert_eq!(name("login 9").as_deref(), Some("low"));
    assert_eq!(name("login 10").as_deref(), Some("any"));
    assert_eq!(name("login nobody"), None);
}

#[test]
fn programs_may_be_groups() {
    let yaml = "
pack: mine
format: syslog
programs: ['app-*', '*(pam_unix)', exact]
events:
  hello: {pattern: '^hello'}
";
    let packs = Packs::from_texts(&[("my.yaml", yaml)]).unwrap();
    for (program, known) in
        [("app-1", true), ("x(pam_unix)", true), ("exact", true), ("exact2", false), ("", false)]
    {
        assert_eq!(packs.knows_program(program.as_bytes()), known, "{program}");
        assert_eq!(packs.recognise(&record(program, b"hello")).is_some(), known, "{program}");
    }
}

#[test]
fn files_and_folders_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("b.yaml", "pack: b\nformat: syslog\nevents: {x: {pattern: '^x'}}\n");
    write("a.yaml", "pack: a\nformat: syslog\nevents: {y: {pattern: '^y'}}\n");
    write("notes.txt", "not a pack");
    let packs = Packs::load(false, &[folder.path().to_owned()]).unwrap();
    let names: Vec<&str> = packs.events().iter().map(|kind| kind.pack.as_str()).collect();
    assert_eq!(names, ["a", "b"]);

    let missing = folder.path().join("missing.yaml");
    write("c.yaml", "pack: c\n");
    let errors = Packs::load(true, &[missing, folder.path().to_owned()]).unwrap_err();
    assert_eq!(errors.errors.len(), 2, "{errors}");
    assert!(errors.to_string().starts_with("cannot read the pack `"), "{errors}");
}

#[test]
fn a_test_tells_what_differs() {
    let yaml = pack(EVENT, RULE)
        + "tests:\n  - {line: l, times: 3, home: [192.0.2.0/24], expect: {event: failed, src: null, \
           offender: 198.51.100.7, proven: true, rules: [2, 1], score: 12, ban: null, withheld: rate, \
           fields: {user: root, port: null}}}\n";
    let packs = Packs::from_texts(&[("my.yaml", &yaml)]).unwrap();
    let [test] = packs.tests() else { panic!("one test") };
    assert_eq!((test.times, test.home.len(), test.pack.as_str()), (3, 1, "mine"));
    let line = record("sshd", b"Failed for root from 198.51.100.7");
    let event = packs.recognise(&line).unwrap();
    let outcome = Outcome {
        event: Some("failed"),
        fields: Some(&event.fields),
        offender: Some("198.51.100.7".parse().unwrap()),
        proven: true,
        rules: vec![1, 2],
        score: 12.0001,
        ban: None,
        withheld: Some(Withheld::Rate),
        ..Outcome::default()
    };
    assert_eq!(test.expect.differences(&outcome), ["src: expected none, got 198.51.100.7"]);
    let outcome = Outcome { score: 1.0, ban: "192.0.2.0/24".parse().ok(), ..Outcome::default() };
    let different = test.expect.differences(&outcome);
    let of = |what: &str| different.iter().any(|difference| difference.starts_with(what));
    for what in
        ["event:", "offender:", "proven:", "rules:", "score:", "ban:", "withheld:", "field `user`:"]
    {
        assert!(of(what), "{what} in {different:?}");
    }
}

/// Every key that the reader knows stands in the documentation, and none that it doesn't.
#[test]
fn the_documentation_has_every_key() {
    let documentation = include_str!("../../../../docs/rules.md");
    let documented = |section: &str, end: &str| -> Vec<String> {
        let (_, rest) = documentation.split_once(section).unwrap();
        let rows = rest.split_once(end).map_or(rest, |(rows, _)| rows);
        let keys = rows.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        keys.map(str::to_owned).collect()
    };
    // What the reader says that it knows where it meets an unknown key.
    let known = |yaml: &str| -> Vec<String> {
        match &Packs::from_texts(&[("x", yaml)]).unwrap_err().errors[0] {
            PackError::Problem { problem: Problem::UnknownKey { known, .. }, .. } => {
                known.iter().map(|key| (*key).to_owned()).collect()
            }
            other => panic!("{other}"),
        }
    };
    let head = "pack: a\nformat: syslog\n";
    for (section, end, yaml) in [
        ("## The pack", "\n## ", "zzz: 1\n".to_owned()),
        ("## Events", "\n## ", format!("{head}events: {{a: {{zzz: 1}}}}\n")),
        ("## Rules", "`preceded_by` has", format!("{head}rules: [{{zzz: 1}}]\n")),
        (
            "`preceded_by` has",
            "`not_followed_by` has",
            format!("{head}rules: [{{preceded_by: {{zzz: 1}}}}]\n"),
        ),
        (
            "`not_followed_by` has",
            "Conditions are",
            format!("{head}rules: [{{not_followed_by: {{zzz: 1}}}}]\n"),
        ),
        ("## Tests", "`expect` has", format!("{head}tests: [{{zzz: 1}}]\n")),
        ("`expect` has", "\n## ", format!("{head}tests: [{{expect: {{zzz: 1}}}}]\n")),
    ] {
        let sorted = |mut keys: Vec<String>| {
            keys.sort();
            keys
        };
        assert_eq!(sorted(documented(section, end)), sorted(known(&yaml)), "{section}");
    }
}

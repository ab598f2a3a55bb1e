//! The packs that ship.

use std::collections::BTreeSet;

use super::*;
use crate::event::{Blame, SuricataAlert, Value};

fn packs() -> Packs {
    Packs::load(true, &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_test_inside_them_passes_as_far_as_recognition_goes() {
    let packs = packs();
    let mut failures = Vec::new();
    for test in packs.tests() {
        let line = test.lines.last().unwrap();
        let record = decode(line, test.format).unwrap_or_else(|| panic!("no record: {line}"));
        let event = packs.recognise(&record);
        let name = event.as_ref().map(|event| event.kind.name.as_str());
        for difference in
            test.expect.event_differences(name, event.as_ref().map(|event| &event.fields))
        {
            failures.push(format!("{}: {difference}\n    {line}", test.place));
        }
        // What is expected of the offender must follow from what the line blames.
        if let (Some(offender), Some(event)) = (test.expect.offender, &event)
            && event.suricata.is_none()
        {
            let blamed = match event.address {
                Blame::Address(addr) => Some(addr),
                Blame::Nobody | Blame::Ambiguous => None,
            };
            if blamed != offender {
                failures.push(format!("{}: blames {:?}\n    {line}", test.place, event.address));
            }
        }
        if let (Some(proven), Some(event)) = (test.expect.proven, &event)
            && event.suricata.is_none()
            && event.kind.proven != proven
        {
            failures.push(format!("{}: proven is {}", test.place, event.kind.proven));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// They are loaded on trust, so this is where it is earned.
#[test]
fn they_stand_every_check_of_an_admins_own_pack() {
    let packs = Packs::from_texts(&BUILTIN.map(|pack| (pack.file, pack.yaml)))
        .unwrap_or_else(|errors| panic!("{errors}"));
    // Their ids are the ones that others are warned of.
    let warnings = packs.warnings(&BanConfig::default()).into_iter();
    let warnings: Vec<String> = warnings
        .filter(|warning| !matches!(warning.doubt, Doubt::ShippedId { .. }))
        .map(|warning| warning.to_string())
        .collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
}

/// What is in the binary is what was written.
#[test]
fn as_json_they_say_what_their_yaml_says() {
    for pack in BUILTIN {
        let json = pack.text().read().unwrap_or_else(|error| panic!("{}: {error}", pack.file));
        let yaml = pack.source().read().unwrap();
        // All but the places.
        let shown = |raw: &pack::RawPack| {
            let text = format!("{raw:?}");
            let mut kept = String::new();
            for part in text.split("referenced: Location {") {
                let rest = part.split_once("defined: Location {").map_or(part, |(_, rest)| {
                    rest.split_once("} }").map_or(rest, |(_, rest)| rest)
                });
                kept.push_str(rest);
            }
            kept
        };
        assert_eq!(shown(&json), shown(&yaml), "{}", pack.file);
    }
}

#[test]
fn each_ends_with_its_tests() {
    for Shipped { file, yaml: text, .. } in BUILTIN {
        let tests = text.strip_prefix(without_tests(text)).unwrap();
        assert!(tests.starts_with("tests:\n"), "{file}");
        let keys = tests.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic()));
        assert_eq!(keys.collect::<Vec<_>>(), ["tests:"], "{file}: what follows its tests is lost");
        assert!(!compile::tests(&Text::new(file, text)).is_empty(), "{file}");
    }
}

#[test]
fn every_pattern_and_every_rule_has_a_test() {
    let packs = packs();
    let mut patterns = BTreeSet::new();
    let mut rules = BTreeSet::new();
    for test in packs.tests() {
        rules.extend(test.expect.rules.iter().flatten().copied());
        for line in &test.lines {
            patterns.extend(
                decode(line, test.format)
                    .and_then(|it| packs.recogniser.taken_by(packs.events(), &it)),
            );
        }
    }
    let missing: Vec<_> = packs
        .recogniser
        .pattern_events()
        .enumerate()
        .filter(|(index, _)| !patterns.contains(index))
        .map(|(index, event)| (index, packs.events()[event].name.as_str()))
        .collect();
    assert!(missing.is_empty(), "patterns that no test's line runs into: {missing:?}");

    let all = packs.rules().rules.iter().map(|rule| rule.head.id);
    let missing: Vec<u32> = all.filter(|id| !rules.contains(id)).collect();
    assert!(missing.is_empty(), "rules that no test expects: {missing:?}");

    for pack in ["sshd", "pam", "sudo", "su"] {
        let mut tests = packs.tests().iter().filter(|test| test.pack == pack);
        let foreign = tests.any(|test| test.expect.event == Some(None));
        assert!(foreign, "{pack} has no line that it must not take");
    }
}

#[test]
fn patterns_run_on_the_fast_matcher() {
    assert_eq!(packs().recogniser.slow_patterns(), 0);
}

#[test]
fn suricata_alerts_bring_their_fields_and_blame_nobody() {
    let packs = packs();
    let record = Record {
        body: Body::Suricata(Box::new(SuricataAlert {
            gid: 1,
            sid: 2_024_364,
            rev: 3,
            signature: "ET SCAN".into(),
            priority: 1,
            action: "allowed",
            proto: "TCP".into(),
            src: Some("::ffff:198.51.100.7".parse().unwrap()),
            src_port: Some(41234),
            dst: Some("203.0.113.9".parse().unwrap()),
            ..SuricataAlert::default()
        })),
        ..record("", b"")
    };
    let event = packs.recognise(&record).unwrap();
    assert_eq!(event.kind.name, "alert");
    assert_eq!(event.address, Blame::Nobody);
    assert_eq!(event.suricata.map(|alert| alert.sid), Some(2_024_364));
    assert_eq!(event.field("sid"), Some(Value::Number(2_024_364)));
    assert_eq!(event.field("src"), Some(Value::Addr("198.51.100.7".parse().unwrap())));
    assert_eq!(event.field("src_port"), Some(Value::Number(41234)));
    assert_eq!(event.field("category"), None);
    assert_eq!(event.field("dst_port"), None);
}

#[test]
fn the_ladder_is_as_the_contract_has_it() {
    let packs = packs();
    let rule = |id: u32| packs.rules().rules.iter().find(|rule| rule.head.id == id).unwrap();
    let mut ids = Vec::new();
    for (base, first_level) in [(300_001, 7), (300_011, 10)] {
        assert_eq!(rule(base).head.level, first_level);
        assert_eq!(rule(base).window, None);
        assert!(rule(base).ignore.is_zero());
        for (step, count) in [(1, 5), (2, 10), (3, 20), (4, 50)] {
            let rung = rule(base + step);
            let window = rung.window.as_ref().unwrap();
            assert_eq!(u32::from(rung.head.level), u32::from(first_level) + step);
            assert_eq!(window.count, count);
            assert_eq!(window.within.as_secs(), 120);
            assert_eq!(window.same, [Key::Offender]);
            assert_eq!(rung.ignore.as_secs(), 90);
            ids.push(rung.head.id);
        }
    }
    assert_eq!(rule(300_021).head.level, 3);
    let brute = rule(5720);
    assert_eq!((brute.head.level, brute.window.as_ref().unwrap().count), (10, 8));
    assert_eq!(rule(5716).score, 12.0);
    let broken_in = rule(40112);
    assert_eq!((broken_in.head.level, broken_in.head.ban), (12, Some(false)));
    // A success has no offender, so both sides are keyed by the field.
    assert_eq!(broken_in.preceded.as_ref().unwrap().same, [Key::Field("src".to_owned())]);
}

#[test]
fn knows_the_programs_that_packs_name() {
    let packs = packs();
    for program in ["sshd", "sshd-session", "sudo", "su"] {
        assert!(packs.knows_program(program.as_bytes()), "{program}");
    }
    for program in ["", "webapp", "sshd2"] {
        assert!(!packs.knows_program(program.as_bytes()), "{program}");
    }
    // PAM speaks under any name.
    let pam = record("webapp", b"pam_unix(webapp:auth): check pass; user unknown");
    assert_eq!(packs.recognise(&pam).unwrap().kind.name, "user-unknown");
}

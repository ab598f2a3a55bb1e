//! Does the fast matcher give the regex engine's answer? On lines made from each shipped pattern, on
//! broken versions of them, and on patterns made up at random.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use regex_syntax::hir::{Class, HirKind};

use super::*;

/// Compares both matchers on `line`; the answer of the two.
fn compare(pattern: &Pattern, line: &[u8]) -> bool {
    match pattern.agreed(line) {
        Ok(Some(matched)) => matched,
        // What the fast one leaves to the other.
        Ok(None) => {
            let mut places = machine::NONE;
            pattern.search(line, &mut places)
        }
        Err(how) => panic!("{how}"),
    }
}

/// A line that `hir` matches, with a taste for what attackers write.
fn example(hir: &Hir, rng: &mut TestRng, line: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => line.extend(&literal.0),
        HirKind::Class(class) => line.push(member(class, rng)),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(40).min(40).max(repetition.min);
            let dot = matches!(repetition.sub.kind(), HirKind::Class(class)
                if ByteSet::of_class(class).is_some_and(|set| set.all_but() == Some(b'\n')));
            if dot && rng.random_bool(0.5) {
                let forged = [
                    &b" from 203.0.113.9 port 1 ssh2"[..],
                    b" from ",
                    b"x from 203.0.113.9",
                    b" rhost=203.0.113.9",
                    b" 203.0.113.9 port 1 [preauth]",
                    b"' from 203.0.113.9 port 1",
                    b" ; USER=root ; COMMAND=x",
                    b"",
                ];
                for _ in 0..rng.random_range(0..3) {
                    line.extend(forged[rng.random_range(0..forged.len())]);
                }
            } else {
                for _ in 0..rng.random_range(repetition.min..=most) {
                    example(&repetition.sub, rng, line);
                }
            }
        }
        HirKind::Capture(capture) if capture.name.as_deref() == Some(SOURCE) => {
            let sources =
                [&b"198.51.100.7"[..], b"2001:db8::7", b"::ffff:198.51.100.7", b"fe80::1%eth0"];
            line.extend(sources[rng.random_range(0..sources.len())]);
        }
        HirKind::Capture(capture) => example(&capture.sub, rng, line),
        HirKind::Concat(subs) => subs.iter().for_each(|sub| example(sub, rng, line)),
        HirKind::Alternation(subs) => example(&subs[rng.random_range(0..subs.len())], rng, line),
    }
}

fn member(class: &Class, rng: &mut TestRng) -> u8 {
    let set = ByteSet::of_class(class).unwrap();
    // Printable, where there is something printable in it.
    let printable: Vec<u8> = (b' '..=b'~').filter(|&byte| set.contains(byte)).collect();
    let all: Vec<u8> = (0..=u8::MAX).filter(|&byte| set.contains(byte)).collect();
    let from = if printable.is_empty() || rng.random_bool(0.05) { &all } else { &printable };
    from[rng.random_range(0..from.len())]
}

/// Breaks a line: cuts, doubles, swaps, inserts a piece of another one.
fn mutate(line: &mut Vec<u8>, other: &[u8], rng: &mut TestRng) {
    let at = rng.random_range(0..=line.len());
    let to = rng.random_range(at..=line.len());
    match rng.random_range(0..6) {
        0 => line.truncate(at),
        1 => drop(line.drain(at..to)),
        2 => {
            let piece = line[at..to].to_vec();
            line.splice(at..at, piece);
        }
        3 => {
            let from = rng.random_range(0..=other.len());
            line.splice(at..to, other[from..].iter().copied());
        }
        4 => line.insert(at, rng.random()),
        _ => line.extend_from_slice(other),
    }
    line.truncate(2000);
}

/// The patterns of the shipped packs.
fn shipped() -> Vec<Pattern> {
    let texts = crate::rules::tests::shipped_patterns();
    texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

#[test]
fn shipped_patterns_match_as_the_regex_engine_does() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let patterns = shipped();
    assert!(patterns.len() > 90, "{}", patterns.len());
    let mut examples = Vec::new();
    for pattern in &patterns {
        let mut matched = 0;
        for _ in 0..30 {
            let mut line = Vec::new();
            example(&pattern.hir, &mut rng, &mut line);
            matched += usize::from(compare(pattern, &line));
            examples.push(line);
        }
        assert!(matched > 0, "no example of {:?} matches", pattern.hir);
    }
    for pattern in &patterns {
        for _ in 0..30 {
            let mut line = examples[rng.random_range(0..examples.len())].clone();
            let other = &examples[rng.random_range(0..examples.len())];
            for _ in 0..rng.random_range(0..4) {
                mutate(&mut line, other, &mut rng);
            }
            compare(pattern, &line);
        }
        // And its own, broken, which come closer to a match.
        for _ in 0..30 {
            let mut line = Vec::new();
            example(&pattern.hir, &mut rng, &mut line);
            let other = &examples[rng.random_range(0..examples.len())];
            mutate(&mut line, other, &mut rng);
            compare(pattern, &line);
        }
    }
}

#[test]
fn made_up_patterns_match_as_the_regex_engine_does() {
    // A small alphabet, so that everything overlaps with everything.
    let atom = prop_oneof![
        "[ab ]{1,3}",
        Just(".*".to_owned()),
        Just(".".to_owned()),
        Just("[ab]*".to_owned()),
        Just("[^ ]+".to_owned()),
        Just("[a ]{1,3}".to_owned()),
        Just("a?".to_owned()),
        Just("(?:b|)".to_owned()),
    ];
    let tree = atom.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            inner.clone().prop_map(|part| format!("(?:{part})?")),
            inner.prop_map(|part| format!("(?<>{part})")),
        ]
    });
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 2000, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let lines = prop::collection::vec("[ab \n]{0,12}", 8);
    runner
        .run(&(tree, any::<bool>(), lines), |(body, end, lines)| {
            let mut text = String::from("^");
            for (index, part) in body.split("(?<>").enumerate() {
                if index > 0 {
                    write!(text, "(?<g{index}>").unwrap();
                }
                text += part;
            }
            if end {
                text.push('$');
            }
            let Ok(pattern) = Pattern::new(&text) else { return Ok(()) };
            if pattern.machine.is_some() {
                for line in lines {
                    compare(&pattern, line.as_bytes());
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_capture_on_a_way_that_failed_is_forgotten() {
    for (text, line) in [
        ("^a?(?<x>b)?(?:c|abd)$", &b"abd"[..]),
        ("^(?:ab)?(?<x>c)?(?:d|abce)$", b"abce"),
        ("^[ab]*(?:(?<x>c)|(?<y>bc))d$", b"abcd"),
        ("^[ab]*(?:(?<x>bc)d|b(?<y>c)e)$", b"abbce"),
    ] {
        let pattern = Pattern::new(text).unwrap();
        assert!(compare(&pattern, line), "{text}");
    }
}

#[test]
fn a_line_that_costs_too_much_is_left_to_the_regex_engine() {
    let pattern = Pattern::new("^(?<a>.*) x(?<b>.*) y(?<c>.*) z$").unwrap();
    let line = b" x y".repeat(2000);
    let mut slots = machine::NONE;
    assert_eq!(pattern.machine.as_ref().unwrap().run(&line, &mut slots), Outcome::Unknown);
    let mut room = Room::new();
    assert!(pattern.find(&line, &mut room).is_none());
    let mut line = line;
    line.extend(b" z");
    let found = pattern.find(&line, &mut room).unwrap();
    assert_eq!(found.text(2), Some(&b""[..]));
}

#[test]
fn patterns_beyond_the_fast_matcher_run_on_the_regex_engine() {
    let pattern = Pattern::new(r"^(?:ab)+ (?<word>c.*?) d(?<n>[0-9]+)$").unwrap();
    assert!(pattern.machine.is_none());
    let mut room = Room::new();
    assert!(pattern.find(b"abab", &mut room).is_none());
    let found = pattern.find(b"abab cx d1 d22", &mut room).unwrap();
    assert_eq!((found.text(0), found.text(1)), (Some(&b"cx d1"[..]), Some(&b"22"[..])));
}

//! What somebody who wrote an unknown key probably meant: a slip, another word, or another place.

use crate::rules::nearest;

/// What other tools and other people call our keys.
const OTHER_WORDS: [(&str, &str); 42] = [
    ("action", "ban"),
    ("alert", "mail"),
    ("bantime", "ttl"),
    ("ban_time", "ttl"),
    ("block", "ban"),
    ("by", "same"),
    ("comment", "description"),
    ("condition", "when"),
    ("conditions", "when"),
    ("cooldown", "ignore"),
    ("desc", "description"),
    ("duration", "ttl"),
    ("email", "mail"),
    ("events", "event"),
    ("expected", "expect"),
    ("failregex", "pattern"),
    ("filter", "when"),
    ("findtime", "within"),
    ("frequency", "count"),
    ("group_by", "same"),
    ("if_matched_sid", "after"),
    ("if_sid", "after"),
    ("interval", "within"),
    ("log", "line"),
    ("match", "pattern"),
    ("maxretry", "count"),
    ("message", "line"),
    ("name", "pack"),
    ("notify", "mail"),
    ("period", "within"),
    ("port", "ports"),
    ("process", "programs"),
    ("program", "programs"),
    ("repeat", "times"),
    ("regex", "pattern"),
    ("same_source_ip", "same"),
    ("service", "programs"),
    ("severity", "level"),
    ("threshold", "count"),
    ("timeframe", "within"),
    ("title", "description"),
    ("window", "within"),
];

/// Where events' keys stand.
const EVENT: &str = "into an event, deeper than its name";

/// Keys that can stand in one kind of place only, and where that is.
const HOMES: [(&str, &[&str]); 4] = [
    (
        "at the pack's top level, not indented",
        &["pack", "programs", "web", "mode", "disable", "events", "tests"],
    ),
    (EVENT, &["pattern", "patterns", "proven", "attempt", "success"]),
    (
        "into a rule",
        &[
            "id",
            "inherit",
            "override",
            "level",
            "after",
            "distinct",
            "aggregate",
            "ignore",
            "description",
            "preceded_by",
            "not_followed_by",
            "not_seen_for",
            "ttl",
            "ports",
        ],
    ),
    ("into a test", &["line", "lines", "times", "home", "expect"]),
];

/// What to do about a key that isn't one of `known`.
pub(in crate::rules) fn hint(key: &str, known: &[&'static str]) -> String {
    let meant = OTHER_WORDS.iter().find(|(word, meant)| *word == key && known.contains(meant));
    match (meant, home(key)) {
        (Some((_, meant)), _) => format!("did you mean `{meant}`?"),
        (None, Some(home)) => format!("it belongs {home}"),
        (None, None) => nearest::hint(key, known.iter().copied()),
    }
}

/// Where a key belongs.
fn home(key: &str) -> Option<&'static str> {
    HOMES.iter().find(|(_, keys)| keys.contains(&key)).map(|(home, _)| *home)
}

/// Whether it is a key of events, which a pack's author may have put beside their names.
pub(super) fn is_events(key: &str) -> bool {
    home(key) == Some(EVENT) || key == "when"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{PackError, Packs, Problem};

    fn known(yaml: &str) -> Vec<&'static str> {
        match &Packs::from_texts(&[("x", yaml)]).unwrap_err().errors[0] {
            PackError::Problem { problem: Problem::UnknownKey { known, .. }, .. } => known.clone(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_home_and_every_meaning_is_a_key_there() {
        let head = "pack: a\nformat: syslog\n";
        let places = [
            known("zzz: 1\n"),
            known(&format!("{head}events: {{a: {{zzz: 1}}}}\n")),
            known(&format!("{head}rules: [{{zzz: 1}}]\n")),
            known(&format!("{head}tests: [{{zzz: 1}}]\n")),
        ];
        for (at, (home, keys)) in HOMES.iter().enumerate() {
            for key in *keys {
                let at_home: Vec<usize> =
                    (0..4).filter(|place| places[*place].contains(key)).collect();
                assert_eq!(at_home, [at], "{key} belongs {home}");
            }
        }
        for (word, meant) in OTHER_WORDS {
            assert!(places.iter().any(|keys| keys.contains(&meant)), "{word} means {meant}");
        }
    }

    #[test]
    fn other_tools_words_and_other_places_are_known() {
        let rule = known("pack: a\nformat: syslog\nrules: [{zzz: 1}]\n");
        assert_eq!(hint("window", &rule), "did you mean `within`?");
        assert_eq!(hint("threshold", &rule), "did you mean `count`?");
        assert_eq!(hint("pattern", &rule), "it belongs into an event, deeper than its name");
        assert_eq!(hint("cuont", &rule), "did you mean `count`?");
        assert!(hint("zzz", &rule).starts_with("known are `id`, "));
    }
}

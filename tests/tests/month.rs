//! A busy host's month: whoever is honest stays untouched, and whoever isn't is banned.

use ravelin_tests::month::{Log, Month};

const SEED: u64 = 4;
/// The first week has all that the month has; `cargo xtask month` reads all of it.
const DAYS: i64 = 7;

#[test]
fn an_honest_week_bans_nobody() {
    let result = Month::honest(SEED, DAYS).replay(Log::Eve);
    assert!(result.lines > 150_000, "{} lines", result.lines);
    assert_eq!(result.wronged(&[]), Vec::<String>::new());
    // What an admin would want to read in a week, and no more.
    for (rule, (level, times, description)) in &result.alerts {
        let most = match rule {
            // Two stale passwords for two days; beside a live SSH session of the office's what may ban and
            // what may not is counted apart, so each says it twice.
            310_127 => 8,
            // A forgotten password that came back.
            40_112 | 5758 => 3,
            // Policy violations that the sensor saw.
            300_001 => 5,
            _ => 0,
        };
        assert!(*times <= most, "{rule} (level {level}, {description}): {times} times");
    }
}

#[test]
fn the_same_week_with_twenty_attackers_bans_them_and_nobody_else() {
    let month = Month::attacked(SEED, DAYS);
    assert_eq!(month.attackers().len(), 20);
    let result = month.replay(Log::Fast);
    assert_eq!(result.missed(month.attackers()), Vec::<String>::new());
    assert_eq!(result.wronged(month.attackers()), Vec::<String>::new());
}

#[test]
fn the_same_seed_makes_the_same_month() {
    let lines = |seed| {
        let folder = tempfile::tempdir().expect("a folder");
        Month::attacked(seed, 1).write(folder.path()).expect("written");
        Log::ALL.map(|log| std::fs::read(folder.path().join(log.name())).expect("a file"))
    };
    assert_eq!(lines(1), lines(1));
    assert_ne!(lines(1), lines(2));
}

//! The XDP program does with a million frames what etherparse and a slow model of the bans say.

use ravelin_tests::differential::compare;

/// A failure names its seed; this makes it come again.
const SEED: &str = "RAVELIN_SEED";

#[test]
fn a_million_frames_have_the_verdict_that_the_model_gives() {
    let seed = match std::env::var(SEED) {
        Ok(seed) => {
            seed.parse().unwrap_or_else(|_| panic!("{SEED}: expected a number, got `{seed}`"))
        }
        Err(_) => 2024,
    };
    let compared = compare(seed, 1_000_000);
    println!("{compared:?}");
    // What isn't hit isn't tested.
    assert_eq!(compared.reasons.len(), 10, "{compared:?}");
    for (reason, count) in &compared.reasons {
        assert!(*count > 1_000, "only {count} frames were `{reason}`");
    }
}

//! The tests inside packs, run through a whole engine: `ravelin check` and the test suite do.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Engine;
use crate::config::Config;
use crate::event::{Line, Timestamp, Verdict};
use crate::format::{Decoder, Selection};
use crate::policy::{Network, SuricataProof};
use crate::rules::{List, Outcome as TestOutcome, PackTest, Packs};

/// Feeds a test's lines to a fresh engine; what differs from what the test expects of the last one,
/// one sentence each.
pub fn run_pack_test(packs: &Arc<Packs>, test: &PackTest, now: Timestamp) -> Vec<String> {
    let config = Config { home: test.home.clone(), ..Config::default() };
    let mut engine =
        Engine::new(Arc::clone(packs), &config, Network::default(), SuricataProof::unknown());
    let sources = &packs.rules().lists;
    if let Some(name) =
        test.lists.keys().find(|name| sources.iter().all(|list| list.name != **name))
    {
        return vec![format!("lists: no pack has a list `{name}`")];
    }
    match List::of_test(sources, &test.lists) {
        Ok(lists) => engine.set_lists(lists),
        Err(error) => return vec![format!("lists: {error}")],
    }
    let mut decoder = Decoder::new(Selection::Only(test.format), TimeZone::UTC);
    let mut differences = vec!["expected at least one line, got none".to_owned()];
    for _ in 0..test.times {
        for line in &test.lines {
            let line = Line { bytes: line.as_bytes(), arrived: now };
            differences = match decoder.decode(line) {
                Err(error) => {
                    let mut differences = test.expect.differences(&TestOutcome::default());
                    if !differences.is_empty() {
                        differences.push(error.to_string());
                    }
                    differences
                }
                Ok(record) => {
                    let time = record.time.unwrap_or(now);
                    let missed = engine.advance(time);
                    let missed = missed.iter().map(|missed| missed.rule.id);
                    let outcome = engine.step(&record, time);
                    let fired = outcome.fired.alerts.iter().map(|alert| alert.rule.id);
                    test.expect.differences(&TestOutcome {
                        event: outcome.event.as_ref().map(|event| event.kind.name.as_str()),
                        fields: outcome.event.as_ref().map(|event| &event.fields),
                        offender: outcome.offence.offender,
                        proven: outcome.offence.proven,
                        rules: missed.chain(fired).collect(),
                        score: outcome.fired.score,
                        ban: match &outcome.verdict {
                            Verdict::Ban(order) => Some(order.target.to_string()),
                            _ => None,
                        },
                        withheld: match &outcome.verdict {
                            Verdict::Withheld(why) => Some(why.as_str()),
                            _ => None,
                        },
                    })
                }
            };
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_packs_pass_their_own_tests() {
        let packs = Arc::new(Packs::load(true, &[]).unwrap());
        let now = Timestamp::from_secs(1_795_478_400);
        assert!(packs.tests().len() > 50, "{} tests", packs.tests().len());
        let failures: Vec<String> = packs
            .tests()
            .iter()
            .flat_map(|test| {
                run_pack_test(&packs, test, now).into_iter().map(move |difference| {
                    format!("{}: {difference}: {:?}", test.place, test.lines)
                })
            })
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

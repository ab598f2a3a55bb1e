//! The tests inside packs, run through a whole engine: `ravelin check` and the test suite do.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Engine, Outcome};
use crate::config::Config;
use crate::correlator::Missed;
use crate::event::{Body, Line, Record, Timestamp, Verdict, Withheld};
use crate::format::{Decoder, Selection};
use crate::policy::{Network, SuricataProof};
use crate::rules::{List, NearMiss, Outcome as TestOutcome, PackTest, Packs, why_nobody};

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
    let mut lines = (0..test.times).flat_map(|_| &test.lines).peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let record = match decoder.decode(Line { bytes: line.as_bytes(), arrived: now }) {
            Ok(record) => record,
            Err(error) if is_last => {
                let why_no_event = Some(error.to_string());
                let told = TestOutcome { why_no_event, ..TestOutcome::default() };
                return test.expect.differences(&told);
            }
            Err(_) => continue,
        };
        let time = record.time.unwrap_or(now);
        let missed = engine.advance(time);
        let outcome = engine.step(&record, time);
        if is_last {
            let told = told(&missed, &outcome, &config);
            if test.expect.differences(&told).is_empty() {
                return Vec::new();
            }
            // Slow: only where somebody has to be told.
            return test.expect.differences(&explained(told, packs, &record, &outcome, &config));
        }
    }
    vec!["expected at least one line, got none".to_owned()]
}

/// What a test is about.
fn told<'o>(missed: &[Missed], outcome: &'o Outcome<'o>, config: &Config) -> TestOutcome<'o, 'o> {
    let alerts = &outcome.fired.alerts;
    let fired = alerts.iter().map(|alert| alert.rule.id);
    let rules = missed.iter().map(|missed| missed.rule.id).chain(fired).collect();
    TestOutcome {
        event: outcome.event.as_ref().map(|event| event.kind.name.as_str()),
        fields: outcome.event.as_ref().map(|event| &event.fields),
        offender: outcome.offence.offender,
        proven: outcome.offence.proven,
        rules,
        score: outcome.fired.score,
        ban: match &outcome.verdict {
            Verdict::Ban(order) => Some(order.target.net()),
            _ => None,
        },
        withheld: match &outcome.verdict {
            Verdict::Withheld(why) => Some(*why),
            _ => None,
        },
        mail: outcome.told(&config.mail).map(|(urgency, _)| urgency),
        ..TestOutcome::default()
    }
}

/// The same with reasons, for people.
fn explained<'o>(
    told: TestOutcome<'o, 'o>,
    packs: &Packs,
    record: &Record<'_>,
    outcome: &Outcome<'_>,
    config: &Config,
) -> TestOutcome<'o, 'o> {
    let Some(event) = &outcome.event else {
        return TestOutcome { why_no_event: Some(why_no_event(packs, record)), ..told };
    };
    let nobody = outcome.offence.offender.is_none().then(|| why_nobody(event, record));
    let why_no_ban = match &outcome.verdict {
        Verdict::Withheld(Withheld::Unproven) => {
            format!(
                "withheld as unproven: `{}` doesn't say `proven: true`, or its rule counts one that doesn't",
                event.kind.name
            )
        }
        Verdict::Withheld(why) => format!("withheld as {}", why.as_str()),
        _ => match (&nobody, outcome.fired.alerts.first()) {
            (Some(why), _) => format!("the line blames nobody: {why}"),
            (None, None) => "no rule fired".to_owned(),
            (None, Some(highest)) => format!(
                "no rule that fired bans: the highest is {}, of level {}, and `ban.level` is {}",
                highest.rule.id, highest.rule.level, config.ban.level
            ),
        },
    };
    TestOutcome { why_nobody: nobody, why_no_ban: Some(why_no_ban), ..told }
}

/// Why no event takes a line.
fn why_no_event(packs: &Packs, record: &Record<'_>) -> String {
    let trace = packs.trace(record);
    if let Some(NearMiss { event, pack, at, expected, .. }) = trace.near.first() {
        return format!(
            "no pattern takes it; the nearest, of `{event}` in the pack `{pack}`, stopped at byte {at} of the message, \
             where it expected {}",
            expected.replace('\n', "\\n")
        );
    }
    match record.program {
        Some(program) if !packs.knows_program(program) => {
            format!(
                "no pack reads the program `{}`: mend `programs`",
                String::from_utf8_lossy(program)
            )
        }
        None if matches!(record.body, Body::Message(_)) => {
            "no pattern takes it, and it names no program: `programs: ['']` reads such lines"
                .to_owned()
        }
        _ => "no pattern takes it".to_owned(),
    }
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

//! From packs as written to what runs: events numbered, patterns compiled, rules tied to each other.

mod doubts;
mod events;
mod inherit;
mod link;
mod lists;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_yaml::Location;

use self::events::Events;
use super::error::{PackError, PackErrors, Place, Problem};
use super::expect::PackTest;
use super::pack::{RawPack, Text};
use super::{OwnPack, Packs};

/// Compiles all packs; what is wrong is collected, so that one run shows it all.
pub(super) fn compile(texts: &[Text<'_>]) -> Result<Packs, PackErrors> {
    let mut complaints = Complaints::default();
    let mut raws = Vec::new();
    for text in texts {
        match text.read() {
            Ok(raw) => raws.push((text, raw)),
            Err(error) => complaints.errors.push(error),
        }
    }
    pack_names(&raws, &mut complaints);
    let mut events = Events::default();
    for (text, raw) in &raws {
        events.add_pack(text, raw, &mut complaints);
    }
    let rules = link::link(&raws, &events, &mut complaints);
    let doubts = match complaints.errors.as_slice() {
        [] => doubts::doubts(&raws, &events, &rules),
        _ => Vec::new(),
    };
    let own = raws.iter().filter(|(text, _)| !text.is_shipped()).map(|(_, raw)| OwnPack {
        name: raw.pack.value.clone(),
        events: raw.events.0.len(),
        rules: raw.rules.iter().map(|rule| rule.value.id).collect(),
        tests: raw.tests.len(),
    });
    let own = own.collect();
    let mut tests = Vec::new();
    for (text, raw) in raws {
        add_tests(text, raw, &mut tests, &mut complaints);
    }
    if !complaints.errors.is_empty() {
        return Err(PackErrors { errors: complaints.errors });
    }
    let (events, recogniser) = events.finish();
    Ok(Packs {
        events,
        recogniser,
        rules,
        builtin: false,
        own,
        warnings: doubts,
        own_tests: tests,
        tests: OnceLock::new(),
    })
}

/// The tests of a pack that is known to be right; of another none.
pub(super) fn tests(text: &Text<'_>) -> Vec<PackTest> {
    let mut tests = Vec::new();
    if let Ok(raw) = text.read() {
        add_tests(text, raw, &mut tests, &mut Complaints::default());
    }
    tests
}

fn add_tests(
    text: &Text<'_>,
    raw: RawPack,
    tests: &mut Vec<PackTest>,
    complaints: &mut Complaints,
) {
    for test in raw.tests {
        let place = text.place(test.referenced);
        match PackTest::new(&raw.pack.value, raw.format.value, place, test.value) {
            Ok(test) => tests.push(test),
            Err((at, problem)) => complaints.add(text, at.unwrap_or(test.referenced), problem),
        }
    }
}

/// What is wrong, as it is found.
#[derive(Default)]
struct Complaints {
    errors: Vec<PackError>,
}

impl Complaints {
    fn add(&mut self, text: &Text<'_>, location: Location, problem: Problem) {
        self.errors.push(text.problem(location, problem));
    }
}

fn pack_names(raws: &[(&Text<'_>, RawPack)], complaints: &mut Complaints) {
    let mut seen: HashMap<&str, Box<Place>> = HashMap::new();
    for (text, raw) in raws {
        let name = raw.pack.value.as_str();
        let here = raw.pack.referenced;
        if !is_name(name) {
            complaints.add(text, here, Problem::BadName { name: name.to_owned() });
        }
        if let Some(first) = seen.insert(name, Box::new(text.place(here))) {
            complaints.add(text, here, Problem::DuplicatePack { name: name.to_owned(), first });
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

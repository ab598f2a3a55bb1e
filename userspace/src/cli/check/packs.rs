//! Packs: whether they load, pass their tests, and say what is meant.

use std::sync::Arc;

use super::Findings;
use crate::config::Config;
use crate::engine::run_pack_test;
use crate::event::Timestamp;
use crate::rules::{PackTest, Packs};

/// Characters of a line that are shown.
const SHOWN: usize = 200;

pub(super) fn packs(config: &Config, findings: &mut Findings) {
    let packs = match Packs::load(config.builtin_rules, &config.rules) {
        Ok(packs) => packs,
        Err(errors) => {
            for error in errors.errors {
                findings.error("rules", error.to_string());
            }
            return;
        }
    };
    for warning in packs.warnings(&config.ban) {
        findings.warning("rules", warning.to_string());
    }
    mail(config, &packs, findings);
    // A pack in mode observe is tested as it will be.
    let packs = Arc::new(packs.enforcing());
    let now = Timestamp::now();
    for test in packs.tests() {
        let differences = run_pack_test(&packs, test, now);
        if !differences.is_empty() {
            findings.error("rules", failure(test, &differences));
        }
    }
    lists(&packs, findings);
    for pack in packs.own() {
        findings.well(format!(
            "pack {} with {}, {} and {}",
            pack.name,
            counted(pack.rules.len(), "rule"),
            counted(pack.events, "event"),
            counted(pack.tests, "test")
        ));
    }
    findings.well(format!(
        "{} rules on {} events, {} tests of packs",
        packs.rules().rules.len(),
        packs.events().len(),
        packs.tests().len()
    ));
}

/// What a test got differently, with its line.
fn failure(test: &PackTest, differences: &[String]) -> String {
    let mut text = format!("{}: this test fails:", test.place);
    for difference in differences {
        text.push_str("\n  ");
        text.push_str(difference);
    }
    let fed = test.lines.len() * usize::try_from(test.times).unwrap_or(usize::MAX);
    if let (Some(last), 2..) = (test.lines.last(), fed) {
        let shown: String = last.chars().take(SHOWN).collect();
        text.push_str(&format!("\n  with the last of {fed} lines: {shown}"));
    }
    text.push_str(&test.place.excerpt());
    text
}

/// Rules of the admin's own that are to be mailed, where nobody is.
fn mail(config: &Config, packs: &Packs, findings: &mut Findings) {
    if config.mail.tells() {
        return;
    }
    let own = |id: u32| packs.own().iter().any(|pack| pack.rules.contains(&id));
    let rules = packs.rules().rules.iter().map(|rule| &rule.head);
    for head in rules.filter(|head| head.mail == Some(true) && own(head.id)) {
        findings.warning(
            "mail",
            format!(
                "rule {} of the pack {} says `mail: true`, but nobody is told: set mail.to or mail.webhook",
                head.id, head.pack
            ),
        );
    }
}

fn lists(packs: &Packs, findings: &mut Findings) {
    for source in &packs.rules().lists {
        match source.read() {
            Ok(list) if list.is_empty() => findings.warning(
                "rules",
                format!(
                    "{}: the list `{}` is empty, so conditions on it never hold: put somebody into {}",
                    source.place,
                    source.name,
                    source.path.display()
                ),
            ),
            Ok(_) => {}
            Err(error) => findings.error("rules", error.to_string()),
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;

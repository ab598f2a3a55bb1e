//! How well the shipped packs read other projects' log lines: `cargo xtask conformance`.
//!
//! The lines are fail2ban's, OSSEC's and Wazuh's own tests. They are GPL, so they stay outside the tree
//! (`../shared/corpora`, or below `$RAVELIN_SHARED`), and nothing here quotes one: a line is its file and its
//! number.

mod fail2ban;
mod ossec;
mod policy;
mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use ravelin::event::{Blame, Line, Timestamp};
use ravelin::format::{Decoder, Selection};
use ravelin::rules::{Packs, Trigger};

pub use self::report::Report;

/// 2026-11-24T00:00:00Z: lines without a year are of the year before.
const ARRIVED: Timestamp = Timestamp::from_secs(1_795_478_400);

/// Runs over all corpora; `None` where there are none, which is said aloud.
pub fn run() -> Result<Option<Report>> {
    let Some(corpora) = find() else {
        println!(
            "skipped: the corpora are neither below $RAVELIN_SHARED, nor in ../shared or /work/shared"
        );
        return Ok(None);
    };
    let reader = Reader::new()?;
    let services = fail2ban::run(&reader, &corpora.join("fail2ban/logs"))?;
    let mut decoded = Vec::new();
    for (project, folder) in [("OSSEC", "ossec-hids/ossec-testing-tests"), ("Wazuh", "wazuh/tests")]
    {
        decoded.extend(ossec::run(&reader, project, &corpora.join(folder))?);
    }
    Ok(Some(Report { services, decoded }))
}

fn find() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("RAVELIN_SHARED").map_or(beside, PathBuf::from);
    let places = [shared.join("corpora"), PathBuf::from("/work/shared/corpora")];
    places.into_iter().find(|place| place.is_dir())
}

/// The shipped packs, and what their events lead to.
struct Reader {
    packs: Packs,
    /// By event: the highest score and level that one line of it alone can bring.
    weight: BTreeMap<u32, (f64, u8)>,
}

/// What a line came to.
struct Verdict {
    /// Pack and event; `None`: no pack takes the line.
    event: Option<(String, String)>,
    /// Whom it blames.
    address: Option<IpAddr>,
    /// Whether being blamed has a consequence: a score, or a level that alerts.
    accuses: bool,
    /// The highest level of a rule on this event alone.
    level: Option<u8>,
}

impl Reader {
    fn new() -> Result<Self> {
        let packs = Packs::load(true, &[]).context("the shipped packs don't load")?;
        let mut weight: BTreeMap<u32, (f64, u8)> = BTreeMap::new();
        for rule in &packs.rules().rules {
            // What counts says nothing of one line.
            if let Trigger::Events(events) = &rule.trigger
                && rule.window.is_none()
            {
                for &event in events {
                    let (score, level) = weight.entry(event).or_default();
                    *score = score.max(rule.score);
                    *level = (*level).max(rule.head.level);
                }
            }
        }
        Ok(Self { packs, weight })
    }

    fn read(&self, line: &str) -> Verdict {
        let nothing = Verdict { event: None, address: None, accuses: false, level: None };
        // Not `auto`: a service that logs JSON is a source of format syslog.
        let mut decoder =
            Decoder::new(Selection::Only(ravelin::config::Format::Syslog), TimeZone::UTC);
        let line = Line { bytes: line.as_bytes(), arrived: ARRIVED };
        let Ok(record) = decoder.decode(line) else { return nothing };
        let Some(event) = self.packs.recognise(&record) else { return nothing };
        let weight = self.weight.get(&event.kind.index);
        Verdict {
            event: Some((event.kind.pack.clone(), event.kind.name.clone())),
            address: match event.address {
                Blame::Address(addr) => Some(addr),
                Blame::Nobody | Blame::Ambiguous => None,
            },
            accuses: weight.is_some_and(|&(score, level)| score > 0.0 || level >= 5),
            level: weight.map(|&(_, level)| level),
        }
    }
}

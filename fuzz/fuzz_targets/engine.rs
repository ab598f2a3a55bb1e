//! Lines of any format through all shipped packs: no panic, and nobody is blamed or banned whose address doesn't
//! stand in what was read.
#![no_main]

use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use ravelin::config::Config;
use ravelin::engine::Engine;
use ravelin::event::{Blame, Line, Verdict};
use ravelin::format::{Decoder, Selection};
use ravelin::policy::{Network, SuricataProof};
use ravelin::rules::Packs;
use ravelin_fuzz::{NOW, lines, names, packs, plant};

/// So often the lines are read, each time by another process: enough for the rules that ban.
const ROUNDS: u32 = 12;

/// Lines of an input that are read.
const LINES: usize = 8;

static PACKS: LazyLock<Arc<Packs>> = LazyLock::new(|| Arc::new(packs()));

fuzz_target!(init: plant(lines(None)), |bytes: &[u8]| {
    let config = Config::default();
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(Arc::clone(&PACKS), &config, Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(LINES).collect();
    for round in 0..ROUNDS {
        for line in &lines {
            let Ok(mut record) = decoder.decode(Line { bytes: line, arrived: NOW }) else {
                continue;
            };
            record.pid = record.pid.map(|pid| pid.wrapping_add(round));
            let time = record.time.unwrap_or(NOW);
            engine.advance(time);
            let outcome = engine.step(&record, time);
            // The same line has the same event every time.
            if round == 0
                && let Some(event) = &outcome.event
            {
                if let Blame::Address(addr) = event.address {
                    assert!(names(line, addr), "{addr} is blamed");
                }
                if let Some(offender) = outcome.offence.offender {
                    assert!(names(line, offender), "{offender} is the offender");
                }
                for (name, _value) in event.fields.iter() {
                    assert!(event.field(name).is_some());
                }
            }
            match &outcome.verdict {
                Verdict::Ban(order) | Verdict::Lapsed(order) => {
                    let offender = outcome.offence.offender.expect("a ban has an offender");
                    assert!(order.target.contains(offender), "{} is banned", order.target);
                }
                Verdict::Nothing | Verdict::Withheld(_) => {}
            }
        }
    }
});

//! Any text as a pack: it is refused, or it loads and runs; in bounded time and memory, which libFuzzer watches.
#![no_main]

use std::sync::Arc;

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use ravelin::config::Config;
use ravelin::engine::Engine;
use ravelin::event::Line;
use ravelin::format::{Decoder, Selection};
use ravelin::policy::{Network, SuricataProof};
use ravelin::rules::Packs;
use ravelin_fuzz::NOW;

/// What a pack that loads is tried on.
const LINES: [&str; 4] = [
    "Nov 23 10:00:00 web1 sshd[812]: Failed password for root from 198.51.100.7 port 4711 ssh2",
    "Nov 23 10:00:01 web1 app[812]: ab a b: 198.51.100.7, user=b",
    r#"198.51.100.7 - - [23/Nov/2026:10:00:02 +0000] "GET /a HTTP/1.1" 404 5 "-" "b""#,
    "11/23/2026-10:00:03.000000  [**] [1:2024364:3] a b [**] [Classification: b] [Priority: 1] {TCP} \
     198.51.100.7:41234 -> 203.0.113.9:80",
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let packs = match Packs::from_texts(&[("fuzzed.yaml", text)]) {
        Ok(packs) => Arc::new(packs),
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            return;
        }
    };
    let config = Config::default();
    let proof = SuricataProof::unknown();
    let mut engine = Engine::new(packs, &config, Network::default(), proof);
    let mut decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
    for line in LINES.iter().cycle().take(3 * LINES.len()) {
        let line = Line { bytes: line.as_bytes(), arrived: NOW };
        let Ok(record) = decoder.decode(line) else { continue };
        let time = record.time.unwrap_or(NOW);
        engine.advance(time);
        engine.step(&record, time);
    }
});

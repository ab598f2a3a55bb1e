//! What a client writes where it may write: no shipped pack blames another for it, or takes it for a success.
//!
//! The first two bytes of an input choose a line of the packs' own tests, the rest is what the client writes.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use ravelin::config::Format;
use ravelin::event::{Blame, Line, Value};
use ravelin::format::{Decoder, Selection};
use ravelin::rules::Packs;
use ravelin_fuzz::{NOW, packs, plant};

#[path = "../../tests/tests/forgery/chosen.rs"]
mod chosen;

static PACKS: LazyLock<Packs> = LazyLock::new(packs);
static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(templates);

/// A line with a gap.
struct Template {
    format: Format,
    before: Vec<u8>,
    after: Vec<u8>,
    client: IpAddr,
}

fn templates() -> Vec<Template> {
    let mut templates = Vec::new();
    for test in PACKS.tests() {
        let Some(line) = test.lines.last() else { continue };
        let mut decoder = Decoder::new(Selection::Only(test.format), TimeZone::UTC);
        let bytes = line.as_bytes();
        let Ok(record) = decoder.decode(Line { bytes, arrived: NOW }) else { continue };
        let Some(event) = PACKS.recognise(&record) else { continue };
        let Blame::Address(client) = event.address else { continue };
        for (name, value) in event.fields.iter() {
            let Value::Text(text) = value else { continue };
            let at = text.as_ptr().addr().checked_sub(bytes.as_ptr().addr());
            let Some(at) = at.filter(|_| chosen::CHOSEN.contains(&name)) else { continue };
            templates.push(Template {
                format: test.format,
                before: bytes[..at].to_vec(),
                after: bytes[at + text.len()..].to_vec(),
                client,
            });
        }
    }
    templates
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |(number, template): (usize, &Template)| {
        let number = u16::try_from(number).expect("the packs have some hundred tests");
        let mut seed = number.to_le_bytes().to_vec();
        seed.extend(&template.after);
        seed
    };
    TEMPLATES.iter().enumerate().map(seed).collect()
}

fuzz_target!(init: plant(seeds()), |bytes: &[u8]| {
    let Some((number, text)) = bytes.split_first_chunk::<2>() else { return };
    if text.contains(&b'\n') {
        return;
    }
    let number = usize::from(u16::from_le_bytes(*number)) % TEMPLATES.len();
    let template = &TEMPLATES[number];
    let line = [&template.before, text, &template.after].concat();
    let mut decoder = Decoder::new(Selection::Only(template.format), TimeZone::UTC);
    let Ok(record) = decoder.decode(Line { bytes: &line, arrived: NOW }) else { return };
    let Some(event) = PACKS.recognise(&record) else { return };
    if let Blame::Address(blamed) = event.address {
        assert_eq!(blamed, template.client, "{}", line.escape_ascii());
    }
    assert!(!event.kind.success, "a success: {}", line.escape_ascii());
});

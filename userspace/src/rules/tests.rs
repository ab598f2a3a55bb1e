//! The room as a whole: shipped packs, their own tests, loader errors, other projects' corpora.

mod corpora;
mod doubts;
mod hostile;
mod language;
mod loader;
mod mistakes;
mod shipped;

use jiff::tz::TimeZone;

use super::*;
use crate::event::{Body, Line, Timestamp};
use crate::format::{Decoder, Selection};

/// A record of a log line, as the `format` room would make it.
fn record<'l>(program: &'l str, message: &'l [u8]) -> Record<'l> {
    Record {
        time: None,
        host: None,
        program: Some(program.as_bytes()),
        pid: Some(812),
        repeated: 1,
        body: Body::Message(message),
    }
}

/// A line's record.
fn decode<'l>(line: &'l str, selection: impl Into<Selection>) -> Option<Record<'l>> {
    let mut decoder = Decoder::new(selection.into(), TimeZone::UTC);
    decoder
        .decode(Line { bytes: line.as_bytes(), arrived: Timestamp::from_secs(1_800_000_000) })
        .ok()
}

/// The patterns of the shipped packs, as they are written.
pub(super) fn shipped_patterns() -> Vec<String> {
    let mut patterns = Vec::new();
    for Shipped { file, yaml, .. } in BUILTIN {
        let raw = Text::new(file, yaml).read().unwrap();
        for (_, event) in raw.events.0 {
            let event = event.value;
            let one = event.pattern.into_iter();
            patterns.extend(one.chain(event.patterns.into_iter().flatten()).map(|it| it.value));
        }
    }
    patterns
}

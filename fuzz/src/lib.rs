//! What the fuzz targets share: seeds, and what has to hold of every line.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use jiff::tz::TimeZone;
use ravelin::config::Format;
use ravelin::event::{Body, Line, Timestamp, canonical};
use ravelin::format::{Decoder, Selection};
use ravelin::rules::Packs;

/// 2026-11-24: lines arrive when the packs' own tests were written.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_478_400);

/// Longest address literal.
const LONGEST_ADDRESS: usize = 45;

/// The packs that ship.
pub fn packs() -> Packs {
    Packs::load(true, &[]).expect("the shipped packs load")
}

/// Writes seeds into the corpus folder that this process is called with, where it is called with one.
pub fn plant<S: AsRef<[u8]>>(seeds: impl IntoIterator<Item = S>) {
    let arguments = std::env::args().skip(1);
    let Some(folder) = arguments.into_iter().find(|argument| Path::new(argument).is_dir()) else {
        return;
    };
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(format!("{folder}/seed-{number:04}"), seed).expect("the corpus can be written");
    }
}

/// The lines of the packs' own tests that are of `format`, or all of them.
pub fn lines(format: Option<Format>) -> Vec<String> {
    let packs = packs();
    let tests = packs.tests().iter();
    let mut lines: Vec<String> = tests
        .filter(|test| format.is_none_or(|format| test.format == format))
        .flat_map(|test| test.lines.iter().cloned())
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Decodes lines of a format, one after the other, and looks at what comes out.
pub fn decode(format: Format, bytes: &[u8]) {
    let zone = || TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
    let mut decoder = Decoder::new(Selection::Only(format), zone());
    for bytes in bytes.split(|byte| *byte == b'\n') {
        let line = Line { bytes, arrived: NOW };
        let outcome = format!("{:?}", decoder.decode(line));
        // What a decoder remembers of the lines before changes nothing.
        let mut fresh = Decoder::new(Selection::Only(format), zone());
        assert_eq!(outcome, format!("{:?}", fresh.decode(line)));
        if format == Format::SuricataEve {
            same_of_serde(bytes, line);
        }
        let Ok(record) = decoder.decode(line) else { continue };
        assert!(record.repeated >= 1);
        let message = match &record.body {
            Body::Message(message) | Body::Access(message) => Some(*message),
            Body::Suricata(_) => None,
        };
        for part in [record.host, record.program, message].into_iter().flatten() {
            assert!(part.is_empty() || bytes.as_ptr_range().contains(&part.as_ptr()));
        }
    }
}

/// The reader for plain JSON says what serde_json says, which an escaped key in front brings in.
fn same_of_serde(bytes: &[u8], line: Line<'_>) {
    let Some(rest) = bytes.trim_ascii_start().strip_prefix(b"{") else { return };
    if rest.trim_ascii_start().starts_with(b"}") {
        return;
    }
    let mut escaped = br#"{"\u0078":0,"#.to_vec();
    escaped.extend(rest);
    let mut decoder = Decoder::new(Selection::Only(Format::SuricataEve), TimeZone::UTC);
    let plain = decoder.decode(line).map(|record| format!("{record:?}"));
    let parsed = decoder.decode(Line { bytes: &escaped, arrived: line.arrived });
    let parsed = parsed.map(|record| format!("{record:?}"));
    match (plain, parsed) {
        (Ok(plain), Ok(parsed)) => assert_eq!(plain, parsed),
        (Err(plain), Err(parsed)) => assert_eq!(plain.is_malformed(), parsed.is_malformed()),
        (plain, parsed) => panic!("plain {plain:?}, parsed {parsed:?}"),
    }
}

/// Whether an address is written in `line`.
pub fn names(line: &[u8], addr: IpAddr) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    unescaped(line).split(|byte| !is_part(byte)).any(|run| {
        (0..run.len()).any(|from| {
            let longest = run.len().min(from + LONGEST_ADDRESS);
            (from + 2..=longest).any(|to| {
                let text = std::str::from_utf8(&run[from..to]).unwrap_or_default();
                text.parse::<IpAddr>().is_ok_and(|named| canonical(named) == addr)
            })
        })
    })
}

/// `line` with JSON's `\u0037` as what it stands for.
fn unescaped(line: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest.strip_prefix(br"\u00").and_then(|code| code.get(..2));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                text.push(byte);
                rest = &rest[6..];
            }
            None => {
                text.push(first);
                rest = tail;
            }
        }
    }
    text
}

//! Whatever a client writes where it may write, no shipped pack blames another than the client.
//!
//! The lines are the packs' own tests: in each that blames somebody, the text that a client chose is replaced
//! by pieces of that same line and of its pack's others, with the victim's address in them.

mod chosen;
mod known;

use std::net::IpAddr;

use jiff::tz::TimeZone;
use ravelin::event::{Blame, Line, Timestamp, Value};
use ravelin::format::{Decoder, Selection};
use ravelin::rules::Packs;

use crate::chosen::CHOSEN;

const VICTIM: &str = "192.0.2.99";

/// A small generator of its own (xorshift64*): the same lines in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % end
    }
}

/// Whom a line blames, and where in it the fields lie that a client chose.
fn read(
    packs: &Packs,
    line: &[u8],
    format: ravelin::config::Format,
) -> Option<(Blame, Vec<(usize, usize)>)> {
    let mut decoder = Decoder::new(Selection::Only(format), TimeZone::UTC);
    let arrived = Timestamp::from_secs(1_795_478_400);
    let record = decoder.decode(Line { bytes: line, arrived }).ok()?;
    let event = packs.recognise(&record)?;
    let start = line.as_ptr().addr();
    let chosen = event.fields.iter().filter_map(|(name, value)| match value {
        Value::Text(text) if CHOSEN.contains(&name) => {
            let from = text.as_ptr().addr().checked_sub(start)?;
            (from + text.len() <= line.len()).then_some((from, from + text.len()))
        }
        _ => None,
    });
    let chosen = chosen.collect();
    Some((event.address, chosen))
}

#[test]
fn no_pack_blames_whom_a_client_names() {
    let packs = Packs::load(true, &[]).expect("the shipped packs load");
    let victim: IpAddr = VICTIM.parse().expect("an address");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut tried, mut blamed) = (0_u32, 0_u32);
    let mut forged = Vec::new();
    for test in packs.tests() {
        // sshd's lines have a test of their own, message by message.
        let Some(line) = test.lines.last().filter(|_| test.pack != "sshd") else { continue };
        let Some((Blame::Address(addr), chosen)) = read(&packs, line.as_bytes(), test.format)
        else {
            continue;
        };
        if chosen.is_empty() {
            continue;
        }
        let twin = line.replace(&addr.to_string(), VICTIM);
        let pieces: Vec<String> = packs
            .tests()
            .iter()
            .filter(|other| other.pack == test.pack)
            .filter_map(|other| other.lines.last())
            .map(|line| line.replace("198.51.100.7", VICTIM).replace("203.0.113.9", VICTIM))
            .collect();
        for _ in 0..300 {
            let (from, to) = chosen[dice.below(chosen.len())];
            let mut text = line.as_bytes()[..from].to_vec();
            for _ in 0..=dice.below(3) {
                // Half of them from the line itself.
                let piece = match dice.below(2) {
                    0 => twin.as_bytes(),
                    _ => pieces[dice.below(pieces.len())].as_bytes(),
                };
                // A whole line, its end from somewhere on, or its beginning.
                let at = dice.below(piece.len());
                let part = match dice.below(3) {
                    0 => piece,
                    1 => &piece[at..],
                    _ => &piece[..at],
                };
                text.extend_from_slice(part);
            }
            text.extend_from_slice(&line.as_bytes()[to..]);
            tried += 1;
            if let Some((Blame::Address(named), _)) = read(&packs, &text, test.format) {
                blamed += 1;
                if named == victim {
                    forged.push(format!("{}: {}", test.place, String::from_utf8_lossy(&text)));
                }
            }
        }
    }
    assert!(tried > 5_000 && blamed > 1_000, "{blamed} of {tried} blamed somebody");
    assert!(forged.is_empty(), "{} forged:\n{}", forged.len(), forged.join("\n"));
}

//! A second address in a line, where the first one stands by the pack's claim alone.

use std::net::IpAddr;

use regex_syntax::hir::{Capture, Hir};

use super::forgery::Frame;
use super::is_ip;
use super::machine::{self, Machine, Needle, Outcome};
use crate::event::parse_ip;

/// Finds a second place in a line that looks like the one where `src` stands.
#[derive(Debug)]
pub(super) struct FrameFinder {
    before: Needle,
    place: Machine,
    /// Only an address literal can stand there, so other text is no second place.
    literals_only: bool,
}

impl FrameFinder {
    /// `None` where what stands there is no simple pattern.
    pub(super) fn new(frame: Frame) -> Option<Self> {
        let literals_only = is_ip(&frame.source);
        let source = Hir::capture(Capture { index: 1, name: None, sub: Box::new(frame.source) });
        let place = Hir::concat(vec![source, Hir::literal(frame.after)]);
        Some(Self {
            before: Needle::new(&frame.before),
            place: Machine::compile(&place, &|_| Some(0))?,
            literals_only,
        })
    }

    /// Whether an address other than `source` stands in such a place in `text`.
    pub(super) fn finds_another(&self, text: &[u8], source: IpAddr) -> bool {
        let mut from = 0;
        while let Some(at) = self.before.first(text, from) {
            let rest = &text[at + self.before.len()..];
            let mut slots = machine::NONE;
            if self.place.run(rest, &mut slots) != Outcome::NoMatch {
                let another =
                    match rest.get(slots[0] as usize..slots[1] as usize).and_then(parse_ip) {
                        Some(other) => other != source,
                        None => !self.literals_only,
                    };
                if another {
                    return true;
                }
            }
            // The next one may share bytes with this one: ` from from ADDRESS`.
            from = at + 1;
        }
        false
    }
}

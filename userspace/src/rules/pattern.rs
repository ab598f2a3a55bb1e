//! Patterns: regex text with macros, checked and compiled.
//!
//! A pattern is a regex in the syntax of the `regex` crate, over bytes, start-anchored, matched
//! leftmost-first. Simple ones (all that ship) run on a small matcher of our own; the regex engine takes
//! the others, and the rare line on which ours would have to try too much.

mod agreement;
mod cut;
mod forgery;
mod frame;
mod lazy;
mod machine;
mod macros;
mod near;
mod opening;
mod set;

#[cfg(test)]
mod differential;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{LazyLock, OnceLock};

use regex_automata::{Anchored, Input, meta, util::primitives::NonMaxUsize};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

pub(super) use self::cut::SHORTEST as SHORTEST_CUT;
pub use self::forgery::Forgery;
use self::forgery::SOURCE;
use self::frame::FrameFinder;
pub(super) use self::lazy::LazyPattern;
use self::machine::{Machine, Outcome, Places};
pub(super) use self::near::Tried;
use self::opening::Opening;
use self::set::ByteSet;
use super::nearest;
use crate::event::{CAPTURES, Capture, CaptureKind, Captures, Slots, UNSET, parse_ip};

/// Longest pattern text, in bytes.
const LONGEST: usize = 4096;

/// `{ip}`, parsed.
static IP: LazyLock<Option<Hir>> = LazyLock::new(|| parse(macros::IP, macros::IP).ok());

/// Largest compiled form, in bytes: `{1,1000}` around `{1,1000}` is refused.
const SIZE_LIMIT: usize = 1 << 20;

/// Name of a second capture that may hold the offender as well as `src` does.
const SECOND: &str = "src2";

/// Why a pattern can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It would have to be searched for.
    #[error("a pattern must begin with `^`: text in the middle of a line is the attacker's")]
    NotAnchored,
    /// No such short name.
    #[error("unknown macro `{{{name}}}`; {}", nearest::hint(name, macros::names()))]
    UnknownMacro {
        /// What stood between the braces.
        name: String,
    },
    /// The regex parser's complaint.
    #[error("{message}")]
    Syntax {
        /// What it says, with the place in the pattern.
        message: String,
        /// The byte of the pattern at which it stopped, where it says that.
        at: Option<usize>,
    },
    /// More fields than an event holds.
    #[error("expected at most {CAPTURES} named captures, got {count}")]
    TooManyCaptures {
        /// How many there are.
        count: usize,
    },
    /// Longer or larger than we compile.
    #[error(
        "the pattern is too large: expected at most {LONGEST} bytes of text and {SIZE_LIMIT} compiled; \
         lower its counts"
    )]
    TooLarge,
    /// The address could be forged.
    #[error(transparent)]
    Forgery {
        /// How.
        #[from]
        source: Forgery,
    },
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    captures: Vec<Capture>,
    /// By capture: its group.
    groups: Vec<u32>,
    first: ByteSet,
    machine: Option<Machine>,
    /// Compiled when first needed, which for a simple pattern may be never.
    regex: OnceLock<Option<meta::Regex>>,
    hir: Hir,
    source: Option<usize>,
    second: Option<usize>,
    frame: Option<FrameFinder>,
    /// A line that was cut off may have lost its address, and have a forged one instead.
    cut_matters: bool,
}

/// A match: where each capture lies in the line.
pub(super) struct Found<'l, 'r> {
    pattern: &'l Pattern,
    text: &'l [u8],
    slots: &'r Slots,
}

/// What a match says about whose deed it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// This address's.
    Address(IpAddr),
    /// Another address could be meant as well.
    Ambiguous,
}

/// Room for the captures of a match, to be used again for each pattern that is tried on a line.
pub(super) struct Room(Places);

impl Room {
    pub(super) const fn new() -> Self {
        Self(machine::NONE)
    }
}

impl Pattern {
    /// Expands, parses, lints and compiles.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError::TooLarge);
        }
        let expanded = macros::expand(text).map_err(|name| PatternError::UnknownMacro { name })?;
        let hir = parse(&expanded, text).map_err(|error| {
            // Once more, with places that are those of the text as it is written.
            parse(&macros::stand_ins(text), text).err().unwrap_or(error)
        })?;
        if !hir.properties().look_set_prefix().contains(Look::Start) {
            return Err(PatternError::NotAnchored);
        }
        let (groups, captures): (Vec<u32>, Vec<Capture>) = captures(&hir)?.into_iter().unzip();
        let frame = match forgery::check(&hir)? {
            Some(frame) => Some(FrameFinder::new(frame).ok_or(Forgery::FreeText)?),
            None => None,
        };
        let machine =
            Machine::compile(&hir, &|group| groups.iter().position(|known| *known == group));
        let named = |name: &str| captures.iter().position(|capture| &*capture.name == name);
        let (source, second) = (named(SOURCE), named(SECOND));
        let first = match &machine {
            Some(machine) if hir.properties().minimum_len().is_some_and(|min| min > 0) => {
                machine.first()
            }
            _ => ByteSet::ALL,
        };
        let pattern = Self {
            captures,
            groups,
            first,
            machine,
            regex: OnceLock::new(),
            cut_matters: cut::matters(&hir),
            hir,
            source,
            second,
            frame,
        };
        // The size of a simple pattern is bounded by its text and its counts; another one is tried now.
        let large =
            pattern.hir.properties().memory_usage() > SIZE_LIMIT || pattern.counts() > LONGEST;
        if large || (pattern.machine.is_none() && pattern.regex().is_none()) {
            return Err(PatternError::TooLarge);
        }
        Ok(pattern)
    }

    /// Its named captures, in order.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// What every match begins with.
    fn opening(&self) -> Opening {
        let empty = self.hir.properties().minimum_len() == Some(0);
        let prefix = self.machine.as_ref().map_or(&[][..], Machine::prefix);
        Opening::new(self.first, empty, prefix)
    }

    /// Whether it runs on the fast matcher.
    #[cfg(test)]
    pub(super) fn is_simple(&self) -> bool {
        self.machine.is_some()
    }

    /// Matches from the start of `text`.
    pub(super) fn find<'l, 'r>(
        &'l self,
        text: &'l [u8],
        room: &'r mut Room,
    ) -> Option<Found<'l, 'r>> {
        let slots = &mut room.0;
        let matched = match &self.machine {
            Some(machine) => match machine.run(text, slots) {
                Outcome::Match => true,
                Outcome::NoMatch => false,
                Outcome::Unknown => self.search(text, slots),
            },
            None => self.search(text, slots),
        };
        matched.then(|| {
            self.found(text, slots.first_chunk().expect("there are more places than slots"))
        })
    }

    /// The match that was found once in the same text, with these captures.
    #[inline]
    pub(super) const fn found<'l, 'r>(&'l self, text: &'l [u8], slots: &'r Slots) -> Found<'l, 'r> {
        Found { pattern: self, text, slots }
    }

    /// The regex engine's answer.
    fn search(&self, text: &[u8], slots: &mut Places) -> bool {
        let Some(regex) = self.regex() else { return false };
        let mut groups = vec![None::<NonMaxUsize>; regex.group_info().slot_len()];
        let input = Input::new(text).anchored(Anchored::Yes);
        let matched = regex.search_slots(&input, &mut groups).is_some();
        *slots = machine::NONE;
        for (slot, group) in self.groups.iter().enumerate() {
            let group = usize::try_from(*group).unwrap_or(0);
            for side in 0..2 {
                if let Some(&Some(offset)) = groups.get(2 * group + side) {
                    slots[2 * slot + side] = u32::try_from(offset.get()).unwrap_or(UNSET);
                }
            }
        }
        matched
    }

    fn regex(&self) -> Option<&meta::Regex> {
        self.regex
            .get_or_init(|| {
                let config = meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(4 * SIZE_LIMIT))
                    .hybrid_cache_capacity(SIZE_LIMIT);
                meta::Builder::new().configure(config).build_from_hir(&self.hir).ok()
            })
            .as_ref()
    }

    /// The sum of all upper counts: what the compiled regex grows with.
    fn counts(&self) -> usize {
        fn sum(hir: &Hir) -> usize {
            let subs: usize = hir.kind().subs().iter().map(sum).fold(0, usize::saturating_add);
            match hir.kind() {
                HirKind::Repetition(repetition) => {
                    let count = repetition.max.unwrap_or(repetition.min).max(1);
                    subs.max(1).saturating_mul(usize::try_from(count).unwrap_or(usize::MAX))
                }
                _ => subs,
            }
        }
        sum(&self.hir)
    }
}

impl<'l> Found<'l, '_> {
    /// The text of each capture that took part, by its place in [`Pattern::captures`].
    pub(super) fn text(&self, capture: usize) -> Option<&'l [u8]> {
        self.text.get(self.slots[2 * capture] as usize..self.slots[2 * capture + 1] as usize)
    }

    /// All captures, and the address in `src` where there is one.
    #[inline]
    pub(super) fn captures(&self) -> (Captures<'l>, Option<Source>) {
        let Pattern { captures, source, .. } = self.pattern;
        let source = source.and_then(|at| Some((at, self.text(at)?)));
        let addr = source.and_then(|(_, text)| parse_ip(text));
        let found = addr.map(|addr| {
            if self.is_ambiguous(addr) { Source::Ambiguous } else { Source::Address(addr) }
        });
        let certain = match found {
            Some(Source::Address(addr)) => Some(addr),
            Some(Source::Ambiguous) | None => None,
        };
        let captures = Captures {
            names: captures,
            text: self.text,
            slots: *self.slots,
            source: source.map(|(at, _)| (at, certain)),
        };
        (captures, found)
    }

    /// Whether another address than `source`, the value of the capture `src`, could be meant as well.
    pub(super) fn is_ambiguous(&self, source: IpAddr) -> bool {
        if self.pattern.cut_matters && cut::may_be(self.text) {
            return true;
        }
        let second = self.pattern.second.and_then(|it| parse_ip(self.text(it)?));
        if second.is_some_and(|second| second != source) {
            return true;
        }
        match (&self.pattern.frame, self.pattern.source) {
            (Some(frame), Some(capture)) => {
                frame.finds_another(&self.text[self.slots[2 * capture + 1] as usize..], source)
            }
            _ => false,
        }
    }
}

/// Whether this part of a pattern is `{ip}`.
fn is_ip(hir: &Hir) -> bool {
    IP.as_ref() == Some(hir)
}

/// Errors show the pattern as it was `written`.
fn parse(regex: &str, written: &str) -> Result<Hir, PatternError> {
    ParserBuilder::new().unicode(false).utf8(false).build().parse(regex).map_err(|error| {
        let (kind, at) = match &error {
            regex_syntax::Error::Parse(parse) => {
                (parse.kind().to_string(), Some(parse.span().start.offset))
            }
            regex_syntax::Error::Translate(translate) => {
                (translate.kind().to_string(), Some(translate.span().start.offset))
            }
            other => (other.to_string(), None),
        };
        let place = at.map_or_else(String::new, |at| format!(" at byte {at}"));
        PatternError::Syntax { message: format!("{kind}{place} of `{written}`"), at }
    })
}

fn captures(hir: &Hir) -> Result<BTreeMap<u32, Capture>, PatternError> {
    fn collect(hir: &Hir, found: &mut BTreeMap<u32, Capture>) {
        if let HirKind::Capture(capture) = hir.kind()
            && let Some(name) = &capture.name
        {
            let kind = if **name == *SOURCE || **name == *SECOND || is_ip(&capture.sub) {
                CaptureKind::Address
            } else if only_digits(&capture.sub) {
                CaptureKind::Number
            } else {
                CaptureKind::Text
            };
            found.insert(capture.index, Capture { name: name.clone(), kind });
        }
        for sub in hir.kind().subs() {
            collect(sub, found);
        }
    }
    let mut found = BTreeMap::new();
    collect(hir, &mut found);
    if found.len() > CAPTURES {
        return Err(PatternError::TooManyCaptures { count: found.len() });
    }
    Ok(found)
}

fn only_digits(hir: &Hir) -> bool {
    let digits = ByteSet::of(b"0123456789");
    match hir.kind() {
        HirKind::Class(class) => {
            ByteSet::of_class(class).is_some_and(|set| digits.union(set) == digits)
        }
        HirKind::Repetition(repetition) => only_digits(&repetition.sub),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_become_what_they_can_hold() {
        let pattern =
            Pattern::new("^(?<a>{ip}) (?<n>[0-9]+) (?<p>{port}) (?<t>[0-9a]+) (?<src>{host})$")
                .unwrap();
        let kinds: Vec<CaptureKind> = pattern.captures().iter().map(|it| it.kind).collect();
        use CaptureKind::{Address, Number, Text};
        assert_eq!(kinds, [Address, Number, Number, Text, Address]);
    }
}

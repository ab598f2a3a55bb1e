//! How far into a line a pattern gets that doesn't take it, and what it would have wanted there.
//!
//! For `explain` alone, so it goes by the pattern's syntax and asks neither the fast matcher nor the regex
//! engine: from the set of places where a part may begin it works out the set of places where it may end.
//! Of all that fails on the way, what had the most literal text before it is where the pattern stopped: that
//! text is what a pattern and a line have in common on purpose.

use std::sync::LazyLock;

use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use super::set::ByteSet;
use super::{Pattern, macros, parse};

/// So much of a line is looked at.
const LOOKED_AT: usize = 2048;
/// So often a group is repeated.
const REPEATED: usize = 256;

/// Where a pattern stopped in a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::rules) struct Stop {
    /// The first byte that it couldn't take.
    pub(in crate::rules) at: usize,
    /// What would have had to come, in words.
    pub(in crate::rules) expected: String,
    /// How much literal text it had found by then.
    pub(in crate::rules) literal: usize,
}

/// What became of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::rules) enum Tried {
    /// It matches; so much of the line is literal text of the pattern's.
    Matches {
        literal: usize,
    },
    Stops(Stop),
}

/// The macros whose text no other has, in full.
static MACROS: LazyLock<Vec<(&str, Hir)>> = LazyLock::new(|| {
    let hirs = ["ip", "port", "number", "host", "word"].into_iter().filter_map(|name| {
        let expanded = macros::expand(&format!("{{{name}}}")).ok()?;
        Some((name, parse(&expanded, &expanded).ok()?))
    });
    hirs.collect()
});

impl Pattern {
    /// How far it gets.
    pub(in crate::rules) fn try_on(&self, text: &[u8]) -> Tried {
        let text = &text[..text.len().min(LOOKED_AT)];
        let mut tracer = Tracer { text, farthest: None };
        let mut start = vec![false; text.len() + 1];
        start[0] = true;
        let from = Reached { places: start, literal: 0, order: 0 };
        let end = tracer.take(&self.hir, from, &Wanted::default());
        match tracer.farthest {
            Some(far) if !end.any() => {
                let Far { at, literal, expected, .. } = far;
                Tried::Stops(Stop { at, expected, literal })
            }
            _ => Tried::Matches { literal: end.literal },
        }
    }
}

/// Where the next part of a pattern may begin.
#[derive(Clone)]
struct Reached {
    /// By offset.
    places: Vec<bool>,
    /// The literal text on the way there, and how many parts; the most on any way.
    literal: usize,
    order: usize,
}

impl Reached {
    fn any(&self) -> bool {
        self.places.contains(&true)
    }

    fn none(&self) -> Self {
        Self { places: vec![false; self.places.len()], ..*self }
    }

    fn starts(&self) -> impl Iterator<Item = usize> {
        self.places.iter().enumerate().filter(|(_, there)| **there).map(|(at, _)| at)
    }

    /// Those of both; says whether any is new.
    fn join(&mut self, other: &Self) -> bool {
        let mut new = false;
        for (mine, theirs) in self.places.iter_mut().zip(&other.places) {
            new |= *theirs && !*mine;
            *mine |= *theirs;
        }
        if other.any() {
            self.literal = self.literal.max(other.literal);
            self.order = self.order.max(other.order);
        }
        new
    }

    /// Where it fails, if it does from all of these: with free text before it that is anywhere from the
    /// first on, else after the last.
    fn place(&self) -> Option<usize> {
        let last = self.starts().last()?;
        if last + 1 == self.places.len() { self.starts().next() } else { Some(last) }
    }
}

/// What a part is called, from outside to inside.
#[derive(Clone, Debug, Default)]
struct Wanted {
    capture: Option<String>,
    macro_name: Option<&'static str>,
}

impl Wanted {
    fn within(&self, hir: &Hir) -> Self {
        let mut wanted = self.clone();
        if let HirKind::Capture(capture) = hir.kind()
            && let Some(name) = &capture.name
        {
            wanted = Self { capture: Some(name.to_string()), macro_name: None };
        }
        if wanted.macro_name.is_none() {
            wanted.macro_name =
                MACROS.iter().find(|(_, meaning)| meaning == hir).map(|(name, _)| *name);
        }
        wanted
    }

    fn words(&self, class: &Hir) -> String {
        let what = match self.macro_name {
            Some(name) => format!("{{{name}}}"),
            None => format!("`{}`", class.to_string().replace("(?-u:", "(?:")),
        };
        match &self.capture {
            Some(capture) => format!("{what} for the field `{capture}`"),
            None => what,
        }
    }
}

struct Far {
    at: usize,
    /// The literal text before it, with what of a literal itself was there.
    literal: usize,
    order: usize,
    expected: String,
}

struct Tracer<'t> {
    text: &'t [u8],
    farthest: Option<Far>,
}

impl Tracer<'_> {
    fn fails(
        &mut self,
        at: usize,
        literal: usize,
        order: usize,
        expected: impl FnOnce() -> String,
    ) {
        let farther =
            self.farthest.as_ref().is_none_or(|far| (literal, order) > (far.literal, far.order));
        if farther {
            self.farthest = Some(Far { at, literal, order, expected: expected() });
        }
    }

    /// Where a part ends that begins at one of these.
    fn take(&mut self, hir: &Hir, from: Reached, wanted: &Wanted) -> Reached {
        if !from.any() {
            return from;
        }
        let wanted = &wanted.within(hir);
        match hir.kind() {
            HirKind::Empty => from,
            HirKind::Literal(literal) => self.literal(&literal.0, &from),
            HirKind::Class(_) => self.run(hir, hir, (1, Some(1)), &from, wanted),
            HirKind::Look(look) => self.look(*look, from),
            HirKind::Repetition(repetition) => match repetition.sub.kind() {
                HirKind::Class(_) => {
                    let counts = (repetition.min, repetition.max);
                    self.run(&repetition.sub, hir, counts, &from, wanted)
                }
                _ => self.repeat(repetition, from, wanted),
            },
            HirKind::Capture(capture) => self.take(&capture.sub, from, wanted),
            HirKind::Concat(parts) => {
                parts.iter().fold(from, |reached, part| self.take(part, reached, wanted))
            }
            HirKind::Alternation(ways) => {
                let mut ends = from.none();
                for way in ways {
                    let end = self.take(way, from.clone(), wanted);
                    ends.join(&end);
                }
                ends
            }
        }
    }

    fn literal(&mut self, literal: &[u8], from: &Reached) -> Reached {
        let mut ends = from.none();
        ends.order += 1;
        let mut best = None;
        for at in from.starts() {
            let common = literal.iter().zip(&self.text[at..]).take_while(|(a, b)| a == b).count();
            if common == literal.len() {
                ends.places[at + common] = true;
            } else if common > 0 && best.is_none_or(|(_, most)| common >= most) {
                best = Some((at, common));
            }
        }
        if ends.any() {
            ends.literal += literal.len();
        } else if let Some((at, common)) = best.or(from.place().map(|at| (at, 0))) {
            self.fails(at + common, from.literal + common, from.order, || {
                let text = String::from_utf8_lossy(literal);
                match common {
                    0 => format!("`{text}`"),
                    _ => format!("`{}` of `{text}`", String::from_utf8_lossy(&literal[common..])),
                }
            });
        }
        ends
    }

    /// From `min` to `max` bytes of a class; `whole` is all of that.
    fn run(
        &mut self,
        class: &Hir,
        whole: &Hir,
        (min, max): (u32, Option<u32>),
        from: &Reached,
        wanted: &Wanted,
    ) -> Reached {
        let HirKind::Class(class) = class.kind() else { return from.clone() };
        let set = ByteSet::of_class(class).unwrap_or(ByteSet::ALL);
        let min = usize::try_from(min).unwrap_or(usize::MAX);
        let max = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let mut extents = vec![0_usize; self.text.len() + 1];
        for at in (0..self.text.len()).rev() {
            extents[at] = if set.contains(self.text[at]) { extents[at + 1] + 1 } else { 0 };
        }
        let mut ends = from.none();
        ends.order += 1;
        // Where a span of places that can be the end begins, and where one is over.
        let mut open = vec![0_i64; self.text.len() + 2];
        let mut short = None;
        for at in from.starts() {
            let extent = extents[at].min(max);
            if extent < min {
                short = short.max(Some(at + extent));
            } else {
                open[at + min] += 1;
                open[at + extent + 1] -= 1;
            }
        }
        let mut spans = 0;
        for (place, opened) in ends.places.iter_mut().zip(open) {
            spans += opened;
            *place = spans > 0;
        }
        if let (false, Some(at)) = (ends.any(), short) {
            let whole = if min == 1 && max == 1 { class_of(whole) } else { whole };
            self.fails(at, from.literal, from.order, || wanted.words(whole));
        }
        ends
    }

    fn look(&mut self, look: Look, from: Reached) -> Reached {
        let mut ends = from.none();
        ends.order += 1;
        for at in from.starts() {
            ends.places[at] = match look {
                Look::Start => at == 0,
                Look::End => at == self.text.len(),
                // Words' and lines' ends: rare, and never why a pattern stops.
                _ => true,
            };
        }
        if !ends.any()
            && let Some(at) = from.starts().last()
        {
            self.fails(at, from.literal, from.order, || match look {
                Look::Start => "the beginning".to_owned(),
                _ => "the end of the line".to_owned(),
            });
        }
        ends
    }

    fn repeat(&mut self, repetition: &Repetition, from: Reached, wanted: &Wanted) -> Reached {
        let min = usize::try_from(repetition.min).unwrap_or(usize::MAX);
        let max = repetition.max.map_or(REPEATED, |max| usize::try_from(max).unwrap_or(REPEATED));
        let mut ends = if min == 0 { from.clone() } else { from.none() };
        ends.order += 1;
        let mut reached = from;
        for round in 1..=max.min(REPEATED) {
            reached = self.take(&repetition.sub, reached, wanted);
            if !reached.any() || (round >= min && !ends.join(&reached)) {
                break;
            }
        }
        ends
    }
}

/// A class stands for itself, without a count of one.
fn class_of(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => &repetition.sub,
        _ => hir,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Room;
    use super::*;

    const FAILED: &str = "^Failed (?<method>password|keyboard-interactive/pam|none) for \
                          (?:invalid user )?(?<user>.*) from (?<src>{ip}) port (?<port>{port})(?: ssh2)?$";

    fn stop(pattern: &str, line: &str) -> (usize, String) {
        match Pattern::new(pattern).unwrap().try_on(line.as_bytes()) {
            Tried::Stops(stop) => (stop.at, stop.expected),
            matches @ Tried::Matches { .. } => panic!("{line}: {matches:?}"),
        }
    }

    #[test]
    fn a_pattern_says_where_it_stopped_and_what_it_wanted() {
        for (line, at, expected) in [
            ("Faild password", "Fail", "`ed ` of `Failed `"),
            ("Failed passwort for root", "Failed passwor", "`d` of `password`"),
            ("Failed publickey for root", "Failed p", "`assword` of `password`"),
            ("Failed none of root", "Failed none ", "`for ` of ` for `"),
            (
                "Failed none for root frm 198.51.100.7",
                "Failed none for root fr",
                "`om ` of ` from `",
            ),
            (
                "Failed none for root from web1 port 4",
                "Failed none for root from ",
                "{ip} for the field `src`",
            ),
            (
                "Failed none for root from 198.51.100.7 prt 4",
                "Failed none for root from 198.51.100.7 p",
                "`ort ` of ` port `",
            ),
            (
                "Failed none for root from 198.51.100.7 port x",
                "Failed none for root from 198.51.100.7 port ",
                "{port} for the field `port`",
            ),
            (
                "Failed none for root from 198.51.100.7 port 4711 ssh3",
                "Failed none for root from 198.51.100.7 port 4711 ssh",
                "`2` of ` ssh2`",
            ),
            (
                "Failed none for root from 198.51.100.7 port 4711!",
                "Failed none for root from 198.51.100.7 port 4711",
                "the end of the line",
            ),
        ] {
            assert_eq!(stop(FAILED, line), (at.len(), expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn classes_are_told_as_they_are_written() {
        let (at, expected) = stop("^id=[a-f]{4};", "id=ab9");
        assert_eq!((at, expected.as_str()), (5, "`(?:[a-f]){4}`"));
        let (_, expected) = stop("^id=(?<n>[0-9]+)", "id=x");
        assert_eq!(expected, "`(?:[0-9])+` for the field `n`");
    }

    #[test]
    fn hostile_lines_end_soon() {
        let line = "a ".repeat(40_000);
        for pattern in ["^(?<a>.*) (?<b>.*) (?<c>.*) x$", "^(?:(?:a|b)+ ?)+x", "^(?:a? ?)*!"] {
            assert!(matches!(
                Pattern::new(pattern).unwrap().try_on(line.as_bytes()),
                Tried::Stops(_)
            ));
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_matcher(line in "(Failed (password|none|x) for [a-z ]{0,6} from [0-9.]{0,9} port [0-9a]{1,6}( ssh[23])?)|[ -~]{0,30}") {
            for pattern in [FAILED, "^a*(?:b|cd?)+ ?$", "^[a-z ]+(?: [0-9]{2,3})?", "^.*x"] {
                let pattern = Pattern::new(pattern).unwrap();
                let matched = pattern.find(line.as_bytes(), &mut Room::new()).is_some();
                let tried = pattern.try_on(line.as_bytes());
                prop_assert_eq!(matched, matches!(tried, Tried::Matches { .. }), "{:?}", tried);
                if let Tried::Stops(stop) = tried {
                    prop_assert!(stop.at <= line.len());
                }
            }
        }
    }
}

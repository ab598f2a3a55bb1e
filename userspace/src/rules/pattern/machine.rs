//! The fast matcher: a regex without loops around groups, run as a short list of steps.
//!
//! It gives exactly the answer of the regex engine (leftmost-first, anchored at the start), as it tries
//! the same choices in the same order. What makes it fast is that most choices fall away when it is
//! compiled: a run of bytes followed by something that can't begin with one of them never gives any
//! back, one followed by a literal looks for that literal from the right, and ways of which one begins with a
//! literal that rules out the others are told apart by it. What is left of backtracking is paid from a budget
//! in proportion to the line; when that is used up, the caller asks the regex engine, which is linear on
//! every line.
//!
//! A capture is set wherever the way leads through it, and each choice forgets those on the way that it
//! leaves. So nothing has to be cleared before a run, and nothing put back after a way that failed.

mod compile;
mod literal;
mod run;

use std::ops::Range;

use regex_syntax::hir::Hir;

use self::compile::Compiler;
use self::literal::Literal;
pub(super) use self::literal::Needle;
use self::run::Run;
use super::set::ByteSet;
use crate::event::{CAPTURES, UNSET};

/// What stands before an address's zone.
const ZONE: u8 = b'%';

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Machine {
    steps: Box<[Step]>,
    first: ByteSet,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Match,
    NoMatch,
    /// The budget is used up: ask the regex engine.
    Unknown,
}

/// A step: to note the place where there is something to note, to do something, to go on.
#[derive(Debug)]
struct Step {
    op: Op,
    next: u16,
    /// The slot that notes the place.
    save: u8,
}

/// Room for the places that are noted: the slots of an event's captures, and one behind them for all others.
pub(super) type Places = [u32; SLOTS as usize];

/// No place yet.
pub(super) const NONE: Places = [UNSET; SLOTS as usize];

/// A power of two, so that no slot lies outside.
const SLOTS: u8 = 32;

/// The slot of what nobody asks for.
const NOWHERE: u8 = SLOTS - 1;

const _: () = assert!(2 * CAPTURES < SLOTS as usize);

/// With a tag of its own, which is read faster than one that hides in a field: this is what the loop turns on.
#[derive(Debug)]
#[repr(u8)]
enum Op {
    /// Nothing more.
    Note,
    /// These bytes.
    Literal(Literal),
    /// As many as there are; nothing that follows could begin with one of them, so none is given back.
    Take(Run),
    /// The two behind each other.
    Span(Span),
    /// One of its bytes.
    One(Run),
    /// An address literal, with its zone where it has one; nothing that follows could begin with any of it.
    Address(Box<Address>),
    /// As many as there are, then fewer, until what follows matches.
    Give(Box<Give>),
    /// One of two ways, of which the first begins with a literal.
    Switch(Switch),
    /// One of two ways.
    Either(Box<Choice>),
    /// Nothing may be left.
    End,
    /// Nothing may be left, and then it is done.
    Last,
    /// Done.
    Match,
}

#[derive(Debug)]
struct Span {
    literal: Literal,
    /// The slot that notes where the run begins.
    save: u8,
    run: Run,
}

#[derive(Debug)]
struct Address {
    literal: Run,
    zone: Run,
}

#[derive(Debug)]
struct Give {
    run: Run,
    /// What comes next, if it is a literal: the step's `next` is behind it then.
    needle: Option<Needle>,
    /// The slot that notes where that stands.
    save: u8,
}

/// What follows behind the literal, or the steps from `otherwise` on.
#[derive(Debug)]
struct Switch {
    literal: Literal,
    otherwise: u16,
    /// Where the literal stands, the other way can't match.
    certain: bool,
    ways: Ways,
}

/// What follows; where that doesn't match, the steps from `otherwise` on.
#[derive(Debug)]
struct Choice {
    otherwise: u16,
    /// What each way can begin with.
    this: Start,
    other: Start,
    /// All that the other way can begin with, where that is little: it is looked at before a choice is made,
    /// so that nothing has to be kept to come back to.
    exact: Option<Box<[Beginning]>>,
    ways: Ways,
}

/// The slots that are set on one way only.
#[derive(Clone, Debug, Default)]
struct Ways {
    this: Range<u8>,
    other: Range<u8>,
}

/// What one way of a pattern begins with.
#[derive(Clone, Debug)]
enum Beginning {
    Bytes(Literal),
    /// Nothing may be left.
    End,
}

/// What the rest of a pattern can begin with.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    bytes: ByteSet,
    /// It may want the end.
    end: bool,
    /// It may want nothing at all.
    nothing: bool,
}

impl Machine {
    /// Compiles; `None` for what needs the regex engine. `slot` says which slot pair a capture index has.
    pub(super) fn compile(hir: &Hir, slot: &dyn Fn(u32) -> Option<usize>) -> Option<Self> {
        Compiler::new(slot).compile(hir)
    }

    /// The bytes with which a match that isn't empty begins.
    pub(super) const fn first(&self) -> ByteSet {
        self.first
    }

    /// The literal that every match begins with; empty where there is none.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.steps.first() {
            Some(Step { op: Op::Literal(literal) | Op::Span(Span { literal, .. }), .. }) => {
                literal.bytes()
            }
            _ => &[],
        }
    }

    /// Matches from the start of `text`. On a match, the slots of this pattern's captures are set; else,
    /// and beyond these, they hold anything.
    pub(super) fn run(&self, text: &[u8], places: &mut Places) -> Outcome {
        if u32::try_from(text.len()).is_err() {
            return Outcome::Unknown;
        }
        let budget = 16 * text.len() + 1024;
        let mut attempt = Attempt { steps: &self.steps, text, places, budget };
        match attempt.go(0, 0) {
            Ok(true) => Outcome::Match,
            Ok(false) => Outcome::NoMatch,
            Err(Spent) => Outcome::Unknown,
        }
    }
}

struct Spent;

struct Attempt<'a> {
    steps: &'a [Step],
    text: &'a [u8],
    places: &'a mut Places,
    budget: usize,
}

impl Attempt<'_> {
    /// Recurses once for each choice on the way, so never deeper than the pattern is long.
    fn go(&mut self, mut pc: u16, from: usize) -> Result<bool, Spent> {
        let Self { steps, text, .. } = *self;
        let mut at = from;
        loop {
            let Step { op, next, save } = &steps[usize::from(pc)];
            self.note(*save, at);
            pc = *next;
            match op {
                Op::Note => {}
                Op::Literal(literal) => {
                    if !literal.is_at(text, at) {
                        return self.fail(at - from);
                    }
                    at += literal.len();
                }
                Op::Span(Span { literal, save, run }) => {
                    if !literal.is_at(text, at) {
                        return self.fail(at - from);
                    }
                    at += literal.len();
                    self.note(*save, at);
                    match run.end(text, at) {
                        Some(end) => at = end,
                        None => return self.fail(at - from),
                    }
                }
                Op::One(run) => match text.get(at) {
                    Some(byte) if run.has(*byte) => at += 1,
                    _ => return self.fail(at - from),
                },
                Op::Take(run) => match run.end(text, at) {
                    Some(end) => at = end,
                    None => return self.fail(at - from),
                },
                Op::Address(address) => {
                    let Some(end) = address.literal.end(text, at) else {
                        return self.fail(at - from);
                    };
                    at = end;
                    if text.get(at) == Some(&ZONE)
                        && let Some(end) = address.zone.end(text, at + 1)
                    {
                        at = end;
                    }
                }
                Op::Give(give) => return self.give(give, pc, at),
                Op::Switch(Switch { literal, otherwise, certain, ways }) => {
                    if literal.is_at(text, at) {
                        self.forget(&ways.other);
                        let behind = at + literal.len();
                        if *certain {
                            at = behind;
                            continue;
                        }
                        self.spend(1)?;
                        if self.go(pc, behind)? {
                            return Ok(true);
                        }
                    }
                    self.forget(&ways.this);
                    pc = *otherwise;
                }
                Op::Either(choice) => {
                    let next = text.get(at).copied();
                    if choice.this.admits(next) {
                        self.forget(&choice.ways.other);
                        if !choice.other.admits(next) || choice.excludes_other(text, at) {
                            continue;
                        }
                        self.spend(1)?;
                        if self.go(pc, at)? {
                            return Ok(true);
                        }
                    }
                    self.forget(&choice.ways.this);
                    pc = choice.otherwise;
                }
                Op::End => {
                    if at != text.len() {
                        return self.fail(at - from);
                    }
                }
                Op::Last if at == text.len() => return Ok(true),
                Op::Last => return self.fail(at - from),
                Op::Match => return Ok(true),
            }
        }
    }

    /// After so many bytes; they are paid for now, once for all of them.
    #[inline(never)]
    fn fail(&mut self, bytes: usize) -> Result<bool, Spent> {
        self.spend(bytes).map(|()| false)
    }

    #[inline(always)]
    fn note(&mut self, slot: u8, at: usize) {
        // As long as the text at most.
        #[expect(clippy::cast_possible_truncation, reason = "a longer text isn't run on")]
        let place = at as u32;
        self.places[usize::from(slot % SLOTS)] = place;
    }

    #[inline(always)]
    fn forget(&mut self, slots: &Range<u8>) {
        for slot in slots.clone() {
            self.places[usize::from(slot % SLOTS)] = UNSET;
        }
    }

    fn give(&mut self, give: &Give, next: u16, at: usize) -> Result<bool, Spent> {
        let Give { run, needle, save } = give;
        let Some(mut highest) = run.end(self.text, at) else {
            return Ok(false);
        };
        self.spend(highest - at)?;
        let lowest = at + run.min();
        loop {
            let (here, behind) = match needle {
                Some(needle) => match needle.last(self.text, lowest, highest) {
                    Some(here) => (here, here + needle.len()),
                    None => return Ok(false),
                },
                None => (highest, highest),
            };
            self.spend(1)?;
            self.note(*save, here);
            if self.go(next, behind)? {
                return Ok(true);
            }
            if here == lowest {
                return Ok(false);
            }
            highest = here - 1;
        }
    }

    #[inline]
    fn spend(&mut self, cost: usize) -> Result<(), Spent> {
        self.budget = self.budget.checked_sub(cost).ok_or(Spent)?;
        Ok(())
    }
}

impl Choice {
    /// Whether the other way surely fails at this place.
    #[inline]
    fn excludes_other(&self, text: &[u8], at: usize) -> bool {
        self.exact.as_deref().is_some_and(|ways| {
            !ways.iter().any(|way| match way {
                Beginning::Bytes(literal) => literal.is_at(text, at),
                Beginning::End => text.len() == at,
            })
        })
    }
}

impl Start {
    const fn of(bytes: ByteSet) -> Self {
        Self { bytes, end: false, nothing: false }
    }

    /// Whether it may begin with this byte, or at the end.
    #[inline]
    fn admits(&self, next: Option<u8>) -> bool {
        self.nothing || next.map_or(self.end, |byte| self.bytes.contains(byte))
    }

    fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.union(other.bytes),
            end: self.end || other.end,
            nothing: self.nothing || other.nothing,
        }
    }
}

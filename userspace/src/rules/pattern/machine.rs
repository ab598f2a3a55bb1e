//! The fast matcher: a regex without loops around groups, run as a short list of steps.
//!
//! It gives exactly the answer of the regex engine (leftmost-first, anchored at the start), as it tries
//! the same choices in the same order. What makes it fast is that most choices fall away when it is
//! compiled: a run of bytes followed by something that can't begin with one of them never gives any
//! back, and one followed by a literal looks for that literal from the right. What is left of
//! backtracking is paid from a budget in proportion to the line; when that is used up, the caller asks
//! the regex engine, which is linear on every line.
//!
//! A capture is set wherever the way leads through it, and each choice forgets those on the way that it
//! leaves. So nothing has to be cleared before a run, and nothing put back after a way that failed.

use std::ops::Range;
use std::sync::Arc;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::set::ByteSet;
use crate::event::{Slots, UNSET, position};

/// Ways that are looked at before a choice.
const FEW: usize = 4;

/// Below it, memchr takes longer to set out than to look byte by byte.
const SHORT: usize = 32;

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

/// With a tag of its own, which is read faster than one that hides in a field: this is what the loop turns on.
#[derive(Debug)]
#[repr(u8)]
enum Step {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Note the place.
    Save(usize),
    /// As many as there are; nothing that follows could begin with one of them, so none is given back.
    Take(Run),
    /// The same as a capture, whose slots these are: in place of a `Save`, before the `Take` and the `Save`
    /// that it does the work of.
    Field(usize, Run),
    /// As many as there are, then fewer, until what follows matches.
    Give(Run, Option<Needle>),
    /// What follows; where that doesn't match, the steps from there on.
    Either(Box<Choice>),
    /// Go on there.
    Jump(usize),
    /// Nothing may be left.
    End,
    /// Done.
    Match,
}

/// What one way of a pattern begins with.
#[derive(Clone, Debug)]
enum Literal {
    Bytes(Box<[u8]>),
    /// Nothing may be left.
    End,
}

#[derive(Debug, Default)]
struct Choice {
    otherwise: usize,
    /// What each way can begin with.
    this: Start,
    other: Start,
    /// All that the other way can begin with, where that is little: it is looked at before a choice is made,
    /// so that nothing has to be kept to come back to.
    exact: Option<Box<[Literal]>>,
    /// The offsets that are noted on one way only.
    this_slots: Range<usize>,
    other_slots: Range<usize>,
}

/// What the rest of a pattern can begin with.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    bytes: ByteSet,
    /// It may need no byte at all.
    empty: bool,
}

#[derive(Clone, Debug)]
struct Run {
    /// Which bytes are in the set.
    table: Arc<[bool; 256]>,
    /// The set is every byte but this one: look for that one instead of testing each byte.
    stop: Option<u8>,
    min: usize,
    max: usize,
}

/// The literal that follows a run, and its byte that is most worth looking for.
#[derive(Debug)]
struct Needle {
    literal: Box<[u8]>,
    probe: usize,
}

impl Machine {
    /// Compiles; `None` for what needs the regex engine. `slot` says which slot pair a capture index has.
    pub(super) fn compile(hir: &Hir, slot: &dyn Fn(u32) -> Option<usize>) -> Option<Self> {
        let mut compiler = Compiler { steps: Vec::new(), sets: Vec::new(), slot };
        compiler.emit(hir)?;
        compiler.steps.push(Step::Match);
        Some(compiler.finish())
    }

    /// The bytes with which a match that isn't empty begins.
    pub(super) const fn first(&self) -> ByteSet {
        self.first
    }

    /// The literal that every match begins with; empty where there is none.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.steps.first() {
            Some(Step::Literal(literal)) => literal,
            _ => &[],
        }
    }

    /// Matches from the start of `text`. On a match, the slots of this pattern's captures are set; else,
    /// and beyond these, they hold anything.
    pub(super) fn run(&self, text: &[u8], slots: &mut Slots) -> Outcome {
        let mut attempt =
            Attempt { steps: &self.steps, text, slots, budget: 16 * text.len() + 1024 };
        match attempt.go(0, 0) {
            Ok(true) => Outcome::Match,
            Ok(false) => Outcome::NoMatch,
            Err(Spent) => Outcome::Unknown,
        }
    }
}

struct Spent;

/// Lines are never longer than this can tell: sources cut them.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(UNSET)
}

struct Attempt<'a> {
    steps: &'a [Step],
    text: &'a [u8],
    slots: &'a mut Slots,
    budget: usize,
}

impl Attempt<'_> {
    /// Recurses once for each choice on the way, so never deeper than the pattern is long.
    fn go(&mut self, mut pc: usize, mut at: usize) -> Result<bool, Spent> {
        loop {
            match &self.steps[pc] {
                Step::Literal(literal) => {
                    if !begins_with(&self.text[at..], literal) {
                        return Ok(false);
                    }
                    at += literal.len();
                }
                Step::Save(slot) => self.slots[*slot] = offset(at),
                Step::Take(run) => {
                    let taken = run.extent(&self.text[at..]);
                    if taken < run.min {
                        return Ok(false);
                    }
                    self.spend(taken)?;
                    at += taken;
                }
                Step::Field(slot, run) => {
                    let taken = run.extent(&self.text[at..]);
                    if taken < run.min {
                        return Ok(false);
                    }
                    self.spend(taken)?;
                    self.slots[*slot] = offset(at);
                    at += taken;
                    self.slots[*slot + 1] = offset(at);
                    pc += 2;
                }
                Step::Give(run, needle) => {
                    return self.give(pc + 1, at, run, needle.as_ref());
                }
                Step::Either(choice) => {
                    let next = self.text.get(at).copied();
                    if choice.this.admits(next) {
                        self.forget(&choice.other_slots);
                        if !choice.other.admits(next) || choice.excludes_other(&self.text[at..]) {
                            pc += 1;
                            continue;
                        }
                        self.spend(1)?;
                        if self.go(pc + 1, at)? {
                            return Ok(true);
                        }
                    }
                    self.forget(&choice.this_slots);
                    pc = choice.otherwise;
                    continue;
                }
                Step::Jump(target) => {
                    pc = *target;
                    continue;
                }
                Step::End => {
                    if at != self.text.len() {
                        return Ok(false);
                    }
                }
                Step::Match => return Ok(true),
            }
            pc += 1;
        }
    }

    fn forget(&mut self, slots: &Range<usize>) {
        for slot in slots.clone() {
            self.slots[slot] = UNSET;
        }
    }

    fn give(
        &mut self,
        rest: usize,
        at: usize,
        run: &Run,
        needle: Option<&Needle>,
    ) -> Result<bool, Spent> {
        let taken = run.extent(&self.text[at..]);
        self.spend(taken)?;
        if taken < run.min {
            return Ok(false);
        }
        let lowest = at + run.min;
        let mut highest = at + taken;
        loop {
            let here = match needle {
                Some(needle) => match needle.last(self.text, lowest, highest) {
                    Some(here) => here,
                    None => return Ok(false),
                },
                None => highest,
            };
            self.spend(1)?;
            if self.go(rest, here)? {
                return Ok(true);
            }
            if here == lowest {
                return Ok(false);
            }
            highest = here - 1;
        }
    }

    fn spend(&mut self, cost: usize) -> Result<(), Spent> {
        self.budget = self.budget.checked_sub(cost).ok_or(Spent)?;
        Ok(())
    }
}

impl Choice {
    /// Whether the other way surely fails on `text`.
    #[inline]
    fn excludes_other(&self, text: &[u8]) -> bool {
        self.exact.as_deref().is_some_and(|ways| {
            !ways.iter().any(|way| match way {
                Literal::Bytes(literal) => begins_with(text, literal),
                Literal::End => text.is_empty(),
            })
        })
    }
}

impl Start {
    #[inline]
    fn admits(&self, next: Option<u8>) -> bool {
        self.empty || next.is_some_and(|byte| self.bytes.contains(byte))
    }

    fn or(self, other: Self) -> Self {
        Self { bytes: self.bytes.union(other.bytes), empty: self.empty || other.empty }
    }
}

impl Run {
    fn new(set: ByteSet, min: u32, max: Option<u32>) -> Self {
        let width = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            table: set.table().into(),
            stop: set.all_but(),
            min: width(min),
            max: max.map_or(usize::MAX, width),
        }
    }

    /// How many of the set's bytes `text` begins with, at most `max`.
    fn extent(&self, text: &[u8]) -> usize {
        let text = &text[..text.len().min(self.max)];
        if let Some(stop) = self.stop {
            // What ends at a space is a word, so short.
            let found = if stop == b' ' || text.len() < SHORT {
                position(text, stop)
            } else {
                memchr::memchr(stop, text)
            };
            return found.unwrap_or(text.len());
        }
        text.iter().position(|&byte| !self.table[usize::from(byte)]).unwrap_or(text.len())
    }
}

impl Needle {
    fn new(literal: &[u8]) -> Self {
        // Letters are rarer than what stands between words and in addresses.
        let common =
            |byte: u8| byte == b' ' || byte == b'.' || byte == b':' || byte.is_ascii_digit();
        let probe = literal.iter().position(|&byte| !common(byte)).unwrap_or(0);
        Self { literal: literal.into(), probe }
    }

    /// The last place from `lowest` to `highest` where the literal stands.
    fn last(&self, text: &[u8], lowest: usize, highest: usize) -> Option<usize> {
        let probe = *self.literal.get(self.probe)?;
        let mut window = text.get(lowest + self.probe..)?;
        window = &window[..window.len().min(highest - lowest + 1)];
        while let Some(found) = memchr::memrchr(probe, window) {
            if begins_with(&text[lowest + found..], &self.literal) {
                return Some(lowest + found);
            }
            window = &window[..found];
        }
        None
    }
}

/// `starts_with`, without calling `memcmp` for a word or two.
#[inline]
fn begins_with(text: &[u8], literal: &[u8]) -> bool {
    let Some(text) = text.get(..literal.len()) else { return false };
    let (text_words, text_rest) = text.as_chunks::<8>();
    let (words, rest) = literal.as_chunks::<8>();
    for (mine, theirs) in words.iter().zip(text_words) {
        if u64::from_ne_bytes(*mine) != u64::from_ne_bytes(*theirs) {
            return false;
        }
    }
    match (literal.last_chunk::<8>(), text.last_chunk::<8>()) {
        // The last word, some of it once more.
        (Some(mine), Some(theirs)) => u64::from_ne_bytes(*mine) == u64::from_ne_bytes(*theirs),
        _ => rest.iter().zip(text_rest).all(|(mine, theirs)| mine == theirs),
    }
}

struct Compiler<'a> {
    steps: Vec<Step>,
    /// The set of each run, in order.
    sets: Vec<ByteSet>,
    slot: &'a dyn Fn(u32) -> Option<usize>,
}

impl Compiler<'_> {
    fn emit(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => self.steps.push(Step::Literal(literal.0.clone())),
            HirKind::Class(class) => self.run(class, 1, Some(1))?,
            HirKind::Look(Look::Start) if self.steps.is_empty() => {}
            HirKind::Look(Look::End) => self.steps.push(Step::End),
            HirKind::Look(_) => return None,
            HirKind::Repetition(repetition) => {
                let (min, max) = (repetition.min, repetition.max);
                match repetition.sub.kind() {
                    HirKind::Class(class) if repetition.greedy => self.run(class, min, max)?,
                    HirKind::Literal(literal) if repetition.greedy && literal.0.len() == 1 => {
                        self.push_run(ByteSet::of(&literal.0), min, max);
                    }
                    _ if repetition.greedy && (min, max) == (0, Some(1)) => {
                        let choice = self.choice();
                        self.emit(&repetition.sub)?;
                        let end = self.steps.len();
                        self.otherwise(choice, end, end);
                    }
                    _ => return None,
                }
            }
            HirKind::Capture(capture) => {
                let slot = (self.slot)(capture.index);
                if let Some(slot) = slot {
                    self.steps.push(Step::Save(2 * slot));
                }
                self.emit(&capture.sub)?;
                if let Some(slot) = slot {
                    self.steps.push(Step::Save(2 * slot + 1));
                }
            }
            HirKind::Concat(subs) => {
                for sub in subs {
                    self.emit(sub)?;
                }
            }
            HirKind::Alternation(subs) => self.alternation(subs)?,
        }
        Some(())
    }

    fn alternation(&mut self, subs: &[Hir]) -> Option<()> {
        let (last, others) = subs.split_last()?;
        // The choice before each way, and the jump after it.
        let mut ways = Vec::with_capacity(others.len());
        for sub in others {
            let choice = self.choice();
            self.emit(sub)?;
            ways.push((choice, self.steps.len()));
            self.steps.push(Step::Jump(0));
        }
        self.emit(last)?;
        let end = self.steps.len();
        for (choice, exit) in ways {
            self.steps[exit] = Step::Jump(end);
            self.otherwise(choice, exit + 1, end);
        }
        Some(())
    }

    fn choice(&mut self) -> usize {
        self.steps.push(Step::Either(Box::default()));
        self.steps.len() - 1
    }

    /// The other way of a choice begins at `otherwise`; both have ended at `end`.
    fn otherwise(&mut self, choice: usize, otherwise: usize, end: usize) {
        let this_slots = self.slots(choice..otherwise);
        let other_slots = self.slots(otherwise..end);
        let choice = &mut self.steps[choice];
        *choice = Step::Either(Box::new(Choice {
            otherwise,
            this_slots,
            other_slots,
            ..Choice::default()
        }));
    }

    /// The slots that these steps set: groups are numbered as they open, so they are neighbours.
    fn slots(&self, steps: Range<usize>) -> Range<usize> {
        let slots = self.steps[steps].iter().filter_map(|step| match step {
            Step::Save(slot) => Some(*slot),
            _ => None,
        });
        let first = slots.clone().min().unwrap_or(0);
        first..slots.max().map_or(0, |last| last + 1)
    }

    fn run(&mut self, class: &Class, min: u32, max: Option<u32>) -> Option<()> {
        self.push_run(ByteSet::of_class(class)?, min, max);
        Some(())
    }

    fn push_run(&mut self, set: ByteSet, min: u32, max: Option<u32>) {
        self.sets.push(set);
        self.steps.push(Step::Give(Run::new(set, min, max), None));
    }

    /// Tells each choice what its ways begin with, and turns runs into those that need give nothing back,
    /// or know the literal that follows.
    fn finish(mut self) -> Machine {
        let end = self.steps.len();
        let mut starts = vec![Start::default(); end + 1];
        for pc in (0..end).rev() {
            let next = starts[pc + 1];
            // Taken out, to move a run from one kind of step to the other.
            let step = std::mem::replace(&mut self.steps[pc], Step::Match);
            (self.steps[pc], starts[pc]) = match step {
                Step::Literal(literal) => {
                    let bytes = ByteSet::of(&literal[..literal.len().min(1)]);
                    (Step::Literal(literal), Start { bytes, empty: false })
                }
                Step::Save(slot) => (Step::Save(slot), next),
                Step::Take(run) | Step::Give(run, _) => {
                    let set = self.sets.pop().unwrap_or(ByteSet::ALL);
                    let only = Start { bytes: set, empty: false };
                    let start = if run.min == 0 { only.or(next) } else { only };
                    let step = if set.meets(next.bytes) {
                        Step::Give(run, self.needle(pc + 1))
                    } else {
                        Step::Take(run)
                    };
                    (step, start)
                }
                // Made below, of what has been passed.
                step @ Step::Field(..) => (step, next),
                Step::Either(choice) => {
                    let other = starts[choice.otherwise];
                    let mut exact = Vec::new();
                    let exact = self.exact(choice.otherwise, &mut exact).then(|| exact.into());
                    (
                        Step::Either(Box::new(Choice { this: next, other, exact, ..*choice })),
                        next.or(other),
                    )
                }
                Step::Jump(target) => (Step::Jump(target), starts[target]),
                step @ (Step::End | Step::Match) => {
                    (step, Start { bytes: ByteSet::default(), empty: true })
                }
            };
        }
        for pc in 2..end {
            // Nothing jumps between the three: a choice would stand there.
            if let [Step::Save(slot), Step::Take(run), Step::Save(after)] = &self.steps[pc - 2..=pc]
                && *after == *slot + 1
            {
                self.steps[pc - 2] = Step::Field(*slot, run.clone());
            }
        }
        Machine { first: starts[0].bytes, steps: self.steps.into() }
    }

    /// Collects all that the steps from `pc` on can begin with; `false`: it isn't just a few literals.
    fn exact(&self, mut pc: usize, ways: &mut Vec<Literal>) -> bool {
        loop {
            match &self.steps[pc] {
                Step::Save(_) => pc += 1,
                Step::Jump(target) => pc = *target,
                Step::Literal(literal) => {
                    ways.push(Literal::Bytes(literal.clone()));
                    return ways.len() <= FEW;
                }
                Step::End => {
                    ways.push(Literal::End);
                    return ways.len() <= FEW;
                }
                Step::Either(choice) => {
                    if !self.exact(pc + 1, ways) {
                        return false;
                    }
                    pc = choice.otherwise;
                }
                _ => return false,
            }
        }
    }

    /// The literal that comes first from `pc` on, where one does.
    fn needle(&self, pc: usize) -> Option<Needle> {
        match self.steps[pc..].iter().find(|step| !matches!(step, Step::Save(_)))? {
            Step::Literal(literal) => Some(Needle::new(literal)),
            _ => None,
        }
    }
}

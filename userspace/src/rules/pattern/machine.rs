//! The fast matcher: a regex without loops around groups, run as a short list of steps.
//!
//! It gives exactly the answer of the regex engine (leftmost-first, anchored at the start), as it tries
//! the same choices in the same order. What makes it fast is that most choices fall away when it is
//! compiled: a run of bytes followed by something that can't begin with one of them never gives any
//! back, and one followed by a literal looks for that literal from the right. What is left of
//! backtracking is paid from a budget in proportion to the line; when that is used up, the caller asks
//! the regex engine, which is linear on every line.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::set::ByteSet;

/// Named captures that a pattern can have.
pub(super) const CAPTURES: usize = 12;

/// No such offset: the capture took no part in the match.
pub(super) const UNSET: usize = usize::MAX;

/// Start and end of each capture.
pub(super) type Slots = [usize; 2 * CAPTURES];

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

#[derive(Debug)]
enum Step {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Note the place.
    Save(usize),
    /// As many as there are; nothing that follows could begin with one of them, so none is given back.
    Take(Run),
    /// As many as there are, then fewer, until what follows matches.
    Give(Run, Option<Needle>),
    /// What follows; where that doesn't match, the steps from there on.
    Either { otherwise: usize },
    /// Go on there.
    Jump(usize),
    /// Nothing may be left.
    End,
    /// Done.
    Match,
}

#[derive(Debug)]
struct Run {
    table: Box<[bool; 256]>,
    set: ByteSet,
    /// The set is `.`: look for a line feed instead of testing each byte.
    dot: bool,
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
        let mut compiler = Compiler { steps: Vec::new(), slot };
        compiler.emit(hir)?;
        compiler.steps.push(Step::Match);
        Some(compiler.finish())
    }

    /// The bytes with which a match that isn't empty begins.
    pub(super) const fn first(&self) -> ByteSet {
        self.first
    }

    /// Matches from the start of `text`. On a match, `slots` holds the captures; else it holds anything.
    pub(super) fn run(&self, text: &[u8], slots: &mut Slots) -> Outcome {
        // Most patterns that are tried fail right here.
        let (from, at) = match self.steps.first() {
            Some(Step::Literal(literal)) if !text.starts_with(literal) => return Outcome::NoMatch,
            Some(Step::Literal(literal)) => (1, literal.len()),
            _ => (0, 0),
        };
        *slots = [UNSET; 2 * CAPTURES];
        let mut attempt =
            Attempt { steps: &self.steps, text, slots, budget: 16 * text.len() + 1024 };
        match attempt.go(from, at) {
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
    slots: &'a mut Slots,
    budget: usize,
}

impl Attempt<'_> {
    /// Recurses once for each choice on the way, so never deeper than the pattern is long.
    fn go(&mut self, mut pc: usize, mut at: usize) -> Result<bool, Spent> {
        loop {
            match &self.steps[pc] {
                Step::Literal(literal) => {
                    if !self.text[at..].starts_with(literal) {
                        return Ok(false);
                    }
                    at += literal.len();
                }
                Step::Save(slot) => self.slots[*slot] = at,
                Step::Take(run) => {
                    let taken = run.extent(&self.text[at..]);
                    if taken < run.min {
                        return Ok(false);
                    }
                    self.spend(taken)?;
                    at += taken;
                }
                Step::Give(run, needle) => {
                    return self.give(pc + 1, at, run, needle.as_ref());
                }
                Step::Either { otherwise } => {
                    self.spend(1)?;
                    let before = *self.slots;
                    if self.go(pc + 1, at)? {
                        return Ok(true);
                    }
                    *self.slots = before;
                    pc = *otherwise;
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

impl Run {
    fn new(set: ByteSet, min: u32, max: Option<u32>) -> Self {
        let width = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            table: set.table(),
            set,
            dot: set.is_dot(),
            min: width(min),
            max: max.map_or(usize::MAX, width),
        }
    }

    /// How many of the set's bytes `text` begins with, at most `max`.
    fn extent(&self, text: &[u8]) -> usize {
        let text = &text[..text.len().min(self.max)];
        if self.dot {
            return memchr::memchr(b'\n', text).unwrap_or(text.len());
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
            if text[lowest + found..].starts_with(&self.literal) {
                return Some(lowest + found);
            }
            window = &window[..found];
        }
        None
    }
}

struct Compiler<'a> {
    steps: Vec<Step>,
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
                        self.otherwise(choice);
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
        let mut exits = Vec::with_capacity(others.len());
        for sub in others {
            let choice = self.choice();
            self.emit(sub)?;
            exits.push(self.steps.len());
            self.steps.push(Step::Jump(0));
            self.otherwise(choice);
        }
        self.emit(last)?;
        let end = self.steps.len();
        for exit in exits {
            self.steps[exit] = Step::Jump(end);
        }
        Some(())
    }

    fn choice(&mut self) -> usize {
        self.steps.push(Step::Either { otherwise: 0 });
        self.steps.len() - 1
    }

    fn otherwise(&mut self, choice: usize) {
        self.steps[choice] = Step::Either { otherwise: self.steps.len() };
    }

    fn run(&mut self, class: &Class, min: u32, max: Option<u32>) -> Option<()> {
        self.push_run(ByteSet::of_class(class)?, min, max);
        Some(())
    }

    fn push_run(&mut self, set: ByteSet, min: u32, max: Option<u32>) {
        self.steps.push(Step::Give(Run::new(set, min, max), None));
    }

    /// Turns runs into those that need give nothing back, or know the literal that follows.
    fn finish(mut self) -> Machine {
        let mut first = vec![ByteSet::default(); self.steps.len() + 1];
        for pc in (0..self.steps.len()).rev() {
            let next = first[pc + 1];
            first[pc] = match &self.steps[pc] {
                Step::Literal(literal) => ByteSet::of(&literal[..literal.len().min(1)]),
                Step::Save(_) => next,
                Step::Take(run) | Step::Give(run, _) if run.min == 0 => run.set.union(next),
                Step::Take(run) | Step::Give(run, _) => run.set,
                Step::Either { otherwise } => next.union(first[*otherwise]),
                Step::Jump(target) => first[*target],
                Step::End | Step::Match => ByteSet::default(),
            };
            if let Step::Give(run, _) = &self.steps[pc] {
                let gives = run.set.meets(next);
                let needle = self.steps[pc + 1..]
                    .iter()
                    .find(|step| !matches!(step, Step::Save(_)))
                    .and_then(|step| match step {
                        Step::Literal(literal) => Some(Needle::new(literal)),
                        _ => None,
                    });
                // Taken out to move the run from one kind of step to the other.
                let step = std::mem::replace(&mut self.steps[pc], Step::Match);
                self.steps[pc] = match step {
                    Step::Give(run, _) if gives => Step::Give(run, needle),
                    Step::Give(run, _) => Step::Take(run),
                    other => other,
                };
            }
        }
        Machine { first: first[0], steps: self.steps.into() }
    }
}

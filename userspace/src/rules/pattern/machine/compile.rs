//! From a regex to steps: first one for each of its parts, then fewer that do more.

use std::ops::Range;

use regex_syntax::hir::{Hir, HirKind, Look};

use super::literal::{Literal, Needle};
use super::run::{Counted, Run};
use super::{
    Address, Beginning, Choice, Give, Machine, NOWHERE, Op, Span, Start, Step, Switch, Ways, ZONE,
};
use crate::rules::pattern::set::ByteSet;

/// Ways that are looked at before a choice.
const FEW: usize = 4;

/// What a part of a pattern wants.
#[derive(Debug)]
enum Part {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Note the place.
    Save(u8),
    /// A class with its counts, and whether what follows can begin with one of its bytes.
    Run(Counted, bool),
    /// What follows, or the parts from there on.
    Either(usize, Ways),
    /// Go on there.
    Jump(usize),
    /// Nothing may be left.
    End,
    /// Done.
    Match,
}

/// The parts that steps begin with, in the order of the steps.
struct Order {
    parts: Vec<usize>,
    /// By part: its step.
    numbers: Vec<Option<u16>>,
}

pub(super) struct Compiler<'a> {
    parts: Vec<Part>,
    /// What the rest of the pattern can begin with, from each part on.
    starts: Vec<Start>,
    slot: &'a dyn Fn(u32) -> Option<usize>,
}

impl<'a> Compiler<'a> {
    /// `slot` says which slot pair a capture index has.
    pub(super) fn new(slot: &'a dyn Fn(u32) -> Option<usize>) -> Self {
        Self { parts: Vec::new(), starts: Vec::new(), slot }
    }

    /// `None` for what needs the regex engine.
    pub(super) fn compile(mut self, hir: &Hir) -> Option<Machine> {
        self.emit(hir)?;
        self.parts.push(Part::Match);
        self.find_starts();
        let mut order = Order { numbers: vec![None; self.parts.len()], parts: Vec::new() };
        self.number(0, &mut order)?;
        let mut steps = Vec::new();
        while let Some(pc) = order.parts.get(steps.len()) {
            steps.push(self.step(*pc, &mut order)?);
        }
        Some(Machine { first: self.starts[0].bytes, steps: steps.into() })
    }

    fn emit(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => self.parts.push(Part::Literal(literal.0.clone())),
            HirKind::Class(class) => self.run(ByteSet::of_class(class)?, 1, Some(1)),
            HirKind::Look(Look::Start) if self.parts.is_empty() => {}
            HirKind::Look(Look::End) => self.parts.push(Part::End),
            HirKind::Look(_) => return None,
            HirKind::Repetition(repetition) => {
                let (min, max) = (repetition.min, repetition.max);
                match repetition.sub.kind() {
                    _ if !repetition.greedy => return None,
                    HirKind::Class(class) => self.run(ByteSet::of_class(class)?, min, max),
                    HirKind::Literal(literal) if literal.0.len() == 1 => {
                        self.run(ByteSet::of(&literal.0), min, max);
                    }
                    // The last way is to be absent.
                    HirKind::Alternation(subs) if (min, max) == (0, Some(1)) => {
                        self.alternation(subs, &Hir::empty())?;
                    }
                    _ if (min, max) == (0, Some(1)) => {
                        self.alternation(std::slice::from_ref(&repetition.sub), &Hir::empty())?;
                    }
                    _ => return None,
                }
            }
            HirKind::Capture(capture) => {
                let slot = (self.slot)(capture.index);
                // Offsets are few: `event::CAPTURES`.
                let slot = slot.and_then(|slot| u8::try_from(2 * slot).ok());
                self.parts.extend(slot.map(Part::Save));
                self.emit(&capture.sub)?;
                self.parts.extend(slot.map(|slot| Part::Save(slot + 1)));
            }
            HirKind::Concat(subs) => {
                for sub in subs {
                    self.emit(sub)?;
                }
            }
            HirKind::Alternation(subs) => {
                let (last, others) = subs.split_last()?;
                self.alternation(others, last)?;
            }
        }
        Some(())
    }

    fn run(&mut self, set: ByteSet, min: u32, max: Option<u32>) {
        self.parts.push(Part::Run(Counted { set, min, max }, true));
    }

    fn alternation(&mut self, others: &[Hir], last: &Hir) -> Option<()> {
        // The choice before each way, and the jump after it.
        let mut ways = Vec::with_capacity(others.len());
        for sub in others {
            let choice = self.parts.len();
            self.parts.push(Part::Either(0, Ways::default()));
            self.emit(sub)?;
            ways.push((choice, self.parts.len()));
            self.parts.push(Part::Jump(0));
        }
        self.emit(last)?;
        let end = self.parts.len();
        for (choice, exit) in ways {
            let otherwise = exit + 1;
            let ways =
                Ways { this: self.slots(choice..otherwise), other: self.slots(otherwise..end) };
            self.parts[exit] = Part::Jump(end);
            self.parts[choice] = Part::Either(otherwise, ways);
        }
        Some(())
    }

    /// The slots that these parts set: groups are numbered as they open, so they are neighbours.
    fn slots(&self, parts: Range<usize>) -> Range<u8> {
        let slots = self.parts[parts].iter().filter_map(|part| match part {
            Part::Save(slot) => Some(*slot),
            _ => None,
        });
        let first = slots.clone().min().unwrap_or(0);
        first..slots.max().map_or(0, |last| last + 1)
    }

    /// Finds out what each part, and what follows it, can begin with, and which runs have to give back.
    fn find_starts(&mut self) {
        let end = self.parts.len();
        self.starts = vec![Start::default(); end + 1];
        for pc in (0..end).rev() {
            let next = self.starts[pc + 1];
            self.starts[pc] = match &mut self.parts[pc] {
                Part::Literal(literal) => Start::of(ByteSet::of(&literal[..literal.len().min(1)])),
                Part::Save(_) => next,
                Part::Run(Counted { set, min, .. }, gives) => {
                    *gives = set.meets(next.bytes);
                    let only = Start::of(*set);
                    if *min == 0 { only.or(next) } else { only }
                }
                Part::Either(otherwise, _) => next.or(self.starts[*otherwise]),
                Part::Jump(target) => self.starts[*target],
                Part::End => Start { end: true, ..Start::default() },
                Part::Match => Start { nothing: true, ..Start::default() },
            };
        }
    }

    /// Where it goes on at `pc`, behind the jumps.
    fn behind_jumps(&self, mut pc: usize) -> usize {
        while let Part::Jump(target) = &self.parts[pc] {
            pc = *target;
        }
        pc
    }

    /// The step that begins at `pc`, which may have to be made yet; `None`: there are too many.
    fn number(&self, pc: usize, order: &mut Order) -> Option<u16> {
        let pc = self.behind_jumps(pc);
        if order.numbers[pc].is_none() {
            order.numbers[pc] = Some(u16::try_from(order.parts.len()).ok()?);
            order.parts.push(pc);
        }
        order.numbers[pc]
    }

    /// The step that does what the parts from `pc` on want: as much of it as one step can do.
    fn step(&self, pc: usize, order: &mut Order) -> Option<Step> {
        let (save, at) = match &self.parts[pc] {
            Part::Save(slot) => (*slot, self.behind_jumps(pc + 1)),
            _ => (NOWHERE, pc),
        };
        let (save, op, next) = match &self.parts[at] {
            Part::Save(_) | Part::Jump(_) => (save, Op::Note, at),
            Part::Literal(literal) => {
                let (op, next) = self.literal_step(Literal::new(literal), at + 1);
                (save, op, next)
            }
            Part::Run(class, gives) => self.run_step(save, at, *class, *gives),
            Part::Either(otherwise, ways) => {
                let this = self.behind_jumps(at + 1);
                let (other, ways) = (self.starts[*otherwise], ways.clone());
                let number = self.number(*otherwise, order)?;
                if let Part::Literal(literal) = &self.parts[this] {
                    let certain = self.rules_out(literal, *otherwise);
                    let literal = Literal::new(literal);
                    let switch = Switch { literal, otherwise: number, certain, ways };
                    (save, Op::Switch(switch), this + 1)
                } else {
                    let exact = self.exact(*otherwise).map(Vec::into_boxed_slice);
                    let start = self.starts[this];
                    let choice = Choice { otherwise: number, this: start, other, exact, ways };
                    (save, Op::Either(Box::new(choice)), this)
                }
            }
            Part::End if matches!(self.parts[self.behind_jumps(at + 1)], Part::Match) => {
                (save, Op::Last, at)
            }
            Part::End => (save, Op::End, at + 1),
            Part::Match => (save, Op::Match, at),
        };
        Some(Step { op, save, next: self.number(next, order)? })
    }

    /// What a literal becomes, with a run behind it, and where it goes on.
    fn literal_step(&self, literal: Literal, next: usize) -> (Op, usize) {
        let (save, at) = match &self.parts[self.behind_jumps(next)] {
            Part::Save(slot) => (*slot, self.behind_jumps(self.behind_jumps(next) + 1)),
            _ => (NOWHERE, self.behind_jumps(next)),
        };
        if let Part::Run(class, false) = self.parts[at]
            && let (_, Op::Take(run), after) = self.run_step(save, at, class, false)
        {
            return (Op::Span(Span { literal, save, run }), after);
        }
        (Op::Literal(literal), next)
    }

    /// What a run becomes, with what is noted before it, and where it goes on.
    fn run_step(&self, save: u8, at: usize, class: Counted, gives: bool) -> (u8, Op, usize) {
        let run = Run::new(class);
        let next = self.behind_jumps(at + 1);
        if !gives {
            if let Some((zone, next)) = self.zone(next) {
                return (save, Op::Address(Box::new(Address { literal: run, zone })), next);
            }
            let single = class.min == 1 && class.max == Some(1);
            return (save, if single { Op::One(run) } else { Op::Take(run) }, next);
        }
        let (behind, after) = match &self.parts[next] {
            Part::Save(slot) => (*slot, self.behind_jumps(next + 1)),
            _ => (NOWHERE, next),
        };
        let (needle, save_behind, next) = match &self.parts[after] {
            Part::Literal(literal) => (Some(Needle::new(literal)), behind, after + 1),
            _ => (None, NOWHERE, next),
        };
        (save, Op::Give(Box::new(Give { run, needle, save: save_behind })), next)
    }

    /// The run in `(?:%zone)?`, and what follows it, where nothing there could begin with `%`.
    fn zone(&self, pc: usize) -> Option<(Run, usize)> {
        let Part::Either(otherwise, ways) = &self.parts[pc] else { return None };
        let [Part::Literal(literal), Part::Run(zone, false), ..] = &self.parts[pc + 1..] else {
            return None;
        };
        let next = self.behind_jumps(*otherwise);
        let sure = **literal == [ZONE]
            && ways.this.is_empty()
            && ways.other.is_empty()
            && self.behind_jumps(pc + 3) == next
            && self.rules_out(literal, *otherwise);
        sure.then(|| (Run::new(*zone), next))
    }

    /// Whether, where this literal stands, the parts from `pc` on can't match.
    fn rules_out(&self, literal: &[u8], pc: usize) -> bool {
        !self.starts[pc].admits(literal.first().copied())
            || self.exact(pc).is_some_and(|ways| ways.iter().all(|way| way.excludes(literal)))
    }

    /// All that the parts from `pc` on can begin with; `None`: it isn't just a few literals.
    fn exact(&self, pc: usize) -> Option<Vec<Beginning>> {
        let mut ways = Vec::new();
        self.add_exact(pc, &mut ways).then_some(ways)
    }

    fn add_exact(&self, mut pc: usize, ways: &mut Vec<Beginning>) -> bool {
        loop {
            match &self.parts[pc] {
                Part::Save(_) => pc += 1,
                Part::Jump(target) => pc = *target,
                Part::Literal(literal) => {
                    ways.push(Beginning::Bytes(Literal::new(literal)));
                    return ways.len() <= FEW;
                }
                Part::End => {
                    ways.push(Beginning::End);
                    return ways.len() <= FEW;
                }
                Part::Either(otherwise, _) => {
                    if !self.add_exact(pc + 1, ways) {
                        return false;
                    }
                    pc = *otherwise;
                }
                Part::Run(..) | Part::Match => return false,
            }
        }
    }
}

impl Beginning {
    /// Whether nothing begins both with this and with `literal`.
    fn excludes(&self, literal: &[u8]) -> bool {
        match self {
            Self::Bytes(own) => {
                !own.bytes().starts_with(literal) && !literal.starts_with(own.bytes())
            }
            Self::End => !literal.is_empty(),
        }
    }
}

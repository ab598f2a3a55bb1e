//! Can free text in a line forge its address?
//!
//! A line such as `Failed password for USER from ADDRESS port N ssh2` holds text that the attacker
//! chose. Where `src` stands in it must follow from the pattern alone, in one of two ways:
//!
//! - **from the left**: every field before `src` ends at a byte that can't be in it (`[^ ]*` before
//!   ` from `). That rests on the pack's claim about the field, so if free text also follows `src`, the
//!   matcher looks in it for a second address in the same surroundings ([`Frame`]) and calls the line
//!   ambiguous where it finds one;
//! - **from the right**: what follows `src` is fixed up to the end of the line, in such a way that it
//!   can't hold a second place that looks like the one before or behind `src`.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::set::ByteSet;

/// Name of the capture that holds the address.
pub(super) const SOURCE: &str = "src";

/// What stands around `src`, for finding a second such place.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) before: Vec<u8>,
    pub(super) source: Hir,
    pub(super) after: Vec<u8>,
}

/// What the linter has against a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Forgery {
    /// Free text before, and the line may go on after it.
    #[error(
        "free text before `src` could forge the address, as the pattern doesn't fix how the line ends: \
         end it with `$`, or keep spaces out of the text (`[^ ]*`)"
    )]
    OpenEnd,
    /// Free text before, and free text after it.
    #[error(
        "free text before `src` could forge the address, as what follows `src` could hold a second one: \
         spell out what follows up to `$`, or keep spaces out of the text before (`[^ ]*`)"
    )]
    FreeText,
    /// Free text that runs right into the address.
    #[error(
        "free text right before `src` could swallow a part of the address: put fixed text between them"
    )]
    NoFence,
    /// A host name that runs into the port behind it.
    #[error(
        "`{{host}}` may take the `:` behind it, and text before it with that: for ADDRESS:PORT write two patterns, \
         `(?<src>[0-9.]{{7,15}}):(?<port>{{port}})` and `\\[(?<src>{{ip}})\\]:(?<port>{{port}})`"
    )]
    HostPort,
    /// An address that may begin as the text before it ends.
    #[error(
        "`src` may begin with the byte that ends the free text before it, so where one ends and the other begins isn't \
         sure: take `{{ip}}`, which holds no such byte, or other text between them"
    )]
    LooseSource,
}

/// Checks a pattern. `Ok(Some(_))`: the matcher must look for a second address.
pub(super) fn check(hir: &Hir) -> Result<Option<Frame>, Forgery> {
    let mut walk = Walk { pieces: Vec::new(), source_first: ByteSet::default() };
    walk.hir(hir, ByteSet::default());
    // The walk goes from the end to the start.
    walk.pieces.reverse();
    let pieces = walk.pieces;
    let Some(at) = pieces.iter().position(|piece| matches!(piece, Piece::Source { .. })) else {
        return Ok(None);
    };
    let (before, from) = pieces.split_at(at);
    let [Piece::Source { row: source, hir: source_hir }, after @ ..] = from else {
        return Ok(None);
    };
    let fields = || before.iter().filter(|piece| matches!(piece, Piece::Field { .. }));
    if fields().next().is_none() {
        return Ok(None);
    }
    let ends = hir.properties().look_set_suffix().contains(Look::End);
    let open =
        before.iter().rposition(|piece| matches!(piece, Piece::Field { delimited: false, .. }));
    if let Some(open) = open {
        if !ends {
            return Err(Forgery::OpenEnd);
        }
        if let Piece::Field { follow, .. } = &before[open]
            && follow.meets(walk.source_first)
        {
            let text = before[open + 1..].iter().any(|piece| piece.literal().is_some());
            let host = |state: &State| matches!(state, State::Loop(set) if set.contains(b':') && set.contains(b'z'));
            let port =
                after.first().and_then(Piece::literal).is_some_and(|it| it.starts_with(b":"));
            return Err(match (text, port && source.iter().any(host)) {
                (_, true) => Forgery::HostPort,
                (true, false) => Forgery::LooseSource,
                (false, false) => Forgery::NoFence,
            });
        }
        return fixed_from_right(&before[open + 1..], source, after).map(|()| None);
    }
    // Fixed from the left, if the fields before are what the pack says.
    let digits = ByteSet::of(b"0123456789");
    let only_numbers = fields()
        .all(|piece| matches!(piece, Piece::Field { set, .. } if digits.union(*set) == digits));
    let fence = before.iter().rev().find_map(Piece::literal).ok_or(Forgery::NoFence)?;
    let free_after = !ends
        || after.iter().any(
            |piece| matches!(piece, Piece::Field { set, max, .. } if can_hold(*set, *max, fence)),
        );
    if only_numbers || !free_after {
        return Ok(None);
    }
    Ok(Some(Frame {
        before: fence.to_vec(),
        source: (*source_hir).clone(),
        after: after.first().and_then(Piece::literal).unwrap_or_default().to_vec(),
    }))
}

/// Whether only one place can be `src`'s, given that the line ends with the pattern. `fences`: what
/// stands between the last open field and `src`.
///
/// Suppose there were a second place, further right. A fence lies in front of it, so within *fence, source,
/// rest* but not at its start: where that can't be, we are done. Else, where fixed text follows the source,
/// that text stands behind the second place too: behind its first place, or within the source, or at the
/// same place, and then a fence lies within *fence, source*.
fn fixed_from_right(
    fences: &[Piece<'_>],
    source: &[State],
    after: &[Piece<'_>],
) -> Result<(), Forgery> {
    let fences: Vec<&[u8]> = fences.iter().filter_map(Piece::literal).collect();
    if fences.is_empty() {
        return Err(Forgery::NoFence);
    }
    let again = |fence: &[u8], rest: &[Piece<'_>]| {
        let row = [states(&Piece::Literal(fence)), source.to_vec(), row(rest)].concat();
        occurs(fence, &row, 1..row.len())
    };
    if fences.iter().any(|fence| again(fence, &[])) {
        return Err(Forgery::NoFence);
    }
    if !fences.iter().any(|fence| again(fence, after)) {
        return Ok(());
    }
    if let Some(Piece::Literal(text)) = after.first() {
        let row = [source.to_vec(), row(after)].concat();
        let place = source.len();
        if !occurs(text, &row, 0..place) && !occurs(text, &row, place + 1..row.len()) {
            return Ok(());
        }
    }
    Err(Forgery::FreeText)
}

/// A place in a row of pieces, before a byte.
#[derive(Clone, Copy)]
enum State {
    /// This byte comes, then the next state.
    Byte(u8),
    /// Any number of these bytes come, or none.
    Loop(ByteSet),
    /// From here it may go on at any later break, or here.
    Break,
}

fn states(piece: &Piece<'_>) -> Vec<State> {
    match piece {
        Piece::Literal(bytes) => bytes.iter().map(|&byte| State::Byte(byte)).collect(),
        Piece::Field { set, .. } => vec![State::Loop(*set)],
        Piece::Source { row, .. } => row.clone(),
        Piece::Break => vec![State::Break],
    }
}

fn row(pieces: &[Piece<'_>]) -> Vec<State> {
    pieces.iter().flat_map(states).collect()
}

/// Whether `text` can stand somewhere in a line that `row` describes, with its first byte at one of `from`.
fn occurs(text: &[u8], row: &[State], from: std::ops::Range<usize>) -> bool {
    let mut here = vec![false; row.len() + 1];
    here[from].fill(true);
    for &byte in text {
        let mut next = vec![false; row.len() + 1];
        for (at, state) in row.iter().enumerate().filter(|(at, _)| here[*at]) {
            match state {
                State::Byte(wanted) if *wanted == byte => next[at + 1] = true,
                State::Loop(set) if set.contains(byte) => next[at] = true,
                _ => {}
            }
        }
        // What can be reached without a byte; jumps go forward only, so one pass does.
        let mut jumping = false;
        for (at, state) in row.iter().enumerate() {
            if matches!(state, State::Break) {
                next[at] |= jumping;
                jumping |= next[at];
            }
            if next[at] && !matches!(state, State::Byte(_)) {
                next[at + 1] = true;
            }
        }
        here = next;
    }
    here.contains(&true)
}

fn can_hold(set: ByteSet, max: Option<usize>, text: &[u8]) -> bool {
    max.is_none_or(|max| max >= text.len()) && set.holds(text)
}

/// A pattern laid out in a row; alternatives one after the other.
enum Piece<'h> {
    Literal(&'h [u8]),
    /// Bytes that vary.
    Field {
        set: ByteSet,
        max: Option<usize>,
        /// Where it ends follows from its bytes and what comes next.
        delimited: bool,
        /// Bytes with which what comes next may begin.
        follow: ByteSet,
    },
    Source {
        row: Vec<State>,
        hir: &'h Hir,
    },
    /// Here the row isn't one: an optional part or an alternative begins or ends.
    Break,
}

impl Piece<'_> {
    fn literal(&self) -> Option<&[u8]> {
        match self {
            Self::Literal(bytes) => Some(bytes),
            _ => None,
        }
    }
}

struct Walk<'h> {
    pieces: Vec<Piece<'h>>,
    source_first: ByteSet,
}

impl<'h> Walk<'h> {
    /// Lays out `hir` from its end, given the bytes that may follow it. Returns those that it may begin
    /// with, or that follow it where it may be empty.
    fn hir(&mut self, hir: &'h Hir, follow: ByteSet) -> ByteSet {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => follow,
            HirKind::Literal(literal) => {
                self.pieces.push(Piece::Literal(&literal.0));
                ByteSet::of(&literal.0[..literal.0.len().min(1)])
            }
            HirKind::Class(class) => self.field(of_class(class), 1, Some(1), follow),
            HirKind::Repetition(repetition) => {
                let max = repetition.max.map(|max| usize::try_from(max).unwrap_or(usize::MAX));
                match repetition.sub.kind() {
                    HirKind::Class(class) => {
                        self.field(of_class(class), repetition.min, max, follow)
                    }
                    HirKind::Literal(literal) if literal.0.len() == 1 => {
                        self.field(ByteSet::of(&literal.0), repetition.min, max, follow)
                    }
                    _ if max == Some(1) => {
                        self.pieces.push(Piece::Break);
                        let first = self.hir(&repetition.sub, follow);
                        self.pieces.push(Piece::Break);
                        first.union(follow)
                    }
                    // A loop around a group may spell anything.
                    _ => self.field(ByteSet::ALL, 0, None, follow),
                }
            }
            HirKind::Capture(capture) if capture.name.as_deref() == Some(SOURCE) => {
                let mut inner = Walk { pieces: Vec::new(), source_first: ByteSet::default() };
                let first = inner.hir(&capture.sub, follow);
                inner.pieces.reverse();
                self.pieces.push(Piece::Source { row: row(&inner.pieces), hir: &capture.sub });
                self.source_first = first;
                first
            }
            HirKind::Capture(capture) => self.hir(&capture.sub, follow),
            HirKind::Concat(subs) => {
                subs.iter().rev().fold(follow, |follow, sub| self.hir(sub, follow))
            }
            HirKind::Alternation(subs) => {
                self.pieces.push(Piece::Break);
                let mut first = ByteSet::default();
                for sub in subs.iter().rev() {
                    first = first.union(self.hir(sub, follow));
                    self.pieces.push(Piece::Break);
                }
                first
            }
        }
    }

    fn field(&mut self, set: ByteSet, min: u32, max: Option<usize>, follow: ByteSet) -> ByteSet {
        let fenced = match self.pieces.last() {
            Some(Piece::Literal(next)) => !set.holds(next),
            _ => false,
        };
        let delimited = fenced || !set.meets(follow);
        self.pieces.push(Piece::Field { set, max, delimited, follow });
        if min == 0 { set.union(follow) } else { set }
    }
}

fn of_class(class: &Class) -> ByteSet {
    ByteSet::of_class(class).unwrap_or(ByteSet::ALL)
}

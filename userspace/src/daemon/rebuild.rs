//! At a start: what is kept in memory only comes back. Windows, scores, cooldowns, login sessions and what is
//! awaited are what the lines of the last hours have left behind, so those lines are read once more, from
//! a checkpoint on that lies before the longest window, up to where each source was left.
//!
//! They have had their effects: nothing is told, kept or banned again. Bans come from the history, which
//! knows what really became of each. Sources are taken together in the order of their lines' times.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::time::{Duration, Instant};
use std::vec;

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::evidence::Recent;
use super::pipeline::SKEW;
use super::sources::{Active, Positions, Sources};
use super::upkeep::STRAGGLERS;
use crate::config::StateConfig;
use crate::engine::Engine;
use crate::event::{Line, Record, Target, Timestamp, Verdict};
use crate::format::{Decoder, Selection};
use crate::seeded::HashMap;
use crate::source::{Again, LineCap, Position};
use crate::store::{Checkpoint, Reader, StoreError, Turn};

/// A ban of which nothing but its lapse is left may have begun so long before the first line.
const LONGEST_BAN: Duration = Duration::from_hours(24);
/// Lines between two looks at the clock.
const CLOCK_EVERY: u64 = 4_096;

/// Rebuilds what the sources' lines left behind; gives the recent lines by offender. Says what it did.
pub(super) fn rebuild(
    engine: &mut Engine,
    store: &Reader,
    sources: &Sources,
    committed: &Positions,
    config: &StateConfig,
) -> Result<Recent, StoreError> {
    let mut recent = Recent::default();
    let reading: Vec<&Active> = sources.reading().collect();
    let share = u64::from(config.rebuild_megabytes) << 20;
    let share = share / u64::try_from(reading.len().max(1)).unwrap_or(1);
    if share == 0 {
        return Ok(recent);
    }
    let began = Instant::now();
    let reach = engine.memory().min(config.rebuild);
    let mut stretches = Vec::new();
    for source in reading {
        let Some(committed) = committed.get(&source.name) else { continue };
        let checkpoints = store.checkpoints(&source.name)?;
        stretches.extend(Stretch::open(source, &checkpoints, committed, reach, share));
    }
    let Some(first) = stretches.iter().filter_map(Stretch::begins).min() else {
        return Ok(recent);
    };
    // One of them may have begun before the first of these lines.
    engine.policy_mut().restore_sessions(store.sessions()?);
    let mut bans = Bans::new(store.turns(first.saturating_sub(LONGEST_BAN))?);
    let mut lines = 0;
    let mut latest = None;
    while let Some(at) = earliest(&mut stretches) {
        if lines % CLOCK_EVERY == 0 && began.elapsed() > config.rebuild_time {
            tracing::warn!(
                reached = latest.map(|time: Timestamp| time.to_string()),
                "Not all could be rebuilt in state.rebuild_time; what came later counts for nothing."
            );
            break;
        }
        lines += 1;
        latest = stretches[at].take(engine, &mut bans, &mut recent).or(latest);
    }
    bans.pass(None, engine, &mut recent);
    if let Some(until) = store.awaited_until()? {
        // That has been told.
        drop(engine.advance(until));
    }
    tracing::info!(
        lines,
        from = %first,
        sources = stretches.iter().map(|stretch| stretch.name.as_str()).collect::<Vec<_>>().join(", "),
        took_ms = began.elapsed().as_millis(),
        "Rebuilt windows, scores and sessions from the logs."
    );
    Ok(recent)
}

/// What of a source is read once more.
struct Stretch {
    name: String,
    again: Again,
    decoder: Decoder,
    /// Whether its lines may ban.
    trusted: bool,
    /// In their order; the last one is where the source was left.
    places: Vec<Place>,
    next: Option<Next>,
    ended: bool,
}

/// A place of a source's.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// What comes after it arrived after this; of the last one: before this.
    at: Timestamp,
    /// How much stamps lag behind; `None`: what comes is a backlog.
    behind: Option<i64>,
}

/// The next line.
struct Next {
    bytes: Vec<u8>,
    after: usize,
    /// Where several sources have one, by what they are put in order.
    time: Option<Timestamp>,
}

impl Stretch {
    fn open(
        source: &Active,
        checkpoints: &[Checkpoint],
        committed: &Position,
        reach: Duration,
        share: u64,
    ) -> Option<Self> {
        let name = &source.name;
        let from = start(checkpoints, reach, share);
        if from.is_empty() {
            tracing::info!(
                source = name,
                "Nothing of it can be rebuilt: no earlier place is known."
            );
            return None;
        }
        let mut positions = Vec::new();
        let mut places = Vec::new();
        for Checkpoint { position, at, behind, .. } in from.iter().rev() {
            positions.push(position.place.parse().ok()?);
            places.push(Place { at: *at, behind: *behind });
        }
        positions.push(committed.clone());
        places.push(Place { at: Timestamp::now(), behind: None });
        let cap = LineCap::of(source.format);
        let again = Again::between(&source.input, cap, &positions)
            .inspect_err(|error| tracing::warn!(source = name, error, "It can't be rebuilt."))
            .ok()?;
        if again.is_incomplete() {
            tracing::warn!(
                source = name,
                "Not all of it can be rebuilt: a file that was read is gone or packed by now."
            );
        }
        let decoder = Decoder::new(Selection::Only(source.format), TimeZone::system());
        let trusted = source.may_ban();
        let name = name.clone();
        Some(Self { name, again, decoder, trusted, places, next: None, ended: false })
    }

    /// When its first lines arrived, or later.
    fn begins(&self) -> Option<Timestamp> {
        self.places.first().map(|place| place.at)
    }

    /// Makes sure that the next line is known, unless there is none.
    fn fill(&mut self) {
        if self.next.is_some() || self.ended {
            return;
        }
        match self.again.next_line() {
            Ok(Some(line)) => {
                self.next =
                    Some(Next { bytes: line.bytes.to_vec(), after: line.after, time: None });
            }
            Ok(None) => self.ended = true,
            Err(error) => {
                tracing::warn!(source = self.name, error, "The rest of it can't be rebuilt.");
                self.ended = true;
            }
        }
    }

    /// The next line's time.
    fn time(&mut self) -> Option<Timestamp> {
        let next = self.next.as_mut()?;
        if next.time.is_none() {
            let arrived = upper(&self.places, next.after);
            let line = Line { bytes: &next.bytes, arrived };
            let own = self.decoder.decode(line).ok().and_then(|record| record.time);
            next.time = Some(time(&self.places, next.after, own));
        }
        next.time
    }

    /// Takes the next line in; gives its time, where it is one of a record.
    fn take(
        &mut self,
        engine: &mut Engine,
        bans: &mut Bans,
        recent: &mut Recent,
    ) -> Option<Timestamp> {
        let Next { bytes, after, .. } = self.next.take()?;
        let line = Line { bytes: &bytes, arrived: upper(&self.places, after) };
        let mut record = self.decoder.decode(line).ok()?;
        let time = time(&self.places, after, record.time);
        record.time = Some(time);
        bans.pass(Some(time), engine, recent);
        drop(engine.advance(time.saturating_sub(STRAGGLERS)));
        bans.recall(&record, time, self.trusted, &bytes, engine, recent);
        Some(time)
    }
}

/// The source whose next line is the earliest.
fn earliest(stretches: &mut [Stretch]) -> Option<usize> {
    stretches.iter_mut().for_each(Stretch::fill);
    let there = stretches.iter().filter(|stretch| stretch.next.is_some()).count();
    if there < 2 {
        return stretches.iter().position(|stretch| stretch.next.is_some());
    }
    let times = stretches.iter_mut().enumerate();
    times.filter_map(|(at, stretch)| Some((stretch.time()?, at))).min().map(|(_, at)| at)
}

/// The checkpoints from which on is read, newest first: back to the last one that lies `reach` before the
/// newest, but not more bytes than `share`.
fn start(checkpoints: &[Checkpoint], reach: Duration, share: u64) -> &[Checkpoint] {
    let Some(newest) = checkpoints.first() else { return &[] };
    let early = newest.at.saturating_sub(reach);
    let mut bytes = 0_u64;
    let more = checkpoints.iter().take_while(|later| {
        bytes = bytes.saturating_add(later.bytes);
        later.at > early && bytes <= share
    });
    let count = (more.count() + 1).min(checkpoints.len());
    &checkpoints[..count]
}

/// What comes after this place arrived before that.
fn upper(places: &[Place], after: usize) -> Timestamp {
    let next = places.get(after + 1).or(places.last());
    next.map_or_else(Timestamp::now, |place| place.at)
}

/// What the windows ran on when the line was new: its own time, clamped to arrival; arrival where it has
/// none, or where what was read live had stamps that are off. Arrival is known to lie between two places.
fn time(places: &[Place], after: usize, own: Option<Timestamp>) -> Timestamp {
    let upper = upper(places, after);
    let Some(place) = places.get(after) else { return own.unwrap_or(upper).min(upper) };
    let Some(own) = own else { return place.at.min(upper) };
    let Some(behind) = place.behind.filter(|_| place.at <= upper) else { return own.min(upper) };
    let arrived = |time: Timestamp| {
        time.saturating_add(SKEW) >= place.at && time <= upper.saturating_add(SKEW)
    };
    let shifted = Timestamp::from_micros(own.as_micros().saturating_add(behind));
    if arrived(own) {
        own.min(upper)
    } else if arrived(shifted) {
        shifted.min(upper)
    } else {
        place.at
    }
}

/// The bans of that time.
struct Bans {
    turns: Peekable<vec::IntoIter<Turn>>,
    /// Until when the latest of each target held.
    until: HashMap<Target, Timestamp>,
    /// Lengths of the networks among them.
    lengths: BTreeSet<Reverse<u8>>,
}

impl Bans {
    fn new(turns: Vec<Turn>) -> Self {
        Self {
            turns: turns.into_iter().peekable(),
            until: HashMap::default(),
            lengths: BTreeSet::new(),
        }
    }

    /// Those that began or ended before `time`; `None`: all.
    fn pass(&mut self, time: Option<Timestamp>, engine: &mut Engine, recent: &mut Recent) {
        let due = |turn: &Turn| time.is_none_or(|time| turn.at < time);
        while let Some(Turn { target, until, .. }) = self.turns.next_if(due) {
            match until {
                Some(until) => {
                    engine.recall_ban(target);
                    recent.forget(target);
                    self.hold(target, until);
                }
                None => {
                    engine.recall_lift(target);
                    self.until.remove(&target);
                }
            }
        }
    }

    fn hold(&mut self, target: Target, until: Option<Timestamp>) {
        let until = until.unwrap_or(Timestamp::from_micros(i64::MAX));
        self.until.insert(target, until);
        let net = target.net();
        if net.prefix_len() < net.max_prefix_len() {
            self.lengths.insert(Reverse(net.prefix_len()));
        }
    }

    fn held(&self, target: Target, time: Timestamp) -> bool {
        let holds = |target: &Target| self.until.get(target).is_some_and(|until| *until > time);
        let net = target.net();
        holds(&target)
            || self.lengths.iter().any(|Reverse(length)| {
                *length < net.prefix_len()
                    && IpNet::new(net.addr(), *length).is_ok_and(|net| holds(&Target::from(net)))
            })
    }

    /// Takes a record in.
    fn recall(
        &mut self,
        record: &Record<'_>,
        time: Timestamp,
        trusted: bool,
        bytes: &[u8],
        engine: &mut Engine,
        recent: &mut Recent,
    ) {
        let outcome = engine.recall(record, time, trusted, |target| self.held(target, time));
        if outcome.fired.alerts.is_empty() && outcome.verdict == Verdict::Nothing {
            return;
        }
        if let Some(target) = outcome.target {
            recent.note(target, bytes);
        }
        if let Verdict::Ban(order) | Verdict::Lapsed(order) = &outcome.verdict {
            // The history tells how long it was. Where it has forgotten it, this is the best guess.
            let (target, until) = (order.target, order.expires());
            if !self.held(target, time) {
                self.hold(target, until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + 60 * minute)
    }

    fn checkpoint(minute: i64, bytes: u64) -> Checkpoint {
        let position = store::Position { source: "log".to_owned(), place: String::new() };
        Checkpoint { position, at: at(minute), behind: Some(0), bytes }
    }

    #[test]
    fn reading_begins_before_the_longest_window_unless_that_is_too_much() {
        // Newest first.
        let known: Vec<Checkpoint> =
            [60, 55, 50, 45, 40].map(|minute| checkpoint(minute, 100)).into();
        for (reach, share, count) in [
            (6 * MINUTE, 1_000, 3),
            (5 * MINUTE, 1_000, 2),
            (Duration::ZERO, 1_000, 1),
            (600 * MINUTE, 1_000, 5),
            (600 * MINUTE, 250, 3),
            (600 * MINUTE, 50, 1),
        ] {
            assert_eq!(start(&known, reach, share).len(), count, "{reach:?} {share}");
        }
        assert!(start(&[], MINUTE, 1_000).is_empty());
    }

    #[test]
    fn a_line_gets_the_time_that_it_had_when_it_was_new() {
        let place = |minute, behind| Place { at: at(minute), behind };
        let hour = 3_600_000_000;
        // Live with right stamps, live with stamps an hour behind, a backlog, the end.
        let places = [place(0, Some(0)), place(5, Some(hour)), place(10, None), place(15, None)];
        for (after, own, expected) in [
            (0, Some(3), 3),
            (0, None, 0),
            // A little ahead of arrival, which isn't later than the next place.
            (0, Some(6), 5),
            // Somebody else's clock.
            (0, Some(-300), 0),
            (0, Some(900), 0),
            (1, Some(7 - 60), 7),
            (1, Some(7), 7),
            (2, Some(-700), -700),
            (2, Some(700), 15),
            (2, None, 10),
        ] {
            let time = time(&places, after, own.map(at));
            assert_eq!(time, at(expected), "{after} {own:?}");
        }
    }

    #[test]
    fn bans_of_networks_hold_those_in_them() {
        let mut bans = Bans::new(Vec::new());
        bans.hold("198.51.100.0/24".parse().unwrap(), Some(at(5)));
        bans.hold("2001:db8::/32".parse().unwrap(), None);
        for (target, minute, held) in [
            ("198.51.100.7", 4, true),
            ("198.51.100.7", 5, false),
            ("198.51.101.7", 4, false),
            ("198.51.0.0/16", 4, false),
            ("2001:db8:7::/64", 900, true),
            ("2001:db9::/64", 0, false),
        ] {
            assert_eq!(bans.held(target.parse().unwrap(), at(minute)), held, "{target}");
        }
    }
}

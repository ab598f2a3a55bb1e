//! Messages that came before, byte for byte, and what they were recognised as.
//!
//! A quiet host says the same few things again and again: cron's sessions, health checks, timers. What a message is
//! recognised as depends on its program and its bytes alone, so it need not be worked out twice; nor, where it leads
//! nowhere, that it does. Lines with an address hardly ever come twice, and aren't kept.

use crate::event::{Body, Record, Slots};

/// Messages that are kept; a power of two.
const PLACES: usize = 64;
/// Longest program.
const PROGRAM: usize = 24;
/// Longest message.
const TEXT: usize = 128;

/// The messages of one set of packs.
#[derive(Debug)]
pub(crate) struct Memo {
    known: Box<[Known]>,
}

/// A message, and what was made of it.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Of the latest message that belongs here; what is kept may be another.
    hash: u64,
    program: Kept<PROGRAM>,
    text: Kept<TEXT>,
    taken: Taken,
    idle: bool,
}

/// What a message was recognised as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// Nothing: no pattern takes it.
    Nothing,
    /// This pattern took it, with these captures.
    By { pattern: usize, slots: Slots },
}

/// A few bytes.
#[derive(Clone, Copy, Debug)]
struct Kept<const LONGEST: usize> {
    /// More than `LONGEST` where nothing is kept.
    len: usize,
    bytes: [u8; LONGEST],
}

/// Where a message stands, or would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    hash: u64,
}

impl Default for Memo {
    fn default() -> Self {
        let nothing = Known {
            hash: 0,
            program: Kept::NOTHING,
            text: Kept::NOTHING,
            taken: Taken::Nothing,
            idle: false,
        };
        Self { known: vec![nothing; PLACES].into() }
    }
}

impl Memo {
    /// Where a record's message belongs; `None` for what is never kept.
    #[inline]
    pub(crate) fn place(record: &Record<'_>) -> Option<Place> {
        let (program, text) = parts(record)?;
        if program.len() > PROGRAM || text.len() > TEXT {
            return None;
        }
        // A message's beginning is its module's or its daemon's; what tells it apart stands behind that, or at
        // its end.
        let (words, _) = text.as_chunks::<8>();
        let [first, second] = [words.first()?, words.get(1).unwrap_or(&[0; 8])];
        let sayer = u64::from(program.first().copied().unwrap_or(0)) << 8 | program.len() as u64;
        let hash = [*first, *second, *text.last_chunk::<8>()?]
            .into_iter()
            .map(u64::from_le_bytes)
            .fold(sayer << 16 | text.len() as u64, |hash, word| {
                (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            });
        Some(Place { hash })
    }

    /// What the record was recognised as, if it is the one that stands there; and whether that leads nowhere.
    #[inline]
    pub(crate) fn recall(&self, place: Place, record: &Record<'_>) -> Option<(&Taken, bool)> {
        let Known { hash, program, text, taken, idle } = &self.known[place.index()];
        let (its_program, its_text) = parts(record)?;
        (*hash == place.hash && text.is(its_text) && program.is(its_program))
            .then_some((taken, *idle))
    }

    /// Whether such a message came the last time that one belonged there: what comes twice may come again.
    #[inline]
    pub(crate) fn came_before(&mut self, place: Place) -> bool {
        let known = &mut self.known[place.index()];
        std::mem::replace(&mut known.hash, place.hash) == place.hash
    }

    /// Keeps what a record was recognised as, in the place of what stood there.
    pub(crate) fn keep(&mut self, place: Place, record: &Record<'_>, taken: Taken, idle: bool) {
        if let Some((program, text)) = parts(record) {
            let known = &mut self.known[place.index()];
            known.hash = place.hash;
            known.program.set(program);
            known.text.set(text);
            (known.taken, known.idle) = (taken, idle);
        }
    }
}

impl Place {
    #[inline]
    fn index(self) -> usize {
        usize::try_from(self.hash >> 58).unwrap_or(0) % PLACES
    }
}

/// Program and message, where the record is such a line.
#[inline]
fn parts<'l>(record: &Record<'l>) -> Option<(&'l [u8], &'l [u8])> {
    match record.body {
        Body::Message(text) => Some((record.program.unwrap_or_default(), text)),
        Body::Access(_) | Body::Suricata(_) => None,
    }
}

impl<const LONGEST: usize> Kept<LONGEST> {
    const NOTHING: Self = Self { len: usize::MAX, bytes: [0; LONGEST] };

    #[inline]
    fn is(&self, bytes: &[u8]) -> bool {
        self.len == bytes.len() && self.bytes.get(..bytes.len()) == Some(bytes)
    }

    fn set(&mut self, bytes: &[u8]) {
        self.len = usize::MAX;
        if let Some(room) = self.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.len = bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'l>(program: &'l str, text: &'l str) -> Record<'l> {
        Record {
            time: None,
            host: None,
            program: Some(program.as_bytes()),
            pid: None,
            repeated: 1,
            body: Body::Message(text.as_bytes()),
        }
    }

    #[test]
    fn what_is_recalled_is_the_same_message_of_the_same_program() {
        let mut memo = Memo::default();
        let known = record("CRON", "session opened for user root by (uid=0)");
        let place = Memo::place(&known).unwrap();
        assert!(memo.recall(place, &known).is_none());
        assert!(!memo.came_before(place) && memo.came_before(place));
        memo.keep(place, &known, Taken::Nothing, true);
        assert!(matches!(memo.recall(place, &known), Some((Taken::Nothing, true))));
        for other in [
            // The same first and last words, and the same length.
            record("CRON", "session opened for user rooo by (uid=0)"),
            record("Cron", "session opened for user root by (uid=0)"),
            record("CRONS", "session opened for user root by (uid=0)"),
            record("CRON", "session opened for user root by (uid=00)"),
        ] {
            assert!(memo.recall(Memo::place(&other).unwrap(), &other).is_none(), "{other:?}");
            assert!(memo.recall(place, &other).is_none(), "{other:?}");
        }
        // Nothing is kept of what is too long, or hardly a message.
        let long = "x".repeat(TEXT + 1);
        assert!(Memo::place(&record("CRON", &long)).is_none());
        assert!(Memo::place(&record("CRON", "short")).is_none());
    }
}

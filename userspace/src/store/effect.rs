//! What is written: the effects of a batch of lines.

use serde::{Deserialize, Serialize};

use super::read::Offences;
use crate::event::{BanOrder, Origin, Target, Timestamp, Withheld};
use crate::policy::OpenSession;

/// Something that a batch of lines, a person or time did.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A source has been read up to here.
    Position(Position),
    /// A source is gone for good, and where it was left doesn't matter any more.
    Forgotten {
        /// Its name.
        source: String,
    },
    /// Where a source stands, to read from there once more after a restart.
    Checkpoint(Checkpoint),
    /// All SSH sessions that are open.
    Sessions(Vec<OpenSession>),
    /// What was awaited and hadn't come by then has been told.
    Awaited {
        /// By the lines' time.
        until: Timestamp,
    },
    /// What the wall's clock is measured by, and by how many microseconds it has stepped since that was
    /// written last; 0: not at all.
    Clock {
        /// How it stands now.
        anchor: Anchor,
        /// Everything that lasts until a time gets it moved by this.
        stepped: i64,
    },
    /// A ban was made or renewed; counters of an existing one stay.
    Banned {
        /// The decision.
        order: BanOrder,
        /// The lines that led to it.
        evidence: Evidence,
    },
    /// A ban stands; told to a database that was begun anew, and may know it by now.
    Standing {
        /// The decision.
        order: BanOrder,
    },
    /// How often a target was banned before; told to a database that was begun anew.
    Offences(Offences),
    /// A ban out of a backlog, whose end had passed before its line was read: history and offence only.
    Late {
        /// The decision.
        order: BanOrder,
        /// The lines that led to it.
        evidence: Evidence,
    },
    /// A ban was lifted.
    Unbanned {
        /// Of what.
        target: Target,
        /// When.
        at: Timestamp,
        /// By whom.
        by: Origin,
        /// The offence of this ban is forgiven: it doesn't count for the next one's length.
        forgive: bool,
        /// What it dropped.
        packets: u64,
        /// What it dropped.
        bytes: u64,
    },
    /// A ban reached its end.
    Lapsed {
        /// Of what.
        target: Target,
        /// When.
        at: Timestamp,
        /// What it dropped.
        packets: u64,
        /// What it dropped.
        bytes: u64,
    },
    /// A rule fired, or a ban was called for and withheld: history.
    Alert(AlertRecord),
    /// What a ban has dropped so far, for after a reboot.
    Counts {
        /// Of what.
        target: Target,
        /// In total.
        packets: u64,
        /// In total.
        bytes: u64,
    },
    /// Something to be mailed.
    Mail(OutboxEntry),
    /// A person put a target on the allow list, or gave it another end there.
    Allowed(Allowed),
    /// A target that a person allowed is no longer on the allow list.
    Disallowed {
        /// Which.
        target: Target,
    },
}

/// A target that a person allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowed {
    /// Which.
    pub target: Target,
    /// From when on.
    pub since: Timestamp,
    /// Until when; `None`: until it is taken off.
    pub expires: Option<Timestamp>,
}

/// How far a source has been read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Position {
    /// The source's name.
    pub source: String,
    /// How far, up to the last line that has had its effect: the source room's own encoding.
    pub place: String,
}

/// Where a source stood at some time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Its position then.
    pub position: Position,
    /// By the wall clock: what comes after the position arrived later.
    pub at: Timestamp,
    /// How much its stamps lagged behind arrival, in microseconds, 0 where they don't; `None`: what was read
    /// then was a backlog.
    pub behind: Option<i64>,
    /// Bytes that were read since the one before.
    pub bytes: u64,
}

/// What the wall's clock can be measured by later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    /// Which boot of the machine.
    pub boot: String,
    /// When that was by the wall's clock, in microseconds since the epoch.
    pub booted_us: i64,
}

/// An alert that is worth remembering.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// The line's time.
    pub at: Timestamp,
    /// What a ban would be about; `None` without offender.
    pub target: Option<Target>,
    /// The rule; `None` where the score called for a ban.
    pub rule: Option<u32>,
    /// Its level.
    pub level: Option<u8>,
    /// Its description.
    pub description: String,
    /// Why no ban came where one was called for.
    pub withheld: Option<Withheld>,
    /// The lines that led to it.
    pub evidence: Evidence,
}

/// Something to be mailed; what it says and which lane it takes is the mail room's business.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboxEntry {
    /// Which of the mail room's queues.
    pub lane: &'static str,
    /// When it got here, by the wall clock.
    pub queued: Timestamp,
    /// 0-15; the higher ones are told in full where not all can be.
    pub level: u8,
    /// What entries have in common that may be told as a number only.
    pub topic: String,
    /// Whom it blames, if anybody.
    pub offender: Option<String>,
    /// Whether it is told also where the lane's mails have told that offender at this level already.
    pub again: bool,
    /// The mail room's own encoding.
    pub notice: String,
}

/// The last lines that led to something, as text; bounded in number and length.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Evidence(Vec<String>);

impl Evidence {
    /// The newest lines kept.
    pub const LINES: usize = 20;
    /// Bytes of a line kept.
    pub const LINE_BYTES: usize = 1024;

    /// Adds a line; invalid UTF-8 becomes U+FFFD, and the oldest line goes where there are too many.
    pub fn push(&mut self, line: &[u8]) {
        let cut = line.len() > Self::LINE_BYTES;
        let text = String::from_utf8_lossy(&line[..line.len().min(Self::LINE_BYTES)]);
        // Stored with `\n` between lines.
        let mut text = text.replace('\n', " ");
        if cut {
            text.push('…');
        }
        if self.0.len() == Self::LINES {
            self.0.remove(0);
        }
        self.0.push(text);
    }

    /// Oldest first.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    pub(super) fn stored(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("\n"))
    }

    pub(super) fn restored(text: Option<&str>) -> Self {
        let mut evidence = Self::default();
        for line in text.into_iter().flat_map(|text| text.split('\n')) {
            evidence.0.push(line.to_owned());
        }
        evidence
    }
}

impl<'l> FromIterator<&'l [u8]> for Evidence {
    fn from_iter<I: IntoIterator<Item = &'l [u8]>>(lines: I) -> Self {
        let mut evidence = Self::default();
        for line in lines {
            evidence.push(line);
        }
        evidence
    }
}

impl Effect {
    /// Bytes of memory it takes, roughly.
    pub(super) fn weight(&self) -> usize {
        let text = match self {
            Self::Position(position) | Self::Checkpoint(Checkpoint { position, .. }) => {
                position.source.len() + position.place.len()
            }
            Self::Forgotten { source } => source.len(),
            Self::Banned { order, evidence } | Self::Late { order, evidence } => {
                order.reason.len() + evidence.weight()
            }
            Self::Sessions(open) => size_of_val(open.as_slice()),
            Self::Standing { order } => order.reason.len(),
            Self::Alert(alert) => alert.description.len() + alert.evidence.weight(),
            Self::Mail(entry) => entry.topic.len() + entry.notice.len(),
            Self::Unbanned { .. }
            | Self::Lapsed { .. }
            | Self::Counts { .. }
            | Self::Awaited { .. }
            | Self::Clock { .. }
            | Self::Offences(_)
            | Self::Allowed(_)
            | Self::Disallowed { .. } => 0,
        };
        size_of::<Self>() + text
    }
}

impl Evidence {
    fn weight(&self) -> usize {
        self.0.iter().map(|line| size_of::<String>() + line.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_bounded_and_survives_storage() {
        let mut evidence = Evidence::default();
        for n in 0..30 {
            evidence.push(format!("line {n}").as_bytes());
        }
        evidence.push(&[b'x'; 5000]);
        evidence.push(b"a\nb\xff");
        assert_eq!(evidence.lines().len(), Evidence::LINES);
        assert_eq!(evidence.lines()[0], "line 12");
        assert_eq!(evidence.lines()[18].len(), Evidence::LINE_BYTES + '…'.len_utf8());
        assert_eq!(evidence.lines()[19], "a b\u{fffd}");
        assert_eq!(Evidence::restored(evidence.stored().as_deref()), evidence);
        assert_eq!(Evidence::restored(None), Evidence::default());
    }
}

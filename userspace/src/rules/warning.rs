//! What a pack says that is allowed, and hardly meant.

use std::fmt;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::Packs;
use super::blame::{APART, source_with_port};
use super::error::Place;
use crate::config::BanConfig;
use crate::event::{Line, Timestamp};
use crate::format::{Decoder, Selection};

/// A doubt about a pack, and where.
#[derive(Clone, Debug)]
pub struct PackWarning {
    /// Where.
    pub place: Box<Place>,
    /// What.
    pub doubt: Doubt,
}

/// What is doubtful.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// An event that rules would ban for, if it were proven.
    #[error(
        "{} can't ban for the event `{event}`, which doesn't say `proven: true`: say it, if the service had an \
         answer from that address before (TCP); if not, say `proven: false`, and it alerts only",
        rules(meant)
    )]
    Unproven {
        /// The event.
        event: String,
        /// The rules.
        meant: Vec<Meant>,
    },
    /// A rule that would ban or score, on events that don't say whom.
    #[error(
        "{} can never ban: {} no field `src`; name the address `(?<src>{{ip}})`, or {}",
        rules(std::slice::from_ref(meant)),
        have(events),
        meant.instead()
    )]
    NoSource {
        /// The rule.
        meant: Meant,
        /// Its events.
        events: Vec<String>,
    },
    /// A rule that would ban or score on successes.
    #[error(
        "{} can never ban: {} a `success`, which blames nobody; {}",
        rules(std::slice::from_ref(meant)),
        are(events),
        meant.instead()
    )]
    Success {
        /// The rule.
        meant: Meant,
        /// Its events.
        events: Vec<String>,
    },
    /// A rule that waits for what anybody did.
    #[error(
        "rule {rule} counts what came before from anybody together: give `preceded_by` a `same: [src]`, or say \
         `same: []` if that is meant"
    )]
    Everybody {
        /// The rule.
        rule: u32,
    },
    /// An id that a shipped rule may come to have.
    #[error("an upgrade may bring a rule {rule} of its own: ids from {FREE} on are yours")]
    ShippedId {
        /// The rule.
        rule: u32,
    },
    /// A program that no line can name.
    #[error("no line names a program `{program}`: {remedy}")]
    Program {
        /// As written.
        program: String,
        /// What to write.
        remedy: String,
    },
    /// A pattern that begins with what is taken off before.
    #[error(
        "this pattern asks for the line's header, which is taken off before: begin with the message behind \
         `{program}[812]: `"
    )]
    Header {
        /// The program that stands in it.
        program: String,
    },
    /// A pattern of several lines.
    #[error(
        "this pattern has a line break in it, and no message has: write it in one line, in single quotes"
    )]
    LineBreak,
    /// An event that leaves nothing to those behind it.
    #[error(
        "`{event}` takes every line, so none is left for {}: move it behind them",
        names(hidden)
    )]
    CatchAll {
        /// The event.
        event: String,
        /// Those behind it.
        hidden: Vec<String>,
    },
    /// A test whose line has an address with a port in `src`.
    #[error("`src` is `{src}` here, an address with a port, so the line blames nobody: {APART}")]
    WithPort {
        /// The field.
        src: String,
    },
    /// A pack that nothing tests.
    #[error(
        "the pack `{pack}` has no tests: add `tests` with lines of your log, and what must come of them"
    )]
    Untested {
        /// The pack.
        pack: String,
    },
    /// A file that isn't read, though it looks like a pack.
    #[error("this file isn't read: only `*.yaml` is; rename it to `{}`", to.display())]
    OtherName {
        /// What it should be called.
        to: PathBuf,
    },
    /// A folder in which there is nothing to read.
    #[error("there is no pack in this folder: only `*.yaml` in it is read, not in folders below")]
    EmptyFolder,
}

/// What the lines of the packs' own tests show.
pub(super) fn of_tests(packs: &Packs) -> Vec<PackWarning> {
    let mut found = Vec::new();
    for test in &packs.own_tests {
        let mut decoder = Decoder::new(Selection::Only(test.format), TimeZone::UTC);
        let src = test.lines.iter().find_map(|line| {
            let line = Line { bytes: line.as_bytes(), arrived: Timestamp::now() };
            let record = decoder.decode(line).ok()?;
            source_with_port(&packs.recognise(&record)?)
        });
        if let Some(src) = src {
            let place = Box::new(test.place.clone());
            found.push(PackWarning { place, doubt: Doubt::WithPort { src } });
        }
    }
    found
}

/// The first id that no shipped rule has.
pub(super) const FREE: u32 = 900_000;

/// A rule that is meant to ban or to score.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Meant {
    /// Its id.
    pub rule: u32,
    /// How one sees it.
    pub by: By,
}

/// How one sees what a rule is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    /// It says `ban: true`, or `ban: prefix`.
    Word,
    /// It adds to the score.
    Score,
    /// It has this level, and doesn't say `ban: false`.
    Level(u8),
}

impl Meant {
    /// Whether it would ban as configured.
    fn holds(self, ban: &BanConfig) -> bool {
        match self.by {
            By::Word | By::Score => true,
            By::Level(level) => level >= ban.level,
        }
    }

    /// What to say where it isn't meant.
    const fn instead(self) -> &'static str {
        match self.by {
            By::Word => "take its `ban` out",
            By::Score => "take its `score` out",
            By::Level(_) => "say `ban: false`",
        }
    }
}

impl PackWarning {
    /// What is left of it as configured: where a rule bans by level depends on `ban.level`.
    pub fn under(mut self, ban: &BanConfig) -> Option<Self> {
        let stays = match &mut self.doubt {
            Doubt::Unproven { meant, .. } => {
                meant.retain(|meant| meant.holds(ban));
                !meant.is_empty() && !ban.unproven
            }
            Doubt::NoSource { meant, .. } | Doubt::Success { meant, .. } => meant.holds(ban),
            _ => true,
        };
        stays.then_some(self)
    }
}

impl fmt::Display for PackWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, self.doubt, self.place.excerpt())
    }
}

/// `rule 1`, `rules 1, 2`
fn rules(meant: &[Meant]) -> String {
    let ids: Vec<String> = meant.iter().map(|meant| meant.rule.to_string()).collect();
    format!("rule{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "))
}

fn names(events: &[String]) -> String {
    let quoted: Vec<String> = events.iter().map(|event| format!("`{event}`")).collect();
    quoted.join(", ")
}

fn have(events: &[String]) -> String {
    match events {
        [event] => format!("its event `{event}` has"),
        events => format!("its events {} have", names(events)),
    }
}

fn are(events: &[String]) -> String {
    match events {
        [event] => format!("its event `{event}` is"),
        events => format!("each of its events {} is", names(events)),
    }
}

//! What can be wrong with a pack: place, value, remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::list::ListError;
use super::nearest;
use super::pack::keys;
use super::pattern::PatternError;

/// Everything that is wrong with the packs; never empty.
#[derive(Debug, thiserror::Error)]
pub struct PackErrors {
    /// In the order in which it was found.
    pub errors: Vec<PackError>,
}

impl fmt::Display for PackErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl From<PackError> for PackErrors {
    fn from(error: PackError) -> Self {
        Self { errors: vec![error] }
    }
}

/// One thing that is wrong with a pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file or folder of packs can't be read.
    #[error("cannot read the pack `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A pack says something that makes no sense.
    #[error("{place}: {problem}{}", place.excerpt())]
    Problem {
        /// Where.
        place: Box<Place>,
        /// What.
        problem: Problem,
    },
}

/// A place in a pack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The pack's file, or `built-in NAME`.
    pub file: String,
    /// From 1; 0 where it is the pack as a whole.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What stands on that line.
    pub text: String,
}

impl Place {
    /// The line, and below it a caret under the column; empty where the line isn't known.
    pub(crate) fn excerpt(&self) -> String {
        if self.line == 0 {
            return String::new();
        }
        let column = usize::try_from(self.column.saturating_sub(1)).unwrap_or(0);
        let indent: String =
            self.text.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let (number, margin) = (self.line.to_string(), " ".repeat(self.line.to_string().len()));
        format!("\n{number} | {}\n{margin} | {indent}^", self.text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What is wrong at a place.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// YAML that can't be read.
    #[error("{message}")]
    Yaml {
        /// The reader's words, and a remedy.
        message: String,
    },
    /// A value that its key can't have.
    #[error("{}expected {expected}, got {}", of_key(key), quoted(got))]
    Value {
        /// The key; empty where it isn't known.
        key: String,
        /// What could stand there.
        expected: String,
        /// As written; empty where nothing stands there.
        got: String,
    },
    /// A key that must be there.
    #[error("missing key `{key}`: {remedy}")]
    MissingKey {
        /// Which.
        key: &'static str,
        /// What to write.
        remedy: &'static str,
    },
    /// A key that is there twice.
    #[error(
        "`{key}` stands here a second time: keep one{}",
        match key.as_str() {
            "pattern" => ", or put both into a list under `patterns`",
            "line" | "lines" | "expect" => ", or begin another test with `- `",
            "id" => ", or begin another rule with `- `",
            _ => "",
        }
    )]
    SecondKey {
        /// Which.
        key: String,
    },
    /// A line that begins in the wrong column.
    #[error(
        "`{key}` begins in column {column}, {}: begin it in column {beside_column}, as `{beside}` in line {beside_line}",
        if *deeper { "deeper than a key that has its value already" } else { "where nothing above it does" }
    )]
    Indentation {
        /// Its key.
        key: String,
        /// From 1.
        column: usize,
        /// It stands too deep, and not between two columns.
        deeper: bool,
        /// The key that it probably belongs beside.
        beside: String,
        /// Its line.
        beside_line: usize,
        /// Its column.
        beside_column: usize,
    },
    /// An event's key where its name stands.
    #[error("`{key}` stands beside the event's name `{name}`: indent it deeper than that")]
    BesideItsName {
        /// The key.
        key: String,
        /// The event's name.
        name: String,
    },
    /// A key that nobody knows.
    #[error("unknown key `{key}`; {}", keys::hint(key, known))]
    UnknownKey {
        /// As written.
        key: String,
        /// What could stand there.
        known: Vec<&'static str>,
    },
    /// Two packs of one name.
    #[error("there is a pack `{name}` already, at {first}: give this one another name")]
    DuplicatePack {
        /// The name.
        name: String,
        /// Where the first one is.
        first: Box<Place>,
    },
    /// Two rules of one id.
    #[error(
        "there is a rule {id} already, at {first}: give this one another id, or say `override: true` if it is to take \
         that one's place"
    )]
    DuplicateRule {
        /// The id.
        id: u32,
        /// Where the first one is.
        first: Box<Place>,
    },
    /// Two overrides of one rule.
    #[error("rule {id} is overridden already, at {first}: join the two")]
    DuplicateOverride {
        /// The id.
        id: u32,
        /// Where the first one is.
        first: Box<Place>,
    },
    /// An override of a rule that isn't there.
    #[error("there is no rule {id} to override: take `override` out, or mend the id")]
    NothingToOverride {
        /// As written.
        id: u32,
    },
    /// Rules that inherit from each other.
    #[error("rule {id} inherits from itself: break the circle of `inherit`")]
    InheritCircle {
        /// One of them.
        id: u32,
    },
    /// A pack that isn't there.
    #[error("there is no pack `{name}`; {}", nearest::hint(name, known.iter().map(String::as_str)))]
    UnknownPack {
        /// As written.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// A rule that doesn't say what each must, and inherits it from nobody.
    #[error("missing key `{key}`, which every rule must have or inherit")]
    Missing {
        /// What isn't there.
        key: &'static str,
    },
    /// A name that JSON, log lines and other packs can't carry.
    #[error("expected a name of a-z, 0-9 and `-`, got `{name}`")]
    BadName {
        /// As written.
        name: String,
    },
    /// A pattern that begins with what its format takes off.
    #[error(
        "this pattern begins with the line's header: time, host and program (`{program}`) are taken off before, so \
         begin with the message behind `{program}[812]: `"
    )]
    Header {
        /// The pack's program that stands in it.
        program: String,
    },
    /// A pattern.
    #[error("{source}")]
    Pattern {
        /// What about it.
        #[source]
        source: PatternError,
    },
    /// An event of log lines without a pattern, or with two kinds of them.
    #[error("expected either `pattern` or `patterns` with at least one in it")]
    WantsPattern,
    /// An event of Suricata's with a pattern.
    #[error(
        "`{key}` makes no sense in a pack of format suricata, whose alerts come in fields: use `when`"
    )]
    NotForSuricata {
        /// As written.
        key: &'static str,
    },
    /// No program writes these lines.
    #[error(
        "`{key}` makes no sense in a pack of format {format}, whose lines are all alike in that: remove it"
    )]
    OnlyForSyslog {
        /// As written.
        key: &'static str,
        /// The pack's format.
        format: &'static str,
    },
    /// A rule that listens to nothing, or to two kinds of things.
    #[error("expected either `event` or `after`")]
    WantsTrigger,
    /// A rule that listens to an event that isn't in its pack.
    #[error("no event `{name}` in this pack; {}", nearest::hint(name, known.iter().map(String::as_str)))]
    UnknownEvent {
        /// As written.
        name: String,
        /// The pack's events.
        known: Vec<String>,
    },
    /// A rule that refers to one that isn't there.
    #[error("no pack has a rule {id}: mend the id, or load the pack that has it")]
    UnknownRule {
        /// As written.
        id: u32,
    },
    /// Rules that wait for each other.
    #[error("rule {id} comes after itself: break the circle of `after`")]
    Circle {
        /// One of them.
        id: u32,
    },
    /// A field that no event of the rule has.
    #[error("no event of this rule has a field `{name}`; {}", nearest::hint(name, known.iter().map(String::as_str)))]
    UnknownField {
        /// As written.
        name: String,
        /// The fields of its events.
        known: Vec<String>,
    },
    /// A time of day that can't be read.
    #[error("expected a time of day as `22:00-06:00`, got `{text}`")]
    BadTime {
        /// As written.
        text: String,
    },
    /// A day that isn't one.
    #[error("expected a day of the week as `sat`, or `mon-fri`, got `{name}`; {hint}")]
    BadWeekday {
        /// As written.
        name: String,
        /// Days there are.
        hint: String,
    },
    /// Something else than a value for what has only values.
    #[error("`{key}` has no `min`, `max` and `in`: write it as one value, or a list of them")]
    NoRange {
        /// The key.
        key: &'static str,
    },
    /// A condition that an event can't have.
    #[error("`{key}` is for the `when` of rules: an event says only how a line reads")]
    NotInEvent {
        /// The key.
        key: &'static str,
    },
    /// A list that no pack has.
    #[error("no pack has a list `{name}`; {}", nearest::hint(name, known.iter().map(String::as_str)))]
    UnknownList {
        /// As written.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Two files by one name.
    #[error(
        "there is a list `{name}` of another file already, at {first}: give this one another name"
    )]
    DuplicateList {
        /// The name.
        name: String,
        /// Where the first one is.
        first: Box<Place>,
    },
    /// A list's file that depends on where somebody stands.
    #[error("expected the full path of a file, as `/etc/ravelin/lists/{name}.txt`, got `{}`", path.display())]
    RelativeList {
        /// The list.
        name: String,
        /// As written.
        path: PathBuf,
    },
    /// A list that can't be read.
    #[error("{source}")]
    List {
        /// Why.
        #[source]
        source: ListError,
    },
    /// `within`, `same` or `distinct` without `count`.
    #[error("`{key}` makes no sense without `count`")]
    WantsCount {
        /// As written.
        key: &'static str,
    },
    /// `count` without `within`.
    #[error("`count` needs `within`, the time in which the events are counted")]
    WantsWithin,
    /// A rule that counts over many offenders, and would ban the last one.
    #[error(
        "this rule counts over all offenders and would ban the last one of them: add `same: [src]`, or say \
         `ban: false`"
    )]
    Crowd,
    /// An `aggregate` that counts something else.
    #[error(
        "`aggregate` counts the different offenders of a network: it goes with `ban: prefix` or `ban: false`, without \
         `distinct`, `same: [src]` and successes"
    )]
    Aggregate,
    /// A ban of a network by a rule that counts none.
    #[error(
        "`ban: prefix` bans the network that `aggregate` counts by: add `aggregate` and `count`, or say `ban: true`"
    )]
    PrefixOfWhat,
    /// `same: [src]` over events whose `src` isn't the same thing.
    #[error(
        "`src` of a Suricata alert is the packet's, that of a success is the client's: they can't be the same \
         key; leave one of the two out"
    )]
    MixedSource,
    /// A rule about absence that also says what only events can have.
    #[error(
        "`{key}` makes no sense in a rule about what doesn't come: nothing comes that could be counted, scored or \
         banned for; put it into a rule that this one comes `after`"
    )]
    NotWithAbsence {
        /// As written.
        key: &'static str,
    },
    /// A rule that listens to one about absence.
    #[error("rule {id} fires when nothing comes, so no event can be after it")]
    AfterAbsence {
        /// As written.
        id: u32,
    },
    /// A number out of its range.
    #[error("expected `{key}` from {min} to {max}, got {got}")]
    Range {
        /// The key.
        key: &'static str,
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// As written.
        got: f64,
    },
    /// A test that feeds too many lines, or none.
    #[error(
        "expected `times` from 1 to {max}, got {got}: a test feeds at most {most} lines in all"
    )]
    Times {
        /// As written.
        got: u32,
        /// What the number of its lines leaves room for.
        max: u32,
        /// Lines that a test may feed.
        most: u32,
    },
    /// A test without a line, or with both kinds.
    #[error("expected either `line` or `lines` with at least one in it")]
    WantsLine,
}

/// The key in front of what is said of its value.
fn of_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

fn quoted(got: &str) -> String {
    if got.is_empty() { "nothing".to_owned() } else { format!("`{got}`") }
}

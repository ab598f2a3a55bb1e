//! Packs: read, lint, compile, match.
//!
//! A pack is a YAML file of events (how to recognise a line) and rules (what it means), with its tests
//! inside. [`Packs`] holds all of them, compiled; [`Packs::recognise`] makes an [`Event`] of a record, and
//! the correlator runs [`Packs::rules`] on it. `docs/rules.md` describes the language.
#![forbid(unsafe_code)]

mod blame;
mod compile;
mod condition;
mod error;
mod expect;
mod list;
mod nearest;
mod pack;
mod pattern;
mod recognise;
mod rule;
mod warning;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use self::blame::why_nobody;
pub use self::condition::{Asks, Condition, DaySpan, Values, Weekdays};
pub use self::error::{PackError, PackErrors, Place, Problem};
pub use self::expect::{Expect, Outcome, PackTest};
pub(crate) use self::list::WatchedFile;
pub use self::list::{List, ListError, ListSource, ListWatch, Lists};
use self::pack::Text;
pub use self::pattern::{Forgery, PatternError};
pub(crate) use self::recognise::Memo;
use self::recognise::Recogniser;
pub use self::recognise::{NearMiss, Trace};
pub use self::rule::{Absence, Key, Preceded, Rule, RuleSet, Trigger, Window};
pub use self::warning::{By, Doubt, Meant, PackWarning};
use crate::config::BanConfig;
use crate::event::{Event, EventKind, Record};

/// A pack inside the binary.
#[derive(Clone, Copy)]
struct Shipped {
    /// What it is called in messages.
    file: &'static str,
    /// As it was written.
    yaml: &'static str,
    /// The same without its tests, as `build.rs` wrote it.
    json: &'static str,
}

macro_rules! shipped {
    ($name:literal) => {
        Shipped {
            file: concat!("built-in ", $name, ".yaml"),
            yaml: include_str!(concat!("../../rules/", $name, ".yaml")),
            json: include_str!(concat!(env!("OUT_DIR"), "/packs/", $name, ".json")),
        }
    };
}

/// The packs inside the binary, in order.
const BUILTIN: [Shipped; 30] = [
    shipped!("suricata"),
    shipped!("sshd"),
    shipped!("pam"),
    shipped!("sudo"),
    shipped!("su"),
    shipped!("apache"),
    shipped!("asterisk"),
    shipped!("cron"),
    shipped!("dovecot"),
    shipped!("dpkg"),
    shipped!("dropbear"),
    shipped!("exim"),
    shipped!("gitlab"),
    shipped!("kernel"),
    shipped!("login"),
    shipped!("mysql"),
    shipped!("named"),
    shipped!("nextcloud"),
    shipped!("nginx"),
    shipped!("openvpn"),
    shipped!("postfix"),
    shipped!("postgresql"),
    shipped!("proftpd"),
    shipped!("pure-ftpd"),
    shipped!("ravelin"),
    shipped!("roundcube"),
    shipped!("shadow"),
    shipped!("vaultwarden"),
    shipped!("vsftpd"),
    shipped!("web-access"),
];

impl Shipped {
    /// What is loaded.
    const fn text(&self) -> Text<'static> {
        Text::shipped(self.file, self.json)
    }

    /// What it was made of.
    fn source(&self) -> Text<'static> {
        Text::new(self.file, without_tests(self.yaml))
    }
}

/// A pack that isn't in the binary.
#[derive(Clone, Debug)]
pub struct OwnPack {
    /// Its name.
    pub name: String,
    /// How many events it has.
    pub events: usize,
    /// The ids of its rules.
    pub rules: Vec<u32>,
    /// How many tests it has.
    pub tests: usize,
}

/// All packs, compiled.
#[derive(Debug)]
pub struct Packs {
    events: Vec<EventKind>,
    recogniser: Recogniser,
    rules: RuleSet,
    /// Whether the built-in packs' tests hold: these packs are there, and nothing beside them, which might
    /// disable, override or come after their rules.
    builtin: bool,
    own: Vec<OwnPack>,
    warnings: Vec<PackWarning>,
    own_tests: Vec<PackTest>,
    /// All tests, read when somebody asks: they are most of the built-in packs' text.
    tests: OnceLock<Vec<PackTest>>,
}

impl Packs {
    /// Loads the built-in packs (where `builtin`), then those at `paths`: files, or directories of which
    /// each `*.yaml` is read, in order of name. All errors of all packs are reported together.
    pub fn load(builtin: bool, paths: &[PathBuf]) -> Result<Self, PackErrors> {
        let mut errors = Vec::new();
        let mut texts = Vec::new();
        let mut unread = Vec::new();
        for path in paths {
            match files(path) {
                Ok((files, doubts)) => {
                    unread.extend(doubts);
                    for file in files {
                        match fs::read_to_string(&file) {
                            Ok(text) => texts.push((file.display().to_string(), text)),
                            Err(source) => errors.push(PackError::Read { path: file, source }),
                        }
                    }
                }
                Err(source) => errors.push(PackError::Read { path: path.clone(), source }),
            }
        }
        let given: Vec<Text<'_>> = texts.iter().map(|(file, text)| Text::new(file, text)).collect();
        let shipped = |text: fn(&Shipped) -> Text<'static>| {
            let shipped = if builtin { &BUILTIN[..] } else { &[] };
            shipped.iter().map(text).chain(given.iter().cloned()).collect::<Vec<_>>()
        };
        // Where something is wrong, it may have to do with a place in a shipped pack, which only YAML knows.
        let packs = compile::compile(&shipped(Shipped::text))
            .or_else(|_| compile::compile(&shipped(Shipped::source)));
        match packs {
            Ok(mut packs) if errors.is_empty() => {
                packs.warnings.extend(unread);
                Ok(Self { builtin: builtin && given.is_empty(), ..packs })
            }
            Ok(_) => Err(PackErrors { errors }),
            Err(more) => {
                errors.extend(more.errors);
                Err(PackErrors { errors })
            }
        }
    }

    /// Compiles packs given as (name for error messages, YAML).
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, PackErrors> {
        let texts: Vec<Text<'_>> =
            texts.iter().map(|&(file, text)| Text::new(file, text)).collect();
        compile::compile(&texts)
    }

    /// What the correlator runs on.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// All events, by [`EventKind::index`].
    pub fn events(&self) -> &[EventKind] {
        &self.events
    }

    /// Recognises a record; the first event in order of definition takes it. `None`: no pack knows it.
    ///
    /// [`Event::address`] is the line's one plausible address. It is [`crate::event::Blame::Nobody`] for a
    /// success (whose address is the field `src`) and for a Suricata alert (of which policy works out whose
    /// deed it is).
    pub fn recognise<'l>(&'l self, record: &'l Record<'l>) -> Option<Event<'l>> {
        self.recogniser.recognise(&self.events, record)
    }

    /// [`Self::recognise`], which remembers in `memo` what messages came before. `idle` becomes true where it is known
    /// that the event leads nowhere; `leads_nowhere` says it once, of an event that is the same whenever the message
    /// is.
    pub(crate) fn recognise_again<'l>(
        &'l self,
        memo: &mut Memo,
        record: &'l Record<'l>,
        leads_nowhere: impl FnOnce(&Event<'_>) -> bool,
        idle: &mut bool,
    ) -> Option<Event<'l>> {
        let Some(place) = Memo::place(record) else { return self.recognise(record) };
        if let Some((taken, known)) = memo.recall(place, record) {
            *idle = known;
            return self.recogniser.recall(&self.events, record, taken);
        }
        let event = self.recognise(record);
        let comes_again = event.as_ref().is_none_or(|event| event.fields.source().is_none());
        if comes_again
            && memo.came_before(place)
            && let Some(taken) = self.recogniser.taken(event.as_ref())
        {
            memo.keep(place, record, taken, event.as_ref().is_none_or(leads_nowhere));
        }
        event
    }

    /// Which pattern takes a record's message, and which nearly do, told in words. Slow: it tries them all.
    pub fn trace(&self, record: &Record<'_>) -> Trace {
        self.recogniser.trace(&self.events, record)
    }

    /// Whether a pack names this program, so that a line of it that nothing recognises is remarkable.
    pub fn knows_program(&self, program: &[u8]) -> bool {
        self.recogniser.knows(program)
    }

    /// The packs that aren't in the binary.
    pub fn own(&self) -> &[OwnPack] {
        &self.own
    }

    /// What they say that is hardly meant, as configured.
    pub fn warnings(&self, ban: &BanConfig) -> Vec<PackWarning> {
        let said = self.warnings.iter().filter_map(|warning| warning.clone().under(ban));
        said.chain(warning::of_tests(self)).collect()
    }

    /// The same with all packs in mode enforce: how their tests are run.
    pub fn enforcing(mut self) -> Self {
        for rule in &mut self.rules.rules {
            if rule.head.observe {
                Arc::make_mut(&mut rule.head).observe = false;
            }
        }
        self
    }

    /// The tests inside the packs; the built-in ones' only where these are alone.
    pub fn tests(&self) -> &[PackTest] {
        self.tests.get_or_init(|| {
            let shipped = if self.builtin { &BUILTIN[..] } else { &[] };
            let shipped =
                shipped.iter().flat_map(|pack| compile::tests(&Text::new(pack.file, pack.yaml)));
            shipped.chain(self.own_tests.iter().cloned()).collect()
        })
    }
}

/// A pattern, for the fuzz target `matcher`.
#[doc(hidden)]
#[derive(Debug)]
pub struct FuzzedPattern(pattern::Pattern);

impl FuzzedPattern {
    /// As a pack would have it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        pattern::Pattern::new(text).map(Self)
    }

    /// Whether `line` matches; an error says how the fast matcher and the regex engine disagree. `None` where the
    /// fast one leaves it to the other.
    pub fn agreed(&self, line: &[u8]) -> Result<Option<bool>, String> {
        self.0.agreed(line)
    }
}

/// A built-in pack without its tests, with which each ends.
fn without_tests(text: &str) -> &str {
    text.find("\ntests:").map_or(text, |at| &text[..at + 1])
}

/// The pack files at `path`, and what is there and isn't read.
fn files(path: &Path) -> io::Result<(Vec<PathBuf>, Vec<PackWarning>)> {
    if !fs::metadata(path)?.is_dir() {
        return Ok((vec![path.to_owned()], Vec::new()));
    }
    let doubt = |file: &Path, doubt: Doubt| {
        let file = file.display().to_string();
        PackWarning {
            place: Box::new(Place { file, line: 0, column: 0, text: String::new() }),
            doubt,
        }
    };
    let (mut files, mut doubts) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") => files.push(file),
            Some("yml" | "YAML" | "YML") => {
                doubts.push(doubt(&file, Doubt::OtherName { to: file.with_extension("yaml") }));
            }
            _ => {}
        }
    }
    if files.is_empty() && doubts.is_empty() && path != Path::new(INSTALLED) {
        doubts.push(doubt(path, Doubt::EmptyFolder));
    }
    files.sort();
    Ok((files, doubts))
}

/// The folder that is read where no other is named; it is empty until somebody has a pack of his own.
const INSTALLED: &str = "/etc/ravelin/rules";

//! What the YAML reader found, said of a pack: which key, what it wants, what stands there, what to do.

use serde_yaml::{Error, Location};

use super::indent::{self, Misplaced};
use super::keys;
use crate::rules::error::Problem;

/// Characters of a value that are quoted.
const SHOWN: usize = 60;

/// Something wrong with a text, and where: line and column from 1, 0 where it is all of it.
pub(super) struct Wrong {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) problem: Problem,
}

/// The reader's error in our words.
pub(super) fn reworded(text: &str, error: &Error) -> Wrong {
    let error = error.without_snippet();
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let spot = Spot::new(text, at).at_value(error);
    let here = |problem| Wrong { line: at.line(), column: at.column(), problem };
    if let Error::SerdeUnknownField { field, expected, .. } = error {
        return here(Problem::UnknownKey { key: field.clone(), known: expected.clone() });
    }
    if let Some(wrong) = spot.indentation(error) {
        return wrong;
    }
    match error {
        Error::SerdeMissingField { field, .. } => {
            let whole = ["pack", "format"].contains(field);
            let at = if whole { Location::UNKNOWN } else { at };
            let problem = Problem::MissingKey { key: field, remedy: remedy_of_missing(field) };
            Wrong { line: at.line(), column: at.column(), problem }
        }
        Error::DuplicateMappingKey { key, .. } => {
            here(Problem::SecondKey { key: key.clone().unwrap_or_default() })
        }
        _ => here(match spot.wanted(error) {
            Some(expected) => {
                Problem::Value { key: spot.key.to_owned(), expected, got: spot.got() }
            }
            None => spot.syntax(error),
        }),
    }
}

/// The place of an error, and what stands around it.
struct Spot<'t> {
    text: &'t str,
    line: usize,
    /// What stands on the line before the place, and from it on.
    before: &'t str,
    rest: &'t str,
    /// The key whose value stands there; empty where that isn't plain to see.
    key: &'t str,
}

impl<'t> Spot<'t> {
    fn new(text: &'t str, at: Location) -> Self {
        let line = usize::try_from(at.line()).unwrap_or(0);
        let column = usize::try_from(at.column()).unwrap_or(0);
        let whole = line.checked_sub(1).and_then(|index| text.lines().nth(index)).unwrap_or("");
        let split = whole.char_indices().nth(column.saturating_sub(1));
        let (before, rest) = whole.split_at(split.map_or(whole.len(), |(split, _)| split));
        // Of `key:` with nothing behind it, the place is the colon.
        let named = before.trim_end();
        let named = named.strip_suffix(':').or_else(|| rest.starts_with(':').then_some(named));
        let key = named.map_or("", |named| {
            let from = named.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
            &named[from.map_or(0, |from| from + 1)..]
        });
        Self { text, line, before, rest, key }
    }

    /// The same where the reader took the key for the place, as it does of what is one value or a list.
    fn at_value(self, error: &Error) -> Self {
        let of_type =
            matches!(error, Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. });
        match indent::key(self.rest) {
            Some((key, value)) if of_type && self.key.is_empty() => {
                Self { rest: value.trim_start(), key, ..self }
            }
            _ => self,
        }
    }

    /// Indentation is what is wrong, whatever the reader took it for.
    fn indentation(&self, error: &Error) -> Option<Wrong> {
        if let Some(wrong) = indent::misplaced(self.text) {
            let Misplaced { line, column, key, beside, deeper } = wrong;
            let is_it = match error {
                Error::SerdeMissingField { field, .. } => key == *field && line >= self.line,
                _ => (self.line..=self.line + 1).contains(&line),
            };
            if is_it {
                let problem = Problem::Indentation {
                    key,
                    column,
                    deeper,
                    beside: beside.key,
                    beside_line: beside.line,
                    beside_column: beside.column,
                };
                return Some(Wrong { line: line as u64, column: column as u64, problem });
            }
        }
        // An event's keys beside its name: the name has no body, or they are taken for names.
        let Error::Unexpected { expected: "mapping start", .. } = error else { return None };
        let own = self.before.len() - self.before.trim_start().len();
        let alone = self.before.trim().strip_suffix(':') == Some(self.key);
        let (name, key, line) = if alone && keys::is_events(self.key) {
            let mut above =
                self.text.lines().take(self.line - 1).collect::<Vec<_>>().into_iter().rev();
            let name = above.find_map(|line| {
                let (key, value) = indent::key(indented(line, own)?)?;
                (value.trim().is_empty() && !keys::is_events(key)).then_some(key)
            })?;
            (name, self.key, self.line)
        } else {
            if !matches!(self.rest, "" | ":") {
                return None;
            }
            let below = self.text.lines().enumerate().skip(self.line);
            let (at, next) = below.into_iter().find(|(_, line)| !line.trim().is_empty())?;
            let (key, _) = indent::key(indented(next, own)?)?;
            (self.key, Some(key).filter(|key| keys::is_events(key))?, at + 1)
        };
        Some(Wrong {
            line: line as u64,
            column: own as u64 + 1,
            problem: Problem::BesideItsName { key: key.to_owned(), name: name.to_owned() },
        })
    }

    /// What should stand there, where the reader told something else from it.
    fn wanted(&self, error: &Error) -> Option<String> {
        let by_key = |usual: &str| meaning(self.key).unwrap_or(usual).to_owned();
        let text = match error {
            Error::InvalidBooleanStrict { .. } => "true or false".to_owned(),
            Error::InvalidScalar { ty, .. } => by_key(kind(ty)),
            Error::SerdeInvalidType { expected, .. }
            | Error::SerdeInvalidValue { expected, .. } => by_key(kind(expected)),
            Error::SerdeUnknownVariant { expected, .. } => {
                format!("one of {}", expected.join(", "))
            }
            Error::NullIntoString { .. } => by_key("a text"),
            Error::Unexpected { expected: "string scalar", .. } => by_key("a single value"),
            Error::Unexpected { expected: "sequence start", .. } => match (self.key, self.got()) {
                ("", _) => "a list, each entry behind a `- `".to_owned(),
                (key, got) if is_plain(&got) => format!("a list, such as `{key}: [{got}]`"),
                (key, _) => format!("a list, such as `{key}: [a, b]`"),
            },
            Error::Unexpected { expected: "mapping start", .. } => {
                by_key(match self.rest.chars().next() {
                    Some('-') => "keys with values, not a list: take the `- ` out",
                    None | Some(':') => "keys with values of its own, deeper than this",
                    Some(_) => "keys, each with a `: ` before its value",
                })
            }
            _ => return None,
        };
        Some(text)
    }

    /// What stands there.
    fn got(&self) -> String {
        let rest = self.rest.strip_prefix(':').unwrap_or(self.rest).trim();
        let end = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map(|at| at + 2),
            Some('[' | '{') => None,
            _ => [", ", "}", "]", " #"].iter().filter_map(|end| rest.find(end)).min(),
        };
        rest[..end.unwrap_or(rest.len())].chars().take(SHOWN).collect()
    }

    /// What can't be read at all.
    fn syntax(&self, error: &Error) -> Problem {
        let message = match error {
            Error::Message { msg, .. } => return Problem::Yaml { message: msg.clone() },
            Error::MultipleDocuments { .. } => {
                "a second document begins here: a pack is one document, in a file of its own".to_owned()
            }
            Error::Eof { .. } => {
                "expected a pack, got nothing: write `pack: NAME` and what belongs to it, or remove the file"
                    .to_owned()
            }
            other => {
                let text = other.to_string();
                let text = text.lines().next().unwrap_or_default();
                let text = text.rfind(" at line ").map_or(text, |at| &text[..at]);
                format!("not valid YAML: {text}{}", self.remedy(text))
            }
        };
        Problem::Yaml { message }
    }

    fn remedy(&self, message: &str) -> &'static str {
        if message.contains("escape") {
            ": write it in single quotes ('...'), in which `\\` stands for itself"
        } else if message.contains("tab") {
            ": indent with spaces"
        } else if message.contains("mapping values")
            || self.before.contains(": ") && message.contains("flow mapping")
        {
            ": put a text with `: ` or `,` in it into single quotes ('...')"
        } else if message.contains("single-quoted") {
            ": inside single quotes a `'` is written twice (`''`); or a quote above isn't closed"
        } else if message.contains("quoted scalar") {
            ": a quote isn't closed"
        } else if message.contains("flow") || message.contains("inside a block") {
            ": a `{` or `[` above isn't closed"
        } else {
            ""
        }
    }
}

/// What stands behind so many spaces.
fn indented(line: &str, spaces: usize) -> Option<&str> {
    line.get(..spaces).filter(|indent| indent.trim().is_empty()).map(|_| &line[spaces..])
}

/// What to write where a key is missing.
fn remedy_of_missing(key: &str) -> &'static str {
    match key {
        "pack" => "name the pack, such as `pack: shop`",
        "format" => "say whose lines it reads: `format: syslog`, `plain` or `suricata`",
        "id" => "give the rule an id of its own, from 900000 on",
        "rules" => "say on which rules' events it waits, such as `rules: [900001]`",
        "within" => "say how old an event may be that still counts, such as `within: 10m`",
        "expect" => "say what must come of the line, such as `expect: {event: login-failed}`",
        _ => "add it",
    }
}

/// What the values of a key are.
fn meaning(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" | "inherit" => "a rule's id, such as 900001",
        "level" => "a whole number from 0 to 15",
        "count" => "a whole number from 1 to 10000",
        "score" => "a number from 0 to 1000",
        "times" => "a whole number from 1 on",
        "after" => "a rule's id, or a list of them (an event's name goes into `event`)",
        "event" => "an event's name, or a list of them (a rule's id goes into `after`)",
        "rules" => "a rule's id, or a list of them",
        "preceded_by" => {
            "keys with values, such as `{rules: [900001], count: 4, within: 10m, same: [src]}`"
        }
        "not_followed_by" => "keys with values, such as `{rules: [900002], within: 2h}`",
        "aggregate" => "keys with values, such as `{v4: 24, v6: 56}`",
        "expect" => "keys with values, such as `{event: login-failed, rules: [900001]}`",
        "fields" | "when" => "keys with values, such as `{user: root}`",
        "events" => "names of events, with the keys of each below its name",
        _ => return None,
    })
}

/// The reader's word for a type in ours.
fn kind(ty: &str) -> &str {
    match ty {
        "u8" | "u16" | "u32" | "u64" | "i64" => "a whole number",
        "floating point" | "f64" => "a number",
        "boolean" | "a boolean" => "true or false",
        "a string" => "a text",
        other => other,
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

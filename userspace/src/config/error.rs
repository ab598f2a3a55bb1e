//! What can be wrong with a configuration, said with its place.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error(
        "can't read the configuration `{}`: {source}; name another with --config, or leave that \
         out for the defaults",
        path.display()
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not YAML, or a list where a single value belongs, and the like.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Box<Place>,
        /// What is wrong.
        problem: String,
    },
    /// A key that nothing reads.
    #[error("{place}: unknown key `{key}`; {hint}")]
    UnknownKey {
        /// Where.
        place: Box<Place>,
        /// Which.
        key: String,
        /// The name that was probably meant, or the names that are known there.
        hint: String,
    },
    /// A value that its key can't have.
    #[error("{place}: {key}: {problem}, got `{value}`")]
    Value {
        /// Where.
        place: Box<Place>,
        /// The key, with its section: `ban.level`.
        key: &'static str,
        /// What stands there; a password in it is masked.
        value: String,
        /// What was expected.
        problem: String,
    },
    /// Something that belongs together isn't.
    #[error("{place}: {key}: {problem}")]
    Incomplete {
        /// Where.
        place: Box<Place>,
        /// The key, with its section.
        key: &'static str,
        /// What is missing or too much.
        problem: String,
    },
}

impl ConfigError {
    /// Where in the file it is; `None` where there is no file.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::Value { place, .. }
            | Self::Incomplete { place, .. } => Some(place),
        }
    }
}

/// A place in a configuration file; prints as `/etc/ravelin/ravelin.yaml:3:10`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub origin: PathBuf,
    /// From 1; 0 where it isn't known.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line's text; a password in it is masked.
    text: String,
}

impl Place {
    pub(super) fn new(origin: &Path, text: &str, location: serde_yaml::Location) -> Self {
        let line = usize::try_from(location.line()).unwrap_or(0);
        let column = usize::try_from(location.column()).unwrap_or(0);
        let text = line.checked_sub(1).and_then(|line| text.lines().nth(line)).unwrap_or("");
        Self { origin: origin.to_owned(), line, column, text: masked(text).into_owned() }
    }

    /// The line, and below it a caret under the column; empty where the line isn't known.
    pub fn excerpt(&self) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        // Tabs stay tabs, so that the caret stands where the eye looks.
        let indent: String = self
            .text
            .chars()
            .take(self.column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let (number, margin) = (self.line.to_string(), " ".repeat(self.line.to_string().len()));
        format!("{number} | {}\n{margin} | {indent}^", self.text)
    }

    /// What stands at the place, up to the line's end.
    pub(super) fn rest(&self) -> String {
        self.text.chars().skip(self.column.saturating_sub(1)).take(60).collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.origin.display(), self.line, self.column)
    }
}

/// `text` with the password of a URL in it replaced: errors go to logs and into mails.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    let found = || {
        let authority = text.find("://")? + 3;
        // Greedy: a password may hold anything, a host no `@`.
        let at = authority + text[authority..].rfind('@')?;
        let colon = authority + text[authority..at].find(':')?;
        Some(format!("{}:***{}", &text[..colon], &text[at..]))
    };
    found().map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (text, shown) in [
            ("smtp://u:secret@mail.example:25", "smtp://u:***@mail.example:25"),
            ("relay: 'smtps://u:s@c:r@t@mail.example'", "relay: 'smtps://u:***@mail.example'"),
            ("smtp://u@mail.example:25", "smtp://u@mail.example:25"),
            ("smtp://mail.example:25", "smtp://mail.example:25"),
            ("to: [a@b]", "to: [a@b]"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}

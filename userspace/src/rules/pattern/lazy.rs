//! A pattern that is compiled when a line comes that could be its own.
//!
//! The shipped packs have hundreds of patterns, and a host's log needs a few dozen of them. They are known to
//! compile (their tests say so); an admin's own are compiled when they are loaded, to tell what is wrong.

use std::sync::OnceLock;

use super::opening::{self, Opening};
use super::{Pattern, PatternError};

/// A pattern, compiled or not yet.
#[derive(Debug)]
pub(in crate::rules) struct LazyPattern {
    opening: OnceLock<Opening>,
    text: Box<str>,
    /// `None` in it: it doesn't compile, and takes no line.
    compiled: OnceLock<Option<Box<Pattern>>>,
}

impl LazyPattern {
    /// Compiles now; the error says what is wrong.
    pub(in crate::rules) fn checked(text: &str) -> Result<Self, PatternError> {
        let pattern = Pattern::new(text)?;
        let opening = OnceLock::from(pattern.opening());
        let compiled = OnceLock::from(Some(Box::new(pattern)));
        Ok(Self { opening, text: text.into(), compiled })
    }

    /// Of a text that is known to compile.
    pub(in crate::rules) fn trusted(text: &str) -> Self {
        Self { opening: OnceLock::new(), text: text.into(), compiled: OnceLock::new() }
    }

    /// What every match begins with.
    pub(in crate::rules) fn opening(&self) -> &Opening {
        self.opening.get_or_init(|| Opening::read(&self.text))
    }

    /// The names of its captures.
    pub(in crate::rules) fn names(&self) -> Vec<String> {
        match self.compiled.get() {
            Some(Some(pattern)) => {
                pattern.captures().iter().map(|capture| capture.name.to_string()).collect()
            }
            _ => opening::names(&self.text).map(str::to_owned).collect(),
        }
    }

    /// As it is written in its pack.
    pub(in crate::rules) fn text(&self) -> &str {
        &self.text
    }

    /// The pattern itself.
    #[inline]
    pub(in crate::rules) fn pattern(&self) -> Option<&Pattern> {
        self.compiled.get_or_init(|| Pattern::new(&self.text).ok().map(Box::new)).as_deref()
    }
}

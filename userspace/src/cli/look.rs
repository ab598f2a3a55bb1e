//! How things look where they are printed: colours where there is a terminal, lines as wide as it is.
//!
//! What goes into a pipe or a file has neither colours nor broken lines, so that `grep` finds whole ones.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use ratatui::crossterm::terminal;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// `--color`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into a pipe
    Always,
    /// Not at all
    Never,
}

/// What a piece of text is, which its colour says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Wrong.
    Bad,
    /// What is asked about.
    Strong,
    /// Beside the point.
    Faint,
}

impl Tone {
    /// Of an alert or ban of this level.
    pub(super) const fn of_level(level: u8) -> Option<Self> {
        match level {
            12.. => Some(Self::Bad),
            7..12 => Some(Self::Odd),
            _ => None,
        }
    }

    /// "Select Graphic Rendition" of ECMA-48; the sixteen colours that a terminal's own theme decides about.
    const fn sequence(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Odd => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
        }
    }
}

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether there are colours.
    pub(super) colour: bool,
    /// Columns of the terminal; none where lines may be as long as they are.
    pub(super) width: Option<usize>,
}

impl Look {
    /// Neither colours nor an end of the line.
    pub(super) const PLAIN: Self = Self { colour: false, width: None };

    /// Of standard output.
    pub(super) fn of_stdout(colour: Colour) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // https://no-color.org: when present and not an empty string.
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match colour {
            Colour::Auto => is_terminal && !unwanted(),
            Colour::Always => true,
            Colour::Never => false,
        };
        let width = is_terminal.then(|| terminal::size().map_or(80, |(columns, _)| columns.into()));
        // Narrower than that nothing reads well, and a terminal without a size says 0.
        Self { colour, width: width.map(|width| if width == 0 { 80 } else { width.max(40) }) }
    }

    /// A text in its tone.
    pub(super) fn paint<'t>(self, tone: impl Into<Option<Tone>>, text: &'t str) -> Painted<'t> {
        Painted { tone: tone.into().filter(|_| self.colour), text }
    }

    /// Writes words in as many lines as they take; the first begins where the cursor is, in column `at`, the others
    /// in column `indent`. A word that no line holds is broken.
    pub(super) fn wrap(
        self,
        out: &mut impl Write,
        text: &str,
        mut at: usize,
        indent: usize,
    ) -> io::Result<()> {
        let Some(width) = self.width else { return writeln!(out, "{text}") };
        let mut first = true;
        for word in text.split(' ') {
            let wide = columns(word);
            if !first && at + 1 + wide > width {
                write!(out, "\n{:indent$}", "")?;
                at = indent;
            } else if !first {
                write!(out, " ")?;
                at += 1;
            }
            first = false;
            for char in word.chars() {
                let wide = char.width().unwrap_or(0);
                if at + wide > width {
                    write!(out, "\n{:indent$}", "")?;
                    at = indent;
                }
                write!(out, "{char}")?;
                at += wide;
            }
        }
        writeln!(out)
    }
}

/// A text in its tone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Painted<'t> {
    tone: Option<Tone>,
    text: &'t str,
}

impl Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tone {
            Some(tone) => write!(f, "{}{}\x1b[0m", tone.sequence(), self.text),
            None => f.write_str(self.text),
        }
    }
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// As much of a text as so many columns hold, with an ellipsis where something is left out.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for char in text.chars() {
        taken += char.width().unwrap_or(0);
        if taken > width {
            break;
        }
        kept.push(char);
    }
    kept.push('…');
    kept
}

/// A path as long as so many columns hold: its end says more than its beginning.
pub(super) fn cut_front(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut taken = 1;
    let from = text
        .char_indices()
        .rev()
        .take_while(|(_, char)| {
            taken += char.width().unwrap_or(0);
            taken <= width
        })
        .last()
        .map_or(text.len(), |(at, _)| at);
    format!("…{}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize, indent: usize) -> String {
        let mut out = Vec::new();
        let look = Look { colour: false, width: Some(width) };
        look.wrap(&mut out, text, 0, indent).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        assert_eq!(wrapped("one two three", 8, 2), "one two\n  three\n");
        assert_eq!(wrapped("aaaaaaaaaaaa b", 8, 2), "aaaaaaaa\n  aaaa b\n");
        assert_eq!(wrapped("山山山 x", 6, 0), "山山山\nx\n");
        let mut out = Vec::new();
        Look::PLAIN.wrap(&mut out, &"word ".repeat(90), 0, 4).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn what_is_too_long_is_cut_by_columns() {
        assert_eq!(cut("sshd brute force", 16), "sshd brute force");
        assert_eq!(cut("sshd brute force", 8), "sshd br…");
        assert_eq!(cut("山山山", 4), "山…");
        assert_eq!(cut_front("/var/log/auth.log", 9), "…auth.log");
        assert_eq!(cut_front("x", 9), "x");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let look = Look { colour: true, width: None };
        assert_eq!(look.paint(Tone::Bad, "off").to_string(), "\x1b[1;31moff\x1b[0m");
        assert_eq!(look.paint(None, "off").to_string(), "off");
        assert_eq!(Look::PLAIN.paint(Tone::Bad, "off").to_string(), "off");
        assert_eq!(Tone::of_level(15), Some(Tone::Bad));
        assert_eq!(Tone::of_level(3), None);
    }
}

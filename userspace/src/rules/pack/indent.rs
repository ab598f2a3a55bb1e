//! Where a pack's lines begin in columns that they can't begin in.
//!
//! YAML readers say of wrong indentation what they made of it, often at a line that is right. This looks at
//! the columns of the keys alone; it is asked only where the reader has refused the text.

/// A line that begins in the wrong column.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Misplaced {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Its key.
    pub(super) key: String,
    /// The key above that it probably belongs beside.
    pub(super) beside: Anchor,
    /// It stands deeper than that one, which has its value already.
    pub(super) deeper: bool,
}

/// A key with the place where it begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Anchor {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A mapping, or a list, that lines below may go on with.
struct Level {
    anchor: Anchor,
    /// Its last key has no value in its own line, so that deeper lines may give it one.
    open: bool,
    /// It is the `- ` of a list's entries.
    dash: bool,
}

/// The first such line.
pub(super) fn misplaced(text: &str) -> Option<Misplaced> {
    let mut levels: Vec<Level> = Vec::new();
    let mut inline = Inline::default();
    // Lines deeper than this belong to a text that began with `|` or `>`.
    let mut block: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start_matches(' ');
        let mut column = line.len() - trimmed.len() + 1;
        if trimmed.is_empty() || trimmed.starts_with('#') || block.is_some_and(|at| column > at) {
            continue;
        }
        block = None;
        let inside = inline.is_open();
        inline.read(trimmed);
        if inside || trimmed.starts_with("---") {
            continue;
        }
        let mut rest = trimmed;
        while let Some(after) =
            rest.strip_prefix('-').filter(|it| it.starts_with(' ') || it.is_empty())
        {
            let anchor = Anchor { key: "-".to_owned(), line: number, column };
            if let Some(wrong) = enter(&mut levels, anchor, true, true) {
                return Some(wrong);
            }
            let next = after.trim_start_matches(' ');
            column += rest.len() - next.len();
            rest = next;
        }
        let Some((key, value)) = key(rest) else { continue };
        let value = value.trim_start();
        if value.starts_with(['|', '>']) {
            block = Some(column);
        }
        let open = value.is_empty() || value.starts_with('#');
        let anchor = Anchor { key: key.to_owned(), line: number, column };
        if let Some(wrong) = enter(&mut levels, anchor, open, false) {
            return Some(wrong);
        }
    }
    None
}

/// Goes on with the level that `anchor` stands on, or begins one; or it can't stand there.
fn enter(levels: &mut Vec<Level>, anchor: Anchor, open: bool, dash: bool) -> Option<Misplaced> {
    let mut left: Option<Level> = None;
    while let Some(level) = levels.pop_if(|level| {
        level.anchor.column > anchor.column
            || (level.dash && !dash && level.anchor.column == anchor.column)
    }) {
        left = Some(level);
    }
    let wrong = |beside: &Anchor, deeper: bool| {
        let Anchor { key, line, column } = anchor.clone();
        Some(Misplaced { line, column, key, beside: beside.clone(), deeper })
    };
    match levels.last_mut() {
        Some(level) if level.anchor.column == anchor.column => {
            if level.dash == dash {
                *level = Level { anchor, open, dash };
            } else {
                // The entries of a list may begin in the column of its key.
                levels.push(Level { anchor, open, dash });
            }
            None
        }
        Some(level) if !level.open => wrong(&level.anchor, true),
        // Between two columns in which something began.
        Some(_) if left.is_some() => left.and_then(|left| wrong(&left.anchor, false)),
        Some(_) => {
            levels.push(Level { anchor, open, dash });
            None
        }
        None => match left {
            Some(left) if left.anchor.column != anchor.column => wrong(&left.anchor, false),
            _ => {
                levels.push(Level { anchor, open, dash });
                None
            }
        },
    }
}

/// `key: value`, or `key:` alone.
pub(super) fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let named = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    (named && (value.is_empty() || value.starts_with(' '))).then_some((key, value))
}

/// Whether a `{`, a `[` or a quote is still to be closed, and where it began.
#[derive(Default)]
struct Inline {
    brackets: usize,
    quote: Option<char>,
}

impl Inline {
    const fn is_open(&self) -> bool {
        self.brackets > 0 || self.quote.is_some()
    }

    fn read(&mut self, line: &str) {
        let mut before = ' ';
        let mut chars = line.chars();
        while let Some(char) = chars.next() {
            match (self.quote, char) {
                (Some('"'), '\\') => {
                    chars.next();
                }
                (Some(quote), _) if quote == char => self.quote = None,
                (Some(_), _) => {}
                // A quote or bracket within a plain text is a part of it.
                (None, '\'' | '"') if " [{,-".contains(before) => self.quote = Some(char),
                (None, '{' | '[') if self.brackets > 0 || " -".contains(before) => {
                    self.brackets += 1;
                }
                (None, '}' | ']') => self.brackets = self.brackets.saturating_sub(1),
                (None, '#') if before == ' ' => return,
                _ => {}
            }
            before = char;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(usize, usize, String, bool)> {
        misplaced(text).map(|it| (it.line, it.column, it.beside.key, it.deeper))
    }

    #[test]
    fn finds_the_line_that_stands_wrong() {
        let at =
            |line, column, beside: &str, deeper| Some((line, column, beside.to_owned(), deeper));
        assert_eq!(found("a: 1\n b: 2\n"), at(2, 2, "a", true));
        assert_eq!(found(" a: 1\nb: 2\n"), at(2, 1, "a", false));
        assert_eq!(found("e:\n  x:\n    a: 1\n   b: 2\n"), at(4, 4, "a", false));
        assert_eq!(found("e:\n  x:\n    a: 1\n     b: 2\n"), at(4, 6, "a", true));
        assert_eq!(found("t:\n  - l: x\n     e: y\n"), at(3, 6, "l", true));
        assert_eq!(found("t:\n  - l: x\n   e: y\n"), at(3, 4, "l", false));
        assert_eq!(found("t:\n  - {l: x}\n - {l: y}\n"), at(3, 2, "-", false));
    }

    #[test]
    fn finds_nothing_in_what_is_right() {
        for text in [
            "a: 1\nb:\n  c: 2\n  d:\n    - x: 1\n      y: 2\n    - z\n# no\ne: [1,\n     f: 2]\n",
            "a:\n- b: 1\n  c: 2\n- d: 3\ne: 4\n",
            "a: |\n   x: 1\n  y: 2\nb: 'x\n  y: 1'\n",
            "a: it's\nb: {c: 'x]',\n    d: 1}\ne: 1\n",
            "",
        ] {
            assert_eq!(misplaced(text), None, "{text}");
        }
    }
}

//! Whether a pattern's two matchers give the same answer: asked by our tests, and by the fuzz target `matcher`.

use super::{CAPTURES, Outcome, Pattern, machine};

impl Pattern {
    /// Whether `line` matches, by both matchers; where they disagree, how. `None` for a pattern or a line that is
    /// the regex engine's alone.
    pub(in crate::rules) fn agreed(&self, line: &[u8]) -> Result<Option<bool>, String> {
        let Some(machine) = &self.machine else { return Ok(None) };
        let mut fast = machine::NONE;
        let mut slow = machine::NONE;
        let outcome = machine.run(line, &mut fast);
        let matched = self.search(line, &mut slow);
        let complain =
            |what: &str| Err(format!("{what} `{}`: {:?}", line.escape_ascii(), self.hir));
        match outcome {
            Outcome::Match if !matched => return complain("only the fast matcher matches"),
            Outcome::Match if fast[..2 * CAPTURES] != slow[..2 * CAPTURES] => {
                return complain("different captures of");
            }
            Outcome::NoMatch if matched => return complain("only the regex engine matches"),
            Outcome::Match | Outcome::NoMatch | Outcome::Unknown => {}
        }
        if matched {
            let opening = self.opening();
            let begins =
                line.first().map_or(opening.may_be_empty(), |&first| opening.admits(first));
            if !begins {
                return complain("the first byte isn't in the table, of");
            }
        }
        Ok((outcome != Outcome::Unknown).then_some(matched))
    }
}

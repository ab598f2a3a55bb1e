//! Lines that whoever wrote them down may have cut off.
//!
//! A client whose text stands before the address can end it as the line would end, and go on until the line is too
//! long for its writer: then the true address is cut off, and the forged one is all that is left. nginx cuts its error
//! log at 2048 bytes, RFC 3164 a message at 1024, rsyslog at 8192, journald at 48 KiB, Ravelin at 64 KiB.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::forgery::SOURCE;
use super::set::ByteSet;

/// A message that is shorter than this has been cut by nobody.
pub(in crate::rules) const SHORTEST: usize = 900;

/// A field that can't be longer than this is no client's.
const BOUNDED: u32 = 64;

/// Whether a message may have lost its end.
pub(super) const fn may_be(text: &[u8]) -> bool {
    text.len() >= SHORTEST
}

/// Whether a client's text stands before `src`: a field with a name that takes nearly every byte, or one in quotes, or
/// `.*`.
pub(super) fn matters(hir: &Hir) -> bool {
    let mut text = false;
    look(hir, false, &mut text) && text
}

/// Notes whether text stands before `src`; says whether it has come to that.
fn look(hir: &Hir, named: bool, text: &mut bool) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => match capture.name.as_deref() {
            Some(SOURCE) => true,
            name => look(&capture.sub, named || name.is_some(), text),
        },
        HirKind::Repetition(repetition) => match repetition.sub.kind() {
            HirKind::Class(class) => {
                let long = repetition.max.is_none_or(|max| max > BOUNDED);
                *text |= long && is_text(class, named);
                false
            }
            _ => look(&repetition.sub, named, text),
        },
        HirKind::Concat(subs) => subs.iter().any(|sub| look(sub, named, text)),
        // Each way is looked at: what follows the alternation comes behind all of them.
        HirKind::Alternation(subs) => {
            let mut found = false;
            for sub in subs {
                found |= look(sub, named, text);
            }
            found
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn is_text(class: &Class, named: bool) -> bool {
    let set = ByteSet::of_class(class).unwrap_or(ByteSet::ALL);
    let nearly_all = (0..=u8::MAX).filter(|byte| set.contains(*byte)).count() > 200;
    let quoted = matches!(set.all_but(), Some(b'\n' | b'"' | b'\''));
    nearly_all && (named || quoted || set == ByteSet::ALL)
}

#[cfg(test)]
mod tests {
    use crate::rules::pattern::{Pattern, Room, Source};

    /// Whom a line of about so many bytes blames, which ends behind a forged address.
    fn blamed(pattern: &str, before: &str, after: &str, length: usize) -> Option<Source> {
        let pattern = Pattern::new(pattern).unwrap();
        let line = format!("{before}203.0.113.9{after}{}", "x".repeat(length));
        pattern.find(line.as_bytes(), &mut Room::new()).unwrap().captures().1
    }

    #[test]
    fn a_long_line_with_text_before_the_address_is_ambiguous() {
        for (pattern, before, after) in [
            (
                r#"^user "(?<user>[^"]*)": no, client: (?<src>{ip})(?:, .*)?$"#,
                r#"user "x": no, client: "#,
                ", ",
            ),
            (
                r#"^open "[^"]*" failed, client: (?<src>{ip})(?:, .*)?$"#,
                r#"open "x" failed, client: "#,
                ", ",
            ),
            ("^Failed for (?<user>[^ ]*) from (?<src>{ip}): .*$", "Failed for x from ", ": "),
        ] {
            assert!(matches!(blamed(pattern, before, after, 400), Some(Source::Address(_))));
            assert_eq!(blamed(pattern, before, after, 1000), Some(Source::Ambiguous), "{pattern}");
        }
        let long = "x".repeat(1000);
        let failed = blamed(
            "^Failed for (?<user>.*) from (?<src>{ip})$",
            &format!("Failed for {long} from "),
            "",
            0,
        );
        assert_eq!(failed, Some(Source::Ambiguous));
    }

    #[test]
    fn where_the_client_stands_in_front_length_means_nothing() {
        for (pattern, before) in [
            (r#"^(?<src>{ip}) (?<text>.*)$"#, ""),
            (
                r"^\[[^\]]*\] \[(?<module>[a-z_]*):error\] \[client (?<src>{ip}) ?(?<text>.*)$",
                "[a] [b:error] [client ",
            ),
            (r"^warning: [^ \[]*\[(?<src>{ip}) (?<text>.*)$", "warning: a["),
            (r"^(?<number>[0-9]+) (?<how>[^ ]{1,8}) (?<src>{ip}) (?<text>.*)$", "1 a "),
        ] {
            assert!(
                matches!(blamed(pattern, before, " ", 2000), Some(Source::Address(_))),
                "{pattern}"
            );
        }
    }
}

//! `{ip}`, `{port}` and the other short names inside a pattern.

/// An address literal, IPv4 or IPv6, with a zone where there is one.
pub(super) const IP: &str = r"[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._-]{1,32})?";

/// Name, what it stands for.
const MACROS: [(&str, &str); 7] = [
    ("ip", IP),
    ("host", r"[^ ]{1,255}"),
    ("port", r"[0-9]{1,5}"),
    ("number", r"[0-9]{1,19}"),
    ("user", r"[^ ]+"),
    ("word", r"[^ ]+"),
    ("text", r".*"),
];

/// The names of all macros.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    MACROS.iter().map(|(name, _)| *name)
}

/// Replaces each `{name}`; the error is a name that isn't one.
///
/// Counts (`{2,5}`), escaped braces and braces inside classes stay as they are.
pub(super) fn expand(pattern: &str) -> Result<String, String> {
    replaced(pattern, |name, expanded| {
        let (_, meaning) = MACROS.iter().find(|(known, _)| *known == name)?;
        // A group, so that what follows applies to all of it.
        expanded.push_str("(?:");
        expanded.push_str(meaning);
        expanded.push(')');
        Some(())
    })
}

/// Has `put` write what stands for each `{name}`; the error is a name for which it has nothing.
fn replaced(
    pattern: &str,
    put: impl Fn(&str, &mut String) -> Option<()>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(pattern.len() + 64);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(next) = rest.chars().next() {
        let mut taken = next.len_utf8();
        match next {
            '\\' => {
                taken += rest[1..].chars().next().map_or(0, char::len_utf8);
                expanded.push_str(&rest[..taken]);
            }
            '{' if !in_class => match name_at(rest) {
                Some(name) => {
                    put(name, &mut expanded).ok_or_else(|| name.to_owned())?;
                    taken = name.len() + 2;
                }
                None => expanded.push(next),
            },
            _ => {
                match next {
                    '[' => in_class = true,
                    ']' => in_class = false,
                    _ => {}
                }
                expanded.push(next);
            }
        }
        rest = &rest[taken..];
    }
    Ok(expanded)
}

/// Puts something of the same length that matches a byte in the place of each `{name}`.
pub(super) fn stand_ins(pattern: &str) -> String {
    replaced(pattern, |name, expanded| {
        expanded.push('[');
        expanded.extend(std::iter::repeat_n('x', name.len()));
        expanded.push(']');
        Some(())
    })
    .unwrap_or_default()
}

/// The name in `{name}`, with which `text` begins; `None` for a count.
fn name_at(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let named = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    named.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_names_and_nothing_else() {
        assert_eq!(expand("^a (?<p>{port})$").unwrap(), "^a (?<p>(?:[0-9]{1,5}))$");
        assert_eq!(expand(r"^\{ip} a{2,3} [{ip}] b{4}").unwrap(), r"^\{ip} a{2,3} [{ip}] b{4}");
        assert_eq!(expand("é{word}").unwrap(), "é(?:[^ ]+)");
        assert_eq!(expand("{adress}"), Err("adress".to_owned()));
        assert_eq!(expand(r"trailing \").unwrap(), r"trailing \");
    }
}

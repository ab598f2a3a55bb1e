//! Names in error messages: the known one that was probably meant, and all that are known.

use crate::config::nearest;

/// `, did you mean `x`?` where a known name is near; else nothing.
pub(super) fn hint<'n, N>(got: &str, known: N) -> String
where
    N: IntoIterator<Item = &'n str>,
{
    nearest(got, known).map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// `` `a`, `b` ``
pub(super) fn list<'n, N>(names: N) -> String
where
    N: IntoIterator<Item = &'n str>,
{
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

//! The known name that somebody probably meant.

/// `, did you mean `x`?` where a known name is near; else nothing.
pub(super) fn hint<'n, N>(got: &str, known: N) -> String
where
    N: IntoIterator<Item = &'n str>,
{
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(got, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map_or_else(String::new, |(_, name)| format!(", did you mean `{name}`?"))
}

/// `` `a`, `b` ``
pub(super) fn list<'n, N>(names: N) -> String
where
    N: IntoIterator<Item = &'n str>,
{
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

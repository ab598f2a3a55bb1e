//! The known name that a mistyped one was meant to be.

/// The one of `known` that takes the fewest strokes to reach from `name`; `None` where that would be
/// another word altogether.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(64).collect();
    let farthest = (name.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, leave out, replace or swap with their neighbour (optimal string alignment).
/// `_` and `-` count as the same letter.
fn distance(a: &[char], b: &[char]) -> usize {
    let same = |x: char, y: char| x == y || matches!((x, y), ('_', '-') | ('-', '_'));
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(!same(a[i - 1], b[j - 1]));
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip_and_no_more() {
        const KNOWN: [&str; 6] =
            ["mode", "interfaces", "allow", "state_dir", "max_per_minute", "max"];
        for (name, meant) in [
            ("moed", Some("mode")),
            ("Mode", Some("mode")),
            ("interface", Some("interfaces")),
            ("state-dir", Some("state_dir")),
            ("max_per_min", Some("max_per_minute")),
            ("alow", Some("allow")),
            ("whitelist", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, KNOWN), meant, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), KNOWN), None);
    }
}

//! What somebody who used an unknown name probably meant.

use crate::config::nearest;

/// `did you mean `x`?` where a known name is near, else all that are known.
pub(super) fn hint<'n, N>(got: &str, known: N) -> String
where
    N: IntoIterator<Item = &'n str> + Clone,
{
    if let Some(name) = nearest(got, known.clone()) {
        return format!("did you mean `{name}`?");
    }
    let quoted: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() {
        "there is none".to_owned()
    } else {
        format!("known are {}", quoted.join(", "))
    }
}

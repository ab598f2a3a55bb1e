//! The room as a whole: shipped packs, their own tests, loader errors, other projects' corpora.

mod corpora;
mod loader;
mod shipped;

use super::*;
use crate::event::Body;

/// A record of a log line, as the `format` room would make it.
fn record<'l>(program: &'l str, message: &'l [u8]) -> Record<'l> {
    Record {
        time: None,
        host: None,
        program: Some(program.as_bytes()),
        pid: Some(812),
        repeated: 1,
        body: Body::Message(message),
    }
}

/// Splits `Nov 23 10:00:00 web1 sshd[812]: message`, and what the corpora have of its kin.
fn split(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let rest = if bytes.first()?.is_ascii_digit() {
        line.split_once(' ')?.1
    } else {
        // `Nov 23 10:00:00 `, `Nov  3 10:00:00 `, `Nov 3 10:00:00 `
        let colon = line.find(':')?;
        line.get(colon + 6..)?.trim_start()
    };
    // Without a host the tag comes at once.
    let tagged = |word: &str| word.ends_with(':') || word.starts_with('[');
    let rest = match rest.split_once(' ') {
        Some((word, rest)) if !tagged(word) => rest,
        _ => rest,
    };
    let (tag, message) = rest.split_once(' ')?;
    let tag = tag.strip_suffix(':').unwrap_or(tag);
    let tag = tag.strip_prefix('[').map_or(tag, |tag| tag.trim_end_matches(']'));
    let program = match tag.rfind('[') {
        Some(bracket) if tag.ends_with(']') => &tag[..bracket],
        _ => tag,
    };
    // Solaris' message ids.
    let message = match message.strip_prefix("[ID ") {
        Some(rest) => rest.split_once("] ").map_or(message, |(_, message)| message),
        None => message,
    };
    Some((program, message))
}

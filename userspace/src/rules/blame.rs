//! Why a line blames nobody, in words.

use std::net::SocketAddr;

use super::pattern::SHORTEST_CUT as CUT;
use crate::event::{Blame, Body, Event, Record, Value};

/// What keeps an event from blaming anybody, for people; one that does blame somebody has no such reason.
pub fn why_nobody(event: &Event<'_>, record: &Record<'_>) -> String {
    let name = &event.kind.name;
    let length = match &record.body {
        Body::Message(text) | Body::Access(text) => text.len(),
        Body::Suricata(_) => 0,
    };
    match (event.address, event.field("src")) {
        _ if event.suricata.is_some() => {
            "of the packet's two sides not exactly one is ours (`home`)".to_owned()
        }
        _ if event.kind.success => format!("`{name}` is a `success`"),
        (Blame::Ambiguous, _) if length >= CUT => format!(
            "the message has {length} bytes: from {CUT} on its end may have been cut off, and the address there with it"
        ),
        (Blame::Ambiguous, _) => "another address in the line might be meant as well".to_owned(),
        (_, Some(Value::Text(text))) => {
            let text = String::from_utf8_lossy(&text);
            match is_with_port(&text) {
                true => format!("`src` is `{text}`, an address with a port: {APART}"),
                false => format!("`src` is `{text}`, which is no address"),
            }
        }
        _ => format!("`{name}` has no field `src`"),
    }
}

/// What to do where a port stands behind an address.
pub(super) const APART: &str = "for ADDRESS:PORT write two patterns, `(?<src>[0-9.]{7,15}):(?<port>{port})` and \
     `\\[(?<src>{ip})\\]:(?<port>{port})`";

/// The field `src`, where it took a port with the address.
pub(super) fn source_with_port(event: &Event<'_>) -> Option<String> {
    match event.field("src") {
        Some(Value::Text(text)) => {
            Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| is_with_port(text))
        }
        _ => None,
    }
}

/// `198.51.100.7:4711`, `[2001:db8::7]:4711`
fn is_with_port(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

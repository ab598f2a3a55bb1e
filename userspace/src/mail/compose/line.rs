//! A log line as people read it: eve.json's alerts the way fast.log has them.
//!
//! The raw line is in the history: `ravelin show`.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::LINE;
use crate::mail::text::visible;

/// A log line, short and harmless.
pub(super) fn shown(line: &str) -> String {
    match eve(line) {
        Some(alert) => visible(&alert, LINE),
        None => visible(line, LINE),
    }
}

/// What of an eve.json alert is worth reading.
#[derive(Debug, Default)]
struct Sketch {
    timestamp: String,
    src_ip: String,
    src_port: Option<u64>,
    dest_ip: String,
    dest_port: Option<u64>,
    proto: String,
    app_proto: Option<String>,
    ids: [Option<u64>; 3],
    signature: Option<String>,
    category: Option<String>,
    severity: Option<u64>,
    action: Option<String>,
    /// Of the protocol: name and value, in the order in which they stand.
    details: Vec<(&'static str, String)>,
}

/// An alert of eve.json, also one whose end was cut off; `None` for what isn't one.
fn eve(line: &str) -> Option<String> {
    if !line.starts_with('{') {
        return None;
    }
    let mut sketch = Sketch::default();
    let mut json = serde_json::Deserializer::from_str(line);
    // Where the line ends too early, what came before counts.
    drop(Object { sketch: &mut sketch, inside: "" }.deserialize(&mut json));
    let signature = sketch.signature.as_deref()?;
    if sketch.timestamp.is_empty() || sketch.src_ip.is_empty() || sketch.dest_ip.is_empty() {
        return None;
    }
    let mut out = sketch.timestamp.clone();
    out.push_str("  ");
    if sketch.action.as_deref() == Some("blocked") {
        out.push_str("[Drop] ");
    }
    if let [Some(gid), Some(sid), Some(rev)] = sketch.ids {
        out.push_str(&format!("[{gid}:{sid}:{rev}] "));
    }
    out.push_str(signature);
    if let Some(category) = sketch.category.as_deref().filter(|text| !text.is_empty()) {
        out.push_str(&format!(" [{category}]"));
    }
    if let Some(severity) = sketch.severity {
        out.push_str(&format!(" [Priority: {severity}]"));
    }
    out.push_str(&format!(" {{{}", sketch.proto));
    if let Some(app) = sketch.app_proto.as_deref().filter(|app| *app != "failed") {
        out.push_str(&format!(" {app}"));
    }
    let end = |address: &str, port: Option<u64>| match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    };
    out.push_str(&format!(
        "}} {} -> {}",
        end(&sketch.src_ip, sketch.src_port),
        end(&sketch.dest_ip, sketch.dest_port)
    ));
    for (name, value) in &sketch.details {
        out.push_str(&format!(" {name}={}", visible(value, 80)));
    }
    Some(out)
}

/// Fields of the protocol that are shown: the object, its key, what we call it.
const DETAILS: [(&str, &str, &str); 5] = [
    ("http", "http_method", "method"),
    ("http", "hostname", "host"),
    ("http", "url", "url"),
    ("http", "http_user_agent", "agent"),
    ("tls", "sni", "sni"),
];

/// The line itself, or an object in it.
struct Object<'s> {
    sketch: &'s mut Sketch,
    inside: &'static str,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of eve.json")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { sketch, inside } = self;
        while let Some(key) = map.next_key::<String>()? {
            match (inside, key.as_str()) {
                ("", "timestamp") => sketch.timestamp = map.next_value()?,
                ("", "src_ip") => sketch.src_ip = map.next_value()?,
                ("", "src_port") => sketch.src_port = map.next_value()?,
                ("", "dest_ip") => sketch.dest_ip = map.next_value()?,
                ("", "dest_port") => sketch.dest_port = map.next_value()?,
                ("", "proto") => sketch.proto = map.next_value()?,
                ("", "app_proto") => sketch.app_proto = map.next_value()?,
                ("", "alert" | "http" | "tls") => {
                    let inside = match key.as_str() {
                        "alert" => "alert",
                        "http" => "http",
                        _ => "tls",
                    };
                    map.next_value_seed(Object { sketch: &mut *sketch, inside })?;
                }
                ("alert", "gid") => sketch.ids[0] = map.next_value()?,
                ("alert", "signature_id") => sketch.ids[1] = map.next_value()?,
                ("alert", "rev") => sketch.ids[2] = map.next_value()?,
                ("alert", "signature") => sketch.signature = map.next_value()?,
                ("alert", "category") => sketch.category = map.next_value()?,
                ("alert", "severity") => sketch.severity = map.next_value()?,
                ("alert", "action") => sketch.action = map.next_value()?,
                _ => match DETAILS
                    .iter()
                    .find(|(object, name, _)| *object == inside && *name == key)
                {
                    Some((.., name)) => {
                        let value: serde_json::Value = map.next_value()?;
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        sketch.details.push((name, value));
                    }
                    None => drop(map.next_value::<IgnoredAny>()?),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: &str = r#"{"timestamp":"2026-11-24T06:12:01.123456+0000","flow_id":1,"event_type":"alert","src_ip":"198.51.100.7","src_port":40112,"dest_ip":"203.0.113.5","dest_port":80,"proto":"TCP","tx_id":0,"alert":{"action":"allowed","gid":1,"signature_id":2024364,"rev":4,"signature":"ET SCAN Possible Nmap User-Agent Observed","category":"Web Application Attack","severity":1,"metadata":{"x":["y"]}},"http":{"hostname":"203.0.113.5","url":"/<a>","http_user_agent":"Mozilla/5.0 (compatible; Nmap Scripting Engine)","http_method":"GET","status":404},"app_proto":"http","flow":{"src_ip":"192.0.2.1"},"payload":"AAAA"}"#;

    #[test]
    fn eve_reads_like_fast_log() {
        assert_eq!(
            shown(EVE),
            "2026-11-24T06:12:01.123456+0000  [1:2024364:4] ET SCAN Possible Nmap User-Agent Observed \
             [Web Application Attack] [Priority: 1] {TCP http} 198.51.100.7:40112 -> 203.0.113.5:80 \
             host=203.0.113.5 url=/<a> agent=Mozilla/5.0 (compatible; Nmap Scripting Engine) method=GET"
        );
        let v6 = EVE.replace("198.51.100.7", "2001:db8::7").replace("\"allowed\"", "\"blocked\"");
        let text = shown(&v6);
        assert!(text.contains("  [Drop] [1:2024364:4]"), "{text}");
        assert!(text.contains("[2001:db8::7]:40112 -> "), "{text}");
    }

    #[test]
    fn cut_lines_show_what_is_left_and_others_are_themselves() {
        let enough = EVE.find(",\"severity\"").unwrap();
        for cut in enough..EVE.len() {
            assert!(shown(&EVE[..cut]).starts_with("2026-11-24T06:12:01.123456+0000  ["), "{cut}");
        }
        // Whatever is cut, nothing panics, and nothing is lost silently.
        for cut in 0..enough {
            let line = &EVE[..cut];
            assert!(!shown(line).is_empty() || cut == 0);
        }
        for other in ["05/14/2020-22:10:17.391373  [**] [1:1:1] x [**]", "{", "{\"a\":1}", "[1]"] {
            assert_eq!(shown(other), other);
        }
        let evil = EVE.replace("ET SCAN", "\\r\\nBcc: x\\u202e");
        assert!(!shown(&evil).contains(['\r', '\n', '\u{202e}']));
    }
}

//! `suricata-eve`: the alerts of Suricata's eve.json (src/output-json-alert.c).
//!
//! Most records are something else; those are told by their `event_type` without being parsed. JSON
//! comes from us only as far as Suricata's own keys go: values are attackers' text, so a key that
//! stands twice counts where it stands first (Suricata writes its header first), and a field of
//! the wrong kind makes the line malformed.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Undecodable;
use super::json::Json;
use super::stamp::Stamps;
use crate::config::Format;
use crate::event::{Body, EveExtra, Flow, Line, Record, SuricataAlert, canonical};

/// Finds out cheaply that a record is no alert.
#[derive(Debug)]
pub(super) struct Filter(memmem::Finder<'static>);

impl Default for Filter {
    fn default() -> Self {
        Self(memmem::Finder::new(r#""event_type""#))
    }
}

impl Filter {
    /// Whether the first `event_type` in the line says something else than `alert`.
    ///
    /// Within a string the quotes would be escaped, so this can only be a key.
    fn rejects(&self, text: &[u8]) -> bool {
        let Some(key) = self.0.find(text) else { return false };
        let value = text[key + self.0.needle().len()..].trim_ascii_start();
        let Some(value) = value.strip_prefix(b":") else { return false };
        !value.trim_ascii_start().starts_with(br#""alert""#)
    }
}

/// The alert of a line.
pub(super) fn decode<'l>(
    filter: &Filter,
    stamps: &mut Stamps,
    line: Line<'l>,
) -> Result<Record<'l>, Undecodable> {
    if filter.rejects(line.bytes) {
        return Err(Undecodable::NotAnAlert);
    }
    let refuse = |expected| Undecodable::Malformed { format: Format::SuricataEve, expected, at: 0 };
    let plain = plain(line.bytes).map_or_else(|| parsed(line.bytes), Ok);
    let event = plain.map_err(|error| Undecodable::Malformed {
        format: Format::SuricataEve,
        expected: match error.classify() {
            serde_json::error::Category::Eof => "more of it (the record is cut off)",
            serde_json::error::Category::Data => "a value of the kind that Suricata writes",
            _ => "JSON",
        },
        at: error.column(),
    })?;
    match event.event_type {
        Some(Text(kind)) if kind == "alert" => {}
        Some(_) => return Err(Undecodable::NotAnAlert),
        None => return Err(refuse("a key `event_type` somewhere")),
    }
    let alert = event.alert.ok_or_else(|| refuse("a key `alert` somewhere"))?;
    let sid = alert.signature_id.ok_or_else(|| refuse("a key `alert.signature_id` somewhere"))?;

    let time = event
        .timestamp
        .and_then(|Text(text)| stamps.iso(text.as_bytes(), line.arrived))
        .and_then(|stamp| stamp.time);
    let host = event.host.and_then(|Text(text)| match text {
        Cow::Borrowed(text) => Some(text.as_bytes()),
        Cow::Owned(_) => None,
    });
    // Anyone can send both halves of a conversation inside a tunnel (GRE, Teredo, VXLAN), in whose
    // name he likes; what Suricata recognises in there proves nothing about the inner addresses.
    let tunnelled = event.tunnel.is_some();
    let flow = event.flow.and_then(|flow| {
        Some(Flow {
            client: flow.src_ip?.0,
            client_port: flow.src_port,
            server: flow.dest_ip?.0,
            server_port: flow.dest_port,
        })
    });
    let eve = EveExtra {
        app_proto: event
            .app_proto
            .map(|Text(name)| name)
            .filter(|name| !tunnelled && !matches!(name.as_ref(), "" | "failed" | "unknown")),
        has_tx: event.tx_id.is_some() && !tunnelled,
        flow,
        xff: alert.xff.or(event.xff).map(|Text(text)| text),
    };
    Ok(Record {
        time,
        host,
        program: None,
        pid: None,
        repeated: 1,
        body: Body::Suricata(Box::new(SuricataAlert {
            gid: alert.gid.unwrap_or(1),
            sid,
            rev: alert.rev.unwrap_or(0),
            signature: alert.signature.map(|Text(text)| text).unwrap_or_default(),
            category: alert.category.map(|Text(text)| text).filter(|text| !text.is_empty()),
            priority: alert.severity.unwrap_or(3),
            action: match alert.action {
                Some(Text(action)) if action == "blocked" => "blocked",
                _ => "allowed",
            },
            proto: event.proto.map(|Text(text)| text).unwrap_or_default(),
            src: event.src_ip.map(|addr| addr.0),
            src_port: event.src_port,
            dst: event.dest_ip.map(|addr| addr.0),
            dst_port: event.dest_port,
            eve: Some(eve),
        })),
    })
}

/// What serde_json makes of a line.
fn parsed(line: &[u8]) -> serde_json::Result<EventObject<'_>> {
    serde_json::from_slice(line)
}

/// The same of a line without anything special, faster; `None`: ask [`parsed`].
fn plain(line: &[u8]) -> Option<EventObject<'_>> {
    let mut json = Json::new(line);
    json.blanks();
    let mut event = EventObject::default();
    json.object(|key, json| {
        match key {
            b"timestamp" if event.timestamp.is_none() => event.timestamp = text(json)?,
            b"event_type" if event.event_type.is_none() => event.event_type = text(json)?,
            b"host" if event.host.is_none() => event.host = text(json)?,
            b"src_ip" if event.src_ip.is_none() => event.src_ip = json.address()?.map(Address),
            b"src_port" if event.src_port.is_none() => event.src_port = json.number()?,
            b"dest_ip" if event.dest_ip.is_none() => event.dest_ip = json.address()?.map(Address),
            b"dest_port" if event.dest_port.is_none() => event.dest_port = json.number()?,
            b"proto" if event.proto.is_none() => event.proto = text(json)?,
            b"alert" if event.alert.is_none() => event.alert = Some(plain_alert(json)?),
            b"app_proto" if event.app_proto.is_none() => event.app_proto = text(json)?,
            b"tx_id" if event.tx_id.is_none() => event.tx_id = there(json)?,
            b"flow" if event.flow.is_none() => event.flow = Some(plain_flow(json)?),
            b"tunnel" if event.tunnel.is_none() => event.tunnel = there(json)?,
            b"xff" if event.xff.is_none() => event.xff = text(json)?,
            _ => {
                json.skip()?;
            }
        }
        Some(())
    })?;
    json.is_over().then_some(event)
}

fn plain_alert<'l>(json: &mut Json<'l>) -> Option<AlertObject<'l>> {
    let mut alert = AlertObject::default();
    json.object(|key, json| {
        match key {
            b"action" if alert.action.is_none() => alert.action = text(json)?,
            b"gid" if alert.gid.is_none() => alert.gid = json.number()?,
            b"signature_id" if alert.signature_id.is_none() => {
                alert.signature_id = json.number()?;
            }
            b"rev" if alert.rev.is_none() => alert.rev = json.number()?,
            b"signature" if alert.signature.is_none() => alert.signature = text(json)?,
            b"category" if alert.category.is_none() => alert.category = text(json)?,
            b"severity" if alert.severity.is_none() => alert.severity = json.number()?,
            b"xff" if alert.xff.is_none() => alert.xff = text(json)?,
            _ => {
                json.skip()?;
            }
        }
        Some(())
    })?;
    Some(alert)
}

fn plain_flow(json: &mut Json<'_>) -> Option<FlowObject> {
    let mut flow = FlowObject::default();
    json.object(|key, json| {
        match key {
            b"src_ip" if flow.src_ip.is_none() => flow.src_ip = json.address()?.map(Address),
            b"src_port" if flow.src_port.is_none() => flow.src_port = json.number()?,
            b"dest_ip" if flow.dest_ip.is_none() => flow.dest_ip = json.address()?.map(Address),
            b"dest_port" if flow.dest_port.is_none() => flow.dest_port = json.number()?,
            _ => {
                json.skip()?;
            }
        }
        Some(())
    })?;
    Some(flow)
}

fn text<'l>(json: &mut Json<'l>) -> Option<Option<Text<'l>>> {
    json.text().map(|text| text.map(|text| Text(Cow::Borrowed(text))))
}

/// Whether a value other than `null` stands there.
fn there(json: &mut Json<'_>) -> Option<Option<IgnoredAny>> {
    json.skip().map(|null| (!null).then_some(IgnoredAny))
}

/// A string, borrowed from the line where nothing in it is escaped.
#[derive(Debug, Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

/// An address, v4-mapped ones folded to IPv4.
#[derive(Clone, Copy, Debug)]
struct Address(IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IpAddr::deserialize(deserializer).map(|addr| Self(canonical(addr)))
    }
}

/// An object of which some keys are read, the first of each, and `null` is as good as absent.
///
/// serde's derive refuses a line where a key stands twice; some releases of Suricata wrote such
/// lines, and an alert that is lost is an attacker who isn't banned.
macro_rules! object {
    ($name:ident $(<$lines:lifetime>)? { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Debug, Default)]
        struct $name $(<$lines>)? { $($field: Option<$kind>,)* }

        impl<'l> Deserialize<'l> for $name $(<$lines>)? {
            fn deserialize<D: Deserializer<'l>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys;

                impl<'l> Visitor<'l> for Keys {
                    type Value = $name $(<$lines>)?;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'l>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(Text(key)) = map.next_key()? {
                            match key.as_ref() {
                                $(stringify!($field) if object.$field.is_none() => {
                                    object.$field = map.next_value()?;
                                })*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(Keys)
            }
        }
    };
}

object!(EventObject<'l> {
    timestamp: Text<'l>,
    event_type: Text<'l>,
    host: Text<'l>,
    src_ip: Address,
    src_port: u16,
    dest_ip: Address,
    dest_port: u16,
    proto: Text<'l>,
    alert: AlertObject<'l>,
    app_proto: Text<'l>,
    tx_id: IgnoredAny,
    flow: FlowObject,
    tunnel: IgnoredAny,
    xff: Text<'l>,
});

object!(AlertObject<'l> {
    action: Text<'l>,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: Text<'l>,
    category: Text<'l>,
    severity: u8,
    xff: Text<'l>,
});

object!(FlowObject { src_ip: Address, src_port: u16, dest_ip: Address, dest_port: u16 });

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::event::Timestamp;

    /// A record as Suricata 7 writes it, before `}`.
    const HEAD: &str = r#"{"timestamp":"2024-05-01T10:00:00.123456+0200","flow_id":2163842123545698,"in_iface":"eth0","event_type":"alert","src_ip":"198.51.100.7","src_port":41234,"dest_ip":"203.0.113.9","dest_port":80,"proto":"TCP","pkt_src":"wire/pcap""#;
    const ALERT: &str = r#","alert":{"action":"allowed","gid":1,"signature_id":2024364,"rev":3,"signature":"ET SCAN Possible Nmap User-Agent Observed","category":"Web Application Attack","severity":1,"metadata":{"created_at":["2017_06_08"]}}"#;
    const FLOW: &str = r#","flow":{"pkts_toserver":4,"bytes_toserver":540,"start":"2024-05-01T09:59:59.000000+0200","src_ip":"198.51.100.7","dest_ip":"203.0.113.9","src_port":41234,"dest_port":80}"#;

    fn decoded(text: &str) -> Result<Record<'_>, Undecodable> {
        let line = Line { bytes: text.as_bytes(), arrived: Timestamp::from_secs(0) };
        decode(&Filter::default(), &mut Stamps::new(TimeZone::UTC), line)
    }

    fn alert(text: &str) -> SuricataAlert<'_> {
        match decoded(text).unwrap_or_else(|error| panic!("{error}: {text}")).body {
            Body::Suricata(alert) => *alert,
            Body::Message(_) | Body::Access(_) => panic!("not an alert"),
        }
    }

    proptest! {
        /// The fast reader gives what serde_json gives, or nothing.
        #[test]
        fn plain_records_are_read_alike(
            parts in proptest::collection::vec(prop_oneof![
                Just(HEAD), Just(ALERT), Just(FLOW), Just("}"), Just(","), Just("{"), Just(" "),
                Just(r#","app_proto":"http""#), Just(r#","tx_id":0"#), Just(r#","tx_id":null"#),
                Just(r#","xff":"192.0.2.1""#), Just(r#","host":"w\"x""#), Just(r#","src_port":70000"#),
                Just(r#","src_port":080"#), Just(r#","src_port":1.0"#), Just(r#","src_ip":null"#),
                Just(r#","src_ip":"::ffff:192.0.2.9""#), Just(r#","flow":null"#), Just(r#","alert":[]"#),
                Just(r#","tunnel":{"depth":1,"x":[-1.5,{}]}"#), Just(r#","\u0061lert":1"#),
                Just(r#","alert":{"severity":256}"#), Just(r#","proto":"\u00e9""#), Just(r#","x":1e999"#),
            ], 0..8),
            cut in 0_usize..900, at in 0_usize..900, to in any::<u8>(), damage in 0_u8..4,
        ) {
            let mut line = format!("{HEAD}{}}}", parts.concat()).into_bytes();
            if damage == 1 {
                line.truncate(cut);
            }
            if damage == 2 && let Some(byte) = line.get_mut(at) {
                *byte = to;
            }
            if let Some(plain) = plain(&line) {
                let parsed = parsed(&line);
                prop_assert!(parsed.is_ok(), "{}", line.escape_ascii());
                prop_assert_eq!(format!("{plain:?}"), format!("{:?}", parsed.unwrap()));
            }
        }
    }

    #[test]
    fn what_suricata_writes_goes_the_fast_way() {
        let text = format!(r#"{HEAD}{ALERT}{FLOW},"app_proto":"http","tx_id":0}}"#);
        assert!(plain(text.as_bytes()).is_some());
    }

    fn extra(text: &str) -> EveExtra<'_> {
        alert(text).eve.unwrap()
    }

    #[test]
    fn an_alert_with_everything() {
        let text = format!(
            r#"{HEAD}{ALERT}{FLOW},"app_proto":"http","tx_id":0,"direction":"to_server","host":"web1"}}"#
        );
        let record = decoded(&text).unwrap();
        assert_eq!(record.time.unwrap().to_string(), "2024-05-01T08:00:00.123456Z");
        assert_eq!(record.host, Some(&b"web1"[..]));
        let alert = alert(&text);
        assert_eq!((alert.gid, alert.sid, alert.rev), (1, 2_024_364, 3));
        assert!(matches!(alert.signature, Cow::Borrowed(_)));
        assert_eq!(alert.signature, "ET SCAN Possible Nmap User-Agent Observed");
        assert_eq!(alert.category.as_deref(), Some("Web Application Attack"));
        assert_eq!((alert.priority, alert.action, alert.proto.as_ref()), (1, "allowed", "TCP"));
        let (client, server) = ("198.51.100.7".parse().unwrap(), "203.0.113.9".parse().unwrap());
        assert_eq!((alert.src, alert.src_port), (Some(client), Some(41_234)));
        assert_eq!((alert.dst, alert.dst_port), (Some(server), Some(80)));
        let eve = alert.eve.unwrap();
        assert_eq!((eve.app_proto.as_deref(), eve.has_tx), (Some("http"), true));
        let flow = Flow { client, client_port: Some(41_234), server, server_port: Some(80) };
        assert_eq!(eve.flow, Some(flow));
        assert_eq!(eve.xff, None);
    }

    #[test]
    fn keys_may_come_in_any_order_and_with_spaces() {
        let text = r#"{ "alert" : { "severity" : 2, "signature_id" : 5, "category" : "" },
            "http" : { "event_type" : 1 }, "event_type" : "alert" , "dest_ip":"2001:db8::2",
            "src_ip" : "2001:db8::1", "proto": "IPv6-ICMP", "icmp_type": 128 }"#;
        // The first `event_type` isn't the record's own; Suricata writes its own before all that a
        // peer could have a hand in.
        assert_eq!(decoded(text).unwrap_err(), Undecodable::NotAnAlert);
        let text = text.replace(r#""http" : { "event_type" : 1 }, "#, "");
        let alert = alert(&text);
        assert_eq!((alert.sid, alert.gid, alert.rev, alert.priority), (5, 1, 0, 2));
        assert_eq!((alert.signature.as_ref(), alert.category), ("", None));
        assert_eq!(alert.src, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((alert.src_port, alert.dst_port), (None, None));
        assert_eq!(decoded(&text).unwrap().time, None);
    }

    #[test]
    fn other_records_are_no_alerts_and_not_parsed() {
        for text in [
            r#"{"timestamp":"x","flow_id":1,"event_type":"flow","flow":{"alerted":true}}"#,
            r#"{"event_type":"stats","stats":{}}"#,
            r#"{"event_type":"dns","alert":{}, this is never looked at"#,
            r#"{"event_type" : "alerts"}"#,
        ] {
            assert_eq!(decoded(text).unwrap_err(), Undecodable::NotAnAlert, "{text}");
        }
        // In a string it is no key.
        let text = format!(r#"{HEAD}{ALERT},"payload_printable":"\"event_type\":\"flow\""}}"#);
        assert_eq!(alert(&text).sid, 2_024_364);
    }

    #[test]
    fn evidence_that_the_flow_was_real() {
        for (keys, app_proto, has_tx) in [
            ("", None, false),
            (r#","app_proto":"failed""#, None, false),
            (r#","app_proto":"tls""#, Some("tls"), false),
            (r#","app_proto":null,"tx_id":null"#, None, false),
            (r#","tx_id":3,"tx_guessed":true"#, None, true),
            // Inside a tunnel nothing is evidence.
            (
                r#","app_proto":"tls","tx_id":3,"tunnel":{"src_ip":"192.0.2.1","depth":1}"#,
                None,
                false,
            ),
        ] {
            let text = format!("{HEAD}{ALERT}{keys}}}");
            let eve = extra(&text);
            assert_eq!((eve.app_proto.as_deref(), eve.has_tx), (app_proto, has_tx), "{keys}");
        }
    }

    #[test]
    fn flows_need_both_ends() {
        // Suricata 6 has no addresses there.
        for flow in [r#"{"pkts_toserver":4}"#, r#"{"src_ip":"198.51.100.7"}"#, "null"] {
            let text = format!(r#"{HEAD}{ALERT},"flow":{flow}}}"#);
            assert_eq!(extra(&text).flow, None);
        }
        let text = format!(
            r#"{HEAD}{ALERT},"flow":{{"src_ip":"::ffff:198.51.100.7","dest_ip":"203.0.113.9"}}}}"#
        );
        let flow = extra(&text).flow.unwrap();
        assert_eq!(flow.client.to_string(), "198.51.100.7");
        assert_eq!(flow.client_port, None);
    }

    #[test]
    fn forwarded_addresses_are_kept_apart() {
        let inside = ALERT.replace(r#""gid":1"#, r#""gid":1,"xff":"192.0.2.1""#);
        assert_eq!(extra(&format!("{HEAD}{inside}}}")).xff.as_deref(), Some("192.0.2.1"));
        let beside = format!(r#"{HEAD}{ALERT},"xff":"192.0.2.2"}}"#);
        assert_eq!(extra(&beside).xff.as_deref(), Some("192.0.2.2"));
    }

    #[test]
    fn an_alert_may_lack_addresses_and_be_blocked() {
        let text = r#"{"event_type":"alert","alert":{"action":"blocked","signature_id":2200000,"signature":"SURICATA \u00e9 \"x\"","severity":3}}"#;
        let alert = alert(text);
        assert_eq!((alert.action, alert.src, alert.dst), ("blocked", None, None));
        assert_eq!((alert.signature.as_ref(), alert.proto.as_ref()), ("SURICATA é \"x\"", ""));
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let text = format!(
            r#"{HEAD}{ALERT},"src_ip":"192.0.2.66","alert":{{"signature_id":9}},"tx_id":1,"tx_id":2}}"#
        );
        let alert = alert(&text);
        assert_eq!(alert.src, Some("198.51.100.7".parse().unwrap()));
        assert_eq!((alert.sid, alert.eve.unwrap().has_tx), (2_024_364, true));
    }

    #[test]
    fn hostile_json_is_refused() {
        let deep = "[".repeat(100_000);
        for (rest, expected) in [
            (format!(",\"x\":{deep}"), "cut off"),
            (String::new(), "cut off"),
            (",\"alert\":[]}".to_owned(), "of the kind"),
            (",\"app_proto\":{}}".to_owned(), "of the kind"),
            (",\"flow\":{\"src_port\":65536}}".to_owned(), "of the kind"),
            (",\"flow\":{\"src_ip\":\"web1\"}}".to_owned(), "of the kind"),
            (",\"x\":\"\\ud800\"}".to_owned(), "`alert`"),
            (",\"alert\":{}}".to_owned(), "alert.signature_id"),
            ("} {}".to_owned(), "JSON"),
            (",,".to_owned(), "JSON"),
        ] {
            let text = format!("{HEAD}{rest}");
            let error = decoded(&text).unwrap_err();
            assert!(error.is_malformed());
            assert!(
                error.to_string().contains(expected),
                "{error}: {}",
                &rest[..rest.len().min(40)]
            );
        }
        assert!(decoded("{}").unwrap_err().to_string().contains("event_type"));
        assert!(decoded("[]").unwrap_err().is_malformed());
    }
}

//! Outer formats: from a line's bytes to a [`Record`] that says who wrote it, when, and what remains.
//!
//! This is the only recognition that is code; what a message means is a pack's business. Attackers
//! write these bytes: no input panics, time is linear in a line's length, and slices of the record
//! are slices of the line.
#![forbid(unsafe_code)]

#[cfg(test)]
mod corpora;
mod ietf;
mod json;
mod plain;
mod scan;
mod stamp;
mod suricata_eve;
mod suricata_fast;
mod syslog;

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use self::stamp::Stamps;
use crate::config::{Format, UnknownFormat};
use crate::event::{Line, Record};

/// What entries of the journal are called.
pub const JOURNALD: &str = "journald";

/// A name that no format has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected the format auto, syslog, suricata-fast, suricata-eve, plain or journald, got `{name}`"
)]
pub struct UnknownSelection {
    /// What was given.
    pub name: String,
}

/// Which format a decoder takes its lines for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Selection {
    /// Each line tells: `{` begins eve.json, a date with slashes fast.log, an address before a stamp in
    /// brackets an access log, all else is syslog.
    #[default]
    Auto,
    /// This one.
    Only(Format),
    /// Entries of the journal, which whoever reads them has made lines of syslog.
    Journald,
}

impl From<Format> for Selection {
    fn from(format: Format) -> Self {
        Self::Only(format)
    }
}

impl FromStr for Selection {
    type Err = UnknownSelection;

    /// `auto`, or a format's name as in the configuration.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            JOURNALD => Ok(Self::Journald),
            _ => match text.parse() {
                Ok(format) => Ok(Self::Only(format)),
                Err(UnknownFormat { name }) => Err(UnknownSelection { name }),
            },
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(format) => format.fmt(f),
            Self::Journald => f.write_str(JOURNALD),
        }
    }
}

/// Why a line gives no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Undecodable {
    /// Nothing but blanks.
    #[error("the line is empty")]
    Empty,
    /// A record of eve.json that is something else: a flow, statistics, a DNS answer.
    #[error("an eve.json record, but no alert")]
    NotAnAlert,
    /// Not what its format says, or cut off.
    #[error("expected {expected} at byte {at} of a {format} line")]
    Malformed {
        /// The format it was taken for.
        format: Format,
        /// What should have stood there.
        expected: &'static str,
        /// Where, in bytes from the line's start.
        at: usize,
    },
}

impl Undecodable {
    /// Whether something is wrong with the line; the other outcomes are everyday.
    pub const fn is_malformed(self) -> bool {
        matches!(self, Self::Malformed { .. })
    }
}

/// Decodes the lines of one source, in order.
///
/// It remembers the last minute it read a date for, which makes the next line of that minute cheap;
/// nothing else is carried from line to line.
#[derive(Debug)]
pub struct Decoder {
    selection: Selection,
    last: Option<Format>,
    stamps: Stamps,
    eve: suricata_eve::Filter,
}

impl Decoder {
    /// A decoder that reads stamps without a zone as times of `zone`. Stamps without a year are of
    /// the year that brings them closest before their line's arrival.
    pub fn new(selection: Selection, zone: TimeZone) -> Self {
        Self {
            selection,
            last: None,
            stamps: Stamps::new(zone),
            eve: suricata_eve::Filter::default(),
        }
    }

    /// The record that a line holds.
    pub fn decode<'l>(&mut self, line: Line<'l>) -> Result<Record<'l>, Undecodable> {
        let format = match self.selection {
            Selection::Only(format) => format,
            Selection::Journald => Format::Syslog,
            Selection::Auto => detect(line.bytes),
        };
        self.last = Some(format);
        if line.bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Undecodable::Empty);
        }
        match format {
            Format::Syslog => Ok(syslog::decode(&mut self.stamps, line)),
            Format::SuricataFast => suricata_fast::decode(&mut self.stamps, line),
            Format::SuricataEve => suricata_eve::decode(&self.eve, &mut self.stamps, line),
            Format::Plain => plain::decode(&mut self.stamps, line),
        }
    }

    /// What the last line was taken for; `None` before the first.
    pub const fn last_format(&self) -> Option<Format> {
        self.last
    }
}

/// Tells a line's format by its first bytes.
fn detect(bytes: &[u8]) -> Format {
    match bytes.trim_ascii_start() {
        [b'{', ..] => Format::SuricataEve,
        text if suricata_fast::looks_like(text) => Format::SuricataFast,
        text if plain::looks_like(text) => Format::Plain,
        _ => Format::Syslog,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Body, Timestamp};

    fn line(bytes: &[u8]) -> Line<'_> {
        // 2024-05-01T12:00:00Z
        Line { bytes, arrived: Timestamp::from_secs(1_714_564_800) }
    }

    #[test]
    fn auto_takes_each_line_for_what_it_is() {
        let mut decoder = Decoder::new(Selection::Auto, TimeZone::UTC);
        assert_eq!(decoder.last_format(), None);
        for (text, format) in [
            ("Nov 23 10:00:00 web1 sshd[812]: Connection closed", Format::Syslog),
            ("05/14/2020-22:10:17.391373  [**] [1:1:1] x [**] [Priority: 1]", Format::SuricataFast),
            ("10/20-20:43:32.334621  [**] [1:1:1] x [**] [Priority: 0]", Format::SuricataFast),
            ("ts-error  [**] [1:1:1] x [**] [Priority: 1]", Format::SuricataFast),
            (r#" {"event_type":"flow"}"#, Format::SuricataEve),
            ("2024-05-01T10:00:00Z web1 su: x", Format::Syslog),
            ("05/14 is no date", Format::Syslog),
            (r#"192.0.2.1 - - [23/Nov/2026:10:00:00 +0000] "GET /""#, Format::Plain),
            ("192.0.2.1 is no log", Format::Syslog),
        ] {
            let _outcome = decoder.decode(line(text.as_bytes()));
            assert_eq!(decoder.last_format(), Some(format), "{text}");
        }
    }

    #[test]
    fn selection_reads_what_it_prints() {
        for name in ["auto", "syslog", "suricata-fast", "suricata-eve", "plain", "journald"] {
            assert_eq!(name.parse::<Selection>().unwrap().to_string(), name);
        }
        assert!("fast.log".parse::<Selection>().unwrap_err().to_string().contains("suricata-fast"));
    }

    #[test]
    fn blank_lines_are_nothing_in_every_format() {
        for name in ["auto", "syslog", "suricata-fast", "suricata-eve", "plain"] {
            let mut decoder = Decoder::new(name.parse().unwrap(), TimeZone::UTC);
            for blank in ["", " ", "\t  "] {
                assert_eq!(decoder.decode(line(blank.as_bytes())).unwrap_err(), Undecodable::Empty);
            }
        }
        assert!(!Undecodable::Empty.is_malformed());
    }

    /// Whether `part` lies within `whole`'s memory.
    fn lies_in(part: &[u8], whole: &[u8]) -> bool {
        part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
    }

    fn decode_with_all(bytes: &[u8], arrived: i64) {
        for name in ["auto", "syslog", "suricata-fast", "suricata-eve", "plain"] {
            let mut decoder =
                Decoder::new(name.parse().unwrap(), TimeZone::get("Europe/Berlin").unwrap());
            let line = Line { bytes, arrived: Timestamp::from_micros(arrived) };
            // Twice: the second time with the minute remembered.
            let first = decoder.decode(line).map(|record| record.time);
            let Ok(record) = decoder.decode(line) else { continue };
            assert_eq!(first, Ok(record.time));
            for part in [record.host, record.program].into_iter().flatten() {
                assert!(lies_in(part, bytes));
            }
            if let Body::Message(message) | Body::Access(message) = record.body {
                assert!(lies_in(message, bytes));
            }
            assert!(record.repeated >= 1);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            arrived in any::<i64>(),
        ) {
            decode_with_all(&bytes, arrived);
        }

        /// The same with bytes that get deeper into the decoders than noise does.
        #[test]
        fn any_mixture_of_real_parts_decodes_or_is_refused(
            parts in proptest::collection::vec(prop_oneof![
                Just("Nov 23 10:00:00 "), Just("Feb 29 23:59:60 "), Just("2024-05-01T10:00:00.5+02:00 "),
                Just("2015 Dec 29 10:00:01 "), Just("<38>"), Just("<auth.info> "), Just("1 "), Just("- "),
                Just("[a b=\"c\\]\"] "), Just("web1 "), Just("sshd[812]: "), Just("[sshd] "),
                Just("kernel: [ 9.6] "), Just("[ID 1 auth.info] "), Just("message repeated 3 times: [ "),
                Just("]"), Just("05/14/2020-22:10:17.391373  "), Just("05/14-22:10:17.391373  "),
                Just("[**] "), Just("[1:2:3] "), Just(" [**] [Classification: "), Just("] "),
                Just("[Priority: 1] "), Just("{TCP} "), Just("198.51.100.7:80"), Just(" -> "),
                Just("2001:db8::1"), Just("[Raw pkt: 00 0C ]"), Just("{\"event_type\":\"alert\","),
                Just("\"alert\":{"), Just("\"signature_id\":1"), Just("}"), Just("\u{fe}"), Just(""),
            ], 0..14),
            arrived in 0i64..4_000_000_000_000_000,
        ) {
            decode_with_all(parts.concat().as_bytes(), arrived);
        }

        /// A line cut off anywhere, and with a byte turned over anywhere.
        #[test]
        fn damaged_lines_decode_or_are_refused(
            which in 0usize..4, cut in 0usize..400, at in 0usize..400, to in any::<u8>(),
        ) {
            let whole = [
                "05/14/2020-22:10:17.391373  [wDrop] [**] [1:2024364:3] ET SCAN [**] \
                 [Classification: Web] [Priority: 1] {TCP} 198.51.100.7:41234 -> 203.0.113.9:80",
                r#"{"timestamp":"2024-05-01T10:00:00.123456+0200","event_type":"alert","src_ip":"198.51.100.7","src_port":1,"dest_ip":"203.0.113.9","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2,"rev":3,"signature":"x","category":"","severity":1},"app_proto":"http"}"#,
                r#"<38>1 2019-07-08T17:40:16.954167-04:00 host sshd 57915 - [sd a="b\]"] msg"#,
                "Nov 23 10:00:00 web1 sshd(pam_unix)[812]: message repeated 2 times: [ Failed]",
            ][which];
            let mut bytes = whole.as_bytes()[..cut.min(whole.len())].to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            decode_with_all(&bytes, 1_714_564_800_000_000);
        }
    }
}

//! An entry of `journalctl -o json`, made a line of syslog under the name of who really said it.
//!
//! Fields that begin with `_` are journald's own word; the others are the sender's, `SYSLOG_IDENTIFIER`
//! among them: anybody may write `logger -t sshd`. So the identifier counts only where the sender is one
//! who may bear it ([`Entry::program`]).

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use jiff::Timestamp;
use memchr::memmem;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::super::trust::{DYNAMIC, PEOPLE};

/// A program's name is no longer.
const NAME: usize = 64;

/// What of an entry is of use.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Entry<'e> {
    #[serde(rename = "__CURSOR", borrow)]
    pub(super) cursor: Cow<'e, str>,
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    time: Cow<'e, str>,
    #[serde(rename = "MESSAGE", default, borrow)]
    message: Field<'e>,
    #[serde(rename = "SYSLOG_IDENTIFIER", default, borrow)]
    identifier: Field<'e>,
    #[serde(rename = "_COMM", default, borrow)]
    comm: Field<'e>,
    #[serde(rename = "_EXE", default, borrow)]
    exe: Field<'e>,
    #[serde(rename = "_UID", default, borrow)]
    uid: Field<'e>,
    #[serde(rename = "_PID", default, borrow)]
    pid: Field<'e>,
    #[serde(rename = "_SYSTEMD_UNIT", default, borrow)]
    unit: Field<'e>,
    #[serde(rename = "_TRANSPORT", default, borrow)]
    transport: Field<'e>,
    #[serde(rename = "_HOSTNAME", default, borrow)]
    host: Field<'e>,
}

/// Whether a record may be an entry: journald's own fields are in every one.
pub(in super::super) fn looks_like(json: &[u8]) -> bool {
    [&b"\"__REALTIME_TIMESTAMP\""[..], b"\"__CURSOR\""]
        .into_iter()
        .all(|field| memmem::find(json, field).is_some())
}

impl<'e> Entry<'e> {
    /// `None` where it isn't one, or has no cursor that could be given back to `journalctl`.
    pub(in super::super) fn parse(json: &'e [u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(json).ok()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b';' | b'-');
        (!entry.cursor.is_empty() && entry.cursor.bytes().all(plain)).then_some(entry)
    }

    /// Appends `2026-11-23T10:00:00.000000Z web1 sshd[812]: MESSAGE`, the message at most `cap` bytes.
    pub(in super::super) fn write_line(&self, cap: usize, line: &mut Vec<u8>) {
        let micros = self.time.parse().unwrap_or(0);
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let host = self.host.word().unwrap_or_else(|| "-".to_owned());
        let program = self.program();
        // Writing to memory doesn't fail.
        match self.pid.number() {
            Some(pid) => write!(line, "{time:.6} {host} {program}[{pid}]: ").ok(),
            None => write!(line, "{time:.6} {host} {program}: ").ok(),
        };
        let message = &self.message.0[..self.message.0.len().min(cap)];
        // A line has no line's end in it.
        line.extend(message.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
    }

    /// What was said, and by which process.
    pub(super) fn message_and_pid(&self) -> (&[u8], Option<u32>) {
        (self.message.0.trim_ascii_end(), self.pid.number())
    }

    /// When journald took it in.
    pub(super) fn taken_in(&self) -> Option<crate::event::Timestamp> {
        self.time.parse().ok().map(crate::event::Timestamp::from_micros)
    }

    /// Who said it.
    ///
    /// - The kernel, the audit system and root may call themselves what they like.
    /// - A service's own user may bear the name of its unit: `postfix/smtpd` in `postfix@-.service`.
    /// - Anybody else is the setuid program that spoke for him (`sudo`, `su`), and otherwise `uid-1000/NAME`,
    ///   which no pack knows. The program's own name won't do: any user can run sshd, and in a network
    ///   namespace of his own have it log whatever address he likes.
    fn program(&self) -> String {
        let name = self.identifier.word().or_else(|| self.comm.word());
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        let uid = match (self.uid.number(), &*self.transport.0) {
            (_, b"kernel" | b"audit") => return name,
            (Some(uid), _) => uid,
            (None, _) => return format!("nobody/{name}"),
        };
        if uid == 0 {
            return name;
        }
        let is_systems = uid < PEOPLE || DYNAMIC.contains(&uid);
        if is_systems && self.unit.word().is_some_and(|unit| bears_name_of(&name, &unit)) {
            return name;
        }
        let exe = str::from_utf8(&self.exe.0).ok().filter(|exe| is_setuid(exe));
        match exe.and_then(|exe| exe.rsplit('/').next()) {
            Some(program) if !program.is_empty() => program.chars().filter(is_plain).collect(),
            _ => format!("uid-{uid}/{name}"),
        }
    }
}

/// Whether a program of that name may be part of the unit: `sshd` of `ssh.service`, `dovecot` of
/// `dovecot.service`.
fn bears_name_of(name: &str, unit: &str) -> bool {
    let Some(service) = unit.strip_suffix(".service") else { return false };
    let stem = service.split('@').next().unwrap_or_default();
    let own = name.split('/').next().unwrap_or_default();
    stem.len() > 1 && own.len() > 1 && (own == stem || own.strip_suffix('d') == Some(stem))
}

/// Whether it runs as root whoever starts it.
fn is_setuid(exe: &str) -> bool {
    exe.starts_with('/')
        && fs::symlink_metadata(exe)
            .is_ok_and(|it| it.is_file() && it.uid() == 0 && it.mode() & 0o4000 != 0)
}

/// What a program's or host's name may be made of, so that it can't be taken for more of the header.
fn is_plain(c: &char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | '+')
}

/// A field's bytes: of a string, of an array of bytes, of the first of several; empty where it was too
/// large (`null`).
#[derive(Debug, Default)]
struct Field<'f>(Cow<'f, [u8]>);

impl Field<'_> {
    /// As a word of the header.
    fn word(&self) -> Option<String> {
        let word: String =
            String::from_utf8_lossy(&self.0).chars().filter(is_plain).take(NAME).collect();
        (!word.is_empty()).then_some(word)
    }

    fn number(&self) -> Option<u32> {
        str::from_utf8(&self.0).ok()?.parse().ok()
    }
}

impl<'de: 'f, 'f> Deserialize<'de> for Field<'f> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, bytes, or a list of such")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Field(Cow::Borrowed(text.as_bytes())))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Field(Cow::Owned(text.as_bytes().to_vec())))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Field::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut bytes = Vec::new();
                let mut first = None;
                while let Some(item) = list.next_element::<Item<'de>>()? {
                    match item {
                        Item::Byte(byte) => bytes.push(byte),
                        Item::Field(field) => first = first.or(Some(field)),
                    }
                }
                Ok(first.unwrap_or(Field(Cow::Owned(bytes))))
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item<'i> {
    Byte(u8),
    #[serde(borrow)]
    Field(Field<'i>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> String {
        let json = format!(
            r#"{{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795478400000000","_HOSTNAME":"web1",{fields}}}"#
        );
        let mut line = Vec::new();
        Entry::parse(json.as_bytes()).unwrap().write_line(64, &mut line);
        String::from_utf8_lossy(&line).into_owned()
    }

    #[test]
    fn the_identifier_counts_only_for_those_who_may_bear_it() {
        for (fields, program) in [
            (r#""_UID":"0","_COMM":"sshd-session","SYSLOG_IDENTIFIER":"sshd""#, "sshd"),
            (r#""_UID":"0","_COMM":"sshd""#, "sshd"),
            (r#""_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel""#, "kernel"),
            (
                r#""_UID":"106","SYSLOG_IDENTIFIER":"postfix/smtpd","_SYSTEMD_UNIT":"postfix@-.service""#,
                "postfix/smtpd",
            ),
            (r#""_UID":"110","SYSLOG_IDENTIFIER":"sshd","_SYSTEMD_UNIT":"ssh.service""#, "sshd"),
            // `logger -t sshd` by a user, by a web application, by a cron job.
            (r#""_UID":"1000","_COMM":"logger","SYSLOG_IDENTIFIER":"sshd""#, "uid-1000/sshd"),
            (
                r#""_UID":"33","SYSLOG_IDENTIFIER":"sshd","_SYSTEMD_UNIT":"apache2.service""#,
                "uid-33/sshd",
            ),
            (
                r#""_UID":"1000","SYSLOG_IDENTIFIER":"cron","_SYSTEMD_UNIT":"cron.service""#,
                "uid-1000/cron",
            ),
            // A user's own sshd, and a program called like it.
            (
                r#""_UID":"1000","_COMM":"sshd","_EXE":"/usr/sbin/sshd","SYSLOG_IDENTIFIER":"sshd""#,
                "uid-1000/sshd",
            ),
            // journald's word is missing altogether.
            (r#""SYSLOG_IDENTIFIER":"sshd""#, "nobody/sshd"),
            // A name that would look like more of a header.
            (r#""_UID":"1000","SYSLOG_IDENTIFIER":"a: b sshd[1]""#, "uid-1000/absshd1"),
        ] {
            let line = line(&format!(r#"{fields},"MESSAGE":"x""#));
            assert_eq!(line, format!("2026-11-24T00:00:00.000000Z web1 {program}: x"), "{fields}");
        }
    }

    #[test]
    fn messages_come_in_several_shapes() {
        for (message, text) in [
            (r#""one \"two\"""#, "one \"two\""),
            ("[102,97,105,108,255]", "fail\u{fffd}"),
            (r#"["first","second"]"#, "first"),
            ("null", ""),
            (r#""a\nb""#, "a b"),
        ] {
            let line =
                line(&format!(r#""_UID":"0","_PID":"7","_COMM":"sshd","MESSAGE":{message}"#));
            assert_eq!(line, format!("2026-11-24T00:00:00.000000Z web1 sshd[7]: {text}"));
        }
        let long = line(&format!(r#""_UID":"0","_COMM":"su","MESSAGE":"{}""#, "y".repeat(100)));
        assert!(
            long.ends_with(&format!("su: {}", "y".repeat(64))) && !long.contains(&"y".repeat(65))
        );
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for json in ["", "{}", "[]", r#"{"__CURSOR":"--x y","__REALTIME_TIMESTAMP":"1"}"#] {
            assert!(Entry::parse(json.as_bytes()).is_none(), "{json}");
        }
    }
}

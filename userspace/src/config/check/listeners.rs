//! The sources that others write to: `socket`, `udp` and `tcp`.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_yaml::Location;

use super::super::error::ConfigError;
use super::super::listen::{SocketKind, SyslogPort, Transport, UnixSocket};
use super::super::raw::Text;
use super::super::{Format, Input};
use super::{Check, pattern, prefix, word};

/// The longest path of a socket: `sun_path` less its NUL (unix(7)).
const LONGEST_PATH: usize = 107;

const KINDS: [(&str, SocketKind); 2] =
    [("stream", SocketKind::Stream), ("datagram", SocketKind::Datagram)];

/// The keys of a source that say where its lines come from.
pub(super) struct RawInput {
    pub(super) file: Option<Text>,
    pub(super) socket: Option<Text>,
    pub(super) kind: Option<Text>,
    pub(super) group: Option<Text>,
    pub(super) udp: Option<Text>,
    pub(super) tcp: Option<Text>,
    pub(super) from: Option<Vec<Text>>,
}

impl RawInput {
    /// Those of the keys that are given, of which there may be one.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let keys = [
            ("file", &self.file),
            ("socket", &self.socket),
            ("udp", &self.udp),
            ("tcp", &self.tcp),
        ];
        keys.into_iter().filter(|(_, text)| text.is_some()).map(|(key, _)| key).collect()
    }
}

impl Check<'_> {
    /// Where a source that isn't the journal comes from.
    pub(super) fn input(
        &self,
        at: Location,
        format: Format,
        raw: RawInput,
    ) -> Result<Input, ConfigError> {
        let given = raw.given();
        if let [_, _, ..] = given[..] {
            let problem = format!(
                "a source has one of `file`, `socket`, `udp` and `tcp`, got `{}`; make it several sources",
                given.join("` and `")
            );
            return Err(self.incomplete(at, "sources", &problem));
        }
        let RawInput { file, socket, kind, group, udp, tcp, from } = raw;
        if socket.is_none() {
            for (key, text) in [("type", &kind), ("group", &group)] {
                if let Some(text) = text {
                    let problem = format!("`{key}` belongs to `socket`; take it out");
                    return Err(self.incomplete(text.referenced, "sources", &problem));
                }
            }
        }
        if udp.is_none() && tcp.is_none() && from.is_some() {
            let problem =
                "`from` belongs to `udp` and `tcp`; who may write to a socket is said by `group`";
            return Err(self.incomplete(at, "sources", problem));
        }
        if let Some(path) = socket {
            return self.socket(format, path, kind, group).map(Input::Socket);
        }
        if let Some((transport, text)) = udp
            .map(|text| (Transport::Udp, text))
            .or_else(|| tcp.map(|text| (Transport::Tcp, text)))
        {
            return self.port(format, transport, text, from).map(Input::Port);
        }
        let Some(file) = file else {
            let problem = "expected `file`, the log to read: {format: syslog, file: PATH}; or where \
                           others send to, `socket`, `udp` or `tcp`";
            return Err(self.incomplete(at, "sources", problem));
        };
        let file = self.read("sources.file", file, |text| self.path(text))?;
        match pattern(&file) {
            None => Ok(Input::File(file)),
            Some(Ok(())) => Ok(Input::Glob(file)),
            Some(Err(problem)) => Err(self.incomplete(at, "sources.file", &problem)),
        }
    }

    fn socket(
        &self,
        format: Format,
        path: Text,
        kind: Option<Text>,
        group: Option<Text>,
    ) -> Result<UnixSocket, ConfigError> {
        let usual = match format {
            Format::Syslog => SocketKind::Datagram,
            Format::SuricataFast | Format::SuricataEve | Format::Plain => SocketKind::Stream,
        };
        Ok(UnixSocket {
            path: self.read("sources.socket", path, |text| self.socket_path(text))?,
            kind: self.one("sources.type", kind, usual, word(&KINDS))?,
            group: self.one("sources.group", group, None, |text| group_name(text).map(Some))?,
        })
    }

    fn socket_path(&self, text: &str) -> Result<PathBuf, String> {
        let path = self.path(text)?;
        match path.as_os_str().as_bytes().len() {
            0..=LONGEST_PATH => Ok(path),
            _ => Err(format!("expected a path of at most {LONGEST_PATH} bytes for a socket")),
        }
    }

    fn port(
        &self,
        format: Format,
        transport: Transport,
        text: Text,
        from: Option<Vec<Text>>,
    ) -> Result<SyslogPort, ConfigError> {
        if format != Format::Syslog {
            let problem = format!(
                "`{}` takes the format syslog only, got {format}; over the network let a syslogd bring it, \
                 and on this host name a `file` or `socket`",
                transport.as_str()
            );
            return Err(self.incomplete(text.referenced, "sources", &problem));
        }
        if let Some([]) = from.as_deref() {
            let problem = "`from: []` lets nobody speak; name who sends, or take it out to hear \
                           everybody, whose lines then alert and never ban";
            return Err(self.incomplete(text.referenced, "sources.from", problem));
        }
        let key = match transport {
            Transport::Udp => "sources.udp",
            Transport::Tcp => "sources.tcp",
        };
        Ok(SyslogPort {
            transport,
            at: self.read(key, text, address)?,
            from: self.many("sources.from", from, sender)?.unwrap_or_default(),
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(at) if at.port() != 0 => Ok(at),
        _ => Err("expected an address of this host's and a port such as 192.0.2.1:514, \
                  [2001:db8::1]:514, or 0.0.0.0:514 for all of its addresses"
            .to_owned()),
    }
}

/// Who may speak; a prefix as wide as a ban's may be without `--force`.
fn sender(text: &str) -> Result<IpNet, String> {
    let net = prefix(text)?;
    let widest = if net.addr().is_ipv4() { 8 } else { 32 };
    if net.prefix_len() < widest {
        return Err("expected those who send, at most a /8 (IPv6: /32): whoever is named here is \
                    believed"
            .to_owned());
    }
    Ok(net)
}

pub(super) fn group_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && !text.contains([':', '\n', '\0']);
    if fits { Ok(text.to_owned()) } else { Err("expected a group's name or number".to_owned()) }
}

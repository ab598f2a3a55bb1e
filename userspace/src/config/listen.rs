//! Sockets that others write their lines to: where they are, and who may speak there.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// A socket in the file system, made by us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnixSocket {
    /// Where.
    pub path: PathBuf,
    /// How lines come through it.
    pub kind: SocketKind,
    /// Besides root, who may write there: a group's name or number.
    pub group: Option<String>,
}

/// How lines come through a UNIX socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocketKind {
    /// Writers connect and send lines: Suricata's `unix_stream`.
    Stream,
    /// Each datagram is a line: Suricata's `unix_dgram`, syslog's `/dev/log`.
    Datagram,
}

/// A port of this host's that syslog comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyslogPort {
    /// UDP (RFC 5426) or TCP (RFC 6587).
    pub transport: Transport,
    /// Our address, unspecified for all of them, and the port.
    pub at: SocketAddr,
    /// Who may speak there, and is believed. Empty: anybody, and nobody is believed.
    pub from: Vec<IpNet>,
}

/// What carries syslog over the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// A datagram a message; what isn't read in time is lost.
    Udp,
    /// Connections.
    Tcp,
}

impl Transport {
    /// Its key in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// `udp:0.0.0.0:514`.
impl fmt::Display for SyslogPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.at)
    }
}

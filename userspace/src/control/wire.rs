//! What goes over the socket; [`Status`] and [`ListedBan`] are also what `--json` prints.

use serde::{Deserialize, Serialize};

use crate::event::{Ports, Target};
use crate::source::ListenerRow;

/// What a client may ask.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How are you.
    Status,
    /// Bans with their counters.
    List {
        /// At most so many, of those that dropped or began last; none: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<u32>,
    },
    /// Ban by hand.
    Ban {
        /// Address or prefix.
        target: Target,
        /// Seconds; none: permanent.
        ttl_s: Option<u64>,
        /// Which of our ports; none: every one.
        #[serde(default)]
        ports: Option<Ports>,
        /// What the admin says it is for.
        reason: String,
        /// Also a prefix that is shorter than /8 (v6 /32).
        force: bool,
    },
    /// Lift one ban and forgive its offences.
    Unban {
        /// As listed.
        target: Target,
    },
    /// Lift all.
    UnbanAll,
    /// What is known of one target.
    Show {
        /// Address or prefix.
        target: Target,
    },
    /// Never ban this, and lift the bans that it covers.
    Allow {
        /// Address or prefix.
        target: Target,
        /// Seconds; none: until taken off.
        ttl_s: Option<u64>,
        /// Also a prefix that is shorter than /8 (v6 /32).
        force: bool,
    },
    /// Take off the allow list what a person put there.
    Disallow {
        /// As listed.
        target: Target,
    },
    /// The allow list.
    AllowList,
    /// Pass everything, or enforce again.
    Panic {
        /// Enforce again.
        end: bool,
        /// Until somebody has to have confirmed it, in seconds from now.
        #[serde(default)]
        confirm_within_s: Option<u64>,
    },
    /// A start that waits to be confirmed is.
    Confirm,
    /// Configuration, packs and allow list anew.
    Reload,
}

impl Request {
    /// Whether it changes nothing.
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::Status | Self::List { .. } | Self::Show { .. } | Self::AllowList)
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::List`].
    List {
        /// Sorted by time of the ban.
        bans: Vec<ListedBan>,
    },
    /// To [`Request::Ban`].
    Banned {
        /// What is dropped now.
        target: Target,
        /// RFC 3339; none: permanent.
        expires: Option<String>,
        /// Prefixes inside it that go on passing.
        passing: Vec<String>,
        /// Everything passes, by `ravelin panic`.
        off: bool,
    },
    /// To [`Request::Unban`] and [`Request::UnbanAll`].
    Unbanned {
        /// How many bans were lifted.
        lifted: u64,
    },
    /// To [`Request::Show`].
    Shown(Box<Shown>),
    /// To [`Request::Allow`].
    Allowed {
        /// What is never banned now.
        target: Target,
        /// RFC 3339; none: until taken off.
        expires: Option<String>,
        /// Bans that it covered, lifted now.
        lifted: Vec<Target>,
    },
    /// To [`Request::Disallow`].
    Disallowed {
        /// The entry that still allows it, if any does.
        still: Option<AllowedEntry>,
    },
    /// To [`Request::AllowList`].
    AllowList {
        /// By address.
        entries: Vec<AllowedEntry>,
    },
    /// To [`Request::Panic`].
    Panic {
        /// Everything passes.
        off: bool,
    },
    /// To [`Request::Confirm`].
    Confirmed,
    /// To [`Request::Reload`].
    Reloaded {
        /// One sentence each; empty: nothing had changed.
        changes: Vec<String>,
    },
    /// It isn't done, and why.
    Refused {
        /// One line: place, value, remedy.
        message: String,
    },
}

/// One ban, as `list --json` prints it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListedBan {
    /// With its prefix length.
    pub target: Target,
    /// `rule`, `hand`, `fleet`, `feed:NAME`, `adopted`.
    pub origin: String,
    /// RFC 3339.
    pub since: String,
    /// RFC 3339; null: permanent.
    pub expires: Option<String>,
    /// The ports that are banned until then; null: every one.
    pub ports: Option<ListedPorts>,
    /// RFC 3339: until this earlier time every port is; null where that isn't so.
    pub every_port_until: Option<String>,
    /// The rule that decided.
    pub rule: Option<u32>,
    /// Its level.
    pub level: Option<u8>,
    /// One line for people.
    pub reason: String,
    /// Which ban of this target it is.
    pub offences: u32,
    /// Since the ban began.
    pub dropped_packets: u64,
    /// Since the ban began; frame lengths.
    pub dropped_bytes: u64,
}

/// A set of ports as JSON has it: numbers, and ranges as `"8000-8010"`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListedPorts(Vec<ListedPort>);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
enum ListedPort {
    One(u16),
    Range(String),
}

impl From<&Ports> for ListedPorts {
    fn from(ports: &Ports) -> Self {
        let ports = ports.ranges().iter().map(|(first, last)| match first == last {
            true => ListedPort::One(*first),
            false => ListedPort::Range(format!("{first}-{last}")),
        });
        Self(ports.collect())
    }
}

impl std::fmt::Display for ListedPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, port) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match port {
                ListedPort::One(port) => write!(f, "{comma}{port}")?,
                ListedPort::Range(range) => write!(f, "{comma}{range}")?,
            }
        }
        Ok(())
    }
}

/// What the daemon knows of a target at this moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Shown {
    /// Its own ban.
    pub ban: Option<ListedBan>,
    /// A ban of a wider prefix that holds it.
    pub wider: Option<ListedBan>,
    /// What allows it.
    pub allowed: Option<AllowedEntry>,
}

/// An entry of the allow list, as `allow --list --json` prints it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AllowedEntry {
    /// With its prefix length.
    pub target: Target,
    /// Who put it there, for people: `by hand`, "`allow` in the configuration", `this host's gateway`.
    pub why: String,
    /// RFC 3339; null: for good.
    pub expires: Option<String>,
}

/// Whether the host is protected.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As configured.
    Enforcing,
    /// Decides and reports, bans nobody, as configured.
    Observing,
    /// Not as configured; `health` says why.
    Degraded,
    /// Not at all.
    Off,
}

impl State {
    /// The contract's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforcing => "enforcing",
            Self::Observing => "observing",
            Self::Degraded => "degraded",
            Self::Off => "off",
        }
    }
}

/// What `status --json` prints.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// Of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since it started.
    pub uptime_s: u64,
    /// In one word.
    pub state: State,
    /// What is wrong; empty when all is well.
    pub health: Vec<HealthItem>,
    /// Where the program is attached.
    pub interfaces: Vec<InterfaceStatus>,
    /// How many stand.
    pub bans: u64,
    /// What is read.
    pub sources: Vec<SourceStatus>,
    /// What became of the mails.
    pub mail: MailStatus,
    /// What became of the packets, on all interfaces.
    pub packets: PacketStatus,
}

/// Something that is wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HealthItem {
    /// A stable word: `source-unreadable`.
    pub code: String,
    /// RFC 3339.
    pub since: String,
    /// What is wrong and what mends it.
    pub remedy: String,
}

/// An interface.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InterfaceStatus {
    /// `eth0`.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// A source.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Its path.
    pub name: String,
    /// `reading`, `waiting`, `standby` or what is wrong.
    pub state: String,
    /// How far its lines are believed: `file`, `journald`, `configured`, `untrusted: ...`, `unknown`.
    #[serde(default)]
    pub trust: String,
    /// Lines taken in since the start.
    pub lines: u64,
    /// Bytes taken in since the start.
    pub bytes: u64,
    /// Bytes written that aren't read yet; of the journal, those that its reader has on the way.
    pub lag_bytes: u64,
    /// Of a socket that is listened at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerRow>,
    /// Of the journal: how many seconds behind it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<u64>,
}

/// The mails.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MailStatus {
    /// Not sent yet.
    pub queued: u64,
    /// Accepted by the relay.
    pub sent: u64,
    /// Refused for good.
    pub failed: u64,
}

/// The packets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PacketStatus {
    /// Went through.
    pub passed: u64,
    /// Did not.
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_before_are_understood() {
        let read = |text: &str| serde_json::from_str::<Request>(text).unwrap();
        assert_eq!(read(r#"{"command":"list"}"#), Request::List { most: None });
        assert_eq!(read(r#"{"command":"list","most":7}"#), Request::List { most: Some(7) });
        let asked = serde_json::to_string(&Request::List { most: None }).unwrap();
        assert_eq!(asked, r#"{"command":"list"}"#, "and those of now by daemons of before");
    }
}

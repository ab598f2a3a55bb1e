//! The words that all rooms share: [`Line`], [`Record`], [`Event`], [`Alert`], [`BanOrder`].
//!
//! A line's bytes are borrowed all the way through the engine; only what outlives the line (an alert
//! that goes to the mail, a ban) is owned.
#![forbid(unsafe_code)]

mod address;
mod fields;
mod ports;
mod target;
mod time;
mod word;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::address::{parse_ip, parse_ipv4};
pub use self::fields::Fields;
pub(crate) use self::fields::{
    CAPTURES, Capture, CaptureKind, Captures, SURICATA_FIELDS, Slots, UNSET,
};
pub use self::ports::{Ports, PortsError};
pub use self::target::{Prefixes, Target, TargetError, canonical};
pub use self::time::Timestamp;
pub(crate) use self::word::position;

/// Raw bytes from a source, without the line's end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// The bytes; any encoding, no `\n`, no trailing `\r`.
    pub bytes: &'l [u8],
    /// When we read it.
    pub arrived: Timestamp,
}

/// A line after its outer format: who said it, when, and what remains.
#[derive(Clone, Debug)]
pub struct Record<'l> {
    /// The line's own time, where it has one that can be understood.
    pub time: Option<Timestamp>,
    /// The host that wrote it, as the line says.
    pub host: Option<&'l [u8]>,
    /// The program that wrote it, without pid and brackets: `sshd`.
    pub program: Option<&'l [u8]>,
    /// Its process.
    pub pid: Option<u32>,
    /// rsyslog's `message repeated N times: [ ... ]`; 1 where there is no such wrapper.
    pub repeated: u32,
    /// What remains after the header.
    pub body: Body<'l>,
}

/// What remains of a line after its outer format's header.
#[derive(Clone, Debug)]
pub enum Body<'l> {
    /// Free text, to be recognised by a pack's patterns.
    Message(&'l [u8]),
    /// A line of an access log, whole, to be recognised by the patterns of packs that read such.
    Access(&'l [u8]),
    /// An alert by Suricata, already in fields.
    Suricata(Box<SuricataAlert<'l>>),
}

/// A Suricata alert, from fast.log or eve.json. Addresses are the packet's own direction.
#[derive(Clone, Debug, Default)]
pub struct SuricataAlert<'l> {
    /// Generator id; 1 for rules.
    pub gid: u32,
    /// Signature id.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
    /// The rule's `msg`; empty where it has none.
    pub signature: Cow<'l, str>,
    /// The rule's classification, where it has one.
    pub category: Option<Cow<'l, str>>,
    /// 1 (worst) to 255.
    pub priority: u8,
    /// `allowed`, `blocked`, or fast.log's `drop` and `wdrop`.
    pub action: &'static str,
    /// `TCP`, `UDP`, `ICMP`, ...; empty for an alert without addresses.
    pub proto: Cow<'l, str>,
    /// Source of the packet.
    pub src: Option<IpAddr>,
    /// Source port; fast.log writes an ICMP type here, which is left out.
    pub src_port: Option<u16>,
    /// Destination of the packet.
    pub dst: Option<IpAddr>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// What fast.log can't tell: `None` there.
    pub eve: Option<EveExtra<'l>>,
}

/// What only eve.json tells about an alert.
#[derive(Clone, Debug, Default)]
pub struct EveExtra<'l> {
    /// `app_proto`, where present and not `failed`.
    pub app_proto: Option<Cow<'l, str>>,
    /// A transaction id was present: the application layer parsed something.
    pub has_tx: bool,
    /// The flow's ends, whatever the packet's direction (Suricata 7 and later).
    pub flow: Option<Flow>,
    /// `alert.xff` or other sign that a proxy header was evaluated.
    pub xff: Option<Cow<'l, str>>,
}

/// Who opened a flow, and to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    /// Who opened it.
    pub client: IpAddr,
    /// The client's port, for protocols that have ports.
    pub client_port: Option<u16>,
    /// Whom it was opened to.
    pub server: IpAddr,
    /// The server's port.
    pub server_port: Option<u16>,
}

/// What an event is called and where it comes from; one per event definition in a pack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventKind {
    /// Index among all events of all packs, dense from 0: rules refer to it.
    pub index: u32,
    /// `failed-password`.
    pub name: String,
    /// `sshd`.
    pub pack: String,
    /// The address in it completed a handshake, so that it can't be spoofed.
    pub proven: bool,
    /// Lines of one login attempt share (process, address) and count once together.
    pub attempt: bool,
    /// A success: blames nobody, its address is no offender.
    pub success: bool,
    /// It came by HTTP: where a load balancer or CDN brought it, the address is theirs.
    pub web: bool,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'l> {
    /// Text as it stood in the line; bytes, since attackers write it.
    Text(Cow<'l, [u8]>),
    /// A number.
    Number(u64),
    /// An address, v4-mapped ones folded to IPv4.
    Addr(IpAddr),
}

/// A decoded line: name, address, fields.
#[derive(Clone, Debug)]
pub struct Event<'l> {
    /// Which event it is.
    pub kind: &'l EventKind,
    /// Everything captured.
    pub fields: Fields<'l>,
    /// The program that wrote the line.
    pub program: Option<&'l [u8]>,
    /// The process that wrote the line, for counting an attempt once.
    pub pid: Option<u32>,
    /// How often it happened (`message repeated N times`).
    pub repeated: u32,
    /// The one plausible address of a log line; for Suricata see `suricata`.
    pub address: Blame,
    /// Set for Suricata alerts: policy works out whose address the offender is.
    pub suricata: Option<&'l SuricataAlert<'l>>,
}

impl<'l> Event<'l> {
    /// The value of a named field.
    pub fn field(&self, name: &str) -> Option<Value<'l>> {
        self.fields.get(name)
    }
}

/// Whom a line blames, before policy has a say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// No address in it, or none that is an offender.
    Nobody,
    /// This one.
    Address(IpAddr),
    /// Two different plausible addresses: never a ban.
    Ambiguous,
}

/// Whose deed an event is, worked out by policy (`policy::Attribution`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offence {
    /// The offender.
    pub offender: Option<IpAddr>,
    /// The address can't have been spoofed.
    pub proven: bool,
    /// Why it could not be banned whatever its level, known before rules run.
    pub bar: Option<Withheld>,
}

impl Offence {
    /// People beside root could have written the line.
    pub fn distrust(&mut self) {
        // What our side opened doesn't even score; who is nobody can't be banned.
        if self.offender.is_some() && self.bar != Some(Withheld::Outbound) {
            self.bar = Some(Withheld::Untrusted);
        }
    }
}

/// Why no ban came where the level or the score called for one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Withheld {
    /// The offender is on the allow list.
    Allowed,
    /// The evidence could have been spoofed.
    Unproven,
    /// Our side opened the flow.
    Outbound,
    /// RFC 1918, 100.64/10 or ULA.
    Private,
    /// Two plausible addresses in one line, or one from a header.
    Ambiguous,
    /// A ban of it stands.
    Already,
    /// `ban.max_per_minute` is used up; it queues.
    Rate,
    /// An authenticated SSH session from it lives.
    LiveSession,
    /// It carries many clients (`fronts`), and the evidence may be one of theirs.
    Front,
    /// Somebody beside root and the system can write to the log.
    Untrusted,
    /// Mode observe.
    Observe,
}

impl Withheld {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Allowed,
        Self::Unproven,
        Self::Outbound,
        Self::Private,
        Self::Ambiguous,
        Self::Already,
        Self::Rate,
        Self::LiveSession,
        Self::Front,
        Self::Untrusted,
        Self::Observe,
    ];

    /// The contract's word for it, and `front` and `untrusted`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Unproven => "unproven",
            Self::Outbound => "outbound",
            Self::Private => "private",
            Self::Ambiguous => "ambiguous",
            Self::Already => "already",
            Self::Rate => "rate",
            Self::LiveSession => "live-session",
            Self::Front => "front",
            Self::Untrusted => "untrusted",
            Self::Observe => "observe",
        }
    }
}

/// What is fixed about a rule, shared by all its alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleHead {
    /// OSSEC's number space.
    pub id: u32,
    /// 0-15.
    pub level: u8,
    /// What it means, for people.
    pub description: String,
    /// The pack that defines it.
    pub pack: String,
    /// `ban: false` never bans by this rule, `true` always does, unset: by level.
    pub ban: Option<bool>,
    /// `mail: false|true`, unset: by level.
    pub mail: Option<bool>,
    /// A ttl of its own.
    pub ttl: Option<Duration>,
    /// The ports that its bans are about; unset: every one.
    pub ports: Option<Ports>,
    /// The pack is in mode observe.
    pub observe: bool,
    /// A ban by this rule is about the offender's network.
    pub network: Option<Prefixes>,
}

#[cfg(test)]
impl RuleHead {
    /// One that decides nothing by itself.
    pub(crate) fn plain(id: u32, level: u8, pack: &str) -> Self {
        Self {
            id,
            level,
            description: format!("rule {id}"),
            pack: pack.to_owned(),
            ban: None,
            mail: None,
            ttl: None,
            ports: None,
            observe: false,
            network: None,
        }
    }
}

/// A rule fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Which.
    pub rule: Arc<RuleHead>,
    /// Events in the window that made it fire; 1 for a rule without `count`.
    pub count: u32,
}

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ttl {
    /// This long.
    For(Duration),
    /// Until lifted by hand.
    Permanent,
}

/// Where a ban comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A rule or the score.
    Rule,
    /// `ravelin ban`.
    Hand,
    /// Another host.
    Fleet,
    /// A list, by name.
    Feed(String),
    /// Found in the kernel, unknown to the database.
    Adopted,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule => f.write_str("rule"),
            Self::Hand => f.write_str("hand"),
            Self::Fleet => f.write_str("fleet"),
            Self::Feed(name) => write!(f, "feed:{name}"),
            Self::Adopted => f.write_str("adopted"),
        }
    }
}

impl std::str::FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rule" => Ok(Self::Rule),
            "hand" => Ok(Self::Hand),
            "fleet" => Ok(Self::Fleet),
            "adopted" => Ok(Self::Adopted),
            _ => match text.strip_prefix("feed:") {
                Some(name) => Ok(Self::Feed(name.to_owned())),
                None => {
                    Err(format!("expected rule, hand, fleet, feed:NAME or adopted, got `{text}`"))
                }
            },
        }
    }
}

/// A decision about a target.
#[derive(Clone, Debug, PartialEq)]
pub struct BanOrder {
    /// Address or prefix.
    pub target: Target,
    /// When it begins: its line's time.
    pub since: Timestamp,
    /// How long from there.
    pub ttl: Ttl,
    /// Which of our ports it keeps from the target; `None`: every one.
    pub ports: Option<Ports>,
    /// Where it comes from.
    pub origin: Origin,
    /// The rule that decided; `None` where the score or a person did.
    pub rule: Option<u32>,
    /// That rule's level.
    pub level: Option<u8>,
    /// One line for people: the rule's description, the score, what the admin said.
    pub reason: String,
    /// Which ban of this target it is, from 1, within `ban.forget_after`.
    pub offences: u32,
}

impl BanOrder {
    /// When it lapses; `None` for never.
    pub fn expires(&self) -> Option<Timestamp> {
        match self.ttl {
            Ttl::For(ttl) => Some(self.since.saturating_add(ttl)),
            Ttl::Permanent => None,
        }
    }
}

/// What policy made of an event and its alerts.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Neither level nor score called for a ban.
    Nothing,
    /// Ban.
    Ban(BanOrder),
    /// A ban that has lapsed already: its line comes out of a backlog, and it is history only.
    Lapsed(BanOrder),
    /// One was called for, and none comes.
    Withheld(Withheld),
}

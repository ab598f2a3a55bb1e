//! The configuration: a [`Config`] can't hold an invalid state; `load` makes one out of YAML or says
//! what is wrong, where, and what to do.
#![forbid(unsafe_code)]

mod check;
mod duration;
mod error;
mod last_good;
mod listen;
mod nearest;
mod preset;
mod raw;
mod relay;
#[cfg(test)]
mod tests;
mod urgency;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

pub use self::check::prefix as parse_prefix;
pub use self::duration::{DurationError, Shown, parse_duration};
pub use self::error::{ConfigError, Place};
pub use self::last_good::{LastGoodError, Loaded, load, load_or_last_good};
pub use self::listen::{SocketKind, SyslogPort, Transport, UnixSocket};
pub use self::nearest::nearest;
pub use self::preset::{Named, Preset};
pub use self::urgency::Urgency;

/// The configuration that is used where none is named.
pub const DEFAULT_PATH: &str = "/etc/ravelin/ravelin.yaml";

/// `/etc/ravelin/ravelin.yaml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Enforce or only observe.
    pub mode: Mode,
    /// Interfaces to attach to; empty: those of the default routes.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub xdp_mode: XdpMode,
    /// Where the database lives.
    pub state_dir: PathBuf,
    /// Where the control socket lives.
    pub run_dir: PathBuf,
    /// Where maps and links are pinned.
    pub bpf_dir: PathBuf,
    /// A group that may look over the control socket, beside root who may act.
    pub control_group: Option<String>,
    /// Whether the daemon gives up what it doesn't need.
    pub sandbox: bool,
    /// Whether the packs inside the binary are used.
    pub builtin_rules: bool,
    /// More packs: files, or directories of `*.yaml`; each must exist.
    pub rules: Vec<PathBuf>,
    /// Suricata's rules, for the proof of fast.log's alerts.
    pub suricata_rules: PathBuf,
    /// What to read; `None`: what is found on the host.
    pub sources: Option<Vec<SourceConfig>>,
    /// Prefixes that are ours, beside the host's own.
    pub home: Vec<IpNet>,
    /// Never banned, beside the built-in entries.
    pub allow: Vec<IpNet>,
    /// Ranges that providers publish, never banned either.
    pub allow_presets: Vec<&'static Preset>,
    /// Files with more of them, an address or prefix a line.
    pub allow_files: Vec<PathBuf>,
    /// Load balancers, CDNs, proxies: what came through them by HTTP never bans them.
    pub fronts: Vec<IpNet>,
    /// What bans, and for how long.
    pub ban: BanConfig,
    /// Who is told, and how.
    pub mail: MailConfig,
    /// What is kept on disk, and what is rebuilt at a start.
    pub state: StateConfig,
    /// Where Prometheus metrics are had; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl Config {
    /// Loads the configuration at `path`; `None` is [`DEFAULT_PATH`], where a missing file means the
    /// defaults. See [`load_or_last_good`] for the daemon's start.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        load(path).map(|loaded| loaded.config)
    }

    /// Reads a configuration from its text. `origin` is the file that errors name, and its folder is
    /// what relative paths are relative to.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        check::parse(text, origin)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            interfaces: Vec::new(),
            xdp_mode: XdpMode::Auto,
            state_dir: "/var/lib/ravelin".into(),
            run_dir: "/run/ravelin".into(),
            bpf_dir: "/sys/fs/bpf/ravelin".into(),
            control_group: None,
            sandbox: true,
            builtin_rules: true,
            rules: Vec::new(),
            suricata_rules: "/var/lib/suricata/rules/suricata.rules".into(),
            sources: None,
            home: Vec::new(),
            allow: Vec::new(),
            allow_presets: Vec::new(),
            allow_files: Vec::new(),
            fronts: Vec::new(),
            ban: BanConfig::default(),
            mail: MailConfig::default(),
            state: StateConfig::default(),
            metrics: None,
        }
    }
}

/// Whether bans reach the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// They do.
    Enforce,
    /// They are decided and reported, never made.
    Observe,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum XdpMode {
    /// In the driver, or generically where the driver refuses; the fallback is reported.
    Auto,
    /// In the driver or not at all.
    Native,
    /// Generically.
    Generic,
    /// Not by us: another loader attaches the program, and we feed its maps.
    MapsOnly,
}

/// A source to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceConfig {
    /// The outer format of its lines.
    pub format: Format,
    /// Where the bytes come from.
    pub input: Input,
    /// A file's lines may ban whoever can write to it.
    pub trusted: bool,
}

/// The outer formats.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// RFC 3164, RFC 5424, ISO 8601 stamps, bare.
    Syslog,
    /// Suricata's fast.log.
    SuricataFast,
    /// Suricata's eve.json.
    SuricataEve,
    /// Access logs of web servers, common or combined.
    Plain,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Syslog, Self::SuricataFast, Self::SuricataEve, Self::Plain];

    /// Its name in configuration, packs and output: `suricata-fast`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::SuricataFast => "suricata-fast",
            Self::SuricataEve => "suricata-eve",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownFormat { name: text.to_owned() })
    }
}

/// A name that no format has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected the format syslog, suricata-fast, suricata-eve or plain, got `{name}`")]
pub struct UnknownFormat {
    /// What was given.
    pub name: String,
}

/// Where a source's bytes come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A file, followed through rotation.
    File(PathBuf),
    /// Each file that matches a pattern such as `/var/log/nginx/*.access.log`.
    Glob(PathBuf),
    /// The journal, by `journalctl`.
    Journal {
        /// Where its files lie; `None`: the host's own.
        directory: Option<PathBuf>,
    },
    /// A UNIX socket that others write to.
    Socket(UnixSocket),
    /// A port that syslog comes to over the network.
    Port(SyslogPort),
}

impl Input {
    /// The source's name in output and database: the path of a file or socket, `journald`,
    /// `journald:DIRECTORY`, `udp:0.0.0.0:514`.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Glob(path) => path.clone(),
            Self::Socket(socket) => socket.path.clone(),
            Self::Port(port) => port.to_string().into(),
            Self::Journal { directory: None } => "journald".into(),
            Self::Journal { directory: Some(directory) } => {
                format!("journald:{}", directory.display()).into()
            }
        }
    }
}

/// `ban:`
#[derive(Clone, Debug, PartialEq)]
pub struct BanConfig {
    /// An alert of this level or above bans; 1-16 (16: none does).
    pub level: u8,
    /// So does this score.
    pub score: f64,
    /// In this time a score halves.
    pub score_half_life: Duration,
    /// First ban.
    pub ttl: Duration,
    /// Second, third, ... ban of a repeat offender; the last one sticks; empty: always `ttl`.
    pub escalate: Vec<Duration>,
    /// After this long without a ban an offender begins anew.
    pub forget_after: Duration,
    /// Prefix length of an IPv6 offender's ban; 32-128.
    pub ipv6_prefix: u8,
    /// Whether private addresses are banned.
    pub private: bool,
    /// Whether evidence that could be spoofed bans.
    pub unproven: bool,
    /// Whether flows that our side opened ban.
    pub outbound: bool,
    /// Entries in each exact map.
    pub max: u32,
    /// Bans a minute by rules.
    pub max_per_minute: u32,
}

/// `mail:`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MailConfig {
    /// Alerts of this level and above are mailed.
    pub level: u8,
    /// These at once.
    pub immediate: u8,
    /// Recipients; empty: no mail.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// `smtp://`, `smtp+starttls://` or `smtps://`, with user where needed; never the password.
    pub relay: String,
    /// The relay password's file.
    pub password_file: Option<PathBuf>,
    /// Certificates of the authorities that relay and webhook are verified by, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `https://` or `http://`: what is mailed is posted there too.
    pub webhook: Option<String>,
    /// How the webhook wants it.
    pub webhook_style: WebhookStyle,
    /// The webhook's token: in place of `{secret}` in its URL, otherwise as `Authorization: Bearer`.
    pub webhook_secret_file: Option<PathBuf>,
    /// Mails an hour; above it, one digest.
    pub per_hour: u32,
}

/// `state:`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateConfig {
    /// The past is kept so long.
    pub history: Duration,
    /// The database may take so many megabytes.
    pub megabytes: u32,
    /// At a start, logs are read once more from so long before where they were left.
    pub rebuild: Duration,
    /// At most so many megabytes of them; 0: none.
    pub rebuild_megabytes: u32,
    /// For at most so long.
    pub rebuild_time: Duration,
}

/// What a webhook understands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WebhookStyle {
    /// `{"text": ...}`: Slack, Mattermost, Rocket.Chat, Google Chat.
    Chat,
    /// ntfy's `topic`, `title`, `message`, `priority`; the topic is the end of the URL.
    Ntfy,
}

impl WebhookStyle {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Ntfy];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Ntfy => "ntfy",
        }
    }
}

impl Default for BanConfig {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        Self {
            level: 9,
            score: 100.0,
            score_half_life: 10 * MINUTE,
            ttl: 5 * MINUTE,
            escalate: vec![30 * MINUTE, 2 * 60 * MINUTE, 24 * 60 * MINUTE],
            forget_after: 7 * 24 * 60 * MINUTE,
            ipv6_prefix: 64,
            private: false,
            unproven: false,
            outbound: false,
            max: 1 << 20,
            max_per_minute: 6000,
        }
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            history: 90 * DAY,
            megabytes: 1024,
            rebuild: DAY,
            rebuild_megabytes: 512,
            rebuild_time: Duration::from_secs(10),
        }
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            level: 7,
            immediate: 10,
            to: vec!["root@localhost".to_owned()],
            from: sender(rustix::system::uname().nodename().to_str().unwrap_or_default()),
            relay: "smtp://localhost:25".to_owned(),
            password_file: None,
            ca_file: None,
            webhook: None,
            webhook_style: WebhookStyle::Chat,
            webhook_secret_file: None,
            per_hour: 4,
        }
    }
}

/// `ravelin@host`; `ravelin@localhost` where the host's name can't stand in an address.
fn sender(host: &str) -> String {
    let address = format!("ravelin@{host}");
    match address.parse::<lettre::Address>() {
        Ok(_) => address,
        Err(_) => "ravelin@localhost".to_owned(),
    }
}

//! From text to a [`Config`]: each value is read once, into a type that can't hold a wrong one.

mod listeners;
mod values;

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_yaml::{Location, Spanned};

use self::listeners::RawInput;
pub use self::values::prefix;
use self::values::{boolean, interface, mailbox, metrics, number, score, some_time, word};
use super::error::{ConfigError, Place, masked};
use super::nearest::nearest;
use super::preset::{Named, Preset};
use super::raw::{KEYS, RawBan, RawConfig, RawMail, RawSource, RawState, Text};
use super::relay::Login;
use super::{
    BanConfig, Config, Format, Input, MailConfig, Mode, SourceConfig, StateConfig, WebhookStyle,
    XdpMode, relay,
};

/// The configuration that `text` is. Relative paths in it are relative to the folder of `origin`.
pub(super) fn parse(text: &str, origin: &Path) -> Result<Config, ConfigError> {
    let check = Check { text, origin, base: origin.parent().unwrap_or(Path::new("")) };
    // A file of comments only is `null`.
    let raw: Option<RawConfig> = serde_yaml::from_str(text).map_err(|error| check.yaml(&error))?;
    check.config(raw.unwrap_or_default())
}

struct Check<'t> {
    text: &'t str,
    origin: &'t Path,
    base: &'t Path,
}

/// An entry of `allow`.
enum AllowItem {
    Named(Named),
    File(PathBuf),
}

impl AllowItem {
    const fn net(&self) -> Option<IpNet> {
        match self {
            Self::Named(Named::Net(net)) => Some(*net),
            Self::Named(Named::Preset(_)) | Self::File(_) => None,
        }
    }

    const fn preset(&self) -> Option<&'static Preset> {
        match self {
            Self::Named(Named::Preset(preset)) => Some(preset),
            Self::Named(Named::Net(_)) | Self::File(_) => None,
        }
    }

    fn file(self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Named(_) => None,
        }
    }
}

impl Check<'_> {
    fn config(&self, raw: RawConfig) -> Result<Config, ConfigError> {
        let usual = Config::default();
        let path = |text: &str| self.path(text);
        let allow = self.many("allow", raw.allow, |text| self.allow(text))?.unwrap_or_default();
        let fronts = self.many("fronts", raw.fronts, |text| text.parse::<Named>())?;
        let nets = |named: &Named| named.nets().to_vec();
        Ok(Config {
            mode: self.one("mode", raw.mode, usual.mode, word(&MODES))?,
            interfaces: self
                .many("interfaces", raw.interfaces, interface)?
                .unwrap_or(usual.interfaces),
            xdp_mode: self.one("xdp_mode", raw.xdp_mode, usual.xdp_mode, word(&XDP_MODES))?,
            state_dir: self.one("state_dir", raw.state_dir, usual.state_dir, path)?,
            run_dir: self.one("run_dir", raw.run_dir, usual.run_dir, path)?,
            bpf_dir: self.one("bpf_dir", raw.bpf_dir, usual.bpf_dir, path)?,
            control_group: self.one(
                "control_group",
                raw.control_group,
                usual.control_group,
                |text| listeners::group_name(text).map(Some),
            )?,
            sandbox: self.one("sandbox", raw.sandbox, usual.sandbox, boolean)?,
            builtin_rules: self.one(
                "builtin_rules",
                raw.builtin_rules,
                usual.builtin_rules,
                boolean,
            )?,
            rules: self.many("rules", raw.rules, path)?.unwrap_or_else(installed_packs),
            suricata_rules: self.one(
                "suricata_rules",
                raw.suricata_rules,
                usual.suricata_rules,
                path,
            )?,
            sources: self.sources(raw.sources)?,
            home: self.many("home", raw.home, prefix)?.unwrap_or(usual.home),
            allow: allow.iter().filter_map(AllowItem::net).collect(),
            allow_presets: allow.iter().filter_map(AllowItem::preset).collect(),
            allow_files: allow.into_iter().filter_map(AllowItem::file).collect(),
            fronts: fronts.unwrap_or_default().iter().flat_map(nets).collect(),
            ban: self.ban(raw.ban.unwrap_or_default(), usual.ban)?,
            mail: self.mail(raw.mail.unwrap_or_default(), usual.mail)?,
            state: self.state(raw.state.unwrap_or_default(), usual.state)?,
            metrics: raw.metrics.map(|at| self.read("metrics", at, metrics)).transpose()?,
        })
    }

    fn ban(&self, raw: RawBan, usual: BanConfig) -> Result<BanConfig, ConfigError> {
        Ok(BanConfig {
            level: self.one("ban.level", raw.level, usual.level, number(1..=NEVER))?,
            score: self.one("ban.score", raw.score, usual.score, score)?,
            score_half_life: self.one(
                "ban.score_half_life",
                raw.score_half_life,
                usual.score_half_life,
                some_time,
            )?,
            ttl: self.one("ban.ttl", raw.ttl, usual.ttl, some_time)?,
            escalate: self.many("ban.escalate", raw.escalate, some_time)?.unwrap_or(usual.escalate),
            forget_after: self.one(
                "ban.forget_after",
                raw.forget_after,
                usual.forget_after,
                some_time,
            )?,
            ipv6_prefix: self.one(
                "ban.ipv6_prefix",
                raw.ipv6_prefix,
                usual.ipv6_prefix,
                number(32..=128),
            )?,
            private: self.one("ban.private", raw.private, usual.private, boolean)?,
            unproven: self.one("ban.unproven", raw.unproven, usual.unproven, boolean)?,
            outbound: self.one("ban.outbound", raw.outbound, usual.outbound, boolean)?,
            max: self.one("ban.max", raw.max, usual.max, number(1..=MOST_ENTRIES))?,
            max_per_minute: self.one(
                "ban.max_per_minute",
                raw.max_per_minute,
                usual.max_per_minute,
                number(1..=u32::MAX),
            )?,
        })
    }

    fn state(&self, raw: RawState, usual: StateConfig) -> Result<StateConfig, ConfigError> {
        Ok(StateConfig {
            history: self.one("state.history", raw.history, usual.history, some_time)?,
            megabytes: self.one(
                "state.megabytes",
                raw.megabytes,
                usual.megabytes,
                number(16..=MOST_MEGABYTES),
            )?,
            rebuild: self.one("state.rebuild", raw.rebuild, usual.rebuild, some_time)?,
            rebuild_megabytes: self.one(
                "state.rebuild_megabytes",
                raw.rebuild_megabytes,
                usual.rebuild_megabytes,
                number(0..=MOST_MEGABYTES),
            )?,
            rebuild_time: self.one(
                "state.rebuild_time",
                raw.rebuild_time,
                usual.rebuild_time,
                some_time,
            )?,
        })
    }

    fn mail(&self, raw: RawMail, usual: MailConfig) -> Result<MailConfig, ConfigError> {
        let (relay_at, password_at) = (place_of(&raw.relay), place_of(&raw.password_file));
        let usual_relay = (usual.relay, Login { has_user: false });
        let (relay, login) = self.one("mail.relay", raw.relay, usual_relay, |text| {
            relay::check(text).map(|login| (text.to_owned(), login))
        })?;
        let path = |text: &str| self.path(text).map(Some);
        let password_file =
            self.one("mail.password_file", raw.password_file, usual.password_file, path)?;
        if login.has_user && password_file.is_none() {
            let problem = "names a user, but there is no mail.password_file with the password";
            return Err(self.incomplete(relay_at, "mail.relay", problem));
        }
        if !login.has_user && password_file.is_some() {
            let problem = "is of no use while mail.relay names no user: smtps://USER@HOST";
            return Err(self.incomplete(password_at, "mail.password_file", problem));
        }
        let secret_at = place_of(&raw.webhook_secret_file);
        let webhook = self.one("mail.webhook", raw.webhook, usual.webhook, |text| {
            relay::check_webhook(text).map(|()| Some(text.to_owned()))
        })?;
        let webhook_secret_file = self.one(
            "mail.webhook_secret_file",
            raw.webhook_secret_file,
            usual.webhook_secret_file,
            path,
        )?;
        if webhook.is_none() && webhook_secret_file.is_some() {
            let problem = "is of no use without mail.webhook";
            return Err(self.incomplete(secret_at, "mail.webhook_secret_file", problem));
        }
        Ok(MailConfig {
            level: self.one("mail.level", raw.level, usual.level, number(0..=NEVER))?,
            immediate: self.one(
                "mail.immediate",
                raw.immediate,
                usual.immediate,
                number(0..=NEVER),
            )?,
            to: self.many("mail.to", raw.to, mailbox)?.unwrap_or(usual.to),
            from: self.one("mail.from", raw.from, usual.from, mailbox)?,
            relay,
            password_file,
            ca_file: self.one("mail.ca_file", raw.ca_file, usual.ca_file, path)?,
            webhook,
            webhook_style: self.one(
                "mail.webhook_style",
                raw.webhook_style,
                usual.webhook_style,
                word(&WebhookStyle::ALL.map(|style| (style.as_str(), style))),
            )?,
            webhook_secret_file,
            per_hour: self.one(
                "mail.per_hour",
                raw.per_hour,
                usual.per_hour,
                number(1..=u32::MAX),
            )?,
        })
    }

    fn sources(
        &self,
        raw: Option<Vec<Spanned<RawSource>>>,
    ) -> Result<Option<Vec<SourceConfig>>, ConfigError> {
        let Some(raw) = raw else { return Ok(None) };
        let mut sources: Vec<SourceConfig> = Vec::with_capacity(raw.len());
        for entry in raw {
            let at = entry.referenced;
            let source = self.source(entry)?;
            if sources.iter().any(|known| known.input.name() == source.input.name()) {
                return Err(self.incomplete(at, "sources", "this source is named twice; keep one"));
            }
            sources.push(source);
        }
        Ok(Some(sources))
    }

    fn source(&self, entry: Spanned<RawSource>) -> Result<SourceConfig, ConfigError> {
        let at = entry.referenced;
        let RawSource { format, file, directory, trusted, socket, kind, group, udp, tcp, from } =
            entry.value;
        let input = RawInput { file, socket, kind, group, udp, tcp, from };
        let Some(format) = format else {
            let problem = "expected `format`, one of syslog, suricata-fast, suricata-eve, plain, \
                           journald";
            return Err(self.incomplete(at, "sources", problem));
        };
        let trusted_at = trusted.as_ref().map(|trusted| trusted.referenced);
        let trusted = self.one("sources.trusted", trusted, false, boolean)?;
        if format.value == JOURNALD {
            if let Some(at) = trusted_at {
                let problem = "journald says itself who said what, and is trusted for that; take out `trusted`";
                return Err(self.incomplete(at, "sources", problem));
            }
            if let Some(key) = input.given().first() {
                let problem = format!(
                    "the journal is read by journalctl: take out `{key}`, or name the journal's folder by \
                     `directory`"
                );
                return Err(self.incomplete(at, "sources", &problem));
            }
            let directory = directory
                .map(|text| self.read("sources.directory", text, |text| self.path(text)))
                .transpose()?;
            // Each entry becomes a line of syslog on its way in.
            return Ok(SourceConfig {
                format: Format::Syslog,
                input: Input::Journal { directory },
                trusted: false,
            });
        }
        if directory.is_some() {
            let problem = "`directory` belongs to the format journald; expected `file`";
            return Err(self.incomplete(at, "sources", problem));
        }
        let formats = Format::ALL.map(|format| (format.as_str(), format));
        let format = self.read("sources.format", format, word(&formats))?;
        if let (Some(at), None) = (trusted_at, &input.file) {
            let problem = "`trusted` belongs to `file`; a socket believes its `group`, a port those in `from`";
            return Err(self.incomplete(at, "sources", problem));
        }
        Ok(SourceConfig { format, input: self.input(at, format, input)?, trusted })
    }

    /// The value of a key, or what it is without one.
    fn one<T>(
        &self,
        key: &'static str,
        text: Option<Text>,
        usual: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        text.map_or(Ok(usual), |text| self.read(key, text, read))
    }

    /// The values of a key that has a list.
    fn many<T>(
        &self,
        key: &'static str,
        texts: Option<Vec<Text>>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        texts
            .map(|texts| texts.into_iter().map(|text| self.read(key, text, &read)).collect())
            .transpose()
    }

    fn read<T>(
        &self,
        key: &'static str,
        text: Text,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        read(&text.value).map_err(|problem| ConfigError::Value {
            place: self.place(text.referenced),
            key,
            value: masked(&text.value).escape_debug().to_string(),
            problem,
        })
    }

    /// An entry of `allow`.
    fn allow(&self, text: &str) -> Result<AllowItem, String> {
        match text.strip_prefix("file:") {
            Some(path) => self.path(path).map(AllowItem::File),
            None => text.parse().map(AllowItem::Named),
        }
    }

    fn path(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("expected a path".to_owned());
        }
        Ok(self.base.join(text))
    }

    fn place(&self, location: Location) -> Box<Place> {
        Box::new(Place::new(self.origin, self.text, location))
    }

    fn incomplete(&self, at: Location, key: &'static str, problem: &str) -> ConfigError {
        ConfigError::Incomplete { place: self.place(at), key, problem: problem.to_owned() }
    }

    /// What the YAML reader found, in our words where it speaks of its own types.
    fn yaml(&self, error: &serde_yaml::Error) -> ConfigError {
        use serde_yaml::Error;

        let place = self.place(error.location().unwrap_or(Location::UNKNOWN));
        let problem = match error.without_snippet() {
            Error::SerdeUnknownField { field, expected, .. } => {
                let hint = hint(field, expected);
                return ConfigError::UnknownKey { place, key: field.clone(), hint };
            }
            Error::Unexpected { expected, .. } => {
                let expected = match *expected {
                    "string scalar" => "a single value",
                    "sequence start" => "a list such as [a, b]",
                    "mapping start" => "keys with values, such as `level: 9`",
                    other => other,
                };
                format!("expected {expected}, got `{}`", place.rest())
            }
            Error::NullIntoString { .. } => {
                "expected a value, got nothing; take the entry out".to_owned()
            }
            Error::DuplicateMappingKey { key, .. } => {
                format!("`{}` stands here a second time; keep one", key.as_deref().unwrap_or("?"))
            }
            Error::MultipleDocuments { .. } => {
                "a second document begins here; a configuration is one document".to_owned()
            }
            other => {
                let text = other.to_string();
                let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
                format!("not valid YAML: {text}")
            }
        };
        ConfigError::Syntax { place, problem }
    }
}

/// Where a key that isn't known here may belong.
fn hint(key: &str, known: &[&'static str]) -> String {
    if let Some(meant) = nearest(key, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    match KEYS.iter().find(|path| path.rsplit('.').next() == Some(key)) {
        Some(path) => match path.rsplit_once('.') {
            Some((section, _)) => format!("it belongs under `{section}:`"),
            None => "it belongs at the top level, not indented".to_owned(),
        },
        None => format!("known here are {}", known.join(", ")),
    }
}

/// Whether a path is a pattern, and one that can be followed.
fn pattern(path: &Path) -> Option<Result<(), String>> {
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return None;
    }
    if text.contains("**") {
        return Some(Err(format!(
            "expected a pattern whose stars each take one folder or name, such as /srv/*/log/*.log, got `{text}`"
        )));
    }
    let pattern = glob::Pattern::new(&text);
    Some(pattern.map(drop).map_err(|error| {
        format!(
            "`{text}` is no pattern: {} at byte {}; a bracket as such is [[]",
            error.msg, error.pos
        )
    }))
}

/// The folder for packs, where there is one: only a folder that is named must exist.
fn installed_packs() -> Vec<PathBuf> {
    const FOLDER: &str = "/etc/ravelin/rules";
    if Path::new(FOLDER).is_dir() { vec![FOLDER.into()] } else { Vec::new() }
}

fn place_of(text: &Option<Text>) -> Location {
    text.as_ref().map_or(Location::UNKNOWN, |text| text.referenced)
}

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

const XDP_MODES: [(&str, XdpMode); 4] = [
    ("auto", XdpMode::Auto),
    ("native", XdpMode::Native),
    ("generic", XdpMode::Generic),
    ("maps-only", XdpMode::MapsOnly),
];

/// What the journal's entries are called.
const JOURNALD: &str = "journald";

/// One above the highest level: no alert reaches it.
const NEVER: u8 = 16;

/// The kernel refuses a hash map whose buckets, 16 bytes each in a power of two, pass 4 GiB.
const MOST_ENTRIES: u32 = 1 << 27;

/// A terabyte.
const MOST_MEGABYTES: u32 = 1 << 20;

//! The configuration as YAML has it: every key there is, every scalar still text with its place.

use serde::Deserialize;
use serde_yaml::Spanned;

/// A scalar as it is written, whatever YAML would take it for.
pub(super) type Text = Spanned<String>;

/// The top level.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) mode: Option<Text>,
    pub(super) interfaces: Option<Vec<Text>>,
    pub(super) xdp_mode: Option<Text>,
    pub(super) state_dir: Option<Text>,
    pub(super) run_dir: Option<Text>,
    pub(super) bpf_dir: Option<Text>,
    pub(super) control_group: Option<Text>,
    pub(super) sandbox: Option<Text>,
    pub(super) builtin_rules: Option<Text>,
    pub(super) rules: Option<Vec<Text>>,
    pub(super) suricata_rules: Option<Text>,
    pub(super) sources: Option<Vec<Spanned<RawSource>>>,
    pub(super) home: Option<Vec<Text>>,
    pub(super) allow: Option<Vec<Text>>,
    pub(super) fronts: Option<Vec<Text>>,
    pub(super) ban: Option<RawBan>,
    pub(super) mail: Option<RawMail>,
    pub(super) state: Option<RawState>,
    pub(super) metrics: Option<Text>,
}

/// An entry of `sources`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSource {
    pub(super) format: Option<Text>,
    pub(super) file: Option<Text>,
    pub(super) directory: Option<Text>,
    pub(super) trusted: Option<Text>,
    pub(super) socket: Option<Text>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    pub(super) group: Option<Text>,
    pub(super) udp: Option<Text>,
    pub(super) tcp: Option<Text>,
    pub(super) from: Option<Vec<Text>>,
}

/// `ban`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBan {
    pub(super) level: Option<Text>,
    pub(super) score: Option<Text>,
    pub(super) score_half_life: Option<Text>,
    pub(super) ttl: Option<Text>,
    pub(super) escalate: Option<Vec<Text>>,
    pub(super) forget_after: Option<Text>,
    pub(super) ipv6_prefix: Option<Text>,
    pub(super) private: Option<Text>,
    pub(super) unproven: Option<Text>,
    pub(super) outbound: Option<Text>,
    pub(super) max: Option<Text>,
    pub(super) max_per_minute: Option<Text>,
}

/// `mail`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMail {
    pub(super) level: Option<Text>,
    pub(super) immediate: Option<Text>,
    pub(super) to: Option<Vec<Text>>,
    pub(super) from: Option<Text>,
    pub(super) relay: Option<Text>,
    pub(super) password_file: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) webhook: Option<Text>,
    pub(super) webhook_style: Option<Text>,
    pub(super) webhook_secret_file: Option<Text>,
    pub(super) per_hour: Option<Text>,
}

/// `state`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawState {
    pub(super) history: Option<Text>,
    pub(super) megabytes: Option<Text>,
    pub(super) rebuild: Option<Text>,
    pub(super) rebuild_megabytes: Option<Text>,
    pub(super) rebuild_time: Option<Text>,
}

/// Every key with its section, to tell where a misplaced one belongs. The documentation is tested
/// against this list, and this list against the structs.
pub(super) const KEYS: [&str; 57] = [
    "mode",
    "interfaces",
    "xdp_mode",
    "state_dir",
    "run_dir",
    "bpf_dir",
    "control_group",
    "sandbox",
    "builtin_rules",
    "rules",
    "suricata_rules",
    "sources",
    "sources.format",
    "sources.file",
    "sources.directory",
    "sources.trusted",
    "sources.socket",
    "sources.type",
    "sources.group",
    "sources.udp",
    "sources.tcp",
    "sources.from",
    "home",
    "allow",
    "fronts",
    "ban",
    "ban.level",
    "ban.score",
    "ban.score_half_life",
    "ban.ttl",
    "ban.escalate",
    "ban.forget_after",
    "ban.ipv6_prefix",
    "ban.private",
    "ban.unproven",
    "ban.outbound",
    "ban.max",
    "ban.max_per_minute",
    "mail",
    "mail.level",
    "mail.immediate",
    "mail.to",
    "mail.from",
    "mail.relay",
    "mail.password_file",
    "mail.ca_file",
    "mail.webhook",
    "mail.webhook_style",
    "mail.webhook_secret_file",
    "mail.per_hour",
    "state",
    "state.history",
    "state.megabytes",
    "state.rebuild",
    "state.rebuild_megabytes",
    "state.rebuild_time",
    "metrics",
];

//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::look::Colour;
use crate::event::{Ports, Target};
use crate::format::Selection;

/// Drops attackers in the kernel's XDP path, on what Suricata and the host's own logs say.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    /// Configuration to use.
    ///
    /// A missing default file means the defaults; a missing file that is named is an error.
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        help = "Configuration [default: /etc/ravelin/ravelin.yaml]"
    )]
    pub(super) config: Option<PathBuf>,
    /// Whether output for people is coloured; NO_COLOR in the environment turns it off
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub(super) color: Colour,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground
    Run(Run),
    /// Validate the configuration, the packs with their tests, and access to what they name
    Check(Check),
    /// Say what keeps this host from being protected, and the command that mends it
    Doctor(Doctor),
    /// Show, line by line, what a log would cause and why
    Explain(Explain),
    /// Run old logs through a fresh engine: alerts and bans they would have caused
    Replay(Replay),
    /// Ban an address or prefix by hand
    Ban(Ban),
    /// Lift a ban and forgive its offences
    Unban(Unban),
    /// Never ban an address or prefix, and lift the bans it covers
    Allow(Allow),
    /// List the bans, with what is left of them and what they dropped
    List(List),
    /// Tell one offender's story: its ban, its offences, what it did
    Show(Show),
    /// Tell the past, newest last: alerts, bans and their ends
    History(History),
    /// Say whether this host is protected as configured (exit code 1 unless it is)
    Status(Status),
    /// Watch bans, packets, sources and alerts live, and ban, unban and allow by key
    Top(Top),
    /// Write a page about a day, a week or a month: who came, by what, what was dropped
    Report(Report),
    /// Take over a changed configuration, packs and allow list, without losing state
    Reload(Reload),
    /// Pass everything at once, until `ravelin panic --end`
    Panic(Panic),
    /// Keep what `run --confirm-within` has begun: this host can be reached
    Confirm(Confirm),
    /// Try the mail relay out
    Mail(Mail),
    /// Write the XDP object for another loader (`xdp_mode: maps-only`)
    Object(Object),
}

#[derive(Debug, Parser)]
pub(super) struct Run {
    /// Decide and report only: nothing is loaded into the kernel, nobody is banned
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Attach to this interface instead of the configured ones; may be repeated
    #[arg(long, value_name = "IF")]
    pub(super) iface: Vec<String>,
    /// Let everything pass again and detach after this time (at least 10s), unless `ravelin confirm` is said before
    #[arg(long, value_name = "T", value_parser = confirm_within, conflicts_with = "dry_run")]
    pub(super) confirm_within: Option<std::time::Duration>,
}

/// Time for a person to log in anew; a deadline in the next moment is a slip.
fn confirm_within(text: &str) -> Result<std::time::Duration, String> {
    let within = crate::config::parse_duration(text).map_err(|error| error.to_string())?;
    if within < std::time::Duration::from_secs(10) {
        return Err(format!("expected at least 10s, got {text}: one has to log in anew meanwhile"));
    }
    Ok(within)
}

#[derive(Debug, Parser)]
pub(super) struct Check {
    /// Exit with 1 also where there are warnings only
    #[arg(long)]
    pub(super) strict: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Doctor {
    /// Also show what is well
    #[arg(long)]
    pub(super) all: bool,
    /// Exit with 1 for warnings too, not only for failures
    #[arg(long)]
    pub(super) strict: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// What stamps without year or zone can't know.
#[derive(Debug, Parser)]
pub(super) struct When {
    /// The time at which the lines are taken to be read, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) now: Option<jiff::Timestamp>,
    /// The zone of stamps without one and of rules' times of day, such as Europe/Berlin or UTC [default: the system's]
    #[arg(long, value_name = "ZONE")]
    pub(super) tz: Option<String>,
}

#[derive(Debug, Parser)]
pub(super) struct Explain {
    /// The lines' outer format: auto, syslog, suricata-fast, suricata-eve, plain or journald
    #[arg(long, value_name = "F", default_value_t = Selection::Auto)]
    pub(super) format: Selection,
    /// One JSON object for each line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) when: When,
    /// Log files, one after the other, also .gz, .zst and .xz; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Parser)]
pub(super) struct Replay {
    /// The lines' outer format: auto, syslog, suricata-fast, suricata-eve, plain or journald
    #[arg(long, value_name = "F", default_value_t = Selection::Auto)]
    pub(super) format: Selection,
    /// Lowest level of the alerts that are printed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub(super) min_level: u8,
    /// One JSON object for each alert and ban, then a summary
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) when: When,
    /// Log files, also .gz, .zst and .xz; several are merged by time; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Parser)]
pub(super) struct Ban {
    /// An address or prefix; a bare IPv6 address means its /64
    pub(super) target: Target,
    /// How long, such as 90s, 5m, 2h or 1d [default: ban.ttl]
    #[arg(long, value_name = "T", value_parser = crate::config::parse_duration, conflicts_with = "permanent")]
    pub(super) ttl: Option<std::time::Duration>,
    /// Until lifted
    #[arg(long)]
    pub(super) permanent: bool,
    /// Only these of our ports, such as 25,465,587,993 or 8000-8010 [default: every port]
    #[arg(long, value_name = "P")]
    pub(super) ports: Option<Ports>,
    /// What it is for; shown by `list`
    #[arg(long, value_name = "R", default_value = "banned by hand")]
    pub(super) reason: String,
    /// Also a prefix shorter than /8 (IPv6: /32), or one that holds the peer of a live SSH session
    #[arg(long)]
    pub(super) force: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Unban {
    /// The target as listed; a bare IPv6 address means its /64
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(super) target: Option<Target>,
    /// Lift every ban
    #[arg(long)]
    pub(super) all: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct List {
    /// Print an array of JSON objects
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Status {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Top {
    /// Look so often, such as 1s or 5s
    #[arg(long, value_name = "T", default_value = "1s", value_parser = crate::config::parse_duration)]
    pub(super) every: std::time::Duration,
}

#[derive(Debug, Parser)]
pub(super) struct Report {
    /// The last 24 hours (unless another span is asked for)
    #[arg(long, group = "span")]
    pub(super) day: bool,
    /// The last 7 days
    #[arg(long, group = "span")]
    pub(super) week: bool,
    /// The last 30 days
    #[arg(long, group = "span")]
    pub(super) month: bool,
    /// Write the page there; a new file is readable for yourself only [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(super) struct Allow {
    /// An address or prefix, a bare IPv6 address meaning its /64; or a preset such as preset:cloudflare
    #[arg(required_unless_present_any = ["list", "remove", "presets"])]
    pub(super) target: Option<Allowable>,
    /// How long, such as 30m, 8h or 7d [default: until it is removed]
    #[arg(long, value_name = "T", value_parser = crate::config::parse_duration, conflicts_with_all = ["list", "remove"])]
    pub(super) ttl: Option<std::time::Duration>,
    /// Also a prefix shorter than /8 (IPv6: /32)
    #[arg(long, conflicts_with_all = ["list", "remove", "presets"])]
    pub(super) force: bool,
    /// List what is never banned, and why
    #[arg(long, conflicts_with_all = ["target", "remove"])]
    pub(super) list: bool,
    /// Take off the allow list what was put there by hand
    #[arg(long, value_name = "TARGET", conflicts_with = "target")]
    pub(super) remove: Option<Allowable>,
    /// List the presets, with the day of their ranges
    #[arg(long, conflicts_with_all = ["target", "remove", "list", "ttl"])]
    pub(super) presets: bool,
    /// Print what was done, or the list, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What can be allowed by hand.
#[derive(Clone, Debug)]
pub(super) enum Allowable {
    /// An address or prefix.
    One(Target),
    /// All ranges of a provider.
    Preset(&'static crate::config::Preset),
}

impl std::str::FromStr for Allowable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("preset:") {
            Some(name) => crate::config::Preset::named(name).map(Self::Preset),
            None => text
                .parse()
                .map(Self::One)
                .map_err(|error: crate::event::TargetError| error.to_string()),
        }
    }
}

#[derive(Debug, Parser)]
pub(super) struct Show {
    /// An address or prefix; a bare IPv6 address means its /64
    pub(super) target: Target,
    /// The newest N entries of its history; 0: all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: u32,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct History {
    /// From then on: an age such as 90s, 2h or 7d, or an RFC 3339 time
    #[arg(long, value_name = "T", value_parser = Since::parse)]
    pub(super) since: Option<Since>,
    /// The newest N entries; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: u32,
    /// Print an array of JSON objects
    #[arg(long)]
    pub(super) json: bool,
}

/// Where a look into the past begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    /// This long ago.
    Ago(std::time::Duration),
    /// Then.
    At(jiff::Timestamp),
}

impl Since {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        crate::config::parse_duration(text)
            .map(Self::Ago)
            .map_err(|error| format!("{error}; or an RFC 3339 time such as 2026-11-23T10:00:00Z"))
    }
}

#[derive(Debug, Parser)]
pub(super) struct Reload {
    /// Print what changed as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Panic {
    /// Enforce again
    #[arg(long)]
    pub(super) end: bool,
    /// Enforce again, and let everything pass after this time unless `ravelin confirm` is said before
    #[arg(long, value_name = "T", value_parser = confirm_within, requires = "end")]
    pub(super) confirm_within: Option<std::time::Duration>,
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Confirm {
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Mail {
    #[command(subcommand)]
    pub(super) command: MailCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// Send one mail through the configured relay, and say exactly what it answered
    Test(MailTest),
}

#[derive(Debug, Parser)]
pub(super) struct MailTest {
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct Object {
    /// File to write, or `-` for standard output
    pub(super) file: PathBuf,
}

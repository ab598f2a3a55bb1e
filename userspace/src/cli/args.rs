//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::event::Target;
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
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground
    Run(Run),
    /// Validate the configuration, the packs with their tests, and access to what they name
    Check(Check),
    /// Show, line by line, what a log would cause and why
    Explain(Explain),
    /// Run old logs through a fresh engine: alerts and bans they would have caused
    Replay(Replay),
    /// Ban an address or prefix by hand
    Ban(Ban),
    /// Lift a ban and forgive its offences
    Unban(Unban),
    /// List the bans, with what is left of them and what they dropped
    List(List),
    /// Say whether this host is protected as configured (exit code 1 unless it is)
    Status(Status),
}

#[derive(Debug, Parser)]
pub(super) struct Run {
    /// Decide and report only: nothing is loaded into the kernel, nobody is banned
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Attach to this interface instead of the configured ones; may be repeated
    #[arg(long, value_name = "IF")]
    pub(super) iface: Vec<String>,
}

#[derive(Debug, Parser)]
pub(super) struct Check {
    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What stamps without year or zone can't know.
#[derive(Debug, Parser)]
pub(super) struct When {
    /// The time at which the lines are taken to be read, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) now: Option<jiff::Timestamp>,
    /// The zone of stamps without one, such as Europe/Berlin or UTC [default: the system's]
    #[arg(long, value_name = "ZONE")]
    pub(super) tz: Option<String>,
}

#[derive(Debug, Parser)]
pub(super) struct Explain {
    /// The lines' outer format: auto, syslog, suricata-fast or suricata-eve
    #[arg(long, value_name = "F", default_value_t = Selection::Auto)]
    pub(super) format: Selection,
    /// One JSON object for each line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) when: When,
    /// A log file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Parser)]
pub(super) struct Replay {
    /// The lines' outer format: auto, syslog, suricata-fast or suricata-eve
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
    /// Log files; several are merged by time
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
    /// What it is for; shown by `list`
    #[arg(long, value_name = "R", default_value = "banned by hand")]
    pub(super) reason: String,
    /// Also a prefix shorter than /8 (IPv6: /32)
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

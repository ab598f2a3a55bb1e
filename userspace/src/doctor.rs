//! What keeps this host from being protected, found without changing anything, each finding with why it
//! matters and the one command that mends it.
//!
//! A file an organ: each looks at one part of the host through the rooms that the daemon uses itself, so that
//! the two can't disagree. It works without the daemon, and without root as far as that goes: what couldn't
//! be seen is said.
#![forbid(unsafe_code)]

mod access;
mod clock;
mod daemon;
mod drivers;
mod interfaces;
mod kernel;
mod mail;
mod sources;
mod suricata;

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::config::{self, Config};
use crate::host::{self, Facts};
use crate::rules::Packs;
use crate::source;

/// What was found, in the order in which it was looked for.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The gravest severity among them.
    pub worst: Severity,
    /// All of them, those that are well among them.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which part of the host.
    pub part: Part,
    /// A stable word: `bpffs-missing`.
    pub code: Cow<'static, str>,
    /// How bad.
    pub severity: Severity,
    /// What is so, in a sentence.
    pub message: String,
    /// Why that matters, in a sentence; null where all is well.
    pub why: Option<Cow<'static, str>>,
    /// The command, or the line of the configuration, that mends it; null where all is well.
    pub remedy: Option<String>,
}

/// The parts of the host, in the order of the report.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `ravelin.yaml` and packs.
    Configuration,
    /// The kernel, and what it lets us do.
    Kernel,
    /// What is, or would be, protected.
    Interfaces,
    /// Suricata, its rules, its losses.
    Suricata,
    /// Logs.
    Sources,
    /// The relay.
    Mail,
    /// Whether the admin could be locked out.
    Access,
    /// The time of day.
    Clock,
    /// The daemon, and what it says itself.
    Daemon,
}

impl Part {
    /// Its name in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Kernel => "kernel",
            Self::Interfaces => "interfaces",
            Self::Suricata => "suricata",
            Self::Sources => "sources",
            Self::Mail => "mail",
            Self::Access => "access",
            Self::Clock => "clock",
            Self::Daemon => "daemon",
        }
    }
}

/// How bad a finding is. A later one is graver.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Couldn't be looked at.
    Unseen,
    /// Protected, but not as well, as fast or as safely as it could be.
    Warning,
    /// Keeps the host from being protected as configured.
    Failure,
}

/// Findings, as they come together.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, part: Part, code: &'static str, message: impl Into<String>) {
        self.push(part, code, Severity::Ok, message, None, None);
    }

    /// Couldn't be looked at; `remedy` is how it could.
    fn unseen(
        &mut self,
        part: Part,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(part, code, Severity::Unseen, message, None, Some(remedy.into()));
    }

    fn warning(
        &mut self,
        part: Part,
        code: &'static str,
        message: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) {
        self.push(part, code, Severity::Warning, message, Some(why), Some(remedy.into()));
    }

    fn failure(
        &mut self,
        part: Part,
        code: &'static str,
        message: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) {
        self.push(part, code, Severity::Failure, message, Some(why), Some(remedy.into()));
    }

    fn push(
        &mut self,
        part: Part,
        code: &'static str,
        severity: Severity,
        message: impl Into<String>,
        why: Option<&'static str>,
        remedy: Option<String>,
    ) {
        self.0.push(Finding {
            part,
            code: code.into(),
            severity,
            message: message.into(),
            why: why.map(Cow::Borrowed),
            remedy,
        });
    }
}

/// What several parts need: read once.
struct Host {
    config: Config,
    /// What the configuration was read from, as one would name it.
    config_path: String,
    facts: Facts,
    packs: Option<Packs>,
    plan: source::Plan,
    is_root: bool,
}

/// Looks at everything. `path` is the configuration, as for all commands.
pub fn examine(path: Option<&Path>) -> Report {
    let mut findings = Findings::default();
    let host = host(path, &mut findings);
    kernel::examine(&host, &mut findings);
    interfaces::examine(&host, &mut findings);
    suricata::examine(&host, &mut findings);
    sources::examine(&host, &mut findings);
    mail::examine(&host, &mut findings);
    access::examine(&host, &mut findings);
    clock::examine(&mut findings);
    daemon::examine(&host, &mut findings);
    let Findings(findings) = findings;
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    Report { worst, findings }
}

/// Configuration, packs and the network's facts; where one of them is broken the rest is looked at all the
/// same, with what the daemon would use instead.
fn host(path: Option<&Path>, findings: &mut Findings) -> Host {
    let config_path = path.unwrap_or(Path::new(config::DEFAULT_PATH)).display().to_string();
    let invalid = "A start uses the last good copy, or nothing at all where there is none.";
    let config = match config::load_or_last_good(path) {
        Ok(loaded) => {
            match &loaded.degraded {
                None => findings.ok(
                    Part::Configuration,
                    "configuration",
                    format!("{config_path} is valid, or absent: then the defaults hold"),
                ),
                Some(error) => findings.failure(
                    Part::Configuration,
                    "configuration-invalid",
                    error.to_string(),
                    invalid,
                    check(path),
                ),
            }
            loaded.config
        }
        Err(error) => {
            findings.failure(
                Part::Configuration,
                "configuration-invalid",
                format!("{error}; what follows is about the defaults"),
                invalid,
                check(path),
            );
            Config::default()
        }
    };
    let packs = match Packs::load(config.builtin_rules, &config.rules) {
        Ok(packs) => {
            let (rules, events) = (packs.rules().rules.len(), packs.events().len());
            findings.ok(Part::Configuration, "packs", format!("{rules} rules on {events} events"));
            Some(packs)
        }
        Err(errors) => {
            findings.failure(
                Part::Configuration,
                "packs-invalid",
                errors.to_string(),
                "A start leaves out all packs of your own.",
                check(path),
            );
            Packs::load(true, &[]).ok()
        }
    };
    let facts = host::facts().unwrap_or_else(|error| {
        findings.failure(
            Part::Interfaces,
            "network-unknown",
            error.to_string(),
            "Interfaces and this host's own addresses are learned that way.",
            "ravelin doctor   # outside the sandbox that restricts AF_NETLINK",
        );
        Facts::default()
    });
    let plan = source::plan(config.sources.as_deref(), Path::new("/"));
    let is_root = rustix::process::geteuid().is_root();
    Host { config, config_path, facts, packs, plan, is_root }
}

/// The command that says all that is wrong with configuration and packs.
fn check(path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("ravelin check --config {}", path.display()),
        None => "ravelin check".to_owned(),
    }
}

/// A file's age in words: `3 days`.
fn age(of: std::time::Duration) -> String {
    let secs = of.as_secs();
    let (count, unit) = match secs {
        0..=119 => (secs, "second"),
        120..=7_199 => (secs / 60, "minute"),
        7_200..=172_799 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

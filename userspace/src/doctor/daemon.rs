//! The daemon: whether it runs, and what it says of itself.

use std::borrow::Cow;

use super::{Finding, Findings, Host, Part, Severity};
use crate::config::Input;
use crate::control::{self, ClientError, Request, Response, State};
use crate::source::Role;

/// What the daemon notes and this command has looked at itself, with a command that mends it.
const LOOKED_AT: [&str; 7] = [
    "allow-file",
    "configuration-invalid",
    "generic-mode",
    "packs-invalid",
    "proof-unknown",
    "source-unreadable",
    "sources",
];

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    let status = match control::request(&host.config.run_dir, &Request::Status) {
        Ok(Response::Status(status)) => status,
        Ok(_) | Err(ClientError::NotUnderstood { .. }) => {
            return findings.warning(
                Part::Daemon,
                "daemon-version",
                "the daemon that runs is of another version than this command",
                "What it does and what this command says may differ.",
                "systemctl restart ravelin",
            );
        }
        Err(ClientError::NotRunning { .. }) => return not_running(host, findings),
        Err(error @ ClientError::Forbidden { .. }) => {
            return findings.unseen(
                Part::Daemon,
                "daemon",
                error.to_string(),
                "sudo ravelin doctor",
            );
        }
        Err(error @ ClientError::BrokeOff { .. }) => {
            return findings.warning(
                Part::Daemon,
                "daemon-silent",
                error.to_string(),
                "It may hang, or be about to end.",
                "journalctl -u ravelin -n 50",
            );
        }
    };
    let state = status.state.as_str();
    findings.ok(Part::Daemon, "daemon", format!("ravelin {} runs: {state}", status.version));
    if status.state == State::Observing {
        findings.warning(
            Part::Daemon,
            "observing",
            "the daemon only observes",
            "Nobody is banned; `ravelin history` tells whom it would have banned.",
            format!("{}   # 2 of 3; then: systemctl start ravelin-trial", replay(host)),
        );
    }
    // A note of a daemon that does all it should is no failure.
    let severity = match status.state {
        State::Degraded | State::Off => Severity::Failure,
        State::Enforcing | State::Observing => Severity::Warning,
    };
    for item in status.health {
        if !LOOKED_AT.contains(&item.code.as_str()) {
            findings.0.push(Finding {
                part: Part::Daemon,
                severity,
                message: format!("{} (since {})", item.remedy, item.since),
                why: Some(Cow::Borrowed("The daemon says so itself.")),
                remedy: Some(remedy(&item.code).to_owned()),
                code: item.code.into(),
            });
        }
    }
}

/// Which step of the way in is next: observe, replay, try with a way back.
fn not_running(host: &Host, findings: &mut Findings) {
    let why = "Nobody new is banned; bans that are in the kernel hold until they lapse.";
    // Who isn't root can't tell; to observe is never wrong.
    let (message, remedy) = match host.config.state_dir.exists() {
        false => (
            "no daemon has run here yet",
            "ravelin run --dry-run   # 1 of 3: observe; 2: replay old logs; 3: systemctl start ravelin-trial"
                .to_owned(),
        ),
        true => (
            "no daemon runs",
            format!(
                "{}   # 2 of 3; then: systemctl start ravelin-trial, and when that is confirmed: systemctl enable --now ravelin",
                replay(host)
            ),
        ),
    };
    findings.warning(Part::Daemon, "not-running", message, why, remedy);
}

/// The command that tells what the old logs would have caused.
fn replay(host: &Host) -> String {
    let files = host.plan.sources.iter().filter_map(|planned| match &planned.config.input {
        Input::File(path) if planned.role == Role::Read && path.exists() => Some(path.display()),
        _ => None,
    });
    let files: Vec<String> = files.map(|path| path.to_string()).collect();
    match files.is_empty() {
        true => "journalctl -o json --since -7d | ravelin replay -".to_owned(),
        false => format!("ravelin replay {}", files.join(" ")),
    }
}

/// The command with which one finds out more, or ends it.
fn remedy(code: &str) -> &'static str {
    match code {
        "off" | "unconfirmed" => "ravelin panic --end",
        "restart-needed" | "sandbox-off" => "systemctl restart ravelin",
        "confirm-pending" => "ravelin confirm   # from a login that was opened after the start",
        "reload-refused" | "list-unreadable" => "ravelin check",
        "mail-misconfigured" | "mail-refused" | "mail-undelivered" => "ravelin mail test",
        "front-suspected" => "ravelin history   # then `fronts:` in the configuration, or reload",
        "interface-unprotected" => "ravelin doctor   # its part `interfaces`",
        _ => "ravelin status",
    }
}

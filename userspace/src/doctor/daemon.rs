//! The daemon: whether it runs, and what it says of itself.

use std::borrow::Cow;

use super::{Finding, Findings, Host, Part, Severity};
use crate::control::{self, ClientError, Request, Response, State};

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
        Err(ClientError::NotRunning { .. }) => {
            return findings.warning(
                Part::Daemon,
                "not-running",
                "no daemon runs",
                "Nobody new is banned; bans that are in the kernel hold until they lapse.",
                "ravelin run --dry-run   # to see; then: systemctl enable --now ravelin",
            );
        }
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

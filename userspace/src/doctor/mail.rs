//! The relay: whether it answers, greets us, and lets us in. No mail is sent.

use std::time::Duration;

use super::{Findings, Host, Part};
use crate::daemon;
use crate::mail::{Relay, Webhook};

/// What takes longer isn't worth waiting for here; the daemon itself is more patient.
const PATIENCE: Duration = Duration::from_secs(10);
const WHY: &str = "You wouldn't hear of what is grave; mails wait in the outbox meanwhile.";

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    let config = &host.config.mail;
    if let Err(error) = Webhook::new(config) {
        findings.failure(Part::Mail, "mail-misconfigured", error.to_string(), WHY, "ravelin check");
    }
    if config.to.is_empty() {
        return findings.ok(
            Part::Mail,
            "mail",
            "no mail is sent, as configured (`mail.to` is empty)",
        );
    }
    let relay = match Relay::new(config) {
        Ok(relay) => relay,
        Err(error) => {
            let code = "mail-misconfigured";
            return findings.failure(Part::Mail, code, error.to_string(), WHY, "ravelin check");
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return findings.unseen(Part::Mail, "relay", error.to_string(), "ravelin mail test");
        }
    };
    let host = daemon::hostname();
    let asked =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, relay.greet(&host)).await });
    match asked {
        Ok(Ok(())) => findings.ok(Part::Mail, "relay", format!("{} answers", config.relay)),
        Ok(Err(error)) => findings.warning(
            Part::Mail,
            "relay-refuses",
            format!("{}: {error}: {}", config.relay, error.remedy()),
            WHY,
            "ravelin mail test   # after that",
        ),
        Err(_elapsed) => findings.warning(
            Part::Mail,
            "relay-silent",
            format!("{} doesn't answer within {} s", config.relay, PATIENCE.as_secs()),
            WHY,
            "mail: {relay: 'smtp+starttls://USER@HOST:587'}   # where port 25 is blocked",
        ),
    }
}

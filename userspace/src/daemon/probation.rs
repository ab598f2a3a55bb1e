//! A start that somebody has to confirm: the deadline is the kernel's, what else belongs to it is here.

use std::time::Duration;

use super::pipeline::Pipeline;
use crate::blocklist::{Clock, Expiry, Probation};
use crate::control::Response;
use crate::event::Timestamp;
use crate::host;

/// What `status` calls a start that waits.
pub(super) const PENDING: &str = "confirm-pending";
/// What it calls one that nobody confirmed.
pub(super) const FAILED: &str = "unconfirmed";

/// What `status` says of a start that waits.
pub(super) fn pending(clock: &Clock, deadline: Expiry) -> String {
    let deadline = clock.timestamp(deadline).unwrap_or_else(Timestamp::now);
    format!(
        "everything passes from {deadline} on and the program comes off, unless somebody confirms this start before: \
         log in anew, and there say `ravelin confirm`"
    )
}

/// What it says of one that nobody confirmed.
pub const UNCONFIRMED: &str = "nobody confirmed the start in time, so everything passes and the program is off the interfaces: `ravelin panic \
     --end --confirm-within 10m` tries once more, `ravelin panic --end` enforces for good";

impl Pipeline {
    /// Takes the program off where nobody confirmed it in time; by then the kernel passes everything already.
    pub(super) fn look_at_probation(&mut self) {
        let Some(blocklist) = self.parts.enforcement.kernel() else { return };
        let now_ns = Clock::read().monotonic_ns();
        if self.parts.off || blocklist.probation(now_ns) != Probation::Failed {
            return;
        }
        let outcome = blocklist.withdraw();
        self.parts.off = true;
        self.parts.health.clear(PENDING, "");
        match outcome {
            Ok(interfaces) => {
                tracing::warn!(?interfaces, "Nobody confirmed the start; the program is off.");
                self.parts.health.degrade(FAILED, "", UNCONFIRMED.to_owned());
            }
            Err(error) => self.parts.health.degrade(
                FAILED,
                "",
                format!("{UNCONFIRMED}; but it couldn't be taken off everywhere: {error}"),
            ),
        }
    }

    /// A person says that the host can be reached.
    pub(super) fn confirm(&mut self) -> Result<Response, String> {
        let clock = Clock::read();
        let Some(blocklist) = self.parts.enforcement.kernel() else {
            return Err(
                "mode is observe (or --dry-run), so nothing waits to be confirmed".to_owned()
            );
        };
        match blocklist.probation(clock.monotonic_ns()) {
            Probation::Over => Err(NOTHING.to_owned()),
            Probation::Failed => Err(UNCONFIRMED.to_owned()),
            Probation::Until(_) => {
                blocklist.confirm().map_err(|error| error.to_string())?;
                tracing::info!("The start is confirmed.");
                self.parts.health.clear(PENDING, "");
                Ok(Response::Confirmed)
            }
        }
    }

    /// Everything passes at once, or is enforced again, if wanted until somebody has to have confirmed it.
    pub(super) fn panic(
        &mut self,
        end: bool,
        confirm_within: Option<Duration>,
    ) -> Result<Response, String> {
        let clock = Clock::read();
        let Some(blocklist) = self.parts.enforcement.kernel() else {
            // Pinned maps may say so all the same: that counts when mode enforce is back.
            return if end {
                Err("mode is observe (or --dry-run), so nothing is dropped: set `mode: enforce` and restart first".to_owned())
            } else {
                Ok(Response::Panic { off: true })
            };
        };
        let told = match (end, confirm_within) {
            (true, Some(within)) => blocklist.try_again(within, clock.monotonic_ns()),
            (end, _) => blocklist.set_panic(!end),
        };
        told.map_err(|error| error.to_string())?;
        let waits = blocklist.probation(clock.monotonic_ns());
        self.parts.off = !end;
        self.parts.health.clear(PENDING, "");
        self.parts.health.clear(FAILED, "");
        if end {
            tracing::info!("Enforcing again.");
            self.parts.health.clear("off", "");
            if let Probation::Until(deadline) = waits {
                self.parts.health.note(PENDING, "", pending(&clock, deadline));
            }
            // What nobody confirmed had come off.
            let facts = host::facts().map_err(|error| error.to_string())?;
            self.want_interfaces(&facts);
        } else {
            self.parts.health.degrade("off", "", super::desk::PANIC.to_owned());
        }
        Ok(Response::Panic { off: !end })
    }
}

/// Said of a confirmation that nothing waits for.
pub const NOTHING: &str =
    "nothing waits to be confirmed: that begins with `ravelin run --confirm-within 10m`";

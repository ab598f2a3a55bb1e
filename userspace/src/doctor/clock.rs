//! The time of day: windows, expiries and evidence are told by it.

use super::{Findings, Part};
use crate::blocklist::Clock;

pub(super) fn examine(findings: &mut Findings) {
    match Clock::is_synchronised() {
        Ok(true) => findings.ok(Part::Clock, "clock", "the clock is kept right (synchronised)"),
        Ok(false) => findings.warning(
            Part::Clock,
            "clock-unsynchronised",
            "nobody keeps this host's clock right (the kernel calls it unsynchronised)",
            "Lines of other hosts fall out of their windows, and times in mails are wrong.",
            "timedatectl set-ntp true   # or: apt-get install chrony",
        ),
        Err(error) => findings.unseen(
            Part::Clock,
            "clock",
            format!("whether the clock is kept right can't be asked here: {error}"),
            "timedatectl",
        ),
    }
}

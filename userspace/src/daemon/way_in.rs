//! The way in, as a start tells it: observe, replay the old logs, try with a way back, and only then for good.

use super::pipeline::{Enforcement, Pipeline};
use crate::blocklist::{Clock, Probation};

/// Said by a daemon that only observes.
const OBSERVING: &str = "Nobody is banned: this observes. `ravelin history` tells whom it would have banned. Next come \
    `ravelin replay` on the old logs, and then `ravelin run --confirm-within 10m` (systemctl start ravelin-trial), \
    which ends by itself unless you can still log in to confirm it.";

/// Said by the first daemon that bans on this host, where nobody has to confirm it.
const FIRST: &str = "This is the first start on this host, and it bans from now on. To see first whom: `ravelin run \
    --dry-run`, `ravelin replay` on the old logs, then `ravelin run --confirm-within 10m`. `ravelin panic` lets \
    everything pass at once.";

impl Pipeline {
    /// Tells where on the way this start is, if that isn't its end. `first`: no daemon has run here before.
    pub(super) fn tell_way_in(&mut self, first: bool) {
        match &self.parts.enforcement {
            Enforcement::Observe => tracing::info!("{OBSERVING}"),
            Enforcement::Kernel(blocklist)
                if first
                    && blocklist.probation(Clock::read().monotonic_ns()) == Probation::Over =>
            {
                tracing::warn!("{FIRST}");
            }
            Enforcement::Kernel(_) => {}
        }
    }
}

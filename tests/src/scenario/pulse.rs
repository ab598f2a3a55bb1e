//! An attacker's live sender, and the moment when its packets stop arriving.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::story::{Story, Who};
use crate::lab::{Ban, Host, Lab, Metronome, until};

/// Sends beside the attack, from an address of the attacker's.
#[derive(Debug)]
pub(super) struct Pulse {
    metronome: Metronome,
    target: String,
}

/// What a pulse has shown.
#[derive(Debug)]
pub(super) struct Dropped {
    /// The ban, when it had dropped the first packets.
    pub(super) ban: Ban,
    /// When the first packet left that didn't arrive.
    pub(super) first: SystemTime,
    /// The daemon's log line about it.
    line: String,
}

impl Pulse {
    /// Begins to send; returns when the packets arrive.
    pub(super) fn start(lab: &Lab, from: &Host, source: IpAddr, target: &str) -> Result<Self> {
        let metronome = Metronome::start(from, source)?;
        until(&format!("packets of {source} to arrive"), Duration::from_secs(5), || {
            Ok((lab.listener.count(metronome.run()) > 10).then_some(()))
        })?;
        Ok(Self { metronome, target: target.to_owned() })
    }

    /// Waits for the ban and for packets that it drops, and stops.
    pub(super) fn finish(self, lab: &Lab, limit: Duration) -> Result<Dropped> {
        let Self { metronome, target } = self;
        let ban = until(&format!("a ban of {target} that drops packets"), limit, || {
            Ok(lab.ravelin.ban_of(&target)?.filter(|ban| ban.dropped_packets >= 100))
        })?;
        let sent = metronome.stop()?;
        let first = lab.listener.first_missing(&sent).context(
            "the ban's counter says that it drops, but the attacker's last packet has arrived",
        )?;
        let line = lab.ravelin.ban_lines(&target)?.pop().with_context(|| {
            format!("expected a line `ban target={target} ...` in the daemon's log, found none")
        })?;
        Ok(Dropped { ban, first, line })
    }
}

impl Dropped {
    /// Tells the ban.
    pub(super) fn tell(&self, story: &Story) {
        story.tell(Who::Ravelin, &self.line);
    }

    /// Tells how long after the ban's reason was written the first packet was dropped.
    pub(super) fn tell_latency(&self, story: &mut Story, written: SystemTime) -> Result<()> {
        let latency = self
            .first
            .duration_since(written)
            .context("expected the first drop after its reason was logged, it came before")?;
        let millis = latency.as_secs_f64() * 1e3;
        let what = format!(
            "first packet dropped at most {millis:.1} ms after the line that led to it was written"
        );
        story.tell(Who::Ravelin, what);
        story.dropped_after(latency);
        Ok(())
    }
}

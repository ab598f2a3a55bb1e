//! VLAN tags around a banned sender's packets.

use anyhow::{Context as _, Result};

use super::story::{Story, Who};
use crate::lab::{Lab, Place, Route, SERVER, Tags};

/// Frames of each kind.
const FRAMES: u64 = 1000;

/// A banned attacker's packets are dropped in one VLAN tag and in two.
///
/// # Errors
/// Where `attacker` isn't banned, or frames can't be sent.
pub fn tags_hide_nobody(lab: &Lab, story: &mut Story, attacker: Place) -> Result<()> {
    let target = format!("{}/32", attacker.v4);
    let dropped = || -> Result<u64> {
        let ban = lab.ravelin.ban_of(&target)?;
        Ok(ban.with_context(|| format!("expected {target} to be banned"))?.dropped_packets)
    };
    let wire = lab.wire_to(SERVER)?;
    let route = Route { src: attacker.v4, dst: SERVER.v4 };
    for (tags, what) in
        [(Tags::One(7), "one VLAN tag (802.1Q)"), (Tags::Two(100, 7), "two VLAN tags (802.1ad)")]
    {
        let before = dropped()?;
        for _ in 0..FRAMES {
            wire.udp(tags, route, (4711, 9), b"tagged")?;
        }
        let more = dropped()? - before;
        let who = Who::Attacker(attacker.name);
        story.tell(who, format!("sends {FRAMES} packets in {what}; {more} are dropped"));
        story.claim(format!("packets of a banned address in {what} are dropped"), more >= FRAMES);
    }
    Ok(())
}

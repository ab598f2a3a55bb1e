//! The end of a ban.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::story::{Story, Who};
use crate::lab::{Lab, Place, SERVER, TTL, fetch, until};

/// An attacker whose ban has lapsed gets through again.
///
/// # Errors
/// Where it doesn't.
pub fn attacker_gets_through_again(lab: &Lab, story: &mut Story, attacker: Place) -> Result<()> {
    let host = lab.host(attacker);
    let who = Who::Attacker(attacker.name);
    let target = format!("{}/32", attacker.v4);
    let start = SystemTime::now();
    let mut tries = 0_u32;
    until("the ban to lapse", TTL + Duration::from_secs(10), || {
        tries += 1;
        let page =
            host.enter(|| fetch(SERVER.v4.into(), "curl/7.88", Duration::from_millis(300)))?;
        Ok(page.ok())
    })?;
    let waited = start.elapsed()?;
    story.tell(
        who,
        format!("gets a page again, at try {tries}, {:.1} s later", waited.as_secs_f64()),
    );
    let listed = lab.ravelin.ban_of(&target)?.is_some();
    story.claim(format!("a ban ends by itself: {target} gets through again"), !listed);
    Ok(())
}

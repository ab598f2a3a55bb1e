//! The daemon's violent death.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::scan::TARGET;
use super::story::{Story, Who};
use crate::lab::{Lab, SCANNER, SERVER, TTL, fetch, until};

const WHO: Who = Who::Attacker(SCANNER.name);

/// A ban made at `since` goes on after `kill -9` of the daemon, and lapses when its time has come.
///
/// # Errors
/// Where something that was waited for didn't come.
pub fn bans_outlive_the_daemon(lab: &mut Lab, story: &mut Story, since: SystemTime) -> Result<()> {
    lab.ravelin.kill()?;
    story.tell(Who::Ravelin, "`kill -9`: the daemon is dead; its XDP program stays attached");
    let before = dropped(lab)?;
    let scanner = lab.host(SCANNER);
    let (mut refused, mut more) = (0_u32, 0);
    until("the ban to lapse", TTL + Duration::from_secs(10), || {
        let page =
            scanner.enter(|| fetch(SERVER.v4.into(), "curl/7.88", Duration::from_millis(300)))?;
        if page.is_err() {
            refused += 1;
        }
        if refused == 3 && page.is_err() {
            more = dropped(lab)?.saturating_sub(before);
            story.tell(WHO, format!("still gets nothing; {more} more packets dropped meanwhile"));
        }
        Ok(page.ok())
    })?;
    let lasted = since.elapsed()?;
    story
        .tell(WHO, format!("gets a page again, {:.1} s after the ban began", lasted.as_secs_f64()));
    story.claim(
        "kill -9: with no daemon the ban went on dropping, and lapsed on time",
        // A second of grace: the ban's time is its line's own, which is a little before it was written.
        refused >= 3 && more > 0 && lasted + Duration::from_secs(1) >= TTL,
    );
    lab.ravelin.restart()?;
    story.tell(Who::Ravelin, "started again, behind the XDP program that it left attached");
    Ok(())
}

/// What the scanner's ban has dropped; `ravelin list` reads it from the kernel when the daemon is dead.
fn dropped(lab: &Lab) -> Result<u64> {
    Ok(lab.ravelin.ban_of(TARGET)?.map_or(0, |ban| ban.dropped_packets))
}

//! Packets in the name of somebody who hasn't sent them.

use std::time::Duration;

use anyhow::Result;

use super::pulse::Pulse;
use super::scan::is_alert;
use super::story::{Story, Who};
use crate::lab::{
    BYSTANDER, DNS_SID, FORGER, Lab, NMAP_USER_AGENT, SERVER, SYN_SID, attack, fetch,
};

const WHO: Who = Who::Attacker(FORGER.name);
/// Enough to set off the rules for many of their kind.
const VOLLEY: u16 = 200;

/// A bystander isn't banned for what others send in its name.
///
/// # Errors
/// Where something that was waited for didn't come.
pub fn bystander_stays_free(lab: &Lab, story: &mut Story) -> Result<()> {
    let mark = lab.eve.mark();
    let limit = Duration::from_secs(10);
    let wire = lab.wire_from(FORGER)?;
    story.tell(
        WHO,
        format!(
            "sends {VOLLEY} SYNs and {VOLLEY} DNS questions that say they come from {}",
            BYSTANDER.v4
        ),
    );
    attack::forge_syns(&wire, BYSTANDER.v4, VOLLEY)?;
    attack::forge_questions(&wire, BYSTANDER.v4, VOLLEY)?;
    for (sid, what) in [(SYN_SID, "SYNs"), (DNS_SID, "DNS questions")] {
        lab.eve.wait_for(&format!("an alert about forged {what}"), limit, mark, |line| {
            is_alert(line, sid, BYSTANDER.v4)
        })?;
        story.tell(
            Who::Witness("suricata"),
            format!("many {what} from {}, priority 1", BYSTANDER.v4),
        );
    }
    // Lines are judged in order: when this one has led to a ban, those above have been judged.
    let target = format!("{}/32", FORGER.v4);
    let forger = lab.host(FORGER);
    let pulse = Pulse::start(lab, forger, FORGER.v4.into(), &target)?;
    story.tell(WHO, "asks for a page as nmap does, in its own name");
    // Whether the page still gets through before the ban doesn't matter.
    let _page = forger.enter(|| fetch(SERVER.v4.into(), NMAP_USER_AGENT, limit / 10))?;
    pulse.finish(lab, limit)?.tell(story);
    let victim = format!("{}/32", BYSTANDER.v4);
    let banned = lab.ravelin.ban_of(&victim)?.is_some();
    let ever = !lab.ravelin.ban_lines(&victim)?.is_empty();
    let through =
        lab.host(BYSTANDER).enter(|| fetch(SERVER.v4.into(), "Mozilla/5.0", limit / 5))?;
    story.tell(
        Who::Guest(BYSTANDER.name),
        match &through {
            Ok(()) => "is not banned, and reads the web site".to_owned(),
            Err(error) => format!("can't read the web site: {error}"),
        },
    );
    story.claim(
        format!("forged SYNs and UDP: Suricata alerted, but {} was never banned", BYSTANDER.v4),
        !banned && !ever && through.is_ok(),
    );
    Ok(())
}

//! A port scan that Suricata recognises.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::pulse::Pulse;
use super::story::{Story, Who};
use crate::lab::{
    Lab, NMAP_SID, NMAP_USER_AGENT, SCANNER, SERVER, SYN_SID, TTL, Written, attack, fetch,
};

/// The scanner's name in Ravelin's table.
pub(super) const TARGET: &str = "198.51.100.1/32";
const WHO: Who = Who::Attacker(SCANNER.name);
/// nmap spends most of this on finding out versions and operating system.
const SCAN_TIME: Duration = Duration::from_secs(90);

/// `nmap -A` is banned on Suricata's evidence.
///
/// # Errors
/// Where something that was waited for didn't come.
pub fn scanner_is_banned(lab: &Lab, story: &mut Story) -> Result<()> {
    let mark = lab.eve.mark();
    let scanner = lab.host(SCANNER);
    let pulse = Pulse::start(lab, scanner, SCANNER.v4.into(), TARGET)?;
    story.tell(WHO, format!("runs `nmap -A {}`", SERVER.v4));
    let mut nmap = attack::nmap(scanner, lab.dir())?;
    lab.eve.wait_for("an alert about SYNs", SCAN_TIME, mark, |line| {
        is_alert(line, SYN_SID, SCANNER.v4)
    })?;
    story.tell(Who::Witness("suricata"), "many SYNs from one source, priority 1");
    story.tell(Who::Ravelin, "no ban yet: anybody can put a false sender on a SYN");
    story.tell(WHO, "probes for versions and operating system, which takes nmap a while");
    let alert = lab.eve.wait_for("an alert about nmap", SCAN_TIME, mark, |line| {
        is_alert(line, NMAP_SID, SCANNER.v4)
    })?;
    tell_alert(story, &alert)?;
    let dropped = pulse.finish(lab, Duration::from_secs(10))?;
    dropped.tell(story);
    dropped.tell_latency(story, alert.at)?;
    let through = scanner
        .enter(|| fetch(SERVER.v4.into(), "Mozilla/5.0", Duration::from_millis(500)).is_ok())?;
    nmap.kill()?;
    story.tell(WHO, "nmap hangs: to the scanner the server is gone");
    story.claim(
        format!(
            "nmap -A: {TARGET} banned on Suricata's evidence (rule 300011), for {} s",
            TTL.as_secs()
        ),
        dropped.ban.rule == Some(300_011) && dropped.ban.origin == "rule" && !through,
    );
    Ok(())
}

/// The scanner comes with a single request that Suricata recognises, and is banned for it.
///
/// Gives the time when the reason was logged.
///
/// # Errors
/// Where it isn't.
pub fn request_is_banned(lab: &Lab, story: &mut Story) -> Result<SystemTime> {
    let mark = lab.eve.mark();
    let scanner = lab.host(SCANNER);
    let pulse = Pulse::start(lab, scanner, SCANNER.v4.into(), TARGET)?;
    story.tell(WHO, "asks for a page as nmap does");
    // Whether the page still gets through before the ban doesn't matter.
    let _page =
        scanner.enter(|| fetch(SERVER.v4.into(), NMAP_USER_AGENT, Duration::from_secs(1)))?;
    let alert = lab.eve.wait_for("an alert about nmap", Duration::from_secs(10), mark, |line| {
        is_alert(line, NMAP_SID, SCANNER.v4)
    })?;
    tell_alert(story, &alert)?;
    let dropped = pulse.finish(lab, Duration::from_secs(10))?;
    dropped.tell(story);
    dropped.tell_latency(story, alert.at)?;
    Ok(alert.at)
}

/// Whether a line of eve.json is this rule's alert about packets from this address.
pub(super) fn is_alert(line: &str, sid: u32, src: impl std::fmt::Display) -> bool {
    line.contains(&format!("\"signature_id\":{sid},"))
        && line.contains(&format!("\"src_ip\":\"{src}\""))
}

/// Tells what an alert says.
pub(super) fn tell_alert(story: &Story, alert: &Written) -> Result<()> {
    let event: Value = serde_json::from_str(&alert.line).context("expected JSON in eve.json")?;
    let of = &event["alert"];
    story.tell(
        Who::Witness("suricata"),
        format!(
            "[{}:{}:{}] {} [priority {}]",
            of["gid"],
            of["signature_id"],
            of["rev"],
            of["signature"].as_str().unwrap_or_default(),
            of["severity"],
        ),
    );
    Ok(())
}

//! Guesses at SSH passwords, over IPv4 or IPv6.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::pulse::Pulse;
use super::story::{Story, Who};
use crate::lab::{Lab, Place, Process, attack, until};

const SSHD: Who = Who::Witness("sshd");
/// As many at a time; each makes three guesses, and PAM makes each wait two seconds.
const CONNECTIONS: usize = 3;
/// Rule 5720 bans at the eighth, so that this is ample.
const LIMIT: Duration = Duration::from_secs(60);

/// A guesser is banned on sshd's evidence, over IPv6 with the whole /64.
///
/// # Errors
/// Where something that was waited for didn't come.
pub fn guesser_is_banned(
    lab: &Lab,
    story: &mut Story,
    guesser: Place,
    server: IpAddr,
) -> Result<()> {
    let mark = lab.auth_log.mark();
    let host = lab.host(guesser);
    let who = Who::Attacker(guesser.name);
    let address = guesser.addr_like(server);
    let (target, pulse_from) = match address {
        IpAddr::V4(v4) => (format!("{v4}/32"), address),
        IpAddr::V6(v6) => {
            // The live sender uses another address of the same /64: that one must be dropped, too.
            let neighbour = with_host_part(v6, 0xbeef);
            host.add_address(neighbour.into())?;
            (format!("{}/64", with_host_part(v6, 0)), neighbour.into())
        }
    };
    let pulse = Pulse::start(lab, host, pulse_from, &target)?;
    story.tell(who, format!("guesses root's password: `ssh root@{server}`, again and again"));
    let mut connections: Vec<Process> = Vec::new();
    let mut guess = || -> Result<()> {
        connections.retain_mut(|ssh| matches!(ssh.ended(), Ok(None)));
        while connections.len() < CONNECTIONS {
            connections.push(attack::guess_passwords(host, server, lab.dir())?);
        }
        Ok(())
    };
    guess()?;
    let first =
        lab.auth_log.wait_for("a failed login", LIMIT, mark, |line| is_failure(line, address))?;
    story.tell(SSHD, message(&first.line));
    until(&format!("a ban of {target}"), LIMIT, || {
        guess()?;
        lab.ravelin.ban_of(&target)
    })?;
    drop(connections);
    let dropped = pulse.finish(lab, Duration::from_secs(10))?;
    let mut failures = lab.auth_log.since(mark);
    failures.retain(|line| is_failure(&line.line, address) && line.at <= dropped.first);
    let reason = failures.last().context("expected failed logins before the first drop")?;
    story.tell(SSHD, format!("guess {}: {}", failures.len(), message(&reason.line)));
    dropped.tell(story);
    dropped.tell_latency(story, reason.at)?;
    if address.is_ipv6() {
        story.tell(
            Who::Ravelin,
            format!("the live sender was {pulse_from}: the /64 is one attacker"),
        );
    }
    let how = if address.is_ipv6() { "IPv6: the whole /64" } else { "IPv4" };
    story.claim(
        format!("SSH guesses over {how}: {target} banned on sshd's evidence"),
        dropped.ban.origin == "rule",
    );
    Ok(())
}

/// Whether a line of auth.log says that a password was wrong, from this address.
fn is_failure(line: &str, address: IpAddr) -> bool {
    line.contains("Failed password for ") && line.contains(&format!(" from {address} port "))
}

/// A syslog line without its header.
fn message(line: &str) -> &str {
    line.split_once("]: ").map_or(line, |(_header, message)| message)
}

fn with_host_part(addr: Ipv6Addr, part: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = addr.segments();
    [a, b, c, d, 0, 0, 0, part].into()
}

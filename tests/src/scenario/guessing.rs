//! Guesses at SSH passwords, over IPv4 or IPv6.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::pulse::Pulse;
use super::story::{Story, Who};
use crate::lab::{GUESSER6, Lab, Place, Process, Written, attack, until};

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
    let guesses = || -> Vec<Written> {
        let lines = lab.auth_log.since(mark);
        lines.into_iter().filter(|line| is_failure(&line.line, address)).collect()
    };
    let mut connections: Vec<Process> = Vec::new();
    let mut told = 0;
    until(&format!("a ban of {target}"), LIMIT, || {
        connections = std::mem::take(&mut connections)
            .into_iter()
            .filter_map(|mut ssh| match ssh.ended() {
                Ok(None) => Some(Ok(ssh)),
                Ok(Some(_)) => None,
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_>>()?;
        while connections.len() < CONNECTIONS {
            connections.push(attack::guess_passwords(host, server, lab.dir())?);
        }
        let failures = guesses();
        for failure in failures.iter().skip(told) {
            told += 1;
            if told == 1 {
                story.tell(Who::Witness("sshd"), message(&failure.line));
            }
        }
        lab.ravelin.ban_of(&target)
    })?;
    drop(connections);
    let dropped = pulse.finish(lab, story, Duration::from_secs(10))?;
    let failures = guesses();
    let before = failures.iter().filter(|line| line.at <= dropped.first).count();
    let reason = before
        .checked_sub(1)
        .and_then(|last| failures.get(last))
        .context("expected a failed login in auth.log before the first drop, found none")?;
    story.tell(
        Who::Witness("sshd"),
        format!("guess {before} was the last: {}", message(&reason.line)),
    );
    dropped.tell_latency(story, reason.at)?;
    if address.is_ipv6() {
        story.tell(
            Who::Ravelin,
            format!("the live sender was {pulse_from}: the /64 is one attacker"),
        );
    }
    let how = if guesser == GUESSER6 { "IPv6: the whole /64" } else { "IPv4" };
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

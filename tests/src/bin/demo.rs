//! The main job, shown: `cargo xtask demo`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ravelin_tests::lab::{
    BYSTANDER, FORGER, GUESSER, GUESSER6, Lab, Place, SCANNER, SERVER, TTL, VISITOR, Visitor,
};
use ravelin_tests::scenario::{self, DROP_LIMIT, Story, Who};

fn main() -> ExitCode {
    let mut story = Story::begin();
    introduce();
    let told = tell(&mut story);
    if let Err(error) = &told {
        story.claim(format!("the story could not be told to its end: {error:#}"), false);
    }
    story.act("What was to be seen");
    if story.conclude() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who is who.
fn introduce() {
    println!(
        "Ravelin's demo: a server, four attackers, two guests, on an internet of namespaces.\n"
    );
    let cast: [(Place, &str); 7] = [
        (SERVER, "Suricata, OpenSSH, nginx, Postfix, and Ravelin in front of them"),
        (SCANNER, "attacks with nmap -A"),
        (GUESSER, "guesses SSH passwords"),
        (GUESSER6, "does the same over IPv6"),
        (FORGER, "sends packets in the bystander's name"),
        (BYSTANDER, "has nothing to do with any of it"),
        (VISITOR, "reads the web site all the while"),
    ];
    for (Place { name, v4, v6 }, role) in cast {
        println!("  {name:<9}  {:<14} {:<18} {role}", v4.to_string(), v6.to_string());
    }
}

fn tell(story: &mut Story) -> Result<()> {
    story.act("The lab");
    story.tell(
        Who::Lab,
        "makes the hosts; starts rsyslogd, sshd, nginx, Postfix, Suricata, Ravelin",
    );
    let mut lab = Lab::start()?;
    let status = lab.ravelin.status()?;
    story.tell(
        Who::Ravelin,
        format!(
            "{} on {} ({} XDP); bans last {} s here",
            status["state"].as_str().unwrap_or("?"),
            status["interfaces"][0]["name"].as_str().unwrap_or("?"),
            status["interfaces"][0]["mode"].as_str().unwrap_or("?"),
            TTL.as_secs(),
        ),
    );
    let visitor = Visitor::start(lab.host(VISITOR))?;
    story.tell(Who::Guest(VISITOR.name), "begins to read");

    story.act("A port scan");
    scenario::scanner_is_banned(&lab, story)?;
    story.act("Password guesses");
    scenario::guesser_is_banned(&lab, story, GUESSER, SERVER.v4.into())?;
    story.act("A banned attacker hides in VLAN tags");
    scenario::tags_hide_nobody(&lab, story, GUESSER)?;
    story.act("Password guesses over IPv6");
    scenario::guesser_is_banned(&lab, story, GUESSER6, SERVER.v6.into())?;
    story.act("Forged packets");
    scenario::bystander_stays_free(&lab, story)?;
    story.act("The bans");
    show_bans(&lab, story)?;
    story.act("A ban ends");
    scenario::attacker_gets_through_again(&lab, story, SCANNER)?;
    story.act("The daemon is killed");
    let since = scenario::request_is_banned(&lab, story)?;
    scenario::bans_outlive_the_daemon(&mut lab, story, since)?;
    story.act("The mail");
    scenario::admin_is_told(&lab, story)?;

    let visit = visitor.finish()?;
    story.act("The visitor");
    story.tell(
        Who::Guest(VISITOR.name),
        format!("has read {} pages; {} failed", visit.pages, visit.failures.len()),
    );
    for failure in &visit.failures {
        story.tell(Who::Guest(VISITOR.name), failure);
    }
    story.claim(
        format!("the visitor fetched {} pages and never failed once", visit.pages),
        visit.failures.is_empty() && visit.pages > 0,
    );
    let slowest = story.slowest_drop().context("no time from log line to drop was measured")?;
    story.claim(
        format!(
            "from log line to first dropped packet: at most {:.1} ms (limit {} ms)",
            slowest.as_secs_f64() * 1e3,
            DROP_LIMIT.as_millis(),
        ),
        slowest < DROP_LIMIT,
    );
    story.tell(Who::Lab, "is taken down");
    Ok(())
}

/// The table as an admin sees it.
fn show_bans(lab: &Lab, story: &mut Story) -> Result<()> {
    story.tell(Who::Guest("admin"), "types `ravelin list`:");
    story.quote(&lab.ravelin.print(&["list"])?);
    let bans = lab.ravelin.bans()?;
    story.claim(
        format!("`ravelin list` shows {} bans, each with the packets it dropped", bans.len()),
        bans.len() >= 3 && bans.iter().all(|ban| ban.dropped_packets > 0),
    );
    Ok(())
}

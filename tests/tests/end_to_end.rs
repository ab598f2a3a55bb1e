//! The demo's scenarios, each in a lab of its own.

use ravelin_tests::lab::{GUESSER, GUESSER6, Lab, SCANNER, SERVER, VISITOR, Visitor};
use ravelin_tests::scenario::{self, Story};

/// Plays a scenario while a visitor reads the web site, whom nothing may disturb.
fn play(scenario: impl FnOnce(&mut Lab, &mut Story) -> anyhow::Result<()>) {
    let mut story = Story::begin();
    let mut lab = Lab::start().expect("the lab starts");
    let visitor = Visitor::start(lab.host(VISITOR)).expect("the visitor has a host");
    let played = scenario(&mut lab, &mut story);
    let visit = visitor.finish().expect("the visitor comes back");
    drop(lab);
    played.expect("the scenario is played to its end");
    story.assert_all();
    assert_eq!(visit.failures, Vec::<String>::new(), "the visitor was disturbed");
    assert!(visit.pages > 0, "the visitor saw nothing");
}

#[test]
fn nmap_is_banned_on_suricatas_evidence() {
    play(|lab, story| scenario::scanner_is_banned(lab, story));
}

#[test]
fn password_guesses_are_banned_on_sshds_evidence() {
    play(|lab, story| scenario::guesser_is_banned(lab, story, GUESSER, SERVER.v4.into()));
}

#[test]
fn password_guesses_over_ipv6_ban_the_whole_64() {
    play(|lab, story| scenario::guesser_is_banned(lab, story, GUESSER6, SERVER.v6.into()));
}

#[test]
fn forged_packets_ban_nobody() {
    play(|lab, story| scenario::bystander_stays_free(lab, story));
}

#[test]
fn a_ban_holds_for_tagged_packets_is_mailed_and_lapses() {
    play(|lab, story| {
        scenario::request_is_banned(lab, story)?;
        scenario::tags_hide_nobody(lab, story, SCANNER)?;
        scenario::admin_is_told(lab, story)?;
        scenario::attacker_gets_through_again(lab, story, SCANNER)
    });
}

#[test]
fn a_ban_outlives_the_daemon_and_lapses_on_time() {
    play(|lab, story| {
        let since = scenario::request_is_banned(lab, story)?;
        scenario::bans_outlive_the_daemon(lab, story, since)
    });
}

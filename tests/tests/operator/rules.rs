//! Rules of the admin's own in a running daemon: lists that change, and what doesn't come.

use std::fs;

use ravelin_tests::netns::Pair;

use super::{Daemon, now};

/// A daemon with a pack of its own.
fn with_pack(pair: &Pair, pack: impl FnOnce(&Daemon) -> String) -> Daemon {
    let mut daemon = Daemon::configured(&pair.server, "");
    let file = daemon.path("own.yaml");
    fs::write(&file, pack(&daemon)).unwrap();
    daemon.configure(&format!("rules: [{}]\n", file.display()));
    daemon.restart();
    daemon
}

fn has_fired(daemon: &Daemon, rule: &str) -> bool {
    daemon.cli(&["history", "--json"]).done().out.contains(rule)
}

#[test]
fn a_list_is_read_again_when_it_changes_and_missed_where_it_is_gone() {
    let pair = Pair::new();
    let daemon = with_pack(&pair, |daemon| {
        format!(
            "pack: own\nformat: syslog\nprograms: [own]\nlists: {{vips: {}}}\nevents:\n  seen: {{pattern: '^seen \
             (?<user>[a-z]+)$'}}\nrules:\n  - {{id: 100001, level: 7, event: seen, when: {{user: {{in: vips}}}}, \
             description: Seen}}\n  - {{id: 100002, level: 7, event: seen, when: {{user: {{not_in: vips}}}}, \
             description: Not seen}}\n",
            daemon.path("vips").display()
        )
    });
    let vips = daemon.path("vips");
    let seen = |user: &str| daemon.log_line(&format!("{} web1 own[1]: seen {user}", now()));
    let told = || daemon.health().contains(&"list-unreadable".to_owned());
    daemon.wait_until("the list is missed", told);
    let checked = daemon.cli(&["check"]);
    assert!(
        checked.code == 1 && checked.out.contains("own.yaml:4:15: cannot read the list"),
        "{checked:?}"
    );

    // Nobody knows who is in it, so neither rule holds.
    seen("alice");
    fs::write(&vips, "alice\n").unwrap();
    daemon.wait_until("it is read", || !told());
    seen("bob");
    daemon.wait_until("the other is none of them", || has_fired(&daemon, "100002"));
    assert!(!has_fired(&daemon, "100001"), "{}", daemon.log());

    fs::remove_file(&vips).unwrap();
    daemon.wait_until("it is missed again", told);
    seen("alice");
    daemon.wait_until("the last copy is used", || has_fired(&daemon, "100001"));
}

#[test]
fn what_does_not_come_is_found_out_without_another_line() {
    let pair = Pair::new();
    let daemon = with_pack(&pair, |_| {
        "pack: own\nformat: syslog\nprograms: [own]\nevents:\n  begun: {pattern: '^begun (?<job>[a-z]+)$'}\n  \
         done: {pattern: '^done (?<job>[a-z]+)$'}\nrules:\n  - {id: 100001, level: 0, event: begun, description: \
         Begun}\n  - {id: 100002, level: 0, event: done, description: Done}\n  - {id: 100003, level: 8, after: \
         100001, not_followed_by: {rules: [100002], within: 1s, same: [job]}, description: 'Not done'}\n"
            .to_owned()
    });
    // What is done in time isn't missed.
    daemon.log_line(&format!("{} web1 own[1]: begun {}", now(), "home"));
    daemon.log_line(&format!("{} web1 own[1]: done {}", now(), "home"));
    daemon.log_line(&format!("{} web1 own[1]: begun {}", now(), "mail"));
    daemon.wait_until("it is missed", || has_fired(&daemon, "100003"));
    let history = daemon.cli(&["history", "--json"]).done().json();
    let missed = history.as_array().unwrap().iter().filter(|entry| entry["rule"] == 100_003);
    assert_eq!(missed.count(), 1, "{history}");
    assert!(daemon.log().contains("Nothing came: Not done"), "{}", daemon.log());
}

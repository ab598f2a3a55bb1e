//! `ravelin show` and `ravelin history`.

use super::{CLIENT, failed_login, is_cut_off, running};

#[test]
fn an_offenders_story_is_told_with_its_lines() {
    let (pair, mut daemon) = running();
    for pid in 0..8 {
        daemon.log_line(&failed_login(800 + pid, "root"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
    assert!(is_cut_off(&pair));
    let story = daemon.cli(&["show", CLIENT, "--json"]).done().json();
    assert_eq!(story["target"], "198.51.100.7/32");
    let rule = story["ban"]["rule"].as_u64().unwrap();
    assert!(story["ban"]["dropped_packets"].as_u64().unwrap() >= 2, "{story}");
    assert_eq!(story["allowed"], serde_json::Value::Null);
    daemon.wait_until("it is on disk", || {
        daemon.cli(&["show", CLIENT, "--json"]).json()["offences"]["count"] == 1
    });
    let said = daemon.cli(&["show", CLIENT]).done().out;
    assert!(said.starts_with("198.51.100.7/32 is banned until "), "{said}");
    assert!(said.contains(&format!("by rule {rule}")), "{said}");
    assert!(said.contains("sshd[800]: Failed password for root"), "{said}");

    daemon.cli(&["unban", CLIENT]).done();
    daemon.wait_until("that is on disk", || {
        daemon.cli(&["history", "--limit", "1", "--json"]).json()[0]["kind"] == "unban"
    });
    daemon.kill();
    let said = daemon.cli(&["show", CLIENT]).done().out;
    assert!(said.contains("is not banned"), "{said}");
    let history = daemon.cli(&["history", "--json"]).done().json();
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.last(), Some(&"unban"), "newest last");
    assert!(kinds.contains(&"ban") && kinds.contains(&"alert"), "{kinds:?}");
    let newest = daemon.cli(&["history", "--limit", "1", "--json"]).done().json();
    assert_eq!(newest.as_array().unwrap().len(), 1);
    assert_eq!(newest[0]["kind"], "unban");
    let said = daemon.cli(&["history", "--since", "1h"]).done().out;
    assert!(said.contains("198.51.100.7/32"), "{said}");
    let later = daemon.cli(&["history", "--since", "2100-01-01T00:00:00Z"]).done().out;
    assert_eq!(later, "Nothing has happened since.\n");
}

#[test]
fn a_wider_ban_is_named() {
    let (_pair, mut daemon) = running();
    daemon.cli(&["ban", "198.51.100.0/24", "--reason", "a whole net"]).done();
    daemon.wait_until("it is on disk", || {
        daemon.cli(&["history", "--json"]).json().as_array().unwrap().len() == 1
    });
    for alive in [true, false] {
        let story = daemon.cli(&["show", CLIENT, "--json"]).done().json();
        assert_eq!(story["ban"], serde_json::Value::Null);
        assert_eq!(story["wider"]["target"], "198.51.100.0/24", "alive: {alive}");
        assert_eq!(story["wider"]["reason"], "a whole net");
        let unban = daemon.cli(&["unban", CLIENT]);
        assert_eq!(unban.code, 1);
        assert!(unban.err.contains("198.51.100.0/24"), "{unban:?}");
        daemon.kill();
    }
}

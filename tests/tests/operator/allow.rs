//! `ravelin allow`.

use super::{CLIENT, gets_through, is_cut_off, running};

#[test]
fn what_is_allowed_passes_at_once_and_cannot_be_banned() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    let allowed = daemon.cli(&["allow", CLIENT, "--json"]).done().json();
    assert_eq!(allowed["lifted"], serde_json::json!(["198.51.100.7/32"]));
    assert!(gets_through(&pair));
    assert!(daemon.banned().is_empty());

    let refused = daemon.cli(&["ban", CLIENT]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("198.51.100.7/32 is on the allow list (by hand)"), "{refused:?}");
    assert!(refused.err.contains("ravelin allow --remove 198.51.100.7/32"), "{refused:?}");
    // A wider ban passes it.
    daemon.cli(&["ban", "198.51.100.0/24"]).done();
    assert!(gets_through(&pair));
    // Until it is taken off.
    daemon.cli(&["allow", "--remove", CLIENT]).done();
    assert!(is_cut_off(&pair));
    let again = daemon.cli(&["allow", "--remove", CLIENT]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("ravelin allow --list"), "{again:?}");
    let always = daemon.cli(&["allow", "--remove", "127.0.0.0/8"]);
    assert_eq!(always.code, 1);
    assert!(always.err.contains("loopback"), "{always:?}");
}

#[test]
fn it_survives_a_kill_and_ends_in_time() {
    let (pair, mut daemon) = running();
    daemon.cli(&["allow", CLIENT, "--ttl", "1h"]).done();
    daemon.cli(&["allow", "192.0.2.0/24"]).done();
    let by_hand = |daemon: &super::Daemon| {
        let list = daemon.cli(&["allow", "--list", "--json"]).done().json();
        let mut entries: Vec<(String, bool)> = list
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["why"] == "by hand")
            .map(|entry| {
                (entry["target"].as_str().unwrap().to_owned(), entry["expires"].is_string())
            })
            .collect();
        entries.sort();
        entries
    };
    let expected = [("192.0.2.0/24".to_owned(), false), ("198.51.100.7/32".to_owned(), true)];
    assert_eq!(by_hand(&daemon), expected);
    daemon.wait_until("it is on disk", || {
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        reader.allowed().unwrap().len() == 2
    });
    daemon.kill();
    assert_eq!(by_hand(&daemon), expected, "from the database");
    daemon.restart();
    assert_eq!(by_hand(&daemon), expected);
    assert_eq!(daemon.cli(&["ban", CLIENT]).code, 1);
    assert!(gets_through(&pair));

    daemon.cli(&["allow", CLIENT, "--ttl", "1s"]).done();
    daemon.wait_until("it is over", || daemon.cli(&["ban", CLIENT]).code == 0);
    assert!(is_cut_off(&pair));
    let wide = daemon.cli(&["allow", "0.0.0.0/0"]);
    assert_eq!(wide.code, 1);
    assert!(wide.err.contains("--force"), "{wide:?}");
}

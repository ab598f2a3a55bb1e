//! What changes around the daemon while it runs.

use super::{CLIENT, Daemon, gets_through, is_cut_off, running};

#[test]
fn an_interface_that_was_made_anew_is_protected_again() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    pair.server.ip(&["link", "del", "s0"]);
    daemon.wait_until("its loss is seen", || {
        daemon.health().contains(&"interface-unprotected".to_owned())
    });
    assert_eq!(daemon.status()["state"], "degraded");
    assert_eq!(daemon.cli(&["status"]).code, 1);

    pair.server.connect("s0", &pair.client, "c0");
    pair.wire("s0", "c0");
    pair.client_address(CLIENT.parse().unwrap());
    daemon.wait_until("it is protected again", || daemon.health().is_empty());
    assert!(is_cut_off(&pair));
    daemon.cli(&["unban", CLIENT]).done();
    assert!(gets_through(&pair));
    assert_eq!(daemon.status()["state"], "enforcing");
}

#[test]
fn a_renamed_interface_is_missed_and_its_name_is_what_is_protected() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    let rename = |from: &str, to: &str| {
        pair.server.ip(&["link", "set", from, "down"]);
        pair.server.ip(&["link", "set", from, "name", to]);
        pair.server.ip(&["link", "set", to, "up"]);
    };
    // What went with the way down.
    let rewire = |name: &str| {
        pair.server.ip(&["route", "replace", "198.51.100.0/24", "dev", name]);
        assert!(pair.server.ip(&["-4", "addr", "show", "dev", name]).contains("203.0.113.1/24"));
    };
    let missed = || {
        let health = daemon.status()["health"].clone();
        health.as_array().unwrap().iter().any(|item| {
            item["code"] == "interface-unprotected"
                && item["remedy"].as_str().unwrap().contains("`s0` does not exist")
        })
    };
    rename("s0", "was0");
    daemon.wait_until("its loss is seen", missed);
    assert_eq!(daemon.status()["state"], "degraded");
    // Its link is on it still: nothing is let in before another bears the name.
    rewire("was0");
    assert!(is_cut_off(&pair));

    rename("was0", "s0");
    rewire("s0");
    daemon.wait_until("it is protected again", || daemon.health().is_empty());
    assert!(is_cut_off(&pair));

    // Another takes the name, and is what is protected.
    rename("s0", "was0");
    daemon.wait_until("its loss is seen again", missed);
    let second = ravelin_tests::netns::Netns::new("c2");
    pair.server.connect("s0", &second, "c1");
    pair.server.ip(&["addr", "add", "192.0.2.1/24", "dev", "s0"]);
    second.ip(&["addr", "add", "192.0.2.7/24", "dev", "c1"]);
    daemon.wait_until("the other is protected", || daemon.health().is_empty());
    daemon.cli(&["ban", "192.0.2.7"]).done();
    assert!(second.is_cut_off("192.0.2.7", "192.0.2.1", 2));
    rewire("was0");
    assert!(gets_through(&pair));
    assert_eq!(daemon.status()["interfaces"].as_array().unwrap().len(), 1);
}

#[test]
fn new_addresses_and_gateways_are_allowed_and_old_ones_no_longer() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", "203.0.113.9"]).done();
    daemon.cli(&["ban", "203.0.113.254"]).done();
    pair.server.ip(&["addr", "add", "203.0.113.9/24", "dev", "s0"]);
    pair.server.ip(&["route", "add", "default", "via", "203.0.113.254"]);
    daemon.wait_until("their bans are lifted", || daemon.banned().is_empty());
    let refused = daemon.cli(&["ban", "203.0.113.254"]);
    assert!(refused.err.contains("this host's gateway"), "{refused:?}");
    pair.server.ip(&["route", "del", "default"]);
    daemon.wait_until("the former gateway can be banned", || {
        daemon.cli(&["ban", "203.0.113.254"]).code == 0
    });
}

#[test]
fn without_configured_interfaces_a_new_default_route_is_followed() {
    let pair = ravelin_tests::netns::Pair::new();
    pair.server.ip(&["route", "add", "default", "via", "203.0.113.254"]);
    let daemon = Daemon::start(&pair.server, "interfaces: []\n");
    let second = ravelin_tests::netns::Netns::new("c2");
    pair.server.connect("s1", &second, "c1");
    pair.server.ip(&["addr", "add", "192.0.2.1/24", "dev", "s1"]);
    pair.server.ip(&["route", "replace", "default", "via", "192.0.2.254"]);
    daemon.wait_until("the second interface is protected", || {
        daemon.status()["interfaces"].as_array().unwrap().len() == 2
    });
}

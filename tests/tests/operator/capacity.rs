//! More bans than there is room for.

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, failed_login, gets_through, is_cut_off};

#[test]
fn a_full_map_is_told_and_mailed_and_is_over_when_there_is_room() {
    let pair = Pair::new();
    // Nobody listens there: what is mailed waits.
    let daemon = Daemon::start(
        &pair.server,
        "ban: {max: 3, ttl: 10m}\nmail: {to: [root@server.example], relay: 'smtp://127.0.0.1:1'}\n",
    );
    for host in 1..=3 {
        daemon.cli(&["ban", &format!("192.0.2.{host}")]).done();
    }
    assert_eq!(daemon.status()["state"], "enforcing");
    let queued = |daemon: &Daemon| daemon.status()["mail"]["queued"].as_u64().unwrap();

    let refused = daemon.cli(&["ban", "192.0.2.4"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("`ravelin status` says why"), "{refused:?}");
    let status = daemon.status();
    assert_eq!(status["state"], "degraded");
    let full = &status["health"][0];
    assert_eq!(full["code"], "map-full");
    let remedy = full["remedy"].as_str().unwrap();
    assert!(remedy.contains("full with 3 entries") && remedy.contains("`ban.max`"), "{remedy}");
    daemon.wait_until("it is mailed", || queued(&daemon) > 0);

    // What rules decide has no more room, and the other family has its own.
    for pid in 0..20 {
        daemon.log_line(&failed_login(pid, "root"));
    }
    daemon.wait_until("the rules' ban is turned away", || {
        let status = daemon.status();
        let remedy = status["health"][0]["remedy"].as_str().unwrap_or_default().to_owned();
        !remedy.starts_with("1 bans")
    });
    assert!(gets_through(&pair));
    daemon.cli(&["ban", "2001:db8:51::/64"]).done();
    daemon.cli(&["ban", "198.18.0.0/16"]).done();
    assert_eq!(daemon.banned().len(), 5);

    daemon.cli(&["unban", "192.0.2.1"]).done();
    assert!(!daemon.health().contains(&"map-full".to_owned()));
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

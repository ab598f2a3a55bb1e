//! `ravelin run --confirm-within` and `ravelin confirm`.

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, gets_through, is_cut_off};

/// A pair of hosts, and a daemon whose start has to be confirmed; the client is banned.
fn waiting(within: &str) -> (Pair, Daemon) {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    daemon.run_with(&["--confirm-within", within]);
    daemon.restart();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    (pair, daemon)
}

fn attached(pair: &Pair) -> bool {
    pair.server.enter(|| ravelin::host::link("s0")).unwrap().unwrap().xdp.is_some()
}

#[test]
fn nobody_confirms_and_it_detaches_by_itself() {
    let (pair, mut daemon) = waiting("10s");
    assert_eq!(daemon.health(), ["confirm-pending"]);
    assert_eq!(daemon.cli(&["status"]).code, 0, "it is protected until then");
    daemon.wait_until("the deadline", || gets_through(&pair));
    daemon.wait_until("the program is off", || !attached(&pair));
    daemon.wait_until("it is said", || daemon.health() == ["unconfirmed"]);
    let status = daemon.cli(&["status", "--json"]);
    assert_eq!((status.code, &status.json()["state"]), (1, &"off".into()));
    let late = daemon.cli(&["confirm"]);
    assert!(late.code == 1 && late.err.contains("ravelin panic --end"), "{late:?}");

    // Neither a start with the flag nor one without brings it back: that is for a person.
    for args in [&["--confirm-within", "10m"][..], &[]] {
        daemon.run_with(args);
        daemon.restart();
        assert_eq!(daemon.health(), ["unconfirmed"]);
        assert!(!attached(&pair) && gets_through(&pair));
        daemon.cli(&["reload"]).done();
        assert!(!attached(&pair), "nor does a reload");
    }
    daemon.cli(&["panic", "--end", "--confirm-within", "10m"]).done();
    assert!(attached(&pair) && is_cut_off(&pair));
    assert_eq!(daemon.health(), ["confirm-pending"]);
    daemon.cli(&["confirm"]).done();
    assert!(daemon.health().is_empty());
}

#[test]
fn the_deadline_holds_though_the_daemon_dies_and_comes_back() {
    let (pair, mut daemon) = waiting("10s");
    daemon.kill();
    // A supervisor starts it anew: no new time begins with that.
    daemon.run_with(&["--confirm-within", "10m"]);
    daemon.restart();
    assert_eq!(daemon.health(), ["confirm-pending"]);
    assert!(is_cut_off(&pair));
    daemon.kill();
    assert!(is_cut_off(&pair));
    daemon.wait_until("the kernel keeps the deadline alone", || gets_through(&pair));
    assert!(attached(&pair), "nobody lives to take it off");
    daemon.restart();
    assert_eq!(daemon.health(), ["unconfirmed"]);
    assert!(!attached(&pair) && gets_through(&pair));
    daemon.kill();
    let ended = daemon.cli(&["panic", "--end"]).done();
    assert!(ended.out.contains("ravelin run"), "{ended:?}");
    daemon.run_with(&[]);
    daemon.restart();
    assert!(is_cut_off(&pair) && daemon.health().is_empty());
}

#[test]
fn what_is_confirmed_stays_also_where_the_daemon_has_died() {
    let (pair, mut daemon) = waiting("10s");
    let confirmed = daemon.cli(&["confirm", "--json"]).done().json();
    assert_eq!(confirmed["confirmed"], true);
    assert!(daemon.health().is_empty());
    let again = daemon.cli(&["confirm"]);
    assert!(again.code == 1 && again.err.contains("nothing waits"), "{again:?}");

    // Once more, and the daemon is gone.
    daemon.restart();
    let begun = std::time::Instant::now();
    assert_eq!(daemon.health(), ["confirm-pending"]);
    daemon.kill();
    daemon.cli(&["confirm"]).done();
    assert_eq!(daemon.cli(&["confirm"]).code, 1);
    daemon.wait_until("the deadline is over", || begun.elapsed().as_secs() > 11);
    assert!(is_cut_off(&pair));
    daemon.run_with(&[]);
    daemon.restart();
    assert!(is_cut_off(&pair) && daemon.health().is_empty());
}

#[test]
fn what_cannot_be_confirmed_is_said() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "mode: observe\n");
    let nothing = daemon.cli(&["confirm"]);
    assert!(nothing.code == 1 && nothing.err.contains("--confirm-within"), "{nothing:?}");
    daemon.run_with(&["--confirm-within", "10m"]);
    daemon.restart();
    assert!(daemon.log().contains("nothing waits to be confirmed"), "{}", daemon.log());
    let nothing = daemon.cli(&["confirm"]);
    assert!(nothing.code == 1 && nothing.err.contains("mode is observe"), "{nothing:?}");
    for wrong in
        [&["run", "--confirm-within", "2s"][..], &["run", "--dry-run", "--confirm-within", "1m"]]
    {
        assert_eq!(super::daemon::program().args(wrong).output().unwrap().status.code(), Some(2));
    }
}

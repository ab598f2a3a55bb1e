//! `ravelin panic`.

use super::{CLIENT, gets_through, is_cut_off, running};

#[test]
fn everything_passes_until_a_person_ends_it() {
    let (pair, mut daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));
    let said = daemon.cli(&["panic"]).done();
    assert!(said.out.contains("ravelin panic --end"), "{said:?}");
    assert!(gets_through(&pair));
    let status = daemon.cli(&["status", "--json"]);
    assert_eq!(status.code, 1);
    assert_eq!(status.json()["state"], "off");
    assert_eq!(daemon.health(), ["off"]);
    // What the daemon does meanwhile doesn't switch it on.
    let banned = daemon.cli(&["ban", "198.51.100.0/24"]).done();
    assert!(banned.out.contains("ravelin panic --end"), "{banned:?}");
    assert!(gets_through(&pair));
    daemon.restart();
    assert_eq!(daemon.status()["state"], "off");
    assert!(gets_through(&pair));

    daemon.cli(&["panic", "--end"]).done();
    assert!(is_cut_off(&pair));
    assert_eq!(daemon.status()["state"], "enforcing");
}

#[test]
fn it_works_without_the_daemon_and_without_readable_maps() {
    let (pair, mut daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    daemon.kill();
    assert!(is_cut_off(&pair));
    daemon.cli(&["panic"]).done();
    assert!(gets_through(&pair));
    daemon.restart();
    assert_eq!(daemon.status()["state"], "off");
    daemon.kill();
    let ended = daemon.cli(&["panic", "--end", "--json"]).done().json();
    assert_eq!(ended["off"], false);
    assert!(is_cut_off(&pair));

    // Maps of a layout that we don't know: the program goes.
    let bpf = daemon.bpf().to_owned();
    std::fs::create_dir(bpf.join("v99")).unwrap();
    std::fs::remove_file(bpf.join(format!("v{}/SETTINGS", ravelin_common::LAYOUT_VERSION)))
        .unwrap();
    let said = daemon.cli(&["panic", "--json"]).done().json();
    assert_eq!(said["detached"], serde_json::json!(["s0"]));
    assert!(gets_through(&pair));
}

#[test]
fn nothing_to_do_is_said() {
    let pair = ravelin_tests::netns::Pair::new();
    let daemon = super::Daemon::configured(&pair.server, "");
    let said = daemon.cli(&["panic"]).done();
    assert!(said.out.contains("no program is loaded"), "{said:?}");
    let observing = super::Daemon::start(&pair.server, "mode: observe\n");
    observing.cli(&["panic"]).done();
    assert_eq!(observing.status()["state"], "observing");
    let ended = observing.cli(&["panic", "--end"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("mode is observe"), "{ended:?}");
}

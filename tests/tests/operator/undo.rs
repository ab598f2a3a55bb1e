//! What keeps people from being locked out, and lets them back in: presets and files of allowed addresses, packs
//! that only observe, dry runs, and the commands that need no daemon.

use std::fs;
use std::net::Ipv4Addr;

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, SERVER, failed_login, gets_through, is_cut_off, now, running};

/// An address of Cloudflare's, in the namespace only.
const EDGE: Ipv4Addr = Ipv4Addr::new(104, 16, 0, 7);

fn edge_gets_through(pair: &Pair) -> bool {
    pair.client.pings(&EDGE.to_string(), SERVER, 1)
}

#[test]
fn a_preset_is_allowed_by_the_configuration_and_by_hand() {
    let (pair, daemon) = running();
    pair.client_address(EDGE);
    pair.server.ip(&["route", "add", "104.16.0.0/13", "dev", "s0"]);
    let edge = EDGE.to_string();
    daemon.cli(&["ban", &edge]).done();
    assert!(pair.client.is_cut_off(&edge, SERVER, 2));

    let listed = daemon.cli(&["allow", "--presets"]).done();
    assert!(listed.out.contains("preset:cloudflare") && listed.out.contains("202"), "{listed:?}");
    daemon.configure("allow: ['preset:cloudflare']\n");
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains("allow: [preset:cloudflare] (was [])"), "{said}");
    assert!(said.contains("the ban of 104.16.0.7/32 was lifted"), "{said}");
    assert!(edge_gets_through(&pair));
    let refused = daemon.cli(&["ban", &edge]);
    assert!(
        refused.code == 1 && refused.err.contains("take preset:cloudflare out of `allow`"),
        "{refused:?}"
    );
    daemon.configure("");
    daemon.cli(&["reload"]).done();
    daemon.cli(&["ban", &edge]).done();
    assert!(pair.client.is_cut_off(&edge, SERVER, 2));

    let allowed = daemon.cli(&["allow", "preset:cloudflare", "--json"]).done().json();
    assert_eq!(allowed["lifted"], serde_json::json!(["104.16.0.7/32"]));
    assert!(edge_gets_through(&pair));
    daemon.cli(&["allow", "--remove", "preset:cloudflare"]).done();
    daemon.cli(&["ban", &edge]).done();

    let wrong = daemon.cli(&["allow", "preset:cloudflair"]);
    assert!(wrong.code == 2 && wrong.err.contains("preset:cloudflare"), "{wrong:?}");
    daemon.configure("allow: ['preset:cloudflair']\n");
    let wrong = daemon.cli(&["reload"]);
    assert!(wrong.code == 1 && wrong.err.contains("perhaps `preset:cloudflare`"), "{wrong:?}");
}

#[test]
fn an_allow_file_is_read_again_when_it_changes_and_a_broken_one_is_said() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let friends = daemon.path("friends");
    fs::write(&friends, "# who may\n192.0.2.0/24\n").unwrap();
    daemon.configure(&format!("allow: ['file:{}']\n", friends.display()));
    daemon.restart();
    daemon.cli(&["ban", CLIENT]).done();
    assert!(is_cut_off(&pair));

    fs::write(&friends, format!("192.0.2.0/24\n{CLIENT} # a colleague\n")).unwrap();
    daemon.wait_until("it is read", || gets_through(&pair));
    assert!(daemon.banned().is_empty(), "the ban is lifted");
    let refused = daemon.cli(&["ban", CLIENT]);
    assert!(refused.code == 1 && refused.err.contains("a file in `allow`"), "{refused:?}");
    let listed = daemon.cli(&["allow", "--list"]).done().out;
    assert!(listed.contains("198.51.100.7/32") && listed.contains("a file in `allow`"), "{listed}");

    // Broken, it allows whom it allowed, and says where and what.
    fs::write(&friends, "192.0.2.0/24\nhost.example\n").unwrap();
    daemon.wait_until("it is said", || daemon.health() == ["allow-file"]);
    let status = daemon.status();
    let remedy = status["health"][0]["remedy"].as_str().unwrap();
    for part in
        ["friends:2:", "expected an address or prefix", "got `host.example`", "mend the line"]
    {
        assert!(remedy.contains(part), "{part}: {remedy}");
    }
    assert_eq!(daemon.cli(&["ban", CLIENT]).code, 1, "as before");
    let refused = daemon.cli(&["reload"]);
    assert!(
        refused.code == 1
            && refused.err.contains("friends:2:")
            && refused.err.contains("nothing was changed"),
        "{refused:?}"
    );
    let checked = daemon.cli(&["check"]);
    assert!(checked.code == 1 && checked.out.contains("friends:2:"), "{checked:?}");

    // A start has its good lines.
    daemon.restart();
    assert!(daemon.health().contains(&"allow-file".to_owned()));
    assert_eq!(daemon.cli(&["ban", "192.0.2.9"]).code, 1);
    daemon.cli(&["ban", CLIENT]).done();
    fs::write(&friends, format!("{CLIENT}\n")).unwrap();
    daemon.wait_until("it is mended", || gets_through(&pair) && daemon.health().is_empty());
    fs::write(&friends, "\n").unwrap();
    daemon.wait_until("nobody is allowed by it", || daemon.cli(&["ban", CLIENT]).code == 0);
    assert!(is_cut_off(&pair));
}

#[test]
fn a_pack_in_mode_observe_shows_what_would_have_been() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    let pack = daemon.path("own.yaml");
    let written = |mode: &str| {
        format!(
            "pack: own\nformat: syslog\nprograms: [own]\nmode: {mode}\nevents:\n  seen: {{pattern: '^seen \
             (?<src>{{ip}})$', proven: true}}\nrules:\n  - {{id: 100001, level: 12, event: seen, description: Seen}}\n"
        )
    };
    fs::write(&pack, written("observe")).unwrap();
    daemon.configure(&format!("rules: [{}]\n", pack.display()));
    daemon.restart();
    let withheld = |daemon: &Daemon| {
        let history = daemon.cli(&["history", "--json"]).done().json();
        let entries = history.as_array().unwrap();
        entries.iter().filter(|entry| entry["withheld"] == "observe").count()
    };
    daemon.log_line(&format!("{} web1 own[1]: seen {CLIENT}", now()));
    daemon.wait_until("it is told", || withheld(&daemon) == 1);
    assert!(daemon.banned().is_empty() && gets_through(&pair));
    // Others enforce meanwhile.
    for pid in 0..8 {
        daemon.log_line(&failed_login(900 + pid, "root"));
    }
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
    assert!(is_cut_off(&pair));
    daemon.cli(&["unban", CLIENT]).done();
    assert!(gets_through(&pair));

    fs::write(&pack, written("enforce")).unwrap();
    assert!(daemon.cli(&["reload"]).done().out.contains("rules changed: 100001"));
    daemon.log_line(&format!("{} web1 own[1]: seen {CLIENT}", now()));
    daemon.wait_until("it bans", || daemon.banned() == ["198.51.100.7/32"]);
    assert!(is_cut_off(&pair));
}

#[test]
fn a_dry_run_decides_and_touches_nothing() {
    let pair = Pair::new();
    let mut daemon = Daemon::configured(&pair.server, "");
    daemon.run_with(&["--dry-run"]);
    daemon.restart();
    assert_eq!(daemon.status()["state"], "observing");
    for pid in 0..8 {
        daemon.log_line(&failed_login(900 + pid, "root"));
    }
    daemon.wait_until("it is told", || {
        daemon.cli(&["history", "--json"]).done().out.contains("\"observe\"")
    });
    assert!(gets_through(&pair) && !daemon.bpf().exists());
    assert!(pair.server.enter(|| ravelin::host::link("s0")).unwrap().unwrap().xdp.is_none());
    let refused = daemon.cli(&["ban", CLIENT]);
    assert!(refused.code == 1 && refused.err.contains("--dry-run"), "{refused:?}");
}

#[test]
fn list_and_unban_work_without_the_daemon() {
    let (pair, mut daemon) = running();
    daemon.cli(&["ban", CLIENT, "--reason", "a test"]).done();
    daemon.cli(&["ban", "192.0.2.0/25"]).done();
    daemon.wait_until("it is on disk", || {
        let mut bans = 0;
        let reader = ravelin::store::Reader::open(&daemon.path("state")).unwrap();
        reader.bans(|_| bans += 1).unwrap();
        bans == 2
    });
    assert!(is_cut_off(&pair));
    daemon.kill();
    let list = daemon.cli(&["list", "--json"]).done().json();
    assert_eq!(list[0]["target"], "198.51.100.7/32");
    assert_eq!(list[0]["reason"], "a test");
    assert!(list[0]["dropped_packets"].as_u64().unwrap() > 0, "{list}");
    let wider = daemon.cli(&["unban", "192.0.2.9"]);
    assert!(wider.code == 1 && wider.err.contains("192.0.2.0/25"), "{wider:?}");
    daemon.cli(&["unban", CLIENT]).done();
    assert!(gets_through(&pair));
    assert_eq!(daemon.banned(), ["192.0.2.0/25"]);
    daemon.cli(&["unban", "--all"]).done();
    assert!(daemon.banned().is_empty());
    // The next start doesn't bring them back.
    daemon.restart();
    assert!(daemon.banned().is_empty() && gets_through(&pair));
}

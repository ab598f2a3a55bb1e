//! `ravelin reload` and SIGHUP.

use std::fs;

use super::{CLIENT, gets_through, is_cut_off, running};

#[test]
fn a_changed_configuration_is_taken_over_without_losing_state() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    daemon.cli(&["ban", "192.0.2.9"]).done();
    assert!(is_cut_off(&pair));
    assert!(daemon.cli(&["reload"]).done().out.contains("nothing had changed"));

    daemon.configure("allow: [198.51.100.0/24]\nban: {ttl: 7m, max: 1000}\n");
    let said = daemon.cli(&["reload"]).done().out;
    for change in [
        "allow: [198.51.100.0/24] (was [])",
        "the ban of 198.51.100.7/32 was lifted",
        "ban.ttl: 7m (was 5m)",
        "ban.max is as before: another one takes a restart",
    ] {
        assert!(said.contains(change), "{change}: {said}");
    }
    assert!(gets_through(&pair));
    assert_eq!(daemon.banned(), ["192.0.2.9/32"]);

    daemon.configure("");
    daemon.signal("-HUP");
    daemon.wait_until("the signal is heard", || daemon.cli(&["ban", CLIENT]).code == 0);
    assert!(is_cut_off(&pair));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let (pair, daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    let good = fs::read_to_string(daemon.config()).unwrap();
    fs::write(daemon.config(), good.replace("interfaces", "interfazes")).unwrap();
    daemon.signal("-HUP");
    daemon.wait_until("it is refused", || {
        // The command line can't read the file either, so it asks with the good one.
        daemon.log().contains("reload-refused")
    });
    assert!(daemon.log().contains("interfazes"), "{}", daemon.log());
    assert!(is_cut_off(&pair));
    let refused = daemon.cli(&["reload"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("nothing was changed") && refused.err.contains("interfazes"),
        "{refused:?}"
    );
    // Nobody has to mend it to act.
    let listed = daemon.cli(&["list"]).done();
    assert!(listed.out.contains(CLIENT) && listed.err.contains("last good copy"), "{listed:?}");
    daemon.cli(&["panic"]).done();
    assert!(gets_through(&pair));
    daemon.cli(&["panic", "--end"]).done();

    // A pack that isn't one.
    let pack = daemon.path("own.yaml");
    fs::write(&pack, "pack: own\nnonsense: 1\n").unwrap();
    fs::write(daemon.config(), format!("{good}rules: [{}]\n", pack.display())).unwrap();
    let refused = daemon.cli(&["reload"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("own.yaml") && refused.err.contains("nothing was changed"),
        "{refused:?}"
    );
    assert!(daemon.health().contains(&"reload-refused".to_owned()));

    fs::write(
        &pack,
        "pack: own\nformat: syslog\nprograms: [own]\nevents:\n  seen: {pattern: '^seen$'}\nrules:\n  - {id: 100001, level: 7, event: seen, description: Seen}\n",
    )
    .unwrap();
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains("rules added: 100001"), "{said}");
    assert!(daemon.health().is_empty());
    daemon.log_line(&format!("{} web1 own[1]: seen", super::now()));
    daemon.wait_until("the new rule fires", || {
        daemon.cli(&["history", "--json"]).done().out.contains("100001")
    });
}

#[test]
fn sources_and_interfaces_come_and_go() {
    let (pair, daemon) = running();
    let log = |name: &str| daemon.path(name).display().to_string();
    fs::write(daemon.path("other.log"), "").unwrap();
    pair.server.ip(&["link", "add", "d0", "type", "bridge"]);
    daemon.configure(&format!(
        "interfaces: [s0, d0]\nsources: [{{format: syslog, file: {}}}]\n",
        log("other.log")
    ));
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains(&format!("source syslog {} stopped", log("auth.log"))), "{said}");
    assert!(said.contains(&format!("source syslog {} started", log("other.log"))), "{said}");
    assert!(said.contains("interface d0 attached (generic)"), "{said}");
    let status = daemon.status();
    let names = |key: &str| -> Vec<String> {
        let rows = status[key].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("sources"), [log("other.log")]);
    let mut interfaces = names("interfaces");
    interfaces.sort();
    assert_eq!(interfaces, ["d0", "s0"]);

    // What was written to the first one meanwhile isn't lost.
    for pid in 0..8 {
        daemon.log_line(&super::failed_login(900 + pid, "root"));
    }
    daemon.configure("");
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains("interface d0 let go"), "{said}");
    daemon.wait_until("the guesser is banned", || daemon.banned() == ["198.51.100.7/32"]);
}

#[test]
fn what_was_counted_before_it_counts_after_it() {
    let (pair, daemon) = running();
    for pid in 0..4 {
        daemon.log_line(&super::failed_login(900 + pid, "root"));
    }
    daemon.wait_until("they are read", || daemon.status()["sources"][0]["lines"] == 4);
    // Packs and numbers change meanwhile.
    let pack = daemon.path("own.yaml");
    fs::write(
        &pack,
        "pack: own\nformat: syslog\nprograms: [own]\nevents:\n  seen: {pattern: '^seen$'}\nrules:\n  - {id: 100001, level: 7, event: seen, description: Seen}\n",
    )
    .unwrap();
    daemon.configure(&format!("rules: [{}]\nban: {{ttl: 7m, score: 1000}}\n", pack.display()));
    let said = daemon.cli(&["reload"]).done().out;
    assert!(said.contains("rules added: 100001") && said.contains("ban.score"), "{said}");
    assert!(daemon.banned().is_empty());
    for pid in 4..8 {
        daemon.log_line(&super::failed_login(900 + pid, "root"));
    }
    daemon.wait_until("the eighth bans", || daemon.banned() == ["198.51.100.7/32"]);
    assert!(is_cut_off(&pair));
    let list = daemon.cli(&["list", "--json"]).done().json();
    assert_eq!((&list[0]["rule"], &list[0]["offences"]), (&5720.into(), &1.into()));
}

#[test]
fn a_start_with_a_broken_file_has_the_last_good_copy_and_says_so() {
    let (pair, mut daemon) = running();
    daemon.cli(&["ban", CLIENT]).done();
    let good = fs::read_to_string(daemon.config()).unwrap();
    fs::write(daemon.config(), good.replace("interfaces", "interfazes")).unwrap();
    daemon.restart();
    assert!(is_cut_off(&pair));
    assert_eq!(daemon.health(), ["configuration-invalid"]);
    let status = daemon.cli(&["status"]);
    assert_eq!(status.code, 1, "loudly");
    for part in ["degraded", "interfazes", "the last good configuration is in use"] {
        assert!(status.out.contains(part), "{part}: {status:?}");
    }
    assert!(daemon.log().contains("configuration-invalid"));
    for pid in 0..8 {
        daemon.log_line(&super::failed_login(900 + pid, "root").replace(CLIENT, "192.0.2.9"));
    }
    daemon.wait_until("it bans as before", || daemon.banned().len() == 2);

    fs::write(daemon.config(), good).unwrap();
    daemon.cli(&["reload"]).done();
    assert!(daemon.health().is_empty() && is_cut_off(&pair));
}

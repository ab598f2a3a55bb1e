//! `ravelin ban --ports`, from the command line to the packets, and over a restart.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ravelin_tests::netns::Pair;
use serde_json::json;

use super::{CLIENT, SERVER, is_cut_off, running};

fn connects(pair: &Pair, port: u16, patience: Duration) -> bool {
    let address = SocketAddr::new(SERVER.parse().unwrap(), port);
    pair.client.enter(|| TcpStream::connect_timeout(&address, patience)).is_ok()
}

#[test]
fn a_ban_of_ports_is_enforced_shown_and_kept() {
    let (pair, mut daemon) = running();
    let server: IpAddr = SERVER.parse().unwrap();
    let _listening =
        pair.server.enter(|| [25, 80].map(|port| TcpListener::bind((server, port)).unwrap()));
    let said = daemon.cli(&["ban", CLIENT, "--ports", "465,25,8000-8010", "--ttl", "1h"]).done();
    assert!(said.out.contains("is banned from ports 25,465,8000-8010 until "), "{said:?}");
    assert!(!connects(&pair, 25, Duration::from_millis(200)));
    assert!(connects(&pair, 80, Duration::from_secs(30)));
    assert!(!is_cut_off(&pair));

    let shown = json!([25, 465, "8000-8010"]);
    let list = daemon.cli(&["list", "--json"]).done().json();
    assert_eq!((&list[0]["ports"], &list[0]["every_port_until"]), (&shown, &json!(null)), "{list}");
    assert!(list[0]["dropped_packets"].as_u64().unwrap() >= 1, "{list}");
    assert!(daemon.cli(&["list"]).done().out.contains("25,465,8000-8010"));
    let said = daemon.cli(&["show", CLIENT]).done().out;
    assert!(said.contains("is banned from ports 25,465,8000-8010 until "), "{said}");
    assert!(
        daemon.log().contains("origin=hand ports=25,465,8000-8010 reason="),
        "{}",
        daemon.log()
    );
    daemon.wait_until("it is on disk", || {
        daemon.cli(&["history", "--json"]).done().json()[0]["ports"] == shown
    });

    // Another service's: added. Then every port for less long: the ports are left when that is over.
    daemon.cli(&["ban", CLIENT, "--ports", "80", "--ttl", "10m"]).done();
    assert!(!connects(&pair, 80, Duration::from_millis(200)));
    assert!(!is_cut_off(&pair));
    daemon.cli(&["ban", CLIENT, "--ttl", "5m"]).done();
    assert!(is_cut_off(&pair));
    let both = json!([25, 80, 465, "8000-8010"]);
    let look = |daemon: &super::daemon::Daemon| {
        let list = daemon.cli(&["list", "--json"]).done().json();
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_eq!(list[0]["ports"], both, "{list}");
        assert!(list[0]["every_port_until"].as_str() < list[0]["expires"].as_str(), "{list}");
    };
    look(&daemon);
    daemon.wait_until("it is on disk", || {
        daemon.cli(&["history", "--json"]).done().json().as_array().unwrap().len() == 3
    });

    // Adopted from the kernel, read without a daemon, restored from the database.
    daemon.kill();
    look(&daemon);
    daemon.restart();
    look(&daemon);
    daemon.kill();
    std::fs::remove_dir_all(daemon.bpf()).unwrap();
    daemon.restart();
    look(&daemon);
    assert!(is_cut_off(&pair));

    daemon.cli(&["unban", CLIENT]).done();
    assert!(connects(&pair, 25, Duration::from_secs(30)));
    assert_eq!(daemon.banned(), Vec::<String>::new());
    daemon.restart();
    assert_eq!(daemon.banned(), Vec::<String>::new());

    let said = daemon.cli(&["ban", CLIENT, "--ports", "25,smtp"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("got `smtp`"), "{said:?}");
}

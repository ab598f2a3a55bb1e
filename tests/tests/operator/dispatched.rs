//! `xdp_mode: maps-only`: xdp-loader attaches the program, the daemon feeds it.

use std::path::{Path, PathBuf};

use ravelin_tests::netns::Pair;

use super::{CLIENT, Daemon, gets_through, is_cut_off};

const LOADER: &str = "/usr/sbin/xdp-loader";

#[test]
fn what_xdp_loader_attached_is_fed_and_its_loss_is_told() {
    if !Path::new(LOADER).exists() {
        eprintln!("SKIPPED: no xdp-loader here (Debian's xdp-tools)");
        return;
    }
    let pair = Pair::new();
    let daemon = Daemon::start(&pair.server, "xdp_mode: maps-only\n");
    let loader = |args: &[&str]| {
        // A lock file of the whole machine lets one of them in.
        daemon.wait_until("xdp-loader has its turn", || {
            let output = pair.server.command(LOADER).args(args).output().unwrap();
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let waits = said.contains("lockfile");
            assert!(waits || output.status.success(), "{args:?}: {said}");
            !waits
        });
    };
    let status = daemon.status();
    assert_eq!(status["state"], "degraded");
    assert_eq!(status["health"][0]["code"], "interface-unprotected");
    // A ban is taken all the same, and holds as soon as the program is there.
    daemon.cli(&["ban", CLIENT]).done();
    assert!(gets_through(&pair));

    let object: PathBuf = daemon.path("ravelin.bpf.o");
    daemon.cli(&["object", object.to_str().unwrap()]).done();
    let maps = daemon.bpf().join("v2");
    let load = ["load", "-n", "ravelin", "-p", maps.to_str().unwrap(), "s0"];
    loader(&[&load[..], &[object.to_str().unwrap()]].concat());
    assert!(is_cut_off(&pair));
    daemon.wait_until("it is fed", || daemon.health().is_empty());
    let status = daemon.status();
    assert_eq!(status["state"], "enforcing");
    assert_eq!(status["interfaces"][0]["mode"], "maps-only");

    loader(&["unload", "s0", "--all"]);
    daemon.wait_until("its loss is told", || daemon.status()["state"] == "degraded");
    let status = daemon.status();
    assert_eq!(status["health"][0]["code"], "interface-unprotected");
    let remedy = status["health"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("xdp-loader load -n ravelin -p "), "{remedy}");
    assert_eq!(status["interfaces"], serde_json::json!([]));
    assert!(gets_through(&pair));
}

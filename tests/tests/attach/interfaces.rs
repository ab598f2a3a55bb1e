//! Interfaces: native, generic, several, odd, coming back.

use ravelin::blocklist::{AttachError, Blocklist, Expiry, Mode};
use ravelin::config::XdpMode;
use ravelin::host::{self, XdpAttachment};
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Netns, Pair};

use super::{CLIENT, SERVER, entry, open, options, target};

#[test]
fn native_on_veth_drops_a_ping_and_counts_it() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (mut blocklist, opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert_eq!(opened.adopted, None);
    assert!(!opened.off);
    let attached = &blocklist.interfaces()[0];
    assert_eq!((attached.mode, &attached.fallback), (Mode::Native, &None));
    let xdp = pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp.unwrap();
    assert_eq!(xdp.attachment, XdpAttachment::Native);

    assert!(pair.client.pings(CLIENT, SERVER, 1));
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 5));
    // 14 of Ethernet, 20 of IPv4, 8 of ICMP, 56 of ping's own.
    let ban = entry(&blocklist, CLIENT);
    assert_eq!((ban.packets, ban.bytes), (5, 5 * 98));
    assert!(ban.last_seen_ns.is_some());
    assert_eq!(blocklist.counters().unwrap().of(Reason::DroppedV4), 5);

    let lifted = blocklist.remove(target(CLIENT)).unwrap().unwrap();
    assert_eq!((lifted.packets, lifted.expires), (5, Expiry::Permanent));
    assert!(pair.client.pings(CLIENT, SERVER, 1));
}

#[test]
fn generic_works_too() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut wanted = options(&dir, &["s0"]);
    wanted.xdp_mode = XdpMode::Generic;
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    let attached = &blocklist.interfaces()[0];
    assert_eq!((attached.mode, &attached.fallback), (Mode::Generic, &None));
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert_eq!(entry(&blocklist, CLIENT).packets, 2);
}

#[test]
fn a_driver_without_xdp_falls_back_aloud_and_never_when_native_was_said() {
    let (netns, dir) = (Netns::new("bridge"), BpfDir::new());
    netns.ip(&["link", "add", "d0", "type", "bridge"]);

    let mut wanted = options(&dir, &["d0"]);
    wanted.xdp_mode = XdpMode::Native;
    let (blocklist, opened) = netns.enter(|| Blocklist::open(&wanted)).unwrap();
    let refusal = opened.refused[0].to_string();
    assert!(refusal.contains("d0") && refusal.contains("native"), "{refusal}");
    assert!(blocklist.interfaces().is_empty());
    assert_eq!(netns.enter(|| host::link("d0")).unwrap().unwrap().xdp, None);
    drop(blocklist);

    wanted.xdp_mode = XdpMode::Auto;
    let (blocklist, _opened) = open(&netns, &wanted);
    let attached = &blocklist.interfaces()[0];
    assert_eq!(attached.mode, Mode::Generic);
    let reason = attached.fallback.as_ref().unwrap();
    assert!(reason.contains("no native XDP"), "{reason}");
}

#[test]
fn another_mode_is_taken_when_it_is_asked_for_by_name() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut wanted = options(&dir, &["s0"]);
    for (mode, expected) in [
        (XdpMode::Generic, Mode::Generic),
        (XdpMode::Auto, Mode::Generic),
        (XdpMode::Native, Mode::Native),
        (XdpMode::Auto, Mode::Native),
        (XdpMode::Generic, Mode::Generic),
    ] {
        wanted.xdp_mode = mode;
        let (blocklist, _opened) = open(&pair.server, &wanted);
        assert_eq!(blocklist.interfaces()[0].mode, expected, "{mode:?}");
    }
}

#[test]
fn several_interfaces_share_the_bans_and_what_is_no_longer_named_is_let_go() {
    let (first, second, dir) = (Pair::new(), Netns::new("c2"), BpfDir::new());
    first.server.connect("s1", &second, "c1");
    first.server.ip(&["addr", "add", "192.0.2.1/24", "dev", "s1"]);
    second.ip(&["addr", "add", "192.0.2.7/24", "dev", "c1"]);

    let (mut blocklist, _opened) = open(&first.server, &options(&dir, &["s0", "s1"]));
    assert_eq!(blocklist.interfaces().len(), 2);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    blocklist.insert(target("192.0.2.7"), Expiry::Permanent).unwrap();
    assert!(first.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(second.is_cut_off("192.0.2.7", "192.0.2.1", 1));
    drop(blocklist);

    let (_blocklist, opened) = open(&first.server, &options(&dir, &["s0"]));
    assert_eq!(opened.released, ["s1"]);
    assert!(first.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(second.pings("192.0.2.7", "192.0.2.1", 1));
}

#[test]
fn an_interface_with_a_dot_in_its_name_is_pinned_and_adopted() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    pair.server.ip(&["link", "add", "br0.100", "type", "bridge"]);
    let wanted = options(&dir, &["br0.100"]);
    let (blocklist, _opened) = open(&pair.server, &wanted);
    assert!(!blocklist.interfaces()[0].adopted);
    drop(blocklist);
    let (blocklist, opened) = open(&pair.server, &wanted);
    assert!(blocklist.interfaces()[0].adopted);
    assert!(opened.released.is_empty());
}

#[test]
fn an_interface_that_was_made_anew_gets_a_link_anew() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();

    pair.server.ip(&["link", "del", "s0"]);
    let gone = pair.server.enter(|| blocklist.attach("s0").map(drop)).unwrap_err().to_string();
    assert!(gone.contains("does not exist"), "{gone}");
    assert!(blocklist.interfaces().is_empty());

    pair.server.connect("s0", &pair.client, "c0");
    pair.wire("s0", "c0");
    pair.client.ip(&["addr", "add", "198.51.100.7/32", "dev", "c0"]);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    let adopted = pair.server.enter(|| blocklist.attach("s0").map(|attached| attached.adopted));
    assert!(!adopted.unwrap());
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(blocklist.interfaces().len(), 1);
}

#[test]
fn a_renamed_interface_gives_its_pin_up_to_the_one_that_bears_the_name_now() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    drop(open(&pair.server, &wanted));
    pair.server.ip(&["link", "set", "s0", "down"]);
    pair.server.ip(&["link", "set", "s0", "name", "old0"]);
    pair.server.ip(&["link", "add", "s0", "type", "bridge"]);
    let (blocklist, _opened) = open(&pair.server, &wanted);
    assert!(!blocklist.interfaces()[0].adopted);
    let links = pair.server.enter(host::links).unwrap();
    let xdp = |name: &str| links.iter().find(|link| link.name == name).unwrap().xdp;
    assert!(xdp("s0").is_some());
    assert_eq!(xdp("old0"), None);
}

#[test]
fn the_host_is_seen_from_the_namespace_we_are_in() {
    let pair = Pair::new();
    pair.server.ip(&["route", "add", "default", "via", "203.0.113.254"]);
    pair.server.ip(&["-6", "route", "add", "default", "via", "2001:db8:113::fe", "dev", "s0"]);
    pair.server.ip(&["link", "add", "br0", "type", "bridge"]);
    pair.server.ip(&["addr", "add", "172.17.0.1/16", "dev", "br0"]);
    let facts = pair.server.enter(host::facts).unwrap();
    let strings = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(facts.default_interfaces, ["s0"]);
    assert_eq!(
        strings(facts.gateways.iter().map(ToString::to_string).collect()),
        ["2001:db8:113::fe", "203.0.113.254"]
    );
    let addresses: Vec<String> =
        facts.addresses.iter().map(|address| address.net.to_string()).collect();
    for expected in ["203.0.113.1/24", "2001:db8:113::1/64", "172.17.0.1/16", "127.0.0.1/8"] {
        assert!(addresses.iter().any(|address| address == expected), "{expected}: {addresses:?}");
    }
    assert_eq!(
        strings(facts.container_subnets.iter().map(ToString::to_string).collect()),
        ["172.17.0.0/16"]
    );
    let on_link: Vec<String> = facts.on_link_v6.iter().map(ToString::to_string).collect();
    assert!(on_link.contains(&"2001:db8:113::/64".to_owned()), "{on_link:?}");
    assert!(!on_link.contains(&"fe80::/64".to_owned()), "{on_link:?}");
}

#[test]
fn changes_of_the_network_are_told() {
    let netns = Netns::new("watch");
    let watch = netns.enter(host::Watch::open).unwrap();
    assert!(!watch.changed().unwrap());
    netns.ip(&["link", "add", "d0", "type", "bridge"]);
    assert!(watch.changed().unwrap());
    assert!(!watch.changed().unwrap());
    netns.ip(&["addr", "add", "192.0.2.1/24", "dev", "d0"]);
    assert!(watch.changed().unwrap());
}

#[test]
fn a_bridge_is_told_its_port_and_the_port_guards_what_is_behind_the_bridge() {
    let (pair, guest, dir) = (Pair::new(), Netns::new("guest"), BpfDir::new());
    pair.server.ip(&["link", "add", "br0", "type", "bridge"]);
    pair.server.ip(&["link", "set", "s0", "master", "br0"]);
    pair.server.ip(&["link", "set", "br0", "up"]);
    pair.server.connect("v0", &guest, "g0");
    guest.ip(&["link", "set", "g0", "address", "02:00:00:00:00:09"]);
    pair.server.ip(&["link", "set", "v0", "address", "02:00:00:00:00:08"]);
    pair.server.ip(&["link", "set", "v0", "master", "br0"]);
    guest.ip(&["addr", "add", "203.0.113.9/24", "dev", "g0"]);
    guest.ip(&["route", "add", "198.51.100.0/24", "dev", "g0"]);
    assert!(pair.client.pings(CLIENT, "203.0.113.9", 1));

    let (blocklist, _opened) = open(&pair.server, &options(&dir, &["br0"]));
    let reason = blocklist.interfaces()[0].fallback.clone().unwrap();
    assert!(reason.contains("name the port") && reason.contains("`s0`"), "{reason}");
    drop(blocklist);

    let (mut blocklist, opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert_eq!(opened.released, ["br0"]);
    assert_eq!(blocklist.interfaces()[0].mode, Mode::Native);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, "203.0.113.9", 1));
}

#[test]
fn a_macvlan_runs_generically_and_is_told_what_it_lies_on() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    pair.server.ip(&["link", "add", "m0", "link", "s0", "type", "macvlan"]);
    let (blocklist, _opened) = open(&pair.server, &options(&dir, &["m0"]));
    let attached = &blocklist.interfaces()[0];
    assert_eq!(attached.mode, Mode::Generic);
    let reason = attached.fallback.as_ref().unwrap();
    assert!(reason.contains("lies on `s0`"), "{reason}");
}

#[test]
fn a_tunnel_is_refused_and_a_tap_is_not() {
    let (netns, dir) = (Netns::new("tun"), BpfDir::new());
    for (name, mode) in [("t0", "tun"), ("t1", "tap")] {
        let made = netns
            .command("ip")
            .args(["tuntap", "add", "dev", name, "mode", mode])
            .output()
            .unwrap();
        if !made.status.success() {
            eprintln!("skipped: no {mode} here: {}", String::from_utf8_lossy(&made.stderr));
            return;
        }
    }
    let wanted = options(&dir, &["t0", "t1"]);
    let (blocklist, opened) = netns.enter(|| Blocklist::open(&wanted)).unwrap();
    match &opened.refused[..] {
        [error @ AttachError::NotEthernet { interface }] => {
            assert_eq!(interface, "t0");
            assert!(error.to_string().contains("tunnel"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(blocklist.interfaces()[0].interface, "t1");
}

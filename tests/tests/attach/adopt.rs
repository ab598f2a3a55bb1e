//! Coming back: maps and links are adopted, nothing is lost and nothing let through.

use ravelin::blocklist::{Expiry, Pinned};
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Flood, Pair, Victim};

use super::{CLIENT, CLIENT_V4, SERVER, SERVER_V4, entry, open, options, target, wait_until};

#[test]
fn bans_counts_and_settings_come_back() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    for ban in ["2001:db8:51::/64", "198.51.100.0/24", "2001:db8::/32"] {
        blocklist.insert(target(ban), Expiry::Permanent).unwrap();
    }
    blocklist.insert(target(CLIENT), Expiry::At(u64::MAX / 2)).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 3));
    let before = blocklist.entries().unwrap();
    drop(blocklist);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));

    let (mut blocklist, opened) = open(&pair.server, &wanted);
    assert_eq!(opened.adopted, Some(4));
    assert_eq!(opened.kept_max, None);
    assert!(blocklist.interfaces()[0].adopted);
    assert_eq!(blocklist.entries().unwrap().len(), before.len());
    let ban = entry(&blocklist, CLIENT);
    assert_eq!((ban.packets, ban.expires), (5, Expiry::At(u64::MAX / 2)));
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(entry(&blocklist, CLIENT).packets, 6);
    // The tries are still asked, and the prefilter still has what it needs.
    blocklist.remove(target(CLIENT)).unwrap().unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(entry(&blocklist, "198.51.100.0/24").packets, 1);
}

#[test]
fn another_ban_max_keeps_the_maps_and_says_so() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    drop(blocklist);
    wanted.max *= 2;
    let (_blocklist, opened) = open(&pair.server, &wanted);
    assert_eq!((opened.adopted, opened.kept_max), (Some(1), Some(4_096)));
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
}

#[test]
fn off_is_kept_until_it_is_turned_on() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    blocklist.set_off(true).unwrap();
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    assert!(blocklist.counters().unwrap().of(Reason::PassedOff) >= 1);
    drop(blocklist);
    let (mut blocklist, opened) = open(&pair.server, &wanted);
    assert!(opened.off);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    blocklist.set_off(false).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
}

#[test]
fn an_upgrade_under_fire_lets_nothing_through_and_counts_everything() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();

    let victim = Victim::listen(&pair.server, (SERVER_V4, 9));
    let flood = Flood::start(&pair.client, CLIENT_V4, (SERVER_V4, 9));
    for _ in 0..20 {
        let before = entry(&blocklist, CLIENT).packets;
        wait_until("the flood arrives", || entry(&blocklist, CLIENT).packets > before + 100);
        let program = pair.server.enter(|| ravelin::host::link("s0")).unwrap().unwrap().xdp;
        drop(blocklist);
        let (next, _opened) = open(&pair.server, &wanted);
        assert!(next.interfaces()[0].adopted);
        assert_ne!(pair.server.enter(|| ravelin::host::link("s0")).unwrap().unwrap().xdp, program);
        blocklist = next;
    }
    drop(flood);
    assert_eq!(victim.received(), 0, "something was let through");
    let ban = entry(&blocklist, CLIENT);
    assert_eq!(ban.packets, blocklist.counters().unwrap().of(Reason::DroppedV4));
}

#[test]
fn the_pinned_maps_can_be_used_without_the_daemon() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    assert!(Pinned::open(dir.path()).is_err());
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    for ban in [CLIENT, "198.51.100.0/24", "2001:db8:51::/64", "192.0.2.0/30"] {
        blocklist.insert(target(ban), Expiry::Permanent).unwrap();
    }
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    drop(blocklist);

    let mut pinned = Pinned::open(dir.path()).unwrap();
    assert_eq!(pinned.entries().unwrap().len(), 4);
    let lifted = pinned.remove(target(CLIENT)).unwrap().unwrap();
    assert_eq!(lifted.packets, 2);
    assert_eq!(pinned.remove(target(CLIENT)).unwrap(), None);
    // A prefix that isn't banned isn't taken for the one around it.
    assert_eq!(pinned.remove(target("198.51.100.0/28")).unwrap(), None);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(pinned.remove(target("198.51.100.0/24")).unwrap().unwrap().packets, 1);
    assert!(pair.client.pings(CLIENT, SERVER, 1));

    assert!(pair.client.is_cut_off("2001:db8:51::7", "2001:db8:113::1", 1));
    pinned.set_off(true).unwrap();
    assert!(pair.client.pings("2001:db8:51::7", "2001:db8:113::1", 1));
    pinned.set_off(false).unwrap();
    assert!(pair.client.is_cut_off("2001:db8:51::7", "2001:db8:113::1", 1));
    assert_eq!(pinned.remove_all().unwrap(), 2);
    assert!(pinned.entries().unwrap().is_empty());
    assert!(pair.client.pings("2001:db8:51::7", "2001:db8:113::1", 1));

    assert_eq!(pinned.detach().unwrap(), ["s0"]);
    assert_eq!(pair.server.enter(|| ravelin::host::link("s0")).unwrap().unwrap().xdp, None);
}

//! The allow list in the kernel.

use ravelin::blocklist::{BlocklistError, Expiry};
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Pair};

use super::{CLIENT, CLIENT_V6, SERVER, SERVER_V6, entry, open, options, target};

#[test]
fn what_is_allowed_inside_a_ban_goes_on_passing() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    pair.client_address([198, 51, 100, 8].into());
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    blocklist.set_allowed(&[target("198.51.100.8").net()]).unwrap();
    blocklist.insert(target("198.51.100.0/24"), Expiry::Permanent).unwrap();
    assert!(entry(&blocklist, "198.51.100.0/24").holds_allowed);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(pair.client.pings("198.51.100.8", SERVER, 1));
    assert!(blocklist.counters().unwrap().of(Reason::PassedAllowed) >= 1);
    let error = blocklist.insert(target("198.51.100.8"), Expiry::Permanent).unwrap_err();
    assert!(matches!(error, BlocklistError::Allowed { .. }), "{error}");
}

#[test]
fn allowing_later_flags_what_holds_it_and_removes_what_lies_in_it() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    pair.client.ip(&["addr", "add", "2001:db8:51::8/128", "dev", "c0", "nodad"]);
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    for ban in [CLIENT, "198.51.100.0/24", "2001:db8:51::/64", "2001:db8:51::/48", "192.0.2.1"] {
        blocklist.insert(target(ban), Expiry::Permanent).unwrap();
    }
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert!(pair.client.is_cut_off(CLIENT_V6, SERVER_V6, 2));
    let v6_before = entry(&blocklist, "2001:db8:51::/64").packets;

    let allowed = [target("198.51.100.0/28").net(), target("2001:db8:51::7/128").net()];
    let outcome = blocklist.set_allowed(&allowed).unwrap();
    assert_eq!(outcome.removed.len(), 1);
    assert_eq!((outcome.removed[0].target, outcome.removed[0].packets), (target(CLIENT), 2));
    assert_eq!(outcome.flagged, 3);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    assert!(pair.client.pings(CLIENT_V6, SERVER_V6, 1));
    assert!(pair.client.is_cut_off("2001:db8:51::8", SERVER_V6, 1));
    assert!(entry(&blocklist, "2001:db8:51::/64").packets >= v6_before);
    assert_eq!(blocklist.set_allowed(&allowed).unwrap(), Default::default());

    // And back: bans that went stay gone, the others are whole again.
    let outcome = blocklist.set_allowed(&[]).unwrap();
    assert_eq!(outcome, Default::default());
    for ban in ["198.51.100.0/24", "2001:db8:51::/64", "2001:db8:51::/48"] {
        assert!(!entry(&blocklist, ban).holds_allowed, "{ban}");
    }
    assert!(pair.client.is_cut_off(CLIENT_V6, SERVER_V6, 1));
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(blocklist.entry(target(CLIENT)).unwrap(), None);
}

#[test]
fn the_allow_list_is_adopted() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.set_allowed(&[target(CLIENT).net(), target(CLIENT_V6).net()]).unwrap();
    blocklist.insert(target("198.51.100.0/24"), Expiry::Permanent).unwrap();
    drop(blocklist);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    assert!(blocklist.insert(target(CLIENT), Expiry::Permanent).is_err());
    blocklist.set_allowed(&[]).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
}

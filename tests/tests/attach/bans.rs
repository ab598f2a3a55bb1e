//! Bans of every shape, renewed, nested, lapsing, too many.

use std::time::Duration;

use ravelin::blocklist::{Blocklist, BlocklistError, Clock, Expiry, Inserted};
use ravelin::event::Timestamp;
use ravelin_common::{DropEvent, Reason};
use ravelin_tests::netns::{BpfDir, Pair};

use super::{
    CLIENT, CLIENT_V6, SERVER, SERVER_V6, entry, in_time, open, options, target, wait_until,
};

const MINUTE: Duration = Duration::from_secs(60);

fn opened() -> (Pair, BpfDir, Blocklist) {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    (pair, dir, blocklist)
}

#[test]
fn a_slash_64_drops_every_address_in_it() {
    let (pair, _dir, mut blocklist) = opened();
    pair.client.ip(&["addr", "add", "2001:db8:51::dead:beef/128", "dev", "c0", "nodad"]);
    pair.client.ip(&["addr", "add", "2001:db8:51:1::7/128", "dev", "c0", "nodad"]);
    assert!(pair.client.pings(CLIENT_V6, SERVER_V6, 1));
    blocklist.insert(target("2001:db8:51::/64"), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT_V6, SERVER_V6, 1));
    assert!(pair.client.is_cut_off("2001:db8:51::dead:beef", SERVER_V6, 1));
    assert!(pair.client.pings("2001:db8:51:1::7", SERVER_V6, 1));
    assert!(blocklist.counters().unwrap().of(Reason::DroppedV6) >= 2);
}

#[test]
fn prefixes_of_other_lengths_drop_too() {
    let (pair, _dir, mut blocklist) = opened();
    for (ban, from, to, reason) in [
        ("198.51.100.0/24", CLIENT, SERVER, Reason::DroppedNetV4),
        ("2001:db8:51::/48", CLIENT_V6, SERVER_V6, Reason::DroppedNetV6),
        ("2001:db8:51::7/128", CLIENT_V6, SERVER_V6, Reason::DroppedNetV6),
        ("0.0.0.0/0", CLIENT, SERVER, Reason::DroppedNetV4),
    ] {
        let before = blocklist.counters().unwrap().of(reason);
        assert_eq!(blocklist.insert(target(ban), Expiry::Permanent).unwrap(), Inserted::New);
        assert!(pair.client.is_cut_off(from, to, 1), "{ban}");
        let counted = entry(&blocklist, ban).packets;
        assert!(counted >= 1, "{ban}");
        assert_eq!(blocklist.counters().unwrap().of(reason) - before, counted, "{ban}");
        assert_eq!(blocklist.remove(target(ban)).unwrap().unwrap().packets, counted);
        assert!(pair.client.pings(from, to, 1), "{ban}");
    }
}

#[test]
fn renewing_moves_the_expiry_both_ways_and_keeps_the_counts() {
    let (pair, _dir, mut blocklist) = opened();
    for ban in [CLIENT, "198.51.100.0/24"] {
        assert_eq!(blocklist.insert(target(ban), in_time(MINUTE)).unwrap(), Inserted::New);
        assert!(pair.client.is_cut_off(CLIENT, SERVER, 3));
        for expires in [Expiry::Permanent, in_time(MINUTE), in_time(2 * MINUTE), in_time(MINUTE)] {
            assert_eq!(blocklist.insert(target(ban), expires).unwrap(), Inserted::Renewed);
            assert_eq!(entry(&blocklist, ban).expires, expires);
            assert_eq!(entry(&blocklist, ban).packets, 3);
        }
        blocklist.insert(target(ban), Expiry::At(1)).unwrap();
        assert!(pair.client.pings(CLIENT, SERVER, 1));
        assert_eq!(blocklist.remove(target(ban)).unwrap().unwrap().packets, 3);
        assert_eq!(blocklist.remove(target(ban)).unwrap(), None);
    }
    assert!(blocklist.is_empty());
}

#[test]
fn a_short_ban_inside_a_long_one_is_no_hole_in_it() {
    let (pair, _dir, mut blocklist) = opened();
    let (wide, narrow) = ("198.51.100.0/24", "198.51.100.0/28");
    blocklist.insert(target(narrow), Expiry::At(1)).unwrap();
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    blocklist.insert(target(wide), in_time(MINUTE)).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(blocklist.around(target(narrow)).unwrap().unwrap().target, target(wide));

    // What was wanted for it is what `entry` says, and what it goes back to.
    assert_eq!(entry(&blocklist, narrow).expires, Expiry::At(1));
    blocklist.remove(target(wide)).unwrap().unwrap();
    assert!(pair.client.pings(CLIENT, SERVER, 1));

    // The other way round: the wide one first, the narrow one lapsing inside it.
    blocklist.insert(target(wide), in_time(MINUTE)).unwrap();
    blocklist.insert(target(narrow), in_time(Duration::from_millis(1))).unwrap();
    wait_until("the narrow ban is swept", || {
        let swept = blocklist.sweep(&Clock::read()).unwrap();
        assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
        swept.iter().any(|ban| ban.target == target(narrow))
    });
    assert_eq!(blocklist.entry(target(narrow)).unwrap(), None);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(blocklist.around(target(CLIENT)).unwrap().unwrap().target, target(wide));
}

#[test]
fn a_lapsed_address_still_falls_under_the_prefix_around_it() {
    let (pair, _dir, mut blocklist) = opened();
    blocklist.insert(target(CLIENT), Expiry::At(1)).unwrap();
    blocklist.insert(target("198.51.100.0/25"), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    let v6 = target("2001:db8:51::7/128");
    blocklist.insert(target("2001:db8:51::/64"), Expiry::Permanent).unwrap();
    assert_eq!(blocklist.around(v6).unwrap().unwrap().target, target("2001:db8:51::/64"));
}

#[test]
fn lapsed_bans_are_swept_with_their_counts_and_nothing_else_is() {
    let (pair, _dir, mut blocklist) = opened();
    let soon = in_time(Duration::from_millis(400));
    blocklist.insert(target(CLIENT), soon).unwrap();
    blocklist.insert(target("2001:db8:1::/64"), soon).unwrap();
    blocklist.insert(target("2001:db8::/32"), soon).unwrap();
    blocklist.insert(target("192.0.2.1"), Expiry::Permanent).unwrap();
    blocklist.insert(target("192.0.2.2"), soon).unwrap();
    blocklist.insert(target("192.0.2.2"), in_time(MINUTE)).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert!(blocklist.next_lapse_ns().unwrap() > soon.as_ns());
    assert_eq!(blocklist.sweep(&Clock::read()).unwrap(), []);

    let mut swept = Vec::new();
    wait_until("all are swept", || {
        swept.extend(blocklist.sweep(&Clock::read()).unwrap());
        swept.len() >= 3
    });
    swept.sort_by_key(|ban| ban.target);
    let names: Vec<String> = swept.iter().map(|ban| ban.target.to_string()).collect();
    assert_eq!(names, ["198.51.100.7/32", "2001:db8::/32", "2001:db8:1::/64"]);
    assert_eq!(swept[0].packets, 2);
    assert_eq!(blocklist.len(), 2);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
}

#[test]
fn time_in_suspend_counts() {
    let (pair, _dir, mut blocklist) = opened();
    let wide = "198.51.100.0/24";
    for ban in [CLIENT, wide, "198.51.100.0/28"] {
        blocklist.insert(target(ban), in_time(MINUTE)).unwrap();
    }
    blocklist.insert(target("192.0.2.1"), in_time(10 * MINUTE)).unwrap();
    let before = entry(&blocklist, "192.0.2.1").expires.as_ns();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    // As if the machine had just come back from two minutes of suspend.
    let now = Clock::read();
    let suspended = u64::try_from((2 * MINUTE).as_nanos()).unwrap();
    let boottime = now.monotonic_ns() + now.suspended_ns() + suspended;
    let later = Clock::of_readings(Timestamp::now(), now.monotonic_ns(), boottime);
    assert_eq!(blocklist.sweep(&later).unwrap().len(), 3);
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    let shifted = before - entry(&blocklist, "192.0.2.1").expires.as_ns();
    assert!(shifted.abs_diff(suspended) < 1_000_000_000, "{shifted}");
}

#[test]
fn what_does_not_fit_is_refused_and_said() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut small = options(&dir, &["s0"]);
    small.max = 8;
    let (mut blocklist, _opened) = open(&pair.server, &small);
    for host in 1..=8 {
        blocklist.insert(target(&format!("192.0.2.{host}")), Expiry::Permanent).unwrap();
    }
    let error = blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap_err();
    match &error {
        BlocklistError::Full { map, max: 8, target: refused } => {
            assert_eq!((*map, *refused), ("BANS_V4", target(CLIENT)));
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("ban.max"), "{error}");
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    // What is there can be renewed, and room comes back.
    assert_eq!(blocklist.insert(target("192.0.2.1"), in_time(MINUTE)).unwrap(), Inserted::Renewed);
    blocklist.remove(target("192.0.2.2")).unwrap().unwrap();
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert_eq!(blocklist.len(), 8);

    let many = (1..=20).map(|host| (target(&format!("192.0.2.{host}")), Expiry::Permanent));
    let restored = blocklist.restore(many).unwrap();
    assert_eq!((restored.added, restored.renewed, restored.unchanged), (0, 1, 6));
    assert_eq!(restored.refused.len(), 13);
}

#[test]
fn restoring_takes_all_kinds_and_leaves_what_is_as_it_should_be() {
    let (pair, _dir, mut blocklist) = opened();
    let minute = in_time(MINUTE);
    blocklist.insert(target(CLIENT), minute).unwrap();
    blocklist.insert(target("192.0.2.1"), Expiry::Permanent).unwrap();
    blocklist.insert(target("2001:db8:51::/48"), minute).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    blocklist.set_allowed(&[target("192.0.2.200").net()]).unwrap();

    let mut bans: Vec<_> = (0..2_500_u16)
        .map(|n| (target(&format!("10.1.{}.{}", n / 250, n % 250)), minute))
        .collect();
    bans.extend((0..1_200).map(|n| (target(&format!("2001:db8:0:{n:x}::/64")), minute)));
    bans.extend([
        (target(CLIENT), Expiry::At(minute.as_ns() + 1_000_000)),
        (target("192.0.2.1"), minute),
        (target("2001:db8:51::/48"), Expiry::Permanent),
        (target("203.0.113.64/26"), Expiry::Permanent),
        (target("192.0.2.200"), Expiry::Permanent),
        (target("10.9.9.9"), minute),
        (target("10.9.9.9"), Expiry::Permanent),
    ]);
    let restored = blocklist.restore(bans).unwrap();
    assert_eq!(restored.added, 2_500 + 1_200 + 2);
    assert_eq!((restored.renewed, restored.unchanged), (3, 1));
    assert!(matches!(
        restored.refused[..],
        [(refused, BlocklistError::Allowed { .. })] if refused == target("192.0.2.200")
    ));
    assert_eq!(entry(&blocklist, CLIENT).packets, 2);
    assert_eq!(entry(&blocklist, "10.9.9.9").expires, Expiry::Permanent);
    assert_eq!(blocklist.len(), 3 + 3_702);
    let entries = blocklist.entries().unwrap();
    assert_eq!(entries.len(), blocklist.len());
}

#[test]
fn drops_are_announced_once_taken() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let mut wanted = options(&dir, &["s0"]);
    wanted.events_per_second = 100;
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    let mut events = blocklist.drop_events().unwrap();
    assert!(blocklist.drop_events().is_none());
    assert_eq!(events.next(), None);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    let DropEvent { source, length, reason, ifindex, .. } = events.next().unwrap();
    let client: std::net::Ipv4Addr = CLIENT.parse().unwrap();
    assert_eq!(source, client.to_ipv6_mapped().octets());
    assert_eq!((length, reason), (98, Reason::DroppedV4 as u32));
    assert_eq!(ifindex, blocklist.interfaces()[0].ifindex);
    assert_eq!(events.next(), None);
}

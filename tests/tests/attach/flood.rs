//! A flood from one address, and what it must not disturb.

use ravelin::blocklist::{Expiry, Inserted};
use ravelin_common::Reason;
use ravelin_tests::netns::{BpfDir, Flood, Pair};

use super::{CLIENT, CLIENT_V4, SERVER_V4, entry, in_time, open, options, target, wait_until};

/// Renews, allows around, nests and sweeps while packets arrive: the ban's own count and the program's
/// are the same in the end.
#[test]
fn nothing_done_to_a_ban_loses_a_hit() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    let hour = std::time::Duration::from_secs(3_600);
    for (ban, reason) in [(CLIENT, Reason::DroppedV4), ("198.51.100.0/28", Reason::DroppedNetV4)] {
        blocklist.insert(target(ban), in_time(hour)).unwrap();
        let flood = Flood::start(&pair.client, CLIENT_V4, (SERVER_V4, 9));
        wait_until("the flood arrives", || entry(&blocklist, ban).packets > 1_000);
        for round in 0..2_000 {
            assert_eq!(blocklist.insert(target(ban), in_time(hour)).unwrap(), Inserted::Renewed);
            if round % 50 == 0 {
                blocklist.insert(target("198.51.100.0/24"), Expiry::Permanent).unwrap();
                blocklist.set_allowed(&[target("198.51.100.8/29").net()]).unwrap();
                blocklist.set_allowed(&[]).unwrap();
                blocklist.remove(target("198.51.100.0/24")).unwrap();
                blocklist.insert(target(ban), in_time(hour)).unwrap();
            }
        }
        drop(flood);
        let ban = entry(&blocklist, ban);
        let counters = blocklist.counters().unwrap();
        assert_eq!(ban.packets, counters.of(reason), "{} of {counters:?}", ban.target);
        assert_eq!(blocklist.remove(ban.target).unwrap().unwrap().packets, ban.packets);
    }
}

/// Lifting a ban under fire: what it says it counted is what was dropped.
#[test]
fn a_lifted_ban_says_all_that_it_counted() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    let _flood = Flood::start(&pair.client, CLIENT_V4, (SERVER_V4, 9));
    for (ban, reason) in [(CLIENT, Reason::DroppedV4), ("198.51.100.0/24", Reason::DroppedNetV4)] {
        let mut said = 0;
        for _ in 0..300 {
            blocklist.insert(target(ban), Expiry::Permanent).unwrap();
            wait_until("the flood arrives", || entry(&blocklist, ban).packets > 20);
            said += blocklist.remove(target(ban)).unwrap().unwrap().packets;
        }
        assert_eq!(said, blocklist.counters().unwrap().of(reason), "{ban}");
    }
}

//! Prefixes by the hundred thousand, one inside another.

use std::time::Instant;

use ravelin::blocklist::Expiry;
use ravelin::event::Target;
use ravelin_tests::netns::{BpfDir, Pair};

use super::{CLIENT, SERVER, entry, open, options, target};

const PREFIXES: u32 = 100_000;
const WIDE: &str = "198.0.0.0/8";

/// Inside [`WIDE`], and many of them inside each other: /31, /30, /29, ... around addresses 256 apart.
fn nested() -> impl Iterator<Item = Target> {
    (0..PREFIXES - 1).map(|index| {
        let length = 31 - index % 8;
        let address = (198 << 24) | (index / 8 * 256);
        target(&format!("{}/{length}", std::net::Ipv4Addr::from_bits(address)))
    })
}

#[test]
fn a_hundred_thousand_nested_prefixes_come_go_and_come_back() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    let begun = Instant::now();
    let soon = Expiry::At(u64::MAX / 4);
    // The widest last: all others are inside it, and get its expiry.
    let bans = nested().map(|net| (net, soon)).chain([(target(WIDE), Expiry::Permanent)]);
    let restored = blocklist.restore(bans).unwrap();
    println!("restored in {:?}", begun.elapsed());
    assert!(restored.refused.is_empty(), "{:?}", restored.refused.first());
    assert_eq!((restored.added, blocklist.len()), (100_000, 100_000));
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    assert_eq!(entry(&blocklist, WIDE).packets, 1);
    drop(blocklist);

    let begun = Instant::now();
    let (mut blocklist, opened) = open(&pair.server, &wanted);
    println!("adopted in {:?}", begun.elapsed());
    assert_eq!(opened.adopted, Some(100_000));
    let begun = Instant::now();
    assert_eq!(blocklist.remove(target(WIDE)).unwrap().unwrap().packets, 1);
    for net in nested() {
        blocklist.remove(net).unwrap().unwrap();
    }
    println!("removed in {:?}", begun.elapsed());
    assert!(blocklist.is_empty());
    assert!(pair.client.pings(CLIENT, SERVER, 1));
}

/// Whoever asks for the bans sees those that are more than two batches back in force.
#[test]
fn bans_are_enforced_while_the_rest_is_still_being_read() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let (mut blocklist, _opened) = open(&pair.server, &options(&dir, &["s0"]));
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    let rest = (0..4_000_u32).map(|index| {
        if index == 2_000 {
            assert!(pair.client.is_cut_off(CLIENT, SERVER, 1), "banned, and not yet in force");
        }
        target(&std::net::Ipv4Addr::from_bits((203 << 24) | index).to_string())
    });
    let bans = std::iter::once(target(CLIENT)).chain(rest).map(|one| (one, Expiry::Permanent));
    let restored = blocklist.restore(bans).unwrap();
    assert_eq!((restored.added, restored.refused.len()), (4_001, 0));
}

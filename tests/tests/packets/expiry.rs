//! Bans lapse by themselves.

use std::time::{Duration, Instant};

use ravelin_common::{Entry, Settings};
use ravelin_tests::xdp::Action::{Drop, Pass};
use ravelin_tests::xdp::{PERMANENT_ENTRY, Program, now_ns};

use crate::assert_verdict;
use crate::frames::plain;

const NETS: Settings = Settings { off: 0, nets_v4: 1, nets_v6: 1, events_per_second: 0 };
const LAPSED: Entry = Entry { expires_ns: 1, ..PERMANENT_ENTRY };
/// Longer than a tick of the kernel's clock, whatever its rate: so much may the program be late.
const TICK_NS: u64 = 20_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Each kind of ban: how it is written, a source in it, the reason of its drops.
const KINDS: [(&str, &str, &str); 4] = [
    ("198.51.100.7/32", "198.51.100.7", "v4"),
    ("2001:db8:7::/64", "2001:db8:7::1", "v6"),
    ("203.0.113.0/24", "203.0.113.9", "net-v4"),
    ("2001:db8:aaaa::/48", "2001:db8:aaaa:1::9", "net-v6"),
];

#[test]
fn the_expiry_decides() {
    let mut program = Program::load();
    program.set(NETS);
    for (net, source, reason) in KINDS {
        let frame = plain(source);
        for (expires_ns, action, counted) in [
            (0, Pass, "expired"),
            (1, Pass, "expired"),
            (now_ns() - TICK_NS, Pass, "expired"),
            (now_ns() + 3600 * SECOND_NS, Drop, reason),
            (u64::MAX - 1, Drop, reason),
            (u64::MAX, Drop, reason),
        ] {
            program.ban(net, Entry { expires_ns, ..PERMANENT_ENTRY }).unwrap();
            let what = format!("{net} until {expires_ns}");
            assert_verdict(&program, &what, &frame, action, counted);
        }
    }
}

/// A lapsed exact ban must not shadow a prefix that still holds.
#[test]
fn a_lapsed_exact_ban_falls_through_to_the_prefix() {
    let mut program = Program::load();
    program.set(NETS);
    for (exact, net, source, reason) in [
        ("198.51.100.7/32", "198.51.100.0/24", "198.51.100.7", "net-v4"),
        ("2001:db8:7::/64", "2001:db8::/32", "2001:db8:7::1", "net-v6"),
    ] {
        let frame = plain(source);
        program.ban(exact, LAPSED).unwrap();
        program.ban_for_good(net);
        assert_verdict(&program, "prefix holds", &frame, Drop, reason);
        assert_eq!(program.entry(net).packets, 1);
        assert_eq!(program.entry(exact), LAPSED);

        program.ban(net, LAPSED).unwrap();
        assert_verdict(&program, "both lapsed", &frame, Pass, "expired");
        program.ban_for_good(exact);
        assert_verdict(&program, "exact holds", &frame, Drop, reason.trim_start_matches("net-"));
    }
}

/// The kernel lets a ban go when it is over: not before, and soon after.
#[test]
fn a_ban_lapses_on_time() {
    let mut program = Program::load();
    program.set(NETS);
    for (net, source, _) in KINDS {
        let frame = plain(source);
        let expires_ns = now_ns() + SECOND_NS / 20;
        program.ban(net, Entry { expires_ns, ..PERMANENT_ENTRY }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut drops = 0;
        while program.run(&frame) == Drop {
            drops += 1;
            assert!(Instant::now() < deadline, "{net} still drops");
        }
        assert!(now_ns() >= expires_ns, "{net} lapsed early");
        assert!(drops > 0, "{net} never dropped");
        assert_eq!(program.entry(net).packets, drops);
    }
}

/// What lapsed stays in the map for userspace to read, and counts nothing more.
#[test]
fn a_lapsed_ban_stays_and_counts_nothing() {
    let mut program = Program::load();
    program.set(NETS);
    for (net, source, _) in KINDS {
        let lapsed = Entry { packets: 5, bytes: 300, last_seen_ns: 7, ..LAPSED };
        program.ban(net, lapsed).unwrap();
        program.repeat(&plain(source), 100);
        assert_eq!(program.entry(net), lapsed);
    }
}

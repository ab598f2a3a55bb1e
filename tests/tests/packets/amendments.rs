//! Bans are changed in place, and no hit is lost over it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ravelin_common::amendment::{Amendment, Table};
use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED, PERMANENT, Settings};
use ravelin_tests::xdp::Action::Drop;
use ravelin_tests::xdp::{PERMANENT_ENTRY, Program};

use crate::frames::plain;

const NETS: Settings = Settings { off: 0, nets_v4: 1, nets_v6: 1, events_per_second: 0 };

fn amendment(table: Table, address: &str, prefix_len: u32, expires_ns: u64) -> Amendment {
    let mut key = [0; 16];
    match address.parse().unwrap() {
        IpAddr::V4(v4) => key[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => key = v6.octets(),
    }
    let (table, flags) = (table as u32, FLAG_HOLDS_ALLOWED);
    Amendment { table, prefix_len, key, expires_ns, flags, scope: 7, scoped_until_s: 9 }
}

#[test]
fn an_amendment_changes_expiries_flags_and_scope_alone() {
    let mut program = Program::load();
    let before = Entry { packets: 3, bytes: 180, last_seen_ns: 9, ..PERMANENT_ENTRY };
    let bans = [
        (Table::BansV4, "198.51.100.7", 32),
        (Table::BansV6, "2001:db8:7::", 64),
        (Table::NetsV4, "203.0.113.0", 24),
        (Table::NetsV4, "203.0.113.128", 25),
        (Table::NetsV6, "2001:db8:aaaa::", 48),
    ];
    for (_, address, len) in bans {
        program.ban(&format!("{address}/{len}"), before).unwrap();
    }
    for (expires_ns, (table, address, len)) in (1_000..).zip(bans) {
        assert!(program.amend(amendment(table, address, len, expires_ns)));
    }
    for (expires_ns, (_, address, len)) in (1_000..).zip(bans) {
        let expected =
            Entry { expires_ns, flags: FLAG_HOLDS_ALLOWED, scope: 7, scoped_until_s: 9, ..before };
        assert_eq!(program.entry(&format!("{address}/{len}")), expected, "{address}/{len}");
    }
}

#[test]
fn what_is_not_banned_is_not_amended() {
    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    for (table, address, prefix_len) in [
        (Table::BansV4, "198.51.100.8", 32),
        (Table::BansV6, "2001:db8:7::", 64),
        (Table::NetsV4, "198.51.100.7", 32),
        (Table::NetsV6, "2001:db8::", 32),
    ] {
        assert!(!program.amend(amendment(table, address, prefix_len, 1)), "{address}");
    }
    let mut nonsense = amendment(Table::BansV4, "198.51.100.7", 32, 1);
    nonsense.table = 99;
    assert!(!program.amend(nonsense));
    assert_eq!(program.bans_v4().keys().count(), 1);
    assert_eq!(program.entry("198.51.100.7/32"), PERMANENT_ENTRY);
}

/// The reason why there are amendments at all. With a plain update instead, this loses hits.
#[test]
fn renewing_under_fire_loses_no_hit() {
    const TIMES: u32 = 1_000_000;

    let mut program = Program::load();
    program.set(NETS);
    for (table, address, len, source) in [
        (Table::BansV4, "198.51.100.7", 32, "198.51.100.7"),
        (Table::NetsV6, "2001:db8:aaaa::", 48, "2001:db8:aaaa::1"),
    ] {
        let net = format!("{address}/{len}");
        program.ban_for_good(&net);
        let program = &program;
        let firing = AtomicBool::new(true);
        let renewals = thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(program.repeat(&plain(source), TIMES).0, Drop);
                firing.store(false, Ordering::Relaxed);
            });
            let mut renewals = 0_u64;
            while firing.load(Ordering::Relaxed) {
                renewals += 1;
                let expires_ns = PERMANENT - renewals;
                assert!(program.amend(amendment(table, address, len, expires_ns)));
            }
            renewals
        });
        let entry = program.entry(&net);
        assert!(renewals > 0);
        assert_eq!(entry.expires_ns, PERMANENT - renewals, "{net}");
        assert_eq!(entry.packets, u64::from(TIMES), "{net} after {renewals} renewals");
    }
}

//! Whom the program drops, and whom it never does.

use ravelin_common::{Entry, FLAG_HOLDS_ALLOWED, PERMANENT, Settings, prefilter};
use ravelin_tests::xdp::Action::{Drop, Pass};
use ravelin_tests::xdp::{PERMANENT_ENTRY, Program};

use crate::assert_verdict;
use crate::frames::plain;

const NETS: Settings = Settings { off: 0, nets_v4: 1, nets_v6: 1, events_per_second: 0 };
const FLAGGED: Entry = Entry { flags: FLAG_HOLDS_ALLOWED, ..PERMANENT_ENTRY };

#[track_caller]
fn assert_all(program: &Program, cases: &[(&str, ravelin_tests::xdp::Action, &str)]) {
    for (source, action, reason) in cases {
        assert_verdict(program, source, &plain(source), *action, reason);
    }
}

#[test]
fn an_empty_program_passes() {
    assert_all(&Program::load(), &[("198.51.100.7", Pass, "miss"), ("2001:db8::1", Pass, "miss")]);
}

#[test]
fn exact_bans_drop_exactly() {
    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    program.ban_for_good("2001:db8:1:2::/64");
    assert_all(
        &program,
        &[
            ("198.51.100.7", Drop, "v4"),
            ("198.51.100.6", Pass, "miss"),
            ("7.100.51.198", Pass, "miss"),
            ("2001:db8:1:2::", Drop, "v6"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", Drop, "v6"),
            ("2001:db8:1:3::", Pass, "miss"),
            ("2001:db8:1:1:ffff:ffff:ffff:ffff", Pass, "miss"),
        ],
    );
}

#[test]
fn prefixes_drop_what_they_cover() {
    let mut program = Program::load();
    for net in ["203.0.112.0/23", "198.51.100.128/25", "2001:db8:aa00::/40", "2001:db8::7/128"] {
        program.ban_for_good(net);
    }
    program.set(NETS);
    assert_all(
        &program,
        &[
            ("203.0.111.255", Pass, "miss"),
            ("203.0.112.0", Drop, "net-v4"),
            ("203.0.113.255", Drop, "net-v4"),
            ("203.0.114.0", Pass, "miss"),
            ("198.51.100.127", Pass, "miss"),
            ("198.51.100.128", Drop, "net-v4"),
            ("2001:db8:a9ff:ffff::", Pass, "miss"),
            ("2001:db8:aa00::", Drop, "net-v6"),
            ("2001:db8:aaff:ffff::1", Drop, "net-v6"),
            ("2001:db8:ab00::", Pass, "miss"),
            ("2001:db8::7", Drop, "net-v6"),
            ("2001:db8::6", Pass, "miss"),
        ],
    );
}

#[test]
fn everything_can_be_banned_at_once() {
    let mut program = Program::load();
    program.ban_for_good("0.0.0.0/0");
    program.ban_for_good("::/0");
    program.set(NETS);
    assert_all(&program, &[("198.51.100.7", Drop, "net-v4"), ("2001:db8::1", Drop, "net-v6")]);
}

/// The tries are looked up only while userspace says that something is in them, each by itself.
#[test]
fn tries_are_looked_up_when_in_use() {
    let mut program = Program::load();
    program.ban_for_good("203.0.113.0/24");
    program.ban_for_good("2001:db8::/32");
    for (settings, v4, v6) in [
        (Settings { nets_v4: 0, nets_v6: 0, ..NETS }, (Pass, "miss"), (Pass, "miss")),
        (Settings { nets_v4: 1, nets_v6: 0, ..NETS }, (Drop, "net-v4"), (Pass, "miss")),
        (Settings { nets_v4: 0, nets_v6: 7, ..NETS }, (Pass, "miss"), (Drop, "net-v6")),
    ] {
        program.set(settings);
        assert_verdict(&program, "v4", &plain("203.0.113.1"), v4.0, v4.1);
        assert_verdict(&program, "v6", &plain("2001:db8::1"), v6.0, v6.1);
    }
}

#[test]
fn the_switch_passes_everything() {
    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    program.ban_for_good("203.0.113.0/24");
    program.set(Settings { off: 1, ..NETS });
    assert_all(&program, &[("198.51.100.7", Pass, "off"), ("203.0.113.1", Pass, "off")]);
    program.set(NETS);
    assert_all(&program, &[("198.51.100.7", Drop, "v4"), ("203.0.113.1", Drop, "net-v4")]);
}

#[test]
fn the_allow_list_overrides_flagged_bans() {
    let mut program = Program::load();
    program.ban("203.0.113.0/24", FLAGGED).unwrap();
    program.ban("198.51.100.7/32", FLAGGED).unwrap();
    program.ban("198.51.100.8/32", FLAGGED).unwrap();
    program.ban("2001:db8:1:2::/64", FLAGGED).unwrap();
    program.ban("2001:db8:aaaa::/48", FLAGGED).unwrap();
    for net in ["203.0.113.16/28", "198.51.100.7/32", "2001:db8:1:2::5/128", "2001:db8:aaaa:1::/64"]
    {
        program.allow(net);
    }
    program.set(NETS);
    assert_all(
        &program,
        &[
            ("203.0.113.15", Drop, "net-v4"),
            ("203.0.113.16", Pass, "allowed"),
            ("203.0.113.31", Pass, "allowed"),
            ("203.0.113.32", Drop, "net-v4"),
            ("198.51.100.7", Pass, "allowed"),
            ("198.51.100.8", Drop, "v4"),
            ("2001:db8:1:2::5", Pass, "allowed"),
            ("2001:db8:1:2::6", Drop, "v6"),
            ("2001:db8:aaaa:1::9", Pass, "allowed"),
            ("2001:db8:aaaa:2::9", Drop, "net-v6"),
        ],
    );
}

/// Dropping costs no look-up of the allow list unless userspace says that one is due.
#[test]
fn unflagged_bans_ask_no_allow_list() {
    let mut program = Program::load();
    for net in ["198.51.100.7/32", "203.0.113.0/24", "2001:db8:1:2::/64", "2001:db8:aaaa::/48"] {
        program.ban_for_good(net);
    }
    program.allow("0.0.0.0/0");
    program.allow("::/0");
    program.set(NETS);
    assert_all(
        &program,
        &[
            ("198.51.100.7", Drop, "v4"),
            ("203.0.113.1", Drop, "net-v4"),
            ("2001:db8:1:2::1", Drop, "v6"),
            ("2001:db8:aaaa::1", Drop, "net-v6"),
            ("192.0.2.1", Pass, "miss"),
        ],
    );
}

/// Router discovery, duplicate address detection and DHCP survive whatever is banned.
#[test]
fn link_local_and_unspecified_sources_always_pass() {
    let mut program = Program::load();
    for net in ["0.0.0.0/0", "::/0", "169.254.7.7/32", "0.0.0.0/32", "fe80::/64", "::/64"] {
        program.ban_for_good(net);
    }
    program.set(NETS);
    assert_all(
        &program,
        &[
            ("169.254.7.7", Pass, "allowed"),
            ("169.254.0.0", Pass, "allowed"),
            ("169.254.255.255", Pass, "allowed"),
            ("169.253.255.255", Drop, "net-v4"),
            ("169.255.0.0", Drop, "net-v4"),
            ("0.0.0.0", Pass, "allowed"),
            ("0.0.0.1", Drop, "net-v4"),
            ("fe80::1", Pass, "allowed"),
            ("febf:ffff:ffff:ffff::1", Pass, "allowed"),
            ("fe7f::1", Drop, "net-v6"),
            ("fec0::1", Drop, "net-v6"),
            ("::", Pass, "allowed"),
            ("::1", Drop, "v6"),
            ("0:0:0:1::", Drop, "net-v6"),
        ],
    );
}

/// The prefilter may say yes to everybody, and costs only time then.
#[test]
fn a_full_prefilter_changes_no_verdict() {
    let mut program = Program::load();
    program.ban_for_good("198.51.100.7/32");
    program.ban_for_good("2001:db8:1:2::/64");
    let mut words = program.prefilter();
    for word in 0..prefilter::WORDS {
        words.set(word, u64::MAX, 0).unwrap();
    }
    assert_all(
        &program,
        &[
            ("198.51.100.7", Drop, "v4"),
            ("198.51.100.8", Pass, "miss"),
            ("2001:db8:1:2::1", Drop, "v6"),
            ("2001:db8:1:3::1", Pass, "miss"),
        ],
    );
}

/// Why userspace sets the bit before it inserts the entry: without it the entry isn't looked for.
#[test]
fn a_clear_prefilter_bit_spares_the_lookup() {
    let mut program = Program::load();
    let permanent = Entry { expires_ns: PERMANENT, ..Entry::default() };
    program.bans_v4().insert([198, 51, 100, 7], permanent, 0).unwrap();
    assert_all(&program, &[("198.51.100.7", Pass, "miss")]);
    program.ban_for_good("198.51.100.7/32");
    assert_all(&program, &[("198.51.100.7", Drop, "v4")]);
}
